"""Writes the shards of a cache: laid out at full length, filled row by row, and put in the place of the old ones.

Rows are written, not mapped: a written page belongs to the system, a mapped one counts as memory of the process.
"""

import filecmp
import math
import os
import shutil
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import joblib
import numpy as np

from faceseg.files import BLOCK_BYTES, sha256, sync_folder
from faceseg.store.shards import MANIFEST, shard_names
from faceseg.store.splits import SPLITS

WRITING = ".splits.tmp"  # folder of the cache in which a build makes its splits, named as unfinished


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard of a split."""

    split: str
    number: int

    @property
    def name(self) -> str:
        """As records name it."""
        return f"{self.split}/{self.number:05d}"

    def paths(self, folder: Path) -> tuple[Path, Path]:
        """Where its pictures and its masks lie in a cache, or in the folder in which one is made."""
        images, masks = shard_names(self.number)
        return folder / self.split / images, folder / self.split / masks


@dataclass(frozen=True, slots=True)
class Run:
    """Rows of an earlier shard that follow one another, and the ``first`` of the rows that they become."""

    source: Shard
    source_first: int
    first: int
    rows: int


def begin(out: Path) -> None:
    """The manifest goes first: from here on, until the new one is there, the cache is not complete.

    The shards of the last build stay until the new ones are whole: rows are taken over from them.
    """
    (out / MANIFEST).unlink(missing_ok=True)
    if (out / WRITING).exists():
        shutil.rmtree(out / WRITING)


def shards_of(folder: Path) -> list[Shard]:
    """The shards that lie in a cache."""
    paths = [path for split in SPLITS for path in sorted((folder / split).glob("images-[0-9][0-9][0-9][0-9][0-9].npy"))]
    return [Shard(path.parent.name, int(path.stem[-5:])) for path in paths]


def shard_digests(folder: Path, shards: Iterable[Shard], workers: int | None) -> dict[Shard, tuple[str, str]]:
    """The sha256 of the two files of each shard that is whole, whose bytes are on the disk then."""
    there = [shard for shard in shards if all(path.is_file() for path in shard.paths(folder))]
    parallel = joblib.Parallel(n_jobs=workers or joblib.cpu_count(), prefer="threads")  # hashing does not hold them up
    digests = iter(parallel(joblib.delayed(_digest)(path) for shard in there for path in shard.paths(folder)))
    return {shard: (next(digests), next(digests)) for shard in there}


def lay_out(folder: Path, shard: Shard, rows: int, size: int) -> None:
    """Make the files of a shard: full length, all zero, with the header of ``np.save``."""
    for path, shape in zip(shard.paths(folder), ((rows, size, size, 3), (rows, size, size)), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            file.truncate(file.tell() + math.prod(shape))


def holds_rows(folder: Path, shard: Shard, rows: int) -> bool:
    """Whether a whole shard has this many rows."""
    with shard.paths(folder)[0].open("rb") as file:
        return _rows(file)[1] == rows


def copy_rows(old: Path, new: Path, shard: Shard, runs: Iterable[Run]) -> None:
    """Fill rows of a shard that is laid out in ``new`` with rows of whole shards in ``old``, of the same size."""
    for run in runs:
        for source_path, path in zip(run.source.paths(old), shard.paths(new), strict=True):
            with source_path.open("rb") as source, path.open("r+b") as target:
                start, _, row_bytes = _rows(source)
                source.seek(start + run.source_first * row_bytes)
                start, _, row_bytes = _rows(target)
                target.seek(start + run.first * row_bytes)
                left = run.rows * row_bytes
                while left:
                    left -= target.write(source.read(min(BLOCK_BYTES, left)))


def change_places(out: Path, splits: Mapping[str, object], kept: Collection[Shard]) -> None:
    """Put the new splits in the place of the old; a file with the same bytes stays, for DVC knows it by its date.

    ``kept``: shards that have not been made anew, because they are there.
    """
    for shard in kept:
        for old, new in zip(shard.paths(out), shard.paths(out / WRITING), strict=True):
            new.parent.mkdir(parents=True, exist_ok=True)
            old.replace(new)
    for split in splits:
        for new in sorted((out / WRITING / split).iterdir()):
            old = out / split / new.name
            if old.is_file() and filecmp.cmp(old, new, shallow=False):
                old.replace(new)
    for name in SPLITS:
        if (out / name).exists():
            shutil.rmtree(out / name)
    for split in splits:
        (out / WRITING / split).replace(out / split)
    (out / WRITING).rmdir()
    sync_folder(out)


class RowWriter:
    """Fills rows of shards that are laid out in ``folder``; several processes may do so at once, each its own rows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._files: dict[Path, tuple[BinaryIO, int]] = {}

    def write(self, shard: Shard, row: int, image: np.ndarray, mask: np.ndarray) -> None:
        """Put (S, S, 3) and (S, S) uint8 into ``row`` of a shard."""
        for path, pixels in zip(shard.paths(self._folder), (image, mask), strict=True):
            file, start = self._file(path)
            file.seek(start + row * pixels.nbytes)
            file.write(np.ascontiguousarray(pixels).data)

    def _file(self, path: Path) -> tuple[BinaryIO, int]:
        if path not in self._files:
            file = self._stack.enter_context(path.open("r+b"))
            self._files[path] = file, _rows(file)[0]
        return self._files[path]

    def __enter__(self) -> "RowWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def _rows(file: BinaryIO) -> tuple[int, int, int]:
    """Of a shard's file, opened at its beginning: where its first row begins, how many there are, and bytes of each."""
    np.lib.format.read_magic(file)
    shape, _, _ = np.lib.format.read_array_header_1_0(file)
    return file.tell(), shape[0], math.prod(shape[1:])


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return sha256(path)
