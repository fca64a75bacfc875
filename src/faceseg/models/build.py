"""A model by its parameters: encoder, head, and the checks of what they can take."""

from types import ModuleType

import keras

from faceseg.models import deeplabv3plus, pspnet
from faceseg.models.backbones import build_encoder, normalise
from faceseg.params import ModelParams

ARCHITECTURES: dict[str, ModuleType] = {"deeplabv3plus": deeplabv3plus, "pspnet": pspnet}


def build_model(params: ModelParams, size: int, classes: int) -> keras.Model:
    """The network that ``params`` names, with new weights (and the encoder's from ImageNet where asked for).

    Its input is float32 (B, size, size, 3), RGB, 0 to 255: the encoder's own normalisation is part of the model. Its
    output is float32 (B, size, size, classes), logits, under every dtype policy.

    Raises:
        ValueError: the architecture or the encoder does not take this size, there is no such encoder, fewer than two
            classes, or the ImageNet weights cannot be had.
    """
    architecture = ARCHITECTURES[params.architecture]
    _check_size(params.architecture, architecture, size)
    if classes < 2:
        raise ValueError(f"a model for {classes} classes: expected at least 2; look at the merge's classes")
    encoder = build_encoder(params.backbone, size, architecture.STRIDES, params.encoder_weights)
    images = keras.Input((size, size, 3), dtype="float32", name="images")
    features = encoder(normalise(images, params.backbone))
    levels = dict(zip(architecture.STRIDES, features, strict=True))
    return keras.Model(
        images, architecture.head(levels, classes, size), name=f"{params.architecture}-{params.backbone}"
    )


def _check_size(name: str, architecture: ModuleType, size: int) -> None:
    stride = max(architecture.STRIDES)
    if size % stride or size < architecture.SMALLEST:
        below, above = (max(architecture.SMALLEST, edge) for edge in (size - size % stride, size + -size % stride))
        near = str(below) if below == above else f"{below} or {above}"
        raise ValueError(
            f"resize.size is {size}, which {name} cannot take: it needs a multiple of {stride}, "
            f"at least {architecture.SMALLEST}; the nearest: {near}"
        )
