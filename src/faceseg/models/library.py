"""U-Net, FPN and LinkNet: segmentation-models' own decoders, on our encoder's levels, with linear float32 logits.

The library's functions take their layers from module globals, so what must differ is handed to them there: batch
normalisation with our momentum, a classifier in float32 under every policy, and upsampling whose gradient is the same
bits each time on a GPU too. ``tests/models/test_library.py`` holds the result equal to the library's own models.
"""

from collections.abc import Callable, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

import keras

from faceseg.models.backbones import BACKEND, LAYERS, segmentation_models
from faceseg.models.blocks import Enlarge, Repeat
from faceseg.params import ModelParams

library_unet = segmentation_models.models.unet
library_linknet = segmentation_models.models.linknet
library_fpn = segmentation_models.models.fpn
STRIDES = (16, 8, 4, 2, 32)
SMALLEST = 64
CLASSIFIERS = ("final_conv", "head_conv")
SKIPS = ("16", "8", "4", "2")


def unet(levels: dict[int, Any], classes: int, params: ModelParams) -> Any:
    """U-Net (Ronneberger et al., 2015): float32 logits (B, S, S, classes)."""
    return _decode(library_unet, library_unet.build_unet, levels, classes, params, _block(library_unet, params))


def linknet(levels: dict[int, Any], classes: int, params: ModelParams) -> Any:
    """LinkNet (Chaurasia and Culurciello, 2017): float32 logits (B, S, S, classes)."""
    return _decode(
        library_linknet, library_linknet.build_linknet, levels, classes, params, _block(library_linknet, params)
    )


def fpn(levels: dict[int, Any], classes: int, params: ModelParams) -> Any:
    """FPN (Kirillov et al., Panoptic Feature Pyramid Networks, 2019): float32 logits (B, S, S, classes)."""
    return _decode(library_fpn, library_fpn.build_fpn, levels, classes, params, {"aggregation": "concat"})


def _block(module: ModuleType, params: ModelParams) -> dict[str, Any]:
    """The decoder's block, by ``model.decoder``."""
    blocks = {"upsampling": module.DecoderUpsamplingX2Block, "transpose": module.DecoderTransposeX2Block}
    return {"decoder_block": blocks[params.decoder]}


def _decode(
    module: ModuleType,
    build: Callable[..., keras.Model],
    levels: dict[int, Any],
    classes: int,
    params: ModelParams,
    options: Mapping[str, Any],
) -> Any:
    """Build the library's decoder on inputs of the levels' shapes, and apply it to the levels."""
    vars(module).update(backend=BACKEND, layers=_layers(), models=keras.models, keras_utils=keras.utils)
    inputs = {stride: keras.Input(levels[stride].shape[1:], dtype=levels[stride].dtype) for stride in STRIDES}
    # What the library reads of an encoder. It adds two convolutions where one ends in pooling, as VGGs do.
    last = keras.layers.MaxPooling2D() if params.backbone.startswith("vgg") else None
    encoder = SimpleNamespace(
        input=[inputs[stride] for stride in STRIDES],
        output=inputs[32],
        layers=[last],
        get_layer=lambda name: SimpleNamespace(output=inputs[int(name)]),
    )
    decoder = build(encoder, skip_connection_layers=SKIPS, classes=classes, activation="linear", **options)
    named = keras.Model(decoder.inputs, decoder.outputs[0], name="decoder")
    return named([levels[stride] for stride in STRIDES])


def _layers() -> SimpleNamespace:
    return SimpleNamespace(
        **{**vars(LAYERS), "Conv2D": _convolution, "UpSampling2D": _upsampling, "Activation": _activation}
    )


def _convolution(**arguments: Any) -> keras.layers.Layer:
    # LinkNet's classifier has no name, and Keras would number it.
    name = arguments.get("name", CLASSIFIERS[0])
    if name in CLASSIFIERS:
        arguments["dtype"] = "float32"
    return keras.layers.Conv2D(**{**arguments, "name": name})


def _activation(activation: str, name: str) -> keras.layers.Layer:
    if activation == "linear":
        return keras.layers.Identity(dtype="float32", name="logits")
    return keras.layers.Activation(activation, name=name)


def _upsampling(size: int | tuple[int, int], interpolation: str = "nearest", name: str | None = None) -> Any:
    times = size if isinstance(size, int) else size[0]
    if interpolation == "nearest":
        return Repeat(times, name=name)
    return lambda features: Enlarge(times * features.shape[1], times * features.shape[2], name=name)(features)
