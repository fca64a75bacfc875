"""Draws docs/images/synthetic-faces.jpg: pictures of the embedded dataset, each beside its label in colours.

Run it from the root of the repository after a change to the generator: ``.venv/bin/python docs/make_contact_sheet.py``
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from faceseg.params import Synthetic, read_params
from faceseg.sources.synthetic import generate

SHEET = Path("docs/images/synthetic-faces.jpg")
COLUMNS, ROWS, CELL = 5, 5, 170
COLOURS = np.array(
    [
        (24, 24, 28), (236, 190, 160), (120, 70, 40), (160, 100, 60), (70, 130, 230), (60, 200, 240), (240, 110, 90),
        (200, 40, 90), (90, 10, 40), (230, 80, 140), (96, 62, 36), (170, 170, 220), (200, 200, 240), (250, 190, 60),
        (230, 150, 30), (120, 70, 150), (60, 220, 120), (180, 140, 130),
    ],
    dtype=np.uint8,
)  # fmt: skip


def main() -> None:
    """Takes the first frame of each of the default seed's first clips."""
    seed = read_params().dataset.synthetic.seed
    members = list(generate(Synthetic(train_clips=COLUMNS * ROWS - 1, val_clips=1, frames=1, seed=seed), None))
    sheet = Image.new("RGB", (COLUMNS * CELL * 2, ROWS * CELL), (24, 24, 28))
    for number, ((_, jpeg), (_, png)) in enumerate(zip(members[::2], members[1::2], strict=True)):
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(jpeg)))
        label = Image.fromarray(COLOURS[np.asarray(Image.open(io.BytesIO(png)))])
        x, y = number % COLUMNS * 2 * CELL, number // COLUMNS * CELL
        for place, (picture, filter_) in enumerate(
            ((image, Image.Resampling.LANCZOS), (label, Image.Resampling.NEAREST))
        ):
            fitted = ImageOps.contain(picture, (CELL - 4, CELL - 4), filter_)
            left = x + CELL - fitted.width + 2 if place == 0 else x + CELL + 2
            sheet.paste(fitted, (left, y + (CELL - fitted.height) // 2))
    sheet.save(SHEET, "JPEG", quality=82)
    print(f"{SHEET}: {len(members) // 2} pictures, {SHEET.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
