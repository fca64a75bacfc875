"""A trained model at work on pictures of any size, from the files of its folder alone: what serving needs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from faceseg.evaluation.native import native_labels
from faceseg.evaluation.predict import read_description, read_model
from faceseg.evaluation.views import UNSCALED, Views, with_views
from faceseg.images.codec import check_image, decode_image
from faceseg.images.geometry import Fit, content_box, resize_image

# A JPEG is decoded at no less than this many times its size in the square, in halves: as the resize stage does.
_SPARE = 3


class FaceParser:
    """Labels pictures as the evaluation does: resized as for training, decided on each picture's own grid.

    Attributes:
        classes: names by id.
        colours: (r, g, b) by id, 0..255.
    """

    def __init__(self, model: Any, size: int, fit: Fit, classes: Sequence[str], colours: Sequence) -> None:
        """Prefer ``FaceParser.open``."""
        self._model = model
        self._size = size
        self._fit = fit
        self.classes = tuple(classes)
        self.colours = tuple(tuple(int(level) for level in colour) for colour in colours)

    @classmethod
    def open(cls, folder: Path, flip: bool, scales: Sequence[float] = UNSCALED) -> "FaceParser":
        """The model of a folder that the train stage wrote; ``flip`` and ``scales`` as in ``evaluate``.

        Without scales, as registered versions of before there were any call it.

        Raises:
            MissingInputError: a file is not there, or the weights are not those of the description.
        """
        about = read_description(folder)
        model = with_views(read_model(folder), about["mirror"], Views(flip, tuple(scales)))
        return cls(model, about["size"], about["fit"], about["classes"], about["colours"])

    def labels(self, content: bytes) -> np.ndarray:
        """The class of every pixel of a picture, (height, width) uint8, upright.

        Args:
            content: the bytes of a JPEG, PNG, BMP, PPM or WebP file.

        Raises:
            BrokenImageError, OversizedImageError: as ``images.codec``.
        """
        width, height = check_image(content)
        left, top, right, bottom = content_box(width, height, self._size, self._fit)
        picture = decode_image(content, at_least=_SPARE * min(right - left, bottom - top) // 2)
        square = resize_image(picture, self._size, self._fit, (width, height))
        logits = np.asarray(self._model(square[None].astype(np.float32), training=False))[0]
        return native_labels(logits[top:bottom, left:right], width, height)
