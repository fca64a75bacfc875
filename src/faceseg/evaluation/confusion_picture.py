"""The confusion matrix as a picture: of each actual class, which share was predicted as which."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CELL = 64  # pixels
GAP = 12
TEXT = 15
PAPER, INK = (255, 255, 255), (20, 20, 20)
FULL = (18, 84, 136)  # the colour of a share of 1; 0 is the paper's


def draw_confusion(matrix: np.ndarray, classes: Sequence[str]) -> Image.Image:
    """A square cell for each pair, with the share in percent.

    Args:
        matrix: (K, K), pixels, actual by predicted. A class that is not in the truth has an empty row.
        classes: K names.
    """
    font = ImageFont.load_default(TEXT)
    margin = GAP + max(int(font.getlength(name)) for name in classes) + GAP
    top = 2 * GAP + TEXT + margin
    side = len(classes) * CELL
    picture = Image.new("RGB", (margin + side + GAP, top + side + GAP), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((GAP, GAP), "actual class by row, predicted by column, % of the row", INK, font)
    for number, name in enumerate(classes):
        middle = number * CELL + CELL // 2
        draw.text((margin - GAP, top + middle), name, INK, font, anchor="rm")
        picture.paste(_upright(name, font, margin), (margin + middle - TEXT, top - margin))
    totals = matrix.sum(axis=1)
    for row, column in np.ndindex(matrix.shape):
        x, y = margin + column * CELL, top + row * CELL
        share = matrix[row, column] / totals[row] if totals[row] else 0.0
        draw.rectangle((x, y, x + CELL, y + CELL), _shade(share), (200, 200, 200))
        if totals[row]:
            draw.text((x + CELL // 2, y + CELL // 2), f"{100 * share:.1f}", INK if share < 0.5 else PAPER, font, "mm")
    return picture


def _upright(name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, length: int) -> Image.Image:
    """A name that reads from the bottom up, ``length`` pixels high."""
    strip = Image.new("RGB", (length, 2 * TEXT), PAPER)
    ImageDraw.Draw(strip).text((GAP, TEXT), name, INK, font, anchor="lm")
    return strip.transpose(Image.Transpose.ROTATE_90)


def _shade(share: float) -> tuple[int, ...]:
    return tuple(round(paper + share * (full - paper)) for paper, full in zip(PAPER, FULL, strict=True))
