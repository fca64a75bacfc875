"""Files that are either complete or not there: write aside, fsync, rename; hashes; JSON and CSV with stable bytes.

What is being written has a hidden name that ends in ``.tmp``; whatever has such a name when nobody writes is what a
killed process left.
"""

import csv
import errno
import filecmp
import hashlib
import io
import json
import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

BLOCK_BYTES = 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT)  # the disk, or the share of it that the user may fill

_naming = threading.Lock()  # held while a file begins or takes its name
_asides: set[Path] = set()  # what this process is writing


class NoRoomError(ValueError):
    """The disk is full, or would be; the message names the path and the bytes."""


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """A binary file that takes the place of ``path`` when the block ends well, and leaves no trace when it does not.

    A file that already holds the same bytes stays: DVC knows it by its date, and need not hash it again.

    Raises:
        NoRoomError: the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = aside_of(path)
    with _naming:
        _asides.add(aside)
    try:
        with full_disk_named(path, aside), aside.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with _naming:
            if path.is_file() and filecmp.cmp(aside, path, shallow=False):
                aside.unlink()
                return
            aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    finally:
        _asides.discard(aside)
    sync_folder(path.parent)


def aside_of(path: Path) -> Path:
    """Where this process writes ``path`` until it is whole."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


@contextmanager
def full_disk_named(path: Path, aside: Path | None = None) -> Iterator[None]:
    """Say which file the disk had no room for, which the system's own error does not.

    Raises:
        NoRoomError: in the place of the system's error; ``aside`` tells how much was written.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        written = aside.stat().st_size if aside is not None and aside.exists() else 0
        free = shutil.disk_usage(path.parent).free
        raise NoRoomError(
            f"no room on the disk for {path}: {written:,} bytes of it were written, and {free:,} are free beside them"
        ) from error


def remove_unfinished(out: Path) -> None:
    """Remove what killed writers left of ``out``, a file or a folder; call only while nobody writes there."""
    found = out.rglob(".*.tmp") if out.is_dir() else out.parent.glob(f".{out.name}.*.tmp")
    for path in sorted(found):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def stop_writing() -> None:
    """Remove what this process is writing, and let no file begin or take its name any more: it is about to end."""
    _naming.acquire(timeout=1)
    for aside in sorted(_asides):
        aside.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` last through a power loss, as far as the file system promises it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Make the content of a file last through a power loss, where another library has written it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_bytes(path: Path, content: bytes) -> None:
    with atomic_write(path) as file:
        file.write(content)


def write_json(path: Path, value: Any) -> None:
    """JSON with sorted keys; NaN is refused, because JSON has none."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """One header line, then the rows as they come, with Unix line ends."""
    with atomic_write(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        text.detach()


def read_csv(path: Path) -> Iterator[Mapping[str, str]]:
    """The rows, one at a time, by the header's names."""
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def sha256(path: Path) -> str:
    """The hex digest of a file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values with a hash of them beside them, by which :func:`unsealed` knows that nothing has changed."""
    return {**values, "seal": _seal(values)}


def unsealed(values: Any) -> dict[str, Any]:
    """What was sealed.

    Raises:
        ValueError: it is not as it was sealed.
    """
    content = {key: value for key, value in values.items() if key != "seal"} if isinstance(values, dict) else {}
    if not content or values.get("seal") != _seal(content):
        raise ValueError("its seal is not that of its content")
    return content


def _seal(values: Mapping[str, Any]) -> str:
    # As they come back from a file, where keys are texts.
    text = json.dumps(json.loads(json.dumps(values)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
