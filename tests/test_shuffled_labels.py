"""A network trained on shuffled labels must come out worse: the whole way, from an archive to the exit code."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.checkout import STAGES, Repository

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pipeline")]

# Enough for a network to find faces, which is all that is asked of it.
ENOUGH = {
    "dataset": {"synthetic": {"train_clips": 40, "val_clips": 14, "frames": 1, "seed": 3}},
    "split": {"val": 0.2},
    "train": {"epochs": 8, "batch_size": 4, "learning_rate": 0.004},
    "evaluate": {"samples": 1},
}


def shuffle_training_labels(source: Path, target: Path) -> int:
    """Copy an archive with the pixels of each training mask in another order; returns how many masks those were."""
    generator = np.random.default_rng(0)
    count = 0
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if "/train/seg/" in f"/{name}":
                mask = Image.open(io.BytesIO(content))
                shuffled = Image.fromarray(generator.permutation(np.asarray(mask).ravel()).reshape(mask.size[::-1]))
                if mask.mode == "P":
                    shuffled.putpalette(mask.getpalette() or [])
                buffer = io.BytesIO()
                shuffled.save(buffer, "PNG")
                content, count = buffer.getvalue(), count + 1
            new.writestr(name, content)
    return count


def test_a_network_trained_on_shuffled_labels_is_worse(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    repository.change(ENOUGH)
    assert repository.repro() == STAGES
    repository.commit("true labels")
    archive = repository.path / "data/shuffled.zip"
    assert shuffle_training_labels(repository.path / "data/raw/dataset.zip", archive) == 40
    repository.change({"dataset": {"source": "data/shuffled.zip"}})
    assert repository.repro() == STAGES
    output = repository.run("faceseg", "compare", "HEAD", "--fail-if-worse", ok=False)
    assert "\nworse: mIoU" in output
    assert "skin" in output.split("lower: ")[1]
    # And the other way round it is no reason to fail.
    repository.run("git", "checkout", "--quiet", "-b", "shuffled")
    repository.commit("shuffled labels")
    assert "better: mIoU" in repository.run("faceseg", "compare", "shuffled", "main", "--fail-if-worse")
