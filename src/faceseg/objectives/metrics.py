"""Scores from a confusion matrix: sum it over a whole split first, divide once at the end.

Only :func:`confusion_matrix` needs TensorFlow, so what merely reads scores imports none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import tensorflow as tf


def confusion_matrix(masks: tf.Tensor, predictions: tf.Tensor, classes: int) -> tf.Tensor:
    """Pixels by actual class (rows) and predicted class (columns): int64 (K, K).

    Args:
        masks: integers (B, H, W), 0 to K - 1, or 255: not scored, left out.
        predictions: integers (B, H, W), 0 to K - 1.
        classes: K.
    """
    import tensorflow as tf

    # A product of one-hot rows, because TensorFlow has no deterministic bincount on a GPU. Each picture's counts are
    # whole numbers below 2**24 (4,096 x 4,096 pixels), which float32 adds exactly.
    def rows(values: tf.Tensor) -> tf.Tensor:
        return tf.one_hot(tf.cast(tf.reshape(values, (tf.shape(values)[0], -1)), tf.int32), classes)

    counts = tf.matmul(rows(masks), rows(predictions), transpose_a=True)
    return tf.reduce_sum(tf.cast(counts, tf.int64), axis=0)


@dataclass(frozen=True)
class Scores:
    """What a confusion matrix says. Fractions 0 to 1; NaN where there is nothing to divide by.

    With the diagonal, row sums (truth) and column sums (prediction) of a class: iou = d / (t + p - d),
    f1 = 2 d / (t + p), precision = d / p, recall = d / t, all float64 (K,). A class with pixels in neither is absent:
    all its scores are NaN, and the means leave it out. A class with pixels in only one scores 0.
    """

    names: tuple[str, ...]
    pixel_accuracy: float
    iou: NDArray[np.float64]
    f1: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]

    @classmethod
    def from_confusion(cls, matrix: NDArray[np.integer[Any]], names: Sequence[str]) -> Scores:
        """The scores of a matrix (K, K) of pixel counts, actual by predicted, whose classes are ``names``.

        Raises:
            ValueError: the matrix is not K x K, or holds a negative count.
        """
        counts = np.asarray(matrix)
        if counts.shape != (len(names), len(names)):
            raise ValueError(
                f"a confusion matrix of shape {counts.shape} for the {len(names)} classes {', '.join(names)}: "
                f"expected {len(names)} x {len(names)}"
            )
        if (counts < 0).any():
            raise ValueError(f"a confusion matrix counts pixels, and its smallest count is {counts.min()}")
        hits, truth, predicted = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
        present = truth + predicted > 0
        total = counts.sum()
        return cls(
            names=tuple(names),
            pixel_accuracy=float(hits.sum() / total) if total else float("nan"),
            iou=_ratio(hits, truth + predicted - hits, present),
            f1=_ratio(2 * hits, truth + predicted, present),
            precision=_ratio(hits, predicted, present),
            recall=_ratio(hits, truth, present),
        )

    @property
    def miou(self) -> float:
        """The mean of iou over the classes that are present."""
        return _mean(self.iou)

    @property
    def mf1(self) -> float:
        """The mean of f1 over the classes that are present."""
        return _mean(self.f1)

    @property
    def absent(self) -> list[str]:
        """The classes with no pixel in truth nor prediction."""
        return [name for name, value in zip(self.names, self.iou, strict=True) if np.isnan(value)]

    def to_dict(self) -> dict[str, Any]:
        """For JSON: means as numbers, or None where every class is absent; absent classes by name only."""
        per_class = {
            name: {kind: float(getattr(self, kind)[index]) for kind in ("iou", "f1", "precision", "recall")}
            for index, name in enumerate(self.names)
            if name not in self.absent
        }
        means = {kind: getattr(self, kind) for kind in ("pixel_accuracy", "miou", "mf1")}
        numbers = {kind: None if np.isnan(value) else value for kind, value in means.items()}
        return {**numbers, "per_class": per_class, "absent": self.absent}


def _ratio(
    part: NDArray[np.integer[Any]], whole: NDArray[np.integer[Any]], present: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """part / whole (K,); 0 where only whole is missing, NaN where the class is absent."""
    return np.where(present, part / np.maximum(whole, 1), np.nan)


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
