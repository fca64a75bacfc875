"""FCN (Long et al., Fully Convolutional Networks, CVPR 2015) with one skip, on strides 32 and 16: an FCN-16s.

The paper's two layers of 4,096 channels on VGG-16's last features hold nine tenths of its weights, for 21 classes of
anything; here one layer of 256 takes their place. The way back up is learnt: transposed convolutions with LeakyReLU.
"""

from typing import Any

import keras

from faceseg.models.blocks import logits

STRIDES = (16, 32)
SMALLEST = 64
# Channels at strides 16, 8 and 4.
WIDTHS = (256, 128, 64)
SLOPE = 0.1  # of LeakyReLU, below zero


def head(levels: dict[int, Any], classes: int, size: int) -> Any:
    """Float32 logits (B, size, size, classes) from features (B, size / 16, ...) and (B, size / 32, ...)."""
    coarse = _leaky(keras.layers.Conv2D(WIDTHS[0], 1, kernel_initializer="he_normal", name="score32")(levels[32]), 32)
    skip = keras.layers.Conv2D(WIDTHS[0], 1, kernel_initializer="he_normal", name="skip16")(levels[16])
    features = keras.layers.Add(name="join16")([_double(coarse, WIDTHS[0], 16), skip])
    for width, stride in zip(WIDTHS[1:], (8, 4), strict=True):
        features = _double(features, width, stride)
    return logits(features, classes, size, kernel=1)


def _double(features: Any, filters: int, stride: int) -> Any:
    """Twice the side, to the named stride: a transposed convolution, then LeakyReLU."""
    layer = keras.layers.Conv2DTranspose(
        filters, 4, strides=2, padding="same", kernel_initializer="he_normal", name=f"enlarge{stride}"
    )
    return _leaky(layer(features), stride, "enlarge")


def _leaky(features: Any, stride: int, name: str = "score") -> Any:
    return keras.layers.LeakyReLU(SLOPE, name=f"{name}{stride}_relu")(features)
