"""Layers that the architectures share: fast batch normalisation, and linear resampling as two small matrix products.

A matrix product gives the same bits each time, on a GPU too, where the gradient of ResizeBilinear adds up in any order.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

# Keras' 0.99 and segmentation-models' 0.99 remember hundreds of steps: in a training of a few hundred, validation would
# see statistics that still hold a good part of their initial 0 and 1. PyTorch's default, 0.9 here, follows ten times
# faster and is what published segmentation trainings use.
BATCH_NORM_MOMENTUM = 0.9


@keras.saving.register_keras_serializable(package="faceseg")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras' batch normalisation over the last axis, as one kernel of TensorFlow: the same function and weights.

    Keras 3 spells it out in a dozen elementwise operations in float32, which on a CPU cost more than the bfloat16
    convolution before them. With ``synchronized`` statistics (several devices) Keras' own form is kept.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Normalise (B, H, W, C), in whichever floating dtype it comes; statistics are float32."""
        if self.synchronized or mask is not None or len(inputs.shape) != 4 or self.axis not in (-1, 3):
            return super().call(inputs, training=training, mask=mask)
        gamma = tf.convert_to_tensor(self.gamma) if self.scale else tf.ones_like(self.moving_mean)
        beta = tf.convert_to_tensor(self.beta) if self.center else tf.zeros_like(self.moving_mean)
        if not (training and self.trainable):
            mean, variance = tf.convert_to_tensor(self.moving_mean), tf.convert_to_tensor(self.moving_variance)
            return tf.compat.v1.nn.fused_batch_norm(
                inputs, gamma, beta, mean, variance, epsilon=self.epsilon, is_training=False
            )[0]
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, gamma, beta, epsilon=self.epsilon, is_training=True
        )
        # The kernel hands back the unbiased variance; Keras keeps the biased one.
        count = tf.cast(tf.size(inputs) / tf.shape(inputs)[-1], tf.float32)
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance * (count - 1) / count)):
            moving.assign(moving * self.momentum + value * (1.0 - self.momentum))
        return outputs


def batch_norm(**arguments: Any) -> FusedBatchNormalization:
    """Batch normalisation as every part of a model uses it: our momentum, whatever ``arguments`` say of it.

    Under a strategy of several devices the statistics are those of the global batch, so that the model is the same
    function of the batch on any number of devices.
    """
    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    return FusedBatchNormalization(**{**arguments, "momentum": BATCH_NORM_MOMENTUM, "synchronized": several})


class _LinearResampling(keras.layers.Layer):
    """A linear map of the rows, then one of the columns: (B, H, W, C) to (B, height, width, C)."""

    def __init__(self, height: int, width: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.height = height
        self.width = width

    def matrix(self, inputs: int, outputs: int) -> NDArray[np.float64]:
        """The map of one axis, (outputs, inputs)."""
        raise NotImplementedError

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """(B, H, W, C) of any floating dtype to (B, height, width, C) of the same."""
        _, height, width, _ = inputs.shape
        rows = tf.constant(self.matrix(height, self.height), inputs.dtype)
        columns = tf.constant(self.matrix(width, self.width), inputs.dtype)
        return resample(inputs, rows, columns)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], self.height, self.width, input_shape[3])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "height": self.height, "width": self.width}


@keras.saving.register_keras_serializable(package="faceseg")
class Enlarge(_LinearResampling):
    """Bilinear interpolation between pixel centres, as ``tf.image.resize`` and Pillow enlarge."""

    def matrix(self, inputs: int, outputs: int) -> NDArray[np.float64]:
        return bilinear_matrix(inputs, outputs)


