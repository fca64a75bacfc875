"""Growing data through DVC: from A to B and back to A gives the dvc.lock of a fresh A, however DVC links its cache."""

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.test_whole_pipeline import Repository

CLIPS = [f"{n:03d}" for n in range(12)]


def archive(path: Path, clips: list[str]) -> None:
    """Two frames of each clip; every class occurs in every mask, and the last two clips are the dataset's test."""
    with zipfile.ZipFile(path, "w") as file:
        for clip in clips:
            folder = "val" if clip in CLIPS[-2:] else "train"
            for frame in range(2):
                random = np.random.default_rng([int(clip), frame])
                pixels = {"image": random.integers(0, 256, (40, 48, 3), np.uint8)}
                pixels["seg"] = random.permutation(np.arange(40 * 48).astype(np.uint8) % 18).reshape(40, 48)
                for part, ending in (("image", "jpg"), ("seg", "png")):
                    buffer = io.BytesIO()
                    Image.fromarray(pixels[part]).save(buffer, "PNG" if ending == "png" else "JPEG")
                    name = f"All_data/{folder}/{part}/{clip}_{frame}.{ending}"
                    file.writestr(zipfile.ZipInfo(name), buffer.getvalue())  # without a date


def repository(path: Path, source: Path, links: str) -> Repository:
    made = Repository(path)
    made.run("dvc", "config", "cache.type", links)
    lists = {"val": [CLIPS[0]]}
    made.change({"dataset": {"source": str(source)}, "split": {"val": 0.0, "lists": lists}, "resize": {"size": 32}})
    return made


def lock(made: Repository) -> str:
    made.run("dvc", "repro", "cache")
    assert made.changed_stages() <= {"train", "evaluate"}
    return (made.path / "dvc.lock").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("links", ["copy", "symlink"])
def test_there_and_back(tmp_path: Path, links: str) -> None:
    source = tmp_path / "mine.zip"
    grown = repository(tmp_path / "grown", source, links)
    archive(source, CLIPS[:5] + CLIPS[6:])
    of_a = lock(grown)
    archive(source, CLIPS)
    of_b = lock(grown)
    assert of_b == lock(repository(tmp_path / "fresh", source, links))
    archive(source, CLIPS[:5] + CLIPS[6:])
    assert lock(grown) == of_a != of_b
    # What DVC keeps was not written into: every object still has the hash that is its name.
    objects = [path for path in (grown.path / ".dvc/cache/files/md5").rglob("*") if path.is_file()]
    assert objects
    for path in objects:
        digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        assert digest == path.parent.name + path.name.removesuffix(".dir")
