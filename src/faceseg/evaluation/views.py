"""A network that looks at a picture several times, mirrored and at several scales, and gives the mean of its logits.

A view is a linear map of the picture's rows and one of its columns, and so is the way back: small matrix products, as
between the networks' own levels, and one traced copy of the network however many views there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from faceseg.models.blocks import resample

UNSCALED = (1.0,)


@dataclass(frozen=True)
class Views:
    """Which views: ``evaluate.flip`` and ``evaluate.scales``.

    Attributes:
        flip: each scale mirrored too.
        scales: above 0; at least one of them at most 1, or no view would see the picture's edge.

    Raises:
        ValueError: the scales are not as that.
    """

    flip: bool = False
    scales: tuple[float, ...] = UNSCALED

    def __post_init__(self) -> None:
        if not self.scales or not 0 < min(self.scales) <= 1:
            raise ValueError(f"scales are {list(self.scales)}: expected some above 0, one at least not above 1")

    @property
    def plain(self) -> bool:
        """Whether the picture as it is is all that is looked at."""
        return not self.flip and self.scales == UNSCALED


def with_views(model: keras.Model, mirror: Sequence[tuple[int, int]], views: Views) -> Any:
    """The model itself, or one of its logits' mean over the views: float32 (B, S, S, 3) to (B, S, S, K).

    A picture is enlarged or shrunk about its centre, reflected where it ends before its frame does, and seen by the
    network at the network's own size; the logits are brought back the same way. What an enlarged picture no longer
    shows counts in the other views alone. Mirrored, a left eye is a right eye: the channels of mirror partners change
    places. The mean of logits is, but for a factor common to all classes, the geometric mean of the probabilities.

    Args:
        model: (B, S, S, 3) float32 to logits (B, S, S, K).
        mirror: pairs of classes that change places in a mirrored picture.
        views: which.
    """
    return model if views.plain else _MeanOfViews(model, mirror, views)


class _MeanOfViews(keras.layers.Layer):
    """View after view, each when the one before is done: memory is that of one."""

    def __init__(self, model: keras.Model, mirror: Sequence[tuple[int, int]], views: Views) -> None:
        super().__init__(name=model.name, dtype="float32")
        height, width, _ = model.input_shape[1:]
        classes = model.output_shape[-1]
        each = [_view(height, width, scale, None, classes) for scale in views.scales]
        if views.flip:
            each += [_view(height, width, scale, mirror, classes) for scale in views.scales]
        self._network = model
        # Not among the constants of a graph, which may hold 2 GiB of them.
        self._views = tuple(tf.constant(np.stack(values)) for values in zip(*each, strict=True))

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """The mean of the views' logits, of each pixel over the views that show it."""

        def add(total: tf.Tensor, view: tuple[tf.Tensor, ...]) -> tf.Tensor:
            rows, columns, back_rows, back_columns, partners, shown = view
            logits = self._network(resample(images, rows, columns), training=False)
            back = resample(tf.gather(logits, partners, axis=-1), back_rows, back_columns)
            return total + shown[..., None] * back

        *_, partners, shown = self._views
        _, height, width, _ = images.shape
        start = tf.zeros((tf.shape(images)[0], height, width, partners.shape[-1]))
        total = tf.foldl(add, self._views, start, parallel_iterations=1)
        return total / tf.reduce_sum(shown, axis=0)[..., None]


def _view(
    height: int, width: int, scale: float, mirror: Sequence[tuple[int, int]] | None, classes: int
) -> tuple[np.ndarray, ...]:
    """A view's maps of rows and columns, there and back, the classes' places, and the pixels shown (H, W).

    ``mirror``: the partners that change places in the mirror image; None: not mirrored.
    """
    partners = np.arange(classes, dtype=np.int32)
    turn = slice(None)
    if mirror is not None:
        turn = slice(None, None, -1)  # zooming and mirroring about one centre may change places
        for one, other in mirror:
            partners[one], partners[other] = other, one
    there = zoom_matrix(height, scale), zoom_matrix(width, scale)[turn]
    back = zoom_matrix(height, 1 / scale), zoom_matrix(width, 1 / scale)[turn]
    shown = np.outer(seen(height, scale), seen(width, scale))
    maps = [np.asarray(values, np.float32) for values in (*there, *back)]
    return *maps, partners, shown.astype(np.float32)


def zoom_matrix(side: int, factor: float) -> NDArray[np.float64]:
    """Weights (side, side) that enlarge one axis about its centre by ``factor``, linearly, reflected past its ends."""
    position = _position(side, factor)
    lower = np.floor(position).astype(np.int64)
    weights = np.zeros((side, side))
    rows = np.arange(side)
    np.add.at(weights, (rows, _reflected(lower, side)), 1 - (position - lower))
    np.add.at(weights, (rows, _reflected(lower + 1, side)), position - lower)
    return weights


def seen(side: int, factor: float) -> NDArray[np.float64]:
    """1 for each pixel of an axis that it still shows when it is enlarged by ``factor``, 0 for the others: (side,)."""
    position = _position(side, 1 / factor)
    return ((position >= -1e-9) & (position <= side - 1 + 1e-9)).astype(np.float64)


def _position(side: int, factor: float) -> NDArray[np.float64]:
    """Where each pixel of the enlarged axis lies on the axis."""
    centre = (side - 1) / 2
    return np.asarray(centre + (np.arange(side) - centre) / factor, np.float64)


def _reflected(index: NDArray[np.int64], side: int) -> NDArray[np.int64]:
    """The pixel that mirrors at both ends put at ``index``: ... 1 0 | 0 1 ... side-1 | side-1 ..."""
    folded = index % (2 * side)
    return np.minimum(folded, 2 * side - 1 - folded)
