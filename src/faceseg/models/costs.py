"""What a model costs: its parameters, and the multiply-adds of one picture, counted from the layers' shapes."""

import math
from typing import Any

import keras

from faceseg.models.blocks import BinAverage, Enlarge


def multiply_adds(model: keras.Model) -> int:
    """Multiply-adds of one picture's forward pass, in convolutions, dense layers and resampling by matrices.

    Additions, activations, pooling and normalisation are left out, as published counts leave them out: a few per cent.
    """
    return sum(
        multiply_adds(layer) if isinstance(layer, keras.Model) else _of_layer(layer, _shape_of(layer.input))
        for layer in model.layers
        if not isinstance(layer, keras.layers.InputLayer)
    )


def _of_layer(layer: keras.layers.Layer, inputs: tuple[int, ...]) -> int:
    """``inputs``: (height, width, channels) of the layer's (first) input."""
    if isinstance(layer, Enlarge | BinAverage):
        height, width, channels = inputs
        # The rows first, then the columns.
        return layer.height * height * width * channels + layer.width * width * layer.height * channels
    if isinstance(layer, keras.layers.Conv2DTranspose):
        return math.prod(inputs[:2]) * math.prod(layer.kernel.shape)
    if isinstance(layer, keras.layers.DepthwiseConv2D | keras.layers.Conv2D):
        # A kernel of (h, w, in / groups, out), at every cell of the output.
        return math.prod(_shape_of(layer.output)[:2]) * math.prod(layer.kernel.shape)
    if isinstance(layer, keras.layers.SeparableConv2D):
        cells = math.prod(_shape_of(layer.output)[:2])
        return cells * (math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape))
    if isinstance(layer, keras.layers.Dense):
        return math.prod(layer.kernel.shape)
    return 0


def _shape_of(tensor: Any) -> tuple[int, ...]:
    first = tensor[0] if isinstance(tensor, list) else tensor
    return tuple(first.shape[1:])
