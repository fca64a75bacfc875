"""Every stage on a disk that is or becomes full: it says so with path and bytes, and goes on once there is room."""

from pathlib import Path

import pytest

from tests.checkout import Repository
from tests.small_disk import on_small_disk

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("full disk")]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A finished pipeline, which each test copies to its small disk."""
    repository = Repository(tmp_path_factory.mktemp("full") / "repository")
    repository.repro()
    return repository


KB = 1000
CASES = [
    # stage, what is left free, what the message begins with
    ("download", 300 * KB, "no room on the disk for data/raw: the dataset needs about"),
    ("download", 2000 * KB, "no room on the disk for data/raw/dataset.zip: "),
    ("merge", 60 * KB, "no room on the disk for data/merged: merge needs about"),
    ("merge", 250 * KB, "no room on the disk for data/merged/masks-"),
    ("resize", 60 * KB, "no room on the disk for data/resized: resize needs about"),
    ("resize", 180 * KB, "no room on the disk for data/resized/pack-"),
    ("cache", 300 * KB, "no room on the disk for data/cache: the cache needs about"),
    ("train", 20_000 * KB, "and models: this training needs about"),
    ("train", "repository/.faceseg/runs/*/epoch-00001.json", "epoch-00002.npz: "),
    ("train", "repository/models/.model.weights.h5.*.tmp", "no room on the disk for models/model.weights.h5: "),
    ("evaluate", 60 * KB, "no room on the disk for reports: the evaluation needs about"),
    ("evaluate", 200 * KB, "no room on the disk for reports/"),
]


@pytest.mark.parametrize(("stage", "leave", "message"), CASES, ids=[f"{stage}-{leave}" for stage, leave, _ in CASES])
def test_a_full_disk_is_named_and_loses_nothing(
    repository: Repository, tmp_path: Path, stage: str, leave: int | str, message: str
) -> None:
    said = on_small_disk(tmp_path / "disk", 300, "tests.full_disk_stage", str(repository.path), stage, str(leave))
    assert said["code"] != 0
    assert message in said["failed"]
    assert "bytes" in said["failed"]
    assert "make room and run `dvc repro`" in said["failed"]
    assert "Traceback" not in said["failed"]
    assert said["unfinished"] == []
    assert said["mismatches"] == []
    if "epoch-00001" in str(leave):
        assert "continuing after epoch 1 of 2" in said["again"]
    if "model.weights" in str(leave):
        assert "continuing after epoch 2 of 2" in said["again"]


def test_where_dvc_itself_has_no_room_for_its_copy_the_stage_runs_once_more(
    repository: Repository, tmp_path: Path
) -> None:
    """The archive fits, and DVC's cache, which takes as much again, does not; no `dvc commit` is needed."""
    arguments = (str(repository.path), "download", str(4500 * KB))
    said = on_small_disk(tmp_path / "disk", 300, "tests.full_disk_stage", *arguments)
    assert said["code"] != 0
    assert "files in data/raw/dataset.zip" in said["failed"], "the stage itself ended well"
    assert "No space left on device" in said["failed"]
    assert "Running stage 'download'" in said["again"]
    assert said["mismatches"] == []
