"""A network that looks at a picture several times, mirrored and at several scales, and gives the mean of its logits.

A view is a linear map of the picture's rows and one of its columns, and so is the way back: the same small matrix
products on every device, and one traced copy of the network however many views there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

UNSCALED = (1.0,)


@dataclass(frozen=True)
class Views:
    """Which views: ``evaluate.flip`` and ``evaluate.scales``.

    Attributes:
        flip: each scale mirrored too.
        scales: at least one of them at most 1, or no view would see the picture's edge.
    """

    flip: bool = False
    scales: tuple[float, ...] = UNSCALED

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
        kept = list(range(model.output_shape[-1]))
        swapped = list(kept)
        for one, other in mirror:
            swapped[one], swapped[other] = other, one
        each = [(scale, mirrored) for scale in views.scales for mirrored in ((False, True) if views.flip else (False,))]
        self._network = model
        self._there = [
            np.stack([zoom_matrix(height, scale) for scale, _ in each]),
            np.stack([_turned(zoom_matrix(width, scale), mirrored) for scale, mirrored in each]),
        ]
        self._back = [
            np.stack([zoom_matrix(height, 1 / scale) for scale, _ in each]),
            np.stack([_turned(zoom_matrix(width, 1 / scale), mirrored) for scale, mirrored in each]),
        ]
        self._partners = np.array([swapped if mirrored else kept for _, mirrored in each], np.int32)
        self._seen = np.stack([np.outer(seen(height, scale), seen(width, scale)) for scale, _ in each])

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """The mean of the views' logits, of each pixel over the views that show it."""

        def add(total: tf.Tensor, view: tuple[tf.Tensor, ...]) -> tf.Tensor:
            rows, columns, back_rows, back_columns, partners, seen = view
            logits = self._network(_resampled(images, rows, columns), training=False)
            back = _resampled(tf.gather(logits, partners, axis=-1), back_rows, back_columns)
            return total + seen[..., None] * back

        kinds = [tf.float32] * 4 + [tf.int32, tf.float32]
        values = [*self._there, *self._back, self._partners, self._seen]
        views = tuple(tf.constant(value, kind) for value, kind in zip(values, kinds, strict=True))
        _, height, width, _ = images.shape
        start = tf.zeros((tf.shape(images)[0], height, width, self._partners.shape[1]))
        return tf.foldl(add, views, start, parallel_iterations=1) / self._seen.sum(axis=0)[..., None].astype(np.float32)


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


def _turned(matrix: NDArray[np.float64], mirrored: bool) -> NDArray[np.float64]:
    """The same map of an axis, mirrored: zooming and mirroring about one centre may change places."""
    return matrix[::-1] if mirrored else matrix


def _resampled(inputs: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Map the rows (H, H), then the columns (W, W), of (B, H, W, C)."""
    _, height, width, channels = inputs.shape
    outputs = tf.matmul(rows, tf.reshape(inputs, (-1, height, width * channels)))
    outputs = tf.matmul(columns, tf.reshape(outputs, (-1, width, channels)))
    return tf.reshape(outputs, (-1, height, width, channels))
