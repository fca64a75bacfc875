"""A full disk is named with the path and the bytes, before the work where they are known, and what was whole stays."""

import re
import shutil
from pathlib import Path

import pytest

from faceseg.files import NoRoomError
from faceseg.running.room import require_room, room_for, still_to_write
from tests.small_disk import on_small_disk


def test_too_little_room_is_named_before_any_work(tmp_path: Path) -> None:
    need = 2 * shutil.disk_usage(tmp_path).total
    message = rf"no room on the disk for {re.escape(str(tmp_path / 'out'))}: the cache needs about {need:,} bytes more"
    with (
        pytest.raises(NoRoomError, match=rf"{message}, and [\d,]+ are free there; make room and run `dvc repro`"),
        room_for("the cache", {tmp_path / "out": need}),
    ):
        raise AssertionError("the work began")


def test_folders_on_one_disk_share_its_room(tmp_path: Path) -> None:
    half = 2 * shutil.disk_usage(tmp_path).free // 3
    require_room("it", {tmp_path / "a": half})
    with pytest.raises(NoRoomError, match=r"a and .*b: it needs about"):
        require_room("it", {tmp_path / "a": half, tmp_path / "b": half})


def test_what_lies_there_is_written_over(tmp_path: Path) -> None:
    assert still_to_write(tmp_path / "out", 100) == 100
    (tmp_path / "out/in").mkdir(parents=True)
    (tmp_path / "out/in/file").write_bytes(bytes(70))
    assert still_to_write(tmp_path / "out", 100) == 30
    assert still_to_write(tmp_path / "out", 50) == 0


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), room_for("it", {tmp_path: 0}):
        (tmp_path / "missing").read_text()


def test_writers_on_a_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    said = on_small_disk(disk, 2, "tests.running.full_disk_writers")
    free = r"[\d,]+ are free beside them"
    assert re.fullmatch(
        rf"no room on the disk for {disk}/file: [\d,]+ bytes of it were written, and {free}", said["file"]
    )
    assert re.match(rf"no room on the disk for {disk}/runs/\w+/epoch-00002\.npz: ", said["checkpoint"])
    assert re.match(rf"no room on the disk for {disk}/journal\.jsonl: ", said["journal"])
    assert said["need"].startswith(f"no room on the disk for {disk}/new. The cache needs about 0 bytes beside")
    assert said["old"] == "old"
    assert said["epoch"] == 1, "the checkpoint before is there"
    assert said["lines"] == ["start", "epoch"], "a torn line is cut off and the whole ones stay"
    assert said["unfinished"] == []
