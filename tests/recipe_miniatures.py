"""Sources in the layout of each recipe's dataset, a dozen pictures of 64 pixels: faces of boxes, on noise."""

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from faceseg.params import Synthetic
from faceseg.sources.archive import write_archive
from faceseg.sources.synthetic import generate

SIDE = 64
PARTS = ("background", "hair", "skin", "l_eye", "r_eye", "nose", "mouth")
# Left, top, right, bottom of each part, the later ones over the earlier ones.
BOXES = ((0, 0, 64, 64), (8, 8, 56, 56), (14, 16, 50, 52), (20, 22, 30, 28), (34, 22, 44, 28), (28, 28, 36, 38),
         (24, 42, 40, 47))  # fmt: skip
PAINT = np.array([[40, 60, 90], [60, 40, 20], [200, 160, 130], [240, 240, 240], [230, 250, 240], [170, 120, 90],
                  [180, 60, 70]])  # fmt: skip
FASSEG = ((255, 0, 0), (127, 0, 0), (255, 255, 0), (0, 0, 255), (0, 0, 255), (0, 255, 255), (0, 255, 0))
LFW = ((0, 0, 255), (255, 0, 0), *[(0, 255, 0)] * 5)


def faces() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pictures (64, 64, 3) uint8 and the part of every pixel (64, 64), without end."""
    rng = np.random.default_rng(0)
    while True:
        parts = np.zeros((SIDE, SIDE), np.int64)
        dx, dy = rng.integers(-4, 5, 2)
        for part, (left, top, right, bottom) in enumerate(BOXES):
            if part:
                parts[top + dy : bottom + dy, left + dx : right + dx] = part
        picture = PAINT[parts] + rng.normal(0, 15, (SIDE, SIDE, 3))
        yield np.clip(picture, 0, 255).astype(np.uint8), parts


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(content, kind)
    return content.getvalue()


def coloured(parts: np.ndarray, colours: tuple[tuple[int, int, int], ...]) -> np.ndarray:
    return np.array(colours, np.uint8)[parts]


def fasseg_frontal() -> Iterator[tuple[str, bytes]]:
    drawn = faces()
    for split, count in (("Train", 10), ("Test", 3)):
        for number in range(1, count + 1):
            picture, parts = next(drawn)
            yield f"FASSEG-repository-1/V2/{split}_RGB/{number}.bmp", encoded(picture, "BMP")
            yield f"FASSEG-repository-1/V2/{split}_Labels/{number}.bmp", encoded(coloured(parts, FASSEG), "BMP")


def fasseg_multipose() -> Iterator[tuple[str, bytes]]:
    """Five persons to train on and one to test with, who has one picture without a label."""
    drawn = faces()
    for person, split in [*((person, "Train") for person in range(1, 6)), (8, "Test")]:
        for number, pan in enumerate(("-15", "0", "+15")):
            picture, parts = next(drawn)
            name = f"{pan}/personne{person:02d}1{number:02d}+0{'+0' if pan == '0' else pan}.bmp"
            yield f"FASSEG-repository-1/V3/{split}_RGB/{name}", encoded(picture, "BMP")
            if (split, pan) != ("Test", "+15"):
                yield f"FASSEG-repository-1/V3/{split}_labels/{name}", encoded(coloured(parts, FASSEG), "BMP")


def lfw_parts() -> Iterator[tuple[str, bytes]]:
    drawn = faces()
    for split, people in (("train", 10), ("validation", 3), ("test", 3)):
        names = [f"Ann_{split}{number}" for number in range(people)]
        yield f"parts_{split}.txt", "".join(f"{name} 1\n" for name in names).encode()
        for name in names:
            picture, parts = next(drawn)
            yield f"lfw_funneled/{name}/{name}_0001.jpg", encoded(picture, "JPEG")
            yield f"parts_lfw_funneled_gt_images/{name}_0001.ppm", encoded(coloured(parts, LFW), "PPM")
    yield "lfw_funneled/Eve/Eve_0001.jpg", encoded(next(drawn)[0], "JPEG")  # most have no label


def celebamask_hq() -> Iterator[tuple[str, bytes]]:
    """A file for each part, at half the picture's size; lips above one another where the boxes have a mouth."""
    drawn = faces()
    for number in range(20):
        picture, parts = next(drawn)
        yield f"CelebAMask-HQ/CelebA-HQ-img/{number}.jpg", encoded(picture, "JPEG")
        small = parts[::2, ::2]
        rows = np.arange(SIDE // 2)[:, None]
        middle = np.mean(np.nonzero(small == PARTS.index("mouth"))[0])
        shown = {name: small == PARTS.index(name) for name in ("hair", "l_eye", "r_eye", "nose")}
        shown["skin"] = small >= PARTS.index("skin")
        shown["u_lip"] = (small == PARTS.index("mouth")) & (rows <= middle)
        shown["l_lip"] = (small == PARTS.index("mouth")) & (rows > middle)
        for name, there in shown.items():
            mask = np.repeat(255 * there[..., None], 3, axis=2)
            yield f"CelebAMask-HQ/CelebAMask-HQ-mask-anno/0/{number:05d}_{name}.png", encoded(mask, "PNG")


LAYOUTS: dict[str, Callable[[], Iterator[tuple[str, bytes]]]] = {
    "fasseg-frontal": fasseg_frontal,
    "fasseg-multipose": fasseg_multipose,
    "lfw-parts": lfw_parts,
    "celebamask-hq": celebamask_hq,
}


def write(dataset: str, path: Path) -> None:
    """A zip with a miniature of the dataset, in its own layout."""
    if dataset == "multiclass-face":  # the layout in which the project's own generator draws
        with path.open("wb") as file:
            write_archive(file, generate(Synthetic(train_clips=10, val_clips=3, frames=2, seed=5), 1))
        return
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in LAYOUTS[dataset]():
            archive.writestr(name, content)
