"""The cache that training reads: memory-mapped npy shards of pictures and masks, and the manifest that names them.

Plain .npy because every tool reads it and batches gathered from it by a permuted index are shuffled over the whole
split at several thousand pictures a second.
"""

import filecmp
import math
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from faceseg.files import read_csv, read_json, sync_folder
from faceseg.store.packs import MissingInputError
from faceseg.store.splits import SPLITS

MANIFEST = "cache.json"
INDEX = "index.csv"
WRITING = ".splits.tmp"  # folder of the cache in which a build makes its splits, named as unfinished


def shard_names(number: int) -> tuple[str, str]:
    """File names of the pictures and the masks of a shard."""
    return f"images-{number:05d}.npy", f"masks-{number:05d}.npy"


def shard_rows(pictures: int, shard_size: int) -> list[int]:
    """Rows of each shard: all are full but the last."""
    return [min(shard_size, pictures - first) for first in range(0, pictures, shard_size)]


def lay_out(folder: Path, pictures: int, size: int, shard_size: int) -> None:
    """Make the shards of a split in a new ``folder``: full length, all zero, with the header of ``np.save``."""
    folder.mkdir(parents=True)
    for number, rows in enumerate(shard_rows(pictures, shard_size)):
        images, masks = shard_names(number)
        for name, shape in ((images, (rows, size, size, 3)), (masks, (rows, size, size))):
            with (folder / name).open("wb") as file:
                np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
                file.truncate(file.tell() + math.prod(shape))


def begin(out: Path) -> None:
    """The manifest goes first: from here on, until the new one is there, the cache is not complete.

    The shards of the last build stay until the new ones are whole: rows are taken over from them.
    """
    (out / MANIFEST).unlink(missing_ok=True)
    if (out / WRITING).exists():
        shutil.rmtree(out / WRITING)


def change_places(out: Path, splits: Mapping[str, object]) -> None:
    """Put the new splits in the place of the old; a file with the same bytes stays, for DVC knows it by its date."""
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
    """Fills rows of shards that are laid out; several processes may do so at once, each its own rows.

    Rows are written, not mapped: a written page belongs to the system, a mapped one counts as memory of the process.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._files: dict[Path, tuple[BinaryIO, int]] = {}

    def write(self, folder: Path, number: int, row: int, image: np.ndarray, mask: np.ndarray) -> None:
        """Put (S, S, 3) and (S, S) uint8 into ``row`` of shard ``number`` of the split in ``folder``."""
        for name, pixels in zip(shard_names(number), (image, mask), strict=True):
            file, start = self._file(folder / name)
            file.seek(start + row * pixels.nbytes)
            file.write(np.ascontiguousarray(pixels).data)

    def _file(self, path: Path) -> tuple[BinaryIO, int]:
        if path not in self._files:
            file = self._stack.enter_context(path.open("r+b"))
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
            self._files[path] = file, file.tell()
        return self._files[path]

    def __enter__(self) -> "RowWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


class RowReader:
    """Reads rows of the shards of an earlier build, of which nothing is taken for granted."""

    def __init__(self, folder: Path, size: int) -> None:
        """``folder`` of the cache, with a folder for each split; ``size``: side of the pictures, in pixels."""
        self._folder = folder
        self._size = size
        self._stack = ExitStack()
        self._files: dict[Path, tuple[BinaryIO, int] | None] = {}

    def read(self, split: str, number: int, row: int) -> tuple[np.ndarray, np.ndarray] | None:
        """(S, S, 3) and (S, S) uint8 from ``row`` of shard ``number``; None: there is no such row."""
        pair: list[np.ndarray] = []
        for name, shape in zip(shard_names(number), ((self._size, self._size, 3), (self._size,) * 2), strict=True):
            opened = self._open(self._folder / split / name, shape)
            if opened is None:
                return None
            file, start = opened
            file.seek(start + row * math.prod(shape))
            content = file.read(math.prod(shape))
            if len(content) < math.prod(shape):
                return None
            pair.append(np.frombuffer(content, np.uint8).reshape(shape))
        return pair[0], pair[1]

    def _open(self, path: Path, shape: tuple[int, ...]) -> tuple[BinaryIO, int] | None:
        if path not in self._files:
            self._files[path] = None
            try:
                file = self._stack.enter_context(path.open("rb"))
                np.lib.format.read_magic(file)
                found, _, dtype = np.lib.format.read_array_header_1_0(file)
            except Exception:  # whatever NumPy stumbles on in a damaged header: the row is made anew, nothing is lost
                return None
            if found[1:] == shape and dtype == np.uint8:
                self._files[path] = file, file.tell()
        return self._files[path]

    def __enter__(self) -> "RowReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


class Split:
    """One split of the cache; pixels stay on disk until rows are asked for.

    Attributes:
        ids: sample ids by row.
        clips: the clip of each row.
        sizes: (n, 2) int64, native (width, height) of each row's picture in pixels.
        pixels: pixels of each class over the whole split, at the training size.
    """

    def __init__(self, folder: Path, size: int, facts: Mapping[str, Any]) -> None:
        """``facts``: the split's entry of the manifest."""
        self.folder = folder
        self.size = size
        self.pixels: dict[str, int] = dict(facts["pixels"])
        self._shards: list[Mapping[str, Any]] = list(facts["shards"])
        self._first = np.cumsum([0, *(shard["rows"] for shard in self._shards)])
        self._maps: dict[str, np.ndarray] = {}
        rows = _index_rows(folder / INDEX)
        self.ids = [row["id"] for row in rows]
        self.clips = [row["clip"] for row in rows]
        self.sizes = np.array([(int(row["width"]), int(row["height"])) for row in rows], np.int64).reshape(-1, 2)
        if not len(rows) == self._first[-1] == facts["pictures"]:
            raise MissingInputError(
                f"{folder / INDEX} has {len(rows)} rows, its shards {self._first[-1]} and {MANIFEST} says "
                f"{facts['pictures']}; they are not of one run"
            )

    def __len__(self) -> int:
        return len(self.ids)

    def images_at(self, rows: np.ndarray) -> np.ndarray:
        """The pictures of ``rows`` (integers, any order, repeats allowed): (n, S, S, 3) uint8 RGB.

        Raises:
            IndexError: for a row outside 0..len - 1.
            MissingInputError: when a shard is not there or is not what the manifest says.
        """
        return self._gather("images", (self.size, self.size, 3), rows)

    def masks_at(self, rows: np.ndarray) -> np.ndarray:
        """The masks of ``rows``: (n, S, S) uint8 class ids, 255: not scored. Raises as ``images_at`` does."""
        return self._gather("masks", (self.size, self.size), rows)

    def open_shards(self) -> None:
        """Map every shard, so that one that is missing is named before any work.

        Raises:
            MissingInputError: when a shard is not there or is not what the manifest says.
        """
        for number in range(len(self._shards)):
            self._map("images", number, (self.size, self.size, 3))
            self._map("masks", number, (self.size, self.size))

    def _gather(self, kind: str, shape: tuple[int, ...], rows: np.ndarray) -> np.ndarray:
        rows = np.asarray(rows, np.int64)
        if rows.size and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"got rows {rows.min()} to {rows.max()} of {self.folder}, expected 0 to {len(self) - 1}")
        gathered = np.empty((len(rows), *shape), np.uint8)
        shard_of = np.searchsorted(self._first, rows, side="right") - 1
        for number in np.unique(shard_of):
            here = shard_of == number
            gathered[here] = self._map(kind, int(number), shape)[rows[here] - self._first[number]]
        return gathered

    def _map(self, kind: str, number: int, shape: tuple[int, ...]) -> np.ndarray:
        shard = self._shards[number]
        name = shard[kind]
        if name not in self._maps:
            path = self.folder / name
            try:
                mapped = np.load(path, mmap_mode="r", allow_pickle=False)
            except FileNotFoundError:
                raise MissingInputError(f"{path} is not there") from None
            except ValueError as error:
                raise MissingInputError(f"{path} is not a whole .npy file ({error})") from None
            if mapped.dtype != np.uint8 or mapped.shape != (shard["rows"], *shape):
                raise MissingInputError(
                    f"{path} holds {mapped.shape} {mapped.dtype}, expected {(shard['rows'], *shape)} uint8"
                )
            self._maps[name] = mapped
        return self._maps[name]

    def __getstate__(self) -> dict[str, Any]:
        # Another process maps the files itself; a pickled map would carry the pixels.
        return {**self.__dict__, "_maps": {}}


