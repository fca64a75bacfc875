"""A picture beside the picture: painted freely, then seen through one outline."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

from faceseg.sources.synthetic.canvas import Canvas
from faceseg.sources.synthetic.colours import Colour
from faceseg.sources.synthetic.curves import Points, ribbon


class Layer:
    """Paints on a copy of the canvas's picture; nothing here reaches the label."""

    def __init__(self, canvas: Canvas, picture: Image.Image) -> None:
        self.canvas, self.picture = canvas, picture

    def fill(self, outline: Points, colour: Colour, opacity: float = 1.0, soft: float = 0.0) -> None:
        covered = self.canvas.cover([outline], soft, opacity)
        if covered is not None:
            mask, box = covered
            self.picture.paste(colour, box, mask)

    def stroke(
        self, line: Points, width: float | np.ndarray, colour: Colour, opacity: float = 1.0, soft: float = 0.0
    ) -> None:
        self.fill(ribbon(line, width), colour, opacity, soft)


@contextmanager
def through(canvas: Canvas, outlines: list[Points], soft: float = 0.0, opacity: float = 1.0) -> Iterator[Layer | None]:
    """A layer whose paint shows inside the outlines only; None when they lie outside the picture."""
    covered = canvas.cover(outlines, soft, opacity)
    if covered is None:
        yield None
        return
    mask, box = covered
    layer = Layer(canvas, canvas.picture.copy())
    yield layer
    canvas.picture.paste(layer.picture.crop(box), box, mask)
