"""The cache that training reads: memory-mapped npy shards of pictures and masks, and the manifest that names them.

Plain .npy because every tool reads it and batches gathered from it by a permuted index are shuffled over the whole
split at several thousand pictures a second.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from faceseg.files import read_csv, read_json
from faceseg.store.packs import MissingInputError
from faceseg.store.splits import SPLITS

MANIFEST = "cache.json"
INDEX = "index.csv"


def shard_names(number: int) -> tuple[str, str]:
    """File names of the pictures and the masks of a shard."""
    return f"images-{number:05d}.npy", f"masks-{number:05d}.npy"


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
