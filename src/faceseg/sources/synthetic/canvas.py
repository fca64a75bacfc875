"""The picture and its label, painted together: every outline that has a label goes to both from the same points.

The picture is painted at a working size with antialiased edges and enlarged or reduced at the end; the label is drawn
at the display size without antialiasing, in painting order, so that it never holds an id that nobody painted.
"""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from faceseg.sources.synthetic.colours import Colour
from faceseg.sources.synthetic.curves import Points, ribbon

WORK_SIDE = 800
Box = tuple[int, int, int, int]


def work_size(width: int, height: int) -> tuple[int, int]:
    """The working picture's size for a display size: WORK_SIDE on the long side."""
    scale = WORK_SIDE / max(width, height)
    return round(width * scale), round(height * scale)


class Canvas:
    """A picture RGB at the working size and a label L at the display size; points are in working pixels."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = work_size(width, height)
        self.picture = Image.new("RGB", (self.width, self.height))
        self.labels = Image.new("L", (width, height), 0)
        self._pen = ImageDraw.Draw(self.labels)
        self._stretch = np.array([width / self.width, height / self.height])

    def mark(self, outline: Points, label: int) -> None:
        """Fill the outline in the label alone."""
        # Pillow takes whole numbers as the middles of pixels; our coordinates begin at a pixel's edge.
        points = outline * self._stretch - 0.5
        self._pen.polygon(points.reshape(-1).tolist(), fill=label)

    def cover(
        self, outlines: Sequence[Points], soft: float = 0.0, opacity: float = 1.0
    ) -> tuple[Image.Image, Box] | None:
        """How much of each pixel the outlines cover: (L picture, its box on the canvas), or None when all outside.

        soft: blur of the edge in pixels. opacity: the largest cover, 0..1.
        """
        margin = 2 + 2.5 * soft
        low = np.min([outline.min(axis=0) for outline in outlines], axis=0) - margin
        high = np.max([outline.max(axis=0) for outline in outlines], axis=0) + margin
        box = (max(0, int(low[0])), max(0, int(low[1])), min(self.width, int(high[0])), min(self.height, int(high[1])))
        width, height = box[2] - box[0], box[3] - box[1]
        if width <= 0 or height <= 0:
            return None
        full = round(255 * opacity)
        if soft >= 3:
            return _soft_cover(outlines, box, soft, full), box
        fine = 4 if width * height < 40_000 else 2
        mask = _filled(outlines, box, (width * fine, height * fine), full).reduce(fine)
        return (mask.filter(ImageFilter.GaussianBlur(soft)) if soft > 0 else mask), box

    def paint(
        self,
        outlines: Points | Sequence[Points],
        colour: Colour | Image.Image,
        label: int | None = None,
        soft: float = 0.0,
        opacity: float = 1.0,
    ) -> None:
        """Fill outlines with a colour, or with a picture of the working size; ``label``, when given, goes below too."""
        parts = [outlines] if isinstance(outlines, np.ndarray) else list(outlines)
        if label is not None:
            for outline in parts:
                self.mark(outline, label)
        covered = self.cover(parts, soft, opacity)
        if covered is None:
            return
        mask, box = covered
        self.picture.paste(colour.crop(box) if isinstance(colour, Image.Image) else colour, box, mask)

    def stroke(
        self, line: Points, width: float | np.ndarray, colour: Colour, soft: float = 0.0, opacity: float = 1.0
    ) -> None:
        """A line of a width in working pixels (one number, or one for each point), in the picture alone."""
        self.paint(ribbon(line, width), colour, soft=soft, opacity=opacity)

    def relight(self, outlines: Sequence[Points], light: Callable[[np.ndarray, Box], np.ndarray]) -> None:
        """Replace what lies inside the outlines by ``light`` of its values float32 (h, w, 3) and their box."""
        covered = self.cover(outlines)
        if covered is None:
            return
        mask, box = covered
        values = light(np.asarray(self.picture.crop(box), dtype=np.float32), box)
        self.picture.paste(Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)), box, mask)

    def keep_outside(self, outlines: Sequence[Points], before: Image.Image) -> None:
        """Bring back what ``before``, an earlier copy of the picture, had outside the outlines."""
        covered = self.cover(outlines)
        if covered is None:
            return
        mask, box = covered
        whole = Image.new("L", before.size, 0)
        whole.paste(mask, box)
        self.picture = Image.composite(self.picture, before, whole)


def _filled(outlines: Sequence[Points], box: Box, size: tuple[int, int], full: int) -> Image.Image:
    """The outlines filled with ``full`` on an L picture of a size that stands for the box."""
    mask = Image.new("L", size, 0)
    pen = ImageDraw.Draw(mask)
    stretch = np.array([size[0] / (box[2] - box[0]), size[1] / (box[3] - box[1])])
    for outline in outlines:
        pen.polygon(((outline - np.array(box[:2])) * stretch - 0.5).reshape(-1).tolist(), fill=full)
    return mask


def _soft_cover(outlines: Sequence[Points], box: Box, soft: float, full: int) -> Image.Image:
    """A wide blur, made small and enlarged: what it hides needs no fine pixels, and it costs a tenth."""
    width, height = box[2] - box[0], box[3] - box[1]
    coarse = max(1.0, soft / 1.5)
    small = (max(2, round(width / coarse)), max(2, round(height / coarse)))
    mask = _filled(outlines, box, small, full).filter(ImageFilter.GaussianBlur(soft / coarse))
    return mask.resize((width, height), Image.Resampling.BILINEAR)