class Cache:
    """The whole cache, as ``cache.json`` describes it.

    Attributes:
        dataset: name of the description.
        size: side of the square pictures, in pixels.
        fit: ``stretch`` or ``pad``.
        classes: class names by id.
        colours: (r, g, b) by id, 0..255.
        mirror: pairs of ids that change places when a picture is flipped.
        splits: names of the splits that are there, train first.
        manifest: all of ``cache.json``.
    """

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        """Prefer ``Cache.open``."""
        self.folder = folder
        self.manifest = manifest
        self.dataset: str = manifest["dataset"]
        self.size: int = manifest["size"]
        self.fit: str = manifest["fit"]
        self.classes: tuple[str, ...] = tuple(manifest["classes"])
        self.colours: tuple[tuple[int, ...], ...] = tuple(tuple(colour) for colour in manifest["colours"])
        self.mirror: tuple[tuple[int, int], ...] = tuple((a, b) for a, b in manifest["mirror"])
        self.splits: tuple[str, ...] = tuple(split for split in SPLITS if split in manifest["splits"])

    @classmethod
    def open(cls, folder: Path) -> "Cache":
        """Read the manifest of the cache in ``folder``; no pixel is read.

        Raises:
            MissingInputError: when there is no manifest, which is written last: then the cache is not complete.
        """
        try:
            manifest = read_json(folder / MANIFEST)
        except FileNotFoundError:
            raise MissingInputError(f"{folder / MANIFEST} is not there, so the cache is not complete") from None
        return cls(folder, manifest)

    def split(self, name: str) -> Split:
        """One split by its name.

        Raises:
            ValueError: when the cache has no such split.
        """
        if name not in self.splits:
            raise ValueError(
                f"the cache in {self.folder} has no split {name!r}, only {', '.join(self.splits)}; "
                "set split.val above 0, or name clips in split.lists, and run `dvc repro`"
            )
        return Split(self.folder / name, self.size, self.manifest["splits"][name])


def _index_rows(path: Path) -> Sequence[Mapping[str, str]]:
    try:
        return list(read_csv(path))
    except FileNotFoundError:
        raise MissingInputError(f"{path} is not there") from None
