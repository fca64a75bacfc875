"""Every stage on a disk that is or becomes full: it says so with path and bytes, and goes on once there is room."""

from pathlib import Path
from typing import Any

import pytest

from tests.checkout import LEAST, Repository
from tests.small_disk import on_small_disk

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("full disk")]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A finished pipeline, which each test copies to its small disk."""
    repository = Repository(tmp_path_factory.mktemp("full") / "repository")
    repository.change({**LEAST, "train": {"epochs": 2, "batch_size": 2}})
    repository.repro()
    return repository


KB = 1000
# What is left free, and how the message begins: too little is found before the work.
AT_ONCE = [
    ("download", 300 * KB, "no room on the disk for data/raw: the dataset needs about"),
    ("merge", 40 * KB, "no room on the disk for data/merged: merge needs about"),
    ("resize", 40 * KB, "no room on the disk for data/resized: resize needs about"),
    ("cache", 200 * KB, "no room on the disk for data/cache: the cache needs about"),
    ("train", 20_000 * KB, "and models: this training needs about"),
    ("evaluate", 40 * KB, "no room on the disk for reports: the evaluation needs about"),
]
# Enough for the estimate; or the file that fills the disk as it appears.
MIDWAY = [
    ("download", 1500 * KB, "no room on the disk for data/raw/dataset.zip: "),
    ("merge", 160 * KB, "no room on the disk for data/merged/masks-"),
    ("resize", 120 * KB, "no room on the disk for data/resized/pack-"),
    ("train", "repository/.faceseg/runs/*/epoch-00001.json", "no room on the disk for "),
    ("evaluate", 150 * KB, "no room on the disk for reports/"),
]


def assert_named(said: dict[str, Any], message: str) -> None:
    assert said["code"] != 0
    assert message in said["failed"]
    assert "bytes" in said["failed"]
    assert "make room and run `dvc repro`" in said["failed"]
    assert "Traceback" not in said["failed"]
    assert said["unfinished"] == []


@pytest.mark.parametrize(("stage", "leave", "message"), AT_ONCE, ids=[stage for stage, *_ in AT_ONCE])
def test_too_little_room_is_named_before_the_work(
    repository: Repository, tmp_path: Path, stage: str, leave: int, message: str
) -> None:
    arguments = (str(repository.path), stage, str(leave))
    assert_named(on_small_disk(tmp_path / "disk", 300, "tests.full_disk_stage", *arguments), message)


@pytest.mark.parametrize(("stage", "leave", "message"), MIDWAY, ids=[stage for stage, *_ in MIDWAY])
def test_a_disk_that_fills_up_is_named_and_the_next_run_goes_on(
    repository: Repository, tmp_path: Path, stage: str, leave: int | str, message: str
) -> None:
    arguments = (str(repository.path), stage, str(leave), "--again")
    said = on_small_disk(tmp_path / "disk", 300, "tests.full_disk_stage", *arguments)
    assert_named(said, message)
    assert said["mismatches"] == []
    if stage == "train":
        assert "continuing after epoch 1 of 2" in said["again"]


def test_weights_are_written_whole_or_the_old_ones_stay(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    said = on_small_disk(disk, 24, "tests.full_disk_weights")
    before, full, midway = said["said"]
    assert before.startswith(f"no room on the disk for {disk}/models: the model needs about 8,008,000 bytes more")
    assert full.startswith(f"no room on the disk for {disk}/models: the model needs about 8,008,000 bytes more")
    assert midway.startswith(f"no room on the disk for {disk}/models/model.weights.h5: ")
    assert said["old is whole"]
    assert said["left"] == ["model.weights.h5"]


@pytest.mark.parametrize(("options", "runs"), [([], 1), (["--commit"], 0)], ids=["repro", "commit"])
def test_where_dvc_itself_has_no_room_for_its_copy_nothing_is_lost(
    repository: Repository, tmp_path: Path, options: list[str], runs: int
) -> None:
    """The archive fits, and DVC's copy of it does not; `dvc commit -f download` saves the second run."""
    room = (repository.path / "data/raw/dataset.zip").stat().st_size * 5 // 4
    arguments = (str(repository.path), "download", str(room), "--uncached", "--again", *options)
    said = on_small_disk(tmp_path / "disk", 300, "tests.full_disk_stage", *arguments)
    assert "no room on the disk" not in said["failed"], "the stage itself ended well"
    # No word of the exit code: for a folder that the lock file knows, DVC's is 0 all the same.
    assert "failed to transfer" in said["failed"]
    assert "No space left on device" in said["failed"]
    assert said["again"].count("Running stage 'download'") == runs
    assert said["mismatches"] == []