@keras.saving.register_keras_serializable(package="faceseg")
class Repeat(keras.layers.Layer):
    """Each cell ``times`` times in both directions: nearest upsampling, (B, H, W, C) to (B, times H, times W, C)."""

    def __init__(self, times: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.times = times

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """A broadcast, whose gradient is a plain sum."""
        _, height, width, channels = inputs.shape
        cells = tf.reshape(inputs, (-1, height, 1, width, 1, channels))
        cells = tf.tile(cells, (1, 1, self.times, 1, self.times, 1))
        return tf.reshape(cells, (-1, height * self.times, width * self.times, channels))

    def compute_output_shape(self, input_shape: tuple[int | None, int, int, int]) -> tuple[int | None, ...]:
        batch, height, width, channels = input_shape
        return (batch, height * self.times, width * self.times, channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "times": self.times}


@keras.saving.register_keras_serializable(package="faceseg")
class BinAverage(_LinearResampling):
    """The mean of each cell of a height x width grid of bins: PSPNet's pooling, for maps of any side."""

    def matrix(self, inputs: int, outputs: int) -> NDArray[np.float64]:
        return bin_matrix(inputs, outputs)


def resample(inputs: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Map the rows by a matrix (h, H), then the columns by one (w, W): (B, H, W, C) to (B, h, w, C)."""
    _, height, width, channels = inputs.shape
    outputs = tf.matmul(rows, tf.reshape(inputs, (-1, height, width * channels)))
    outputs = tf.matmul(columns, tf.reshape(outputs, (-1, width, channels)))
    return tf.reshape(outputs, (-1, rows.shape[0], columns.shape[0], channels))


def bilinear_matrix(inputs: int, outputs: int) -> NDArray[np.float64]:
    """Weights (outputs, inputs) of linear interpolation between pixel centres, constant beyond the outermost."""
    position = np.clip((np.arange(outputs) + 0.5) * inputs / outputs - 0.5, 0, inputs - 1)
    lower = np.floor(position).astype(np.int64)
    upper = np.minimum(lower + 1, inputs - 1)
    weights = np.zeros((outputs, inputs))
    np.add.at(weights, (np.arange(outputs), lower), 1 - (position - lower))
    np.add.at(weights, (np.arange(outputs), upper), position - lower)
    return weights


def bin_matrix(inputs: int, bins: int) -> NDArray[np.float64]:
    """Weights (bins, inputs) of the mean over each bin.

    Bin i covers the cells from floor(i * inputs / bins) up to, without, ceil((i + 1) * inputs / bins), as PyTorch's
    AdaptiveAvgPool2d does: neighbours share a cell where bins do not divide inputs, and no cell is left out.
    """
    weights = np.zeros((bins, inputs))
    for index in range(bins):
        start, stop = index * inputs // bins, -(-(index + 1) * inputs // bins)
        weights[index, start:stop] = 1 / (stop - start)
    return weights


def convolve(inputs: Any, filters: int, kernel: int, name: str, dilation: int = 1) -> Any:
    """A convolution without bias, for normalisation to follow: (B, H, W, C) to (B, H, W, filters)."""
    return keras.layers.Conv2D(
        filters,
        kernel,
        padding="same",
        dilation_rate=dilation,
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(inputs)


def normalise_and_rectify(inputs: Any, name: str) -> Any:
    """Batch normalisation, then ReLU."""
    return keras.layers.ReLU(name=f"{name}_relu")(batch_norm(epsilon=1e-5, name=f"{name}_bn")(inputs))


def describe_picture(features: Any, filters: int, name: str) -> Any:
    """The whole picture's features, averaged, as (B, 1, 1, filters).

    With a bias in place of batch normalisation: the statistics of one value a picture would be noise in small batches.
    """
    pooled = BinAverage(1, 1, name=f"{name}_pool")(features)
    return keras.layers.Conv2D(filters, 1, activation="relu", kernel_initializer="he_normal", name=name)(pooled)


def logits(features: Any, classes: int, size: int, kernel: int) -> Any:
    """The classifier: (B, h, w, C) of any dtype to float32 logits (B, size, size, classes).

    Convolution first and enlargement second, both in float32: logits in bfloat16 would be good to three digits only.
    """
    outputs = keras.layers.Conv2D(
        classes, kernel, padding="same", kernel_initializer="glorot_uniform", dtype="float32", name="classifier"
    )(features)
    return Enlarge(size, size, dtype="float32", name="logits")(outputs)
