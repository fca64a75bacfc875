"""model.init_from through DVC: a model begins from another one with other classes, and follows it when it changes."""

import re
import shutil
from pathlib import Path

import pytest

from faceseg.files import read_json, sha256, write_json
from tests import recipe_miniatures
from tests.checkout import Repository

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("init_from")]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Trained on eight classes; that model then lies beside the repository, in ``first``."""
    repository = Repository(tmp_path_factory.mktemp("init-from") / "repository")
    recipe_miniatures.write("celebamask-hq", repository.path.parent / "faces.zip")
    repository.change(
        {
            "dataset": {"name": "celebamask-hq", "source": "../faces.zip"},
            "split": {"by": "clip", "val": 0.1, "test": 0.1},
            "model": {"backbone": "mobilenet"},
            "train": {"epochs": 1, "batch_size": 4},
        }
    )
    assert repository.repro("train") == ["download", "merge", "resize", "cache", "train"]
    shutil.copytree(repository.path / "models", repository.path.parent / "first")
    return repository


def test_another_merge_begins_from_the_model(repository: Repository) -> None:
    first = repository.path.parent / "first"
    assert len(read_json(first / "model.json")["classes"]) == 8
    repository.change({"merge": {"into": "eyes-lips"}, "model": {"init_from": "../first"}})
    output = repository.run("dvc", "repro", "train")
    assert re.search(r"begins from .*first: (\d+) of \1 weights of the encoder, \d+ of \d+ after it; ", output)
    assert "new values stay in: classifier/kernel (1, 1, 64, 2), classifier/bias (2,)" in output
    model = repository.json("models/model.json")
    assert model["classes"] == ["rest", "eyes_lips"]
    assert model["made_from"]["model"]["init_from"] == sha256(first / "model.weights.h5")
    assert str(repository.path.parent) not in (repository.path / "models/model.json").read_text()
    assert "path: ../first" in (repository.path / "dvc.lock").read_text()
    assert repository.changed_stages() == {"evaluate"}  # which has never run


def test_a_new_model_there_trains_anew_and_a_damaged_one_is_named(repository: Repository) -> None:
    first = repository.path.parent / "first"
    description = read_json(first / "model.json")
    write_json(first / "model.json", {**description, "note": "made again"})
    assert repository.changed_stages() == {"train", "evaluate"}
    with (first / "model.weights.h5").open("ab") as file:
        file.write(b"more")
    output = repository.run("dvc", "repro", "train", ok=False)
    assert "model.init_from: " in output
    assert "model.weights.h5 is not the file that model.json describes" in output


def test_a_folder_without_a_model_is_named_before_any_work(repository: Repository, tmp_path: Path) -> None:
    repository.change({"model": {"init_from": str(tmp_path)}})
    output = repository.run("dvc", "repro", "train", ok=False)
    assert f"{tmp_path / 'model.json'} is not there; expected the folder `models` of a training" in output
