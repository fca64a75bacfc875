"""Files that are either complete or not there: write aside, fsync, rename; hashes; JSON and CSV with stable bytes."""

import csv
import filecmp
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

BLOCK_BYTES = 1 << 20


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """A binary file that takes the place of ``path`` when the block ends well, and leaves no trace when it does not.

    A file that already holds the same bytes stays: DVC knows it by its date, and need not hash it again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if path.is_file() and filecmp.cmp(aside, path, shallow=False):
            aside.unlink()
            return
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` last through a power loss, as far as the file system promises it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
