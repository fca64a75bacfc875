"""Pictures and masks to the square training size, and where the picture lies in the square, for the way back.

Masks are resampled with integers alone, so that the pixels are the same on every machine, and a mask never holds a
class that its source does not hold. ``stretch`` fills the square; ``pad`` keeps the aspect and centres the picture in
a border that is 255 (not scored) in the mask.
"""

from typing import Literal

import numpy as np
from PIL import Image

from faceseg.labels.classes import IGNORED

Fit = Literal["stretch", "pad"]
MaskFilter = Literal["nearest", "majority"]

BORDER_GREY = 127  # near the mean of photographs, so that the border is close to nothing once normalised

# Pillow shrinks by whole-number averages down to twice the target before the filter: twice as fast at one megapixel,
# and what a scaled JPEG decode does as well.
_REDUCING_GAP = 2.0


def content_box(width: int, height: int, size: int, fit: Fit) -> tuple[int, int, int, int]:
    """Which part of the square holds the picture.

    Logits cropped to the box and enlarged to (height, width) lie on the picture's own grid again.

    Args:
        width, height: of the picture, in pixels, upright.
        size: side of the square, in pixels.
        fit: ``stretch`` or ``pad``.

    Returns:
        (left, top, right, bottom) in pixels of the square, right and bottom exclusive; never empty. The whole square
        for ``stretch``; for ``pad`` the longer side fills it, the shorter is rounded to the nearest pixel and is
        at least 1.

    Raises:
        ValueError: for a side below 1 pixel, or an unknown fit.
    """
    if min(width, height, size) < 1:
        raise ValueError(f"got a picture of {width} x {height} for a square of {size}; every side must be at least 1")
    if fit == "stretch":
        return 0, 0, size, size
    if fit != "pad":
        raise ValueError(f"got fit {fit!r}, expected 'stretch' or 'pad'")
    longer = max(width, height)
    inner_width = max(1, (2 * width * size + longer) // (2 * longer))
    inner_height = max(1, (2 * height * size + longer) // (2 * longer))
    left, top = (size - inner_width) // 2, (size - inner_height) // 2
    return left, top, left + inner_width, top + inner_height


def resize_image(
    image: np.ndarray | Image.Image, size: int, fit: Fit, native: tuple[int, int] | None = None
) -> np.ndarray:
    """The picture at the training size, antialiased: a triangle filter as wide as the shrinkage.

    Args:
        image: (h, w, 3) uint8 RGB, or a Pillow image of mode RGB; it may already be shrunk by its decoder.
        size: side of the square, in pixels.
        fit: ``stretch`` or ``pad``; the border is ``BORDER_GREY``.
        native: (width, height) of the picture before its decoder shrank it, so that its box is the mask's; None: as is.

    Returns:
        (size, size, 3) uint8 RGB.

    Raises:
        ValueError: for another shape, type or mode.
    """
    picture = image if isinstance(image, Image.Image) else _from_array(image)
    if picture.mode != "RGB":
        raise ValueError(f"got a picture of mode {picture.mode}, expected RGB; decode it with images.codec")
    left, top, right, bottom = content_box(*(native or picture.size), size, fit)
    inner = picture.resize((right - left, bottom - top), Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP)
    if inner.size == (size, size):
        return np.asarray(inner)
    square = np.full((size, size, 3), BORDER_GREY, np.uint8)
    square[top:bottom, left:right] = np.asarray(inner)
    return square


def resize_mask(mask: np.ndarray, size: int, fit: Fit, mask_filter: MaskFilter) -> np.ndarray:
    """The mask at the training size; every class in it, 255 included, is one that the source holds.

    Args:
        mask: (h, w) uint8, class ids, 255: not scored.
        size: side of the square, in pixels.
        fit: ``stretch`` or ``pad``; the border is 255.
        mask_filter: ``nearest``: the class at the centre of the new pixel (a centre between two pixels belongs to the
            later one), which equals Pillow's NEAREST. ``majority``: the class with the largest share of the new
            pixel's area, 255 counted as a class of its own, the lowest id of equal ones.

    Returns:
        (size, size) uint8.

    Raises:
        ValueError: for another shape or type, or an unknown filter.
    """
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise ValueError(f"got a mask of shape {mask.shape} and type {mask.dtype}, expected (h, w) uint8")
    height, width = mask.shape
    left, top, right, bottom = content_box(width, height, size, fit)
    if mask_filter == "nearest":
        inner = _nearest(mask, bottom - top, right - left)
    elif mask_filter == "majority":
        inner = _majority(mask, bottom - top, right - left)
    else:
        raise ValueError(f"got mask_filter {mask_filter!r}, expected 'nearest' or 'majority'")
    if inner.shape == (size, size):
        return inner
    square = np.full((size, size), IGNORED, np.uint8)
    square[top:bottom, left:right] = inner
    return square


def _from_array(image: np.ndarray) -> Image.Image:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"got a picture of shape {image.shape} and type {image.dtype}, expected (h, w, 3) uint8")
    return Image.fromarray(image)


def _centres(source: int, target: int) -> np.ndarray:
    """For each of ``target`` pixels the pixel of ``source`` under its centre: floor((i + 1/2) * source / target)."""
    return (2 * np.arange(target) + 1) * source // (2 * target)


def _nearest(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    rows = _centres(mask.shape[0], height)
    columns = _centres(mask.shape[1], width)
    return mask[rows].take(columns, axis=1)


def _majority(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Area vote, exact: areas are integers in units of 1 / (height * width) of a source pixel."""
    counts = np.array(Image.fromarray(mask).histogram())
    classes = np.flatnonzero(counts)
    commonest = int(np.argmax(counts))
    areas = {int(c): _areas(mask == c, height, width) for c in classes if c != commonest}
    # The areas of a pixel add up to the whole, so the commonest class, the dearest to sum, comes from the others.
    rest = np.full((height, width), mask.size, np.int64)
    for area in areas.values():
        rest -= area
    areas[commonest] = rest

    winner = np.full((height, width), classes[0], np.uint8)
    most = areas[int(classes[0])]
    for c in classes[1:]:
        more = areas[int(c)] > most
        winner[more] = c
        most = np.where(more, areas[int(c)], most)
    return winner


def _areas(inside: np.ndarray, height: int, width: int) -> np.ndarray:
    """How much of every target pixel lies inside; (height, width) int64, the whole pixel counts h * w of the source.

    Only the box around what is inside is summed: an eye costs next to nothing.
    """
    box = Image.fromarray(inside.view(np.uint8)).getbbox()
    assert box is not None, "a class without a pixel is not summed"
    left, top, right, bottom = box
    by_row = _sum_windows(inside[top:bottom, left:right], inside.shape[0], height, top)
    return _sum_windows(by_row.T, inside.shape[1], width, left).T


def _sum_windows(values: np.ndarray, source: int, target: int, offset: int) -> np.ndarray:
    """Sums of ``values`` over the windows of ``target`` equal parts of ``source`` pixels, along axis 0.

    A source pixel measures ``target`` units and a window ``source`` units, so every border is an integer:
    the running sum at border b is target * sums[b // target] + (b mod target) * values[b // target].

    Args:
        values: (n, m), bool or integers >= 0: pixels ``offset`` to ``offset`` + n of the axis; elsewhere it is 0.

    Returns:
        (target, m), int32 for bool (the sums stay below the product of two sides), int64 for integers.
    """
    count = len(values)
    borders = np.clip(np.arange(target + 1) * source - offset * target, 0, count * target)
    whole, part = borders // target, borders % target
    kind = np.int32 if values.dtype == bool else np.int64
    sums = np.zeros((count + 1, values.shape[1]), kind)
    np.cumsum(values, axis=0, dtype=kind, out=sums[1:])
    at_border = target * sums[whole] + part[:, None].astype(kind) * values[np.minimum(whole, count - 1)]
    return np.diff(at_border, axis=0)
