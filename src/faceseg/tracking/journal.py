"""The journal of one training: one JSON line a fact, appended and fsynced, before anybody else hears of it.

Beside ``<name>.jsonl`` lie ``<name>.files/``, copies of what is to be shown with it (the workspace's own files are
another run's by the time that a server is back), ``<name>.sent.json``, how many lines each MLflow store has, and
``<name>.lock``, which one process holds while it delivers.
"""

import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faceseg.files import full_disk_named, read_json, sealed, sha256, unsealed, write_json


class BusyError(ValueError):
    """Another process is delivering this journal."""


@dataclass(frozen=True)
class Sent:
    """What a store has of a journal: ``run_id``, None before the first line, and how many ``lines``."""

    run_id: str | None = None
    lines: int = 0


class Journal:
    """One training's lines; several threads may append."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files = path.with_suffix(".files")
        self._sent = path.with_suffix(".sent.json")
        self._writing = threading.Lock()

    def append(self, kind: str, **values: Any) -> None:
        """Write a line; when this returns it is on the disk."""
        line = json.dumps(sealed({"kind": kind, "time_ms": time.time_ns() // 1_000_000, **values}), sort_keys=True)
        with self._writing:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with full_disk_named(self.path), self.path.open("a+b") as file:
                _cut_torn_line(file.fileno())
                file.write(line.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())

    def lines(self) -> list[dict[str, Any]]:
        """All whole lines; the torn last line of a killed process is left out.

        Raises:
            ValueError: a line is damaged.
        """
        if not self.path.exists():
            return []
        whole = self.path.read_bytes().rpartition(b"\n")[0]
        lines = []
        for number, line in enumerate(whole.split(b"\n") if whole else [], start=1):
            try:
                lines.append(unsealed(json.loads(line)))
            except ValueError as error:
                raise ValueError(
                    f"{self.path}, line {number} is damaged ({error}); take the line out to keep the rest"
                ) from None
        return lines

    def keep(self, source: Path) -> str:
        """Copy a file beside the journal, once for each content; returns the name of the copy."""
        name = f"{sha256(source)[:16]}-{source.name}"
        if not (self._files / name).exists():
            self._files.mkdir(parents=True, exist_ok=True)
            aside = self._files / f".{name}.{os.getpid()}.tmp"
            with full_disk_named(aside):
                shutil.copyfile(source, aside)
            aside.replace(self._files / name)
        return name

    def kept(self, name: str) -> Path:
        """The copy of a name that ``keep`` gave; it need not be there any more."""
        return self._files / name

    def drop(self, name: str) -> None:
        """Forget a copy, as of weights that a store has now."""
        self.kept(name).unlink(missing_ok=True)

    def sent(self, store: str) -> Sent:
        """What ``store`` has."""
        noted = read_json(self._sent).get(store) if self._sent.exists() else None
        return Sent(**noted) if noted else Sent()

    def note_sent(self, store: str, run_id: str, lines: int) -> None:
        noted = read_json(self._sent) if self._sent.exists() else {}
        write_json(self._sent, {**noted, store: {"run_id": run_id, "lines": lines}})

    @contextmanager
    def delivering(self) -> Iterator[None]:
        """Hold the right to deliver; the kernel takes it back when the process dies.

        Raises:
            BusyError: another process has it.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BusyError(f"{self.path.name} is being delivered by another process") from None
            yield


def journals(root: Path) -> list[Journal]:
    """Every journal of a repository, the oldest first."""
    paths = (root / ".faceseg" / "journal").glob("*.jsonl")
    dated = [(_began(path), path) for path in paths]
    return [Journal(path) for _, path in sorted(dated)]


def _began(path: Path) -> int:
    """When the first line was written; 0 where there is none that can be read, so that it is looked at."""
    with path.open("rb") as file:
        try:
            return int(json.loads(file.readline())["time_ms"])
        except (ValueError, KeyError):
            return 0


def _cut_torn_line(file: int) -> None:
    """Cut off what a killed process left of its last line, so that the next one starts on a line of its own."""
    size = os.fstat(file).st_size
    if not size or os.pread(file, 1, size - 1) == b"\n":
        return
    whole = os.pread(file, size, 0).rpartition(b"\n")
    os.ftruncate(file, len(whole[0]) + len(whole[1]))
