"""Miniatures of datasets: pictures of four quarters in the layout of the real one, and a run through the data stages.

A quarter of a picture is one colour or one class, so that every pixel on the way can be told by hand.
"""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from faceseg.files import read_csv
from faceseg.params import Limit, MergeParams, ResizeParams, SplitLists, SplitParams, Synthetic
from faceseg.sources.catalog import Dataset
from faceseg.sources.download import Patience
from faceseg.sources.fetch import fetch
from faceseg.store.cached import Description, write_cache
from faceseg.store.merged import Merged, write_merged
from faceseg.store.packs import PackReader
from faceseg.store.resized import read_index, write_resized
from faceseg.store.shards import Cache
from faceseg.store.splits import assign

SIZE = 16
DRAWN = Synthetic(train_clips=3, val_clips=1, frames=1, seed=0)
Quarters = tuple[object, object, object, object]  # top left, top right, bottom left, bottom right
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
COLOURS: Quarters = (RED, GREEN, BLUE, WHITE)
EXIF_ORIENTATION = 0x0112


def quarters(values: Quarters, width: int, height: int) -> np.ndarray:
    """(height, width) or (height, width, 3) uint8."""
    tiles = np.array(values, np.uint8).reshape(2, 2, *np.shape(values[0]))
    return tiles[np.arange(height) * 2 // height][:, np.arange(width) * 2 // width]


def file(values: Quarters, width: int, height: int, kind: str, orientation: int = 1) -> bytes:
    """A picture file of four quarters; ``orientation`` is its EXIF tag."""
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    settings = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    if orientation != 1:
        settings["exif"] = exif.tobytes()
    Image.fromarray(quarters(values, width, height)).save(buffer, kind, **settings)
    return buffer.getvalue()


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def unpacked(folder: Path, members: dict[str, bytes]) -> Path:
    for name, content in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@dataclass
class Prepared:
    """What the four data stages made of a source."""

    root: Path
    merged: Merged
    cache: Cache

    def rejected(self) -> dict[str, str]:
        return {row["id"]: row["reason"] for row in read_csv(self.root / "merged/rejected.csv")}

    def unlabelled(self) -> list[str]:
        return [row["id"] for row in read_csv(self.root / "merged/unlabelled.csv")]

    def places(self) -> dict[str, str]:
        """The split of each picture of the cache."""
        return {id_: split for split in self.cache.splits for id_ in self.cache.split(split).ids}

    def native(self, id_: str) -> np.ndarray:
        """The merged mask at native size."""
        [row] = [row for row in self.merged.rows if row.id == id_]
        with PackReader(self.root / "merged", "masks") as packs:
            return np.asarray(Image.open(io.BytesIO(packs.read(row.clip, f"{id_}.png"))))

    def cached_image(self, id_: str) -> np.ndarray:
        split = self.cache.split(self.places()[id_])
        return split.images_at(np.array([list(split.ids).index(id_)]))[0]

    def cached_mask(self, id_: str) -> np.ndarray:
        split = self.cache.split(self.places()[id_])
        return split.masks_at(np.array([list(split.ids).index(id_)]))[0]

    def holds(self, id_: str, names: tuple[str, str, str, str], image: Quarters = COLOURS) -> None:
        """Check every cached pixel of a picture: its mask exactly, its image within what JPEG and shrinking change."""
        ids = tuple(self.cache.classes.index(name) for name in names)
        np.testing.assert_array_equal(self.cached_mask(id_), quarters(ids, SIZE, SIZE))
        inner = np.r_[2:6, 10:14]  # the filter mixes colours along the borders of quarters
        difference = np.abs(self.cached_image(id_).astype(int) - quarters(image, SIZE, SIZE))[inner][:, inner]
        assert difference.max() <= 6


def prepare(
    root: Path, dataset: Dataset, source: str, into: str, by: str = "own", lists: dict[str, list[str]] | None = None
) -> Prepared:
    """Download, merge, resize and cache, each with the library function that its stage calls."""
    fetch(dataset, source, root, root / "raw", DRAWN, 1, Patience(attempts=2, wait_seconds=0))
    raw = root / "raw/dataset.zip"
    merged = write_merged(raw, root / "merged", dataset, MergeParams(into=into, max_rejected=0.9), 1)
    resize = ResizeParams(size=SIZE, fit="stretch", mask_filter="nearest")
    write_resized(raw, root / "merged", root / "resized", resize, 1)
    named = SplitLists(**{"train": [], "val": [], "test": [], **(lists or {})})
    split = SplitParams(by=by, val=0.0, test=0.0 if lists else 0.5, seed=0, lists=named)
    split_of = assign(read_index(root / "resized"), split, Limit(train=None, val=None, test=None))
    merge = dataset.merge(into)
    about = Description(dataset.name, SIZE, "stretch", merge.classes, merge.colours, merge.mirror)
    write_cache(root / "resized", root / "cache", about, split_of, 3, 1)
    return Prepared(root, merged, Cache.open(root / "cache"))
