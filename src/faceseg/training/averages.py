"""Weights averaged over steps: one copy beside the model's own, which validation and what is kept take instead.

All weights are averaged, batch statistics too, which Keras' ``use_ema`` leaves out: statistics of other weights would
not fit the averaged ones.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf


class Averages:
    """The exponential moving average of a model's weights (Polyak and Juditsky, 1992).

    After step t an average is d * average + (1 - d) * weight with d = min(decay, (1 + t) / (10 + t)), as
    ``tf.train.ExponentialMovingAverage`` does with ``num_updates``: so early averages do not hold the initial weights.
    """

    def __init__(self, model: keras.Model, decay: float) -> None:
        self._weights = list(model.weights)
        self._decay = decay
        self._steps = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._averages = [tf.Variable(np.asarray(weight), trainable=False) for weight in self._weights]

    @property
    def variables(self) -> list[Any]:
        """The whole state, for a checkpoint."""
        return [self._steps, *self._averages]

    @tf.function
    def update(self) -> None:
        """Call after every step."""
        self._steps.assign_add(1)
        steps = tf.cast(self._steps, tf.float32)
        decay = tf.minimum(self._decay, (1.0 + steps) / (10.0 + steps))
        for average, weight in zip(self._averages, self._weights, strict=True):
            average.assign_sub(tf.cast(1.0 - decay, average.dtype) * (average - tf.convert_to_tensor(weight)))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it the model has the averaged weights; afterwards its own are back, bit for bit."""
        own = [np.asarray(weight) for weight in self._weights]
        self.hand_over()
        try:
            yield
        finally:
            for weight, value in zip(self._weights, own, strict=True):
                weight.assign(value)

    def hand_over(self) -> None:
        """Give the model the averaged weights for good."""
        for weight, average in zip(self._weights, self._averages, strict=True):
            weight.assign(average.numpy())
