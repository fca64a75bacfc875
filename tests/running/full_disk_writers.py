"""Run on a small disk: what the writers of files, of checkpoints and of the journal do when it is full."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from faceseg.files import NoRoomError, write_bytes
from faceseg.running.room import room_for
from faceseg.tracking.journal import Journal
from faceseg.training.checkpoint import RunFolder
from tests.small_disk import fill


def main(disk: Path) -> dict[str, Any]:
    said: dict[str, Any] = {}
    write_bytes(disk / "file", b"old")
    journal = Journal(disk / "journal.jsonl")
    journal.append("start", params={}, tags={})
    folder = RunFolder(disk / "runs", {})
    with folder:
        folder.save(1, [np.ones(1000)], {})
        fill(disk, 50_000)
        said["file"] = _message(lambda: write_bytes(disk / "file", bytes(100_000)))
        said["checkpoint"] = _message(lambda: folder.save(2, [np.ones(100_000)], {}))
        fill(disk / "", 0)
        said["journal"] = _message(lambda: journal.append("epoch", values={"long": "x" * 10_000}))
        said["need"] = _message(lambda: _in_room(disk))
        saved = folder.latest()
    assert saved is not None
    (disk / "filler").unlink()
    journal.append("epoch", values={})
    return {
        **said,
        "old": (disk / "file").read_text(),
        "epoch": saved[0],
        "lines": [line["kind"] for line in journal.lines()],
        "unfinished": [str(path) for path in disk.rglob(".*.tmp")],
    }


def _in_room(disk: Path) -> None:
    # As a library writes, which names no path.
    with room_for("the cache", {disk / "new": 0}), (disk / "plain").open("wb") as file:
        file.write(bytes(1_000_000))


def _message(write: Any) -> str:
    try:
        write()
    except NoRoomError as error:
        return str(error)
    return "there was room"


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
