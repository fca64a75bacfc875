"""A test split as the stages leave it, made by their own writers."""

import hashlib
import io
import zipfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from faceseg.evaluation.originals import Originals
from faceseg.files import write_csv
from faceseg.images.codec import encode_mask
from faceseg.images.geometry import Fit
from faceseg.params import ResizeParams
from faceseg.store.cached import Description, write_cache, write_metrics
from faceseg.store.packs import PackWriter, pack_of
from faceseg.store.resized import write_resized
from faceseg.store.shards import Cache

SIZE = 16
CLASSES = ("red", "green", "blue", "never")
COLOURS = ((200, 0, 0), (0, 200, 0), (0, 0, 200), (90, 90, 90))
SIZES = ((40, 30), (30, 47), (24, 24), (61, 20), (33, 50))


@dataclass
class Staged:
    """Folders of the stages, and what was put there: pictures (h, w, 3) and masks (h, w) by id."""

    root: Path
    images: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]

    def cache(self) -> Cache:
        return Cache.open(self.root / "cache")

    def originals(self) -> Originals:
        return Originals(self.root / "raw" / "dataset.zip", self.root / "merged")


def _picture(number: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Slanted areas of the first three colours; the mask says otherwise in one corner, and 255 in another."""
    y, x = np.mgrid[:height, :width]
    labels = ((3 * x / width + 0.7 * y / height + number / 7) % 3).astype(np.uint8)
    image = np.array(COLOURS, np.uint8)[labels]
    mask = labels.copy()
    mask[:9, :8] = 2
    mask[-5:, -7:] = 255
    return image, mask


def _write_sources(root: Path, scale: int, kind: str) -> Staged:
    (root / "raw").mkdir(parents=True)
    staged = Staged(root, {}, {})
    rows, packs = [], defaultdict(list)
    with zipfile.ZipFile(root / "raw" / "dataset.zip", "w") as archive:
        for number, (width, height) in enumerate(SIZES):
            clip = f"clip{number // 2}"
            sample = f"{clip}_{number}"
            width, height = width * scale, height * scale
            image, mask = _picture(number, width, height)
            staged.images[sample], staged.masks[sample] = image, mask
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, kind)
            archive.writestr(f"all/{sample}.png", buffer.getvalue())
            palette = np.zeros((256, 3), np.uint8)
            palette[: len(COLOURS)] = COLOURS
            encoded = encode_mask(mask, palette.tobytes())
            packs[pack_of(clip)].append((f"{sample}.png", encoded))
            digests = (hashlib.sha256(content).hexdigest() for content in (buffer.getvalue(), encoded))
            rows.append((sample, clip, "test", f"all/{sample}.png", width, height, *digests, 0, 0, 0, 0, 0))
    for number, members in packs.items():
        with PackWriter(root / "merged", "masks", number) as pack:
            for member, content in members:
                pack.add(member, content)
    header = ("id", "clip", "split", "image", "width", "height", "image_sha256", "mask_sha256", *CLASSES, "ignored")
    write_csv(root / "merged" / "index.csv", header, rows)
    return staged


def stage(root: Path, fit: Fit, scale: int = 1, kind: str = "PNG") -> Staged:
    """The data stages' outputs under ``root``, with every picture in the test split.

    ``scale``: how many times larger than ``SIZES`` the pictures are; ``kind``: their format, whatever they are called.
    """
    staged = _write_sources(root, scale, kind)
    params = ResizeParams(size=SIZE, fit=fit, mask_filter="nearest")
    write_resized(root / "raw" / "dataset.zip", root / "merged", root / "resized", params, workers=1)
    about = Description("tiny", SIZE, fit, CLASSES, COLOURS, ())
    split_of = {f"clip{number}": "test" for number in range(3)}
    written = write_cache(root / "resized", root / "cache", about, split_of, shard_size=2, workers=1)
    write_metrics(written, root / "metrics" / "splits.json", root / "metrics" / "plots" / "classes.csv")
    return staged
