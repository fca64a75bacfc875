"""The same work the way the pipelines before this one did it: one process, full decode, np.where, a file a picture.

Kept for comparison alone. It writes what they wrote: merged masks, resized pictures and masks as PNG files, and one
.npy file for each picture and each mask.
"""

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

# 18 to 8, one np.where for each source class, as their loops did.
TARGETS = (0, 1, 2, 2, 3, 3, 4, 5, 5, 5, 0, 1, 1, 6, 6, 0, 7, 0)


def merge(archive: Path, out: Path) -> int:
    """Merge every mask; how many there were."""
    out.mkdir(parents=True)
    with zipfile.ZipFile(archive) as members:
        names = [name for name in members.namelist() if "/seg/" in name]
        for name in names:
            mask = np.asarray(Image.open(io.BytesIO(members.read(name))))
            merged = np.zeros_like(mask)
            for source, target in enumerate(TARGETS):
                merged = np.where(mask == source, target, merged).astype(np.uint8)
            Image.fromarray(merged).save(out / Path(name).name)
    return len(names)


def resize(archive: Path, merged: Path, out: Path, size: int) -> int:
    """Resize every picture and its mask; how many there were."""
    (out / "image").mkdir(parents=True)
    (out / "seg").mkdir()
    with zipfile.ZipFile(archive) as members:
        names = [name for name in members.namelist() if "/image/" in name]
        for name in names:
            stem = Path(name).stem
            picture = Image.open(io.BytesIO(members.read(name))).convert("RGB")
            picture.resize((size, size), Image.Resampling.BILINEAR).save(out / "image" / f"{stem}.png")
            mask = Image.open(merged / f"{stem}.png")
            mask.resize((size, size), Image.Resampling.NEAREST).save(out / "seg" / f"{stem}.png")
    return len(names)


def cache(resized: Path, out: Path) -> int:
    """Save every picture and every mask as an array; how many there were."""
    (out / "image").mkdir(parents=True)
    (out / "seg").mkdir()
    paths = sorted((resized / "image").iterdir())
    for path in paths:
        np.save(out / "image" / f"{path.stem}.npy", np.asarray(Image.open(path)))
        np.save(out / "seg" / f"{path.stem}.npy", np.asarray(Image.open(resized / "seg" / path.name)))
    return len(paths)
