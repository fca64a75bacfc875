"""A model by its parameters: encoder, head, and the checks of what they can take."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import keras

from faceseg.models import deeplabv3plus, fcn, library, pspnet
from faceseg.models.backbones import build_encoder, normalise, scale_to_unit
from faceseg.models.blocks import BinAverage, Enlarge
from faceseg.params import ModelParams

MEAN, JOINT = "mean_of_networks", "-and-"

Head = Callable[[dict[int, Any], int, int, ModelParams], Any]


@dataclass(frozen=True)
class Architecture:
    """What follows an encoder.

    Attributes:
        strides: of the levels that it takes.
        smallest: side in pixels of the smallest picture.
        head: (levels by stride, classes, size, params) to float32 logits (B, size, size, classes).
    """

    strides: tuple[int, ...]
    smallest: int
    head: Head


def _ours(module: ModuleType) -> Architecture:
    def head(levels: dict[int, Any], classes: int, size: int, params: ModelParams) -> Any:
        return module.head(levels, classes, size)

    return Architecture(module.STRIDES, module.SMALLEST, head)


def _library(decoder: Callable[[dict[int, Any], int, ModelParams], Any]) -> Architecture:
    def head(levels: dict[int, Any], classes: int, size: int, params: ModelParams) -> Any:
        return decoder(levels, classes, params)

    return Architecture(library.STRIDES, library.SMALLEST, head)


ARCHITECTURES = {
    "deeplabv3plus": _ours(deeplabv3plus),
    "fcn": _ours(fcn),
    "fpn": _library(library.fpn),
    "linknet": _library(library.linknet),
    "pspnet": _ours(pspnet),
    "unet": _library(library.unet),
}


def build_model(params: ModelParams, size: int, classes: int) -> keras.Model:
    """The network that ``params`` names, with new weights (and the encoder's from ImageNet where asked for).

    Its input is float32 (B, size, size, 3), RGB, 0 to 255: the scaling is part of the model. Its output is float32
    (B, size, size, classes), logits, under every dtype policy.

    With ``output: sigmoid`` the network has one logit z for class 1, and its output is [0, z]. The softmax of that is
    [1 - sigmoid(z), sigmoid(z)], so masks, losses and scores need to know nothing of it.

    With an ``ensemble`` there are more networks beside the first, and the output is the mean of their logits. Each sees
    the picture averaged over squares of ``shrink`` x ``shrink`` pixels, and its logits are enlarged bilinearly. See
    :func:`networks` and :func:`logits_of_each`.

    Raises:
        ValueError: the architecture or the encoder does not take this size, there is no such encoder, fewer than two
            classes, a sigmoid for more than two, or the ImageNet weights cannot be had.
    """
    if classes < 2:
        raise ValueError(f"a model for {classes} classes: expected at least 2; look at the merge's classes")
    if params.output == "sigmoid" and classes != 2:
        raise ValueError(
            f"model.output is 'sigmoid', which tells one class from the rest, and the merge has {classes} classes; "
            "set model.output to 'softmax', or merge.into to a merge of two classes"
        )
    first = _network(params, size, classes, f"resize.size is {size}", "model.backbone")
    if not params.ensemble:
        return first
    images = keras.Input((size, size, 3), dtype="float32", name="images")
    names, each = [first.name], [first(images)]
    for place in range(len(params.ensemble)):
        network = _member(params, place, size, classes)
        if network.name in names:  # the same again, with other initial weights
            network.name = f"{network.name}-{place + 2}"
        names.append(network.name)
        each.append(_seen_smaller(network, images, place))
    mean = keras.layers.Average(dtype="float32", name=MEAN)(each)
    return keras.Model(images, mean, name=JOINT.join(names))


def networks(model: keras.Model) -> list[keras.Model]:
    """The networks of a model of :func:`build_model`: itself, or those of an ensemble, in their order."""
    return [model.get_layer(name) for name in model.name.split(JOINT)] if _is_ensemble(model) else [model]


def logits_of_each(model: keras.Model) -> Callable[..., list[Any]]:
    """A function of (images, training) to a list: the logits of each network, float32 (B, size, size, classes)."""
    if not _is_ensemble(model):
        return lambda images, training: [model(images, training=training)]
    each: Callable[..., list[Any]] = keras.Model(model.input, model.get_layer(MEAN).input, name=model.name)
    return each


def _is_ensemble(model: keras.Model) -> bool:
    return any(layer.name == MEAN for layer in model.layers)


def _member(params: ModelParams, place: int, size: int, classes: int) -> keras.Model:
    """A further network of the ensemble, for pictures of ``size`` divided by its ``shrink``."""
    chosen, key = params.ensemble[place], f"model.ensemble.{place}"
    if size % chosen.shrink:
        raise ValueError(
            f"resize.size is {size}, which {key}.shrink {chosen.shrink} does not divide; make it a multiple"
        )
    smaller = size // chosen.shrink
    about = params.model_copy(update={"architecture": chosen.architecture, "backbone": chosen.backbone})
    where = f"resize.size is {size} and {key}.shrink {chosen.shrink}, so that network sees {smaller}"
    network = _network(about, smaller, classes, where, f"{key}.backbone")
    network.name = f"{network.name}-at-{smaller}"
    return network


def _seen_smaller(network: keras.Model, images: Any, place: int) -> Any:
    """The network's logits at the size of ``images``, which it sees at its own."""
    size, smaller = images.shape[1], network.input_shape[1]
    if smaller == size:
        return network(images)
    shrunk = BinAverage(smaller, smaller, dtype="float32", name=f"shrink-{place}")(images)
    return Enlarge(size, size, dtype="float32", name=f"enlarge-{place}")(network(shrunk))


def _network(params: ModelParams, size: int, classes: int, sizes: str, key: str) -> keras.Model:
    """One network; for messages ``sizes`` says where its size comes from, ``key`` which parameter names its encoder."""
    architecture = ARCHITECTURES[params.architecture]
    _check_size(params.architecture, architecture, size, sizes)
    encoder = build_encoder(params.backbone, size, architecture.strides, params.encoder_weights, key)
    if not params.encoder_trainable:  # setting it to True would also free what the encoder itself holds still
        encoder.trainable = False
    images = keras.Input((size, size, 3), dtype="float32", name="images")
    scaled = scale_to_unit(images) if params.input_scaling == "unit" else normalise(images, params.backbone)
    features = encoder(scaled)
    levels = dict(zip(architecture.strides, features, strict=True))
    if params.output == "sigmoid":
        foreground = architecture.head(levels, 1, size, params)
        logits = keras.ops.concatenate([keras.ops.zeros_like(foreground), foreground], axis=-1)
    else:
        logits = architecture.head(levels, classes, size, params)
    return keras.Model(images, logits, name=f"{params.architecture}-{params.backbone}")


def build_described(description: Mapping[str, Any]) -> keras.Model:
    """The network that a trained model's ``model.json`` describes, with new weights, for its own to be loaded into.

    Weights that its training began from, which may have to be downloaded, would be overwritten, so there are none.
    """
    members = members_of(description)
    params = ModelParams.model_validate({**description["params"], "ensemble": members, "encoder_weights": None})
    return build_model(params, description["size"], len(description["classes"]))


def members_of(description: Mapping[str, Any]) -> list[dict[str, Any]]:
    """``model.ensemble`` of a trained model's description, which may be of before there were ensembles, or lists."""
    told = description["params"].get("ensemble", [])
    if isinstance(told, list):
        return told
    return [told] if told["architecture"] else []


def _check_size(name: str, architecture: Architecture, size: int, sizes: str) -> None:
    stride = max(architecture.strides)
    if size % stride or size < architecture.smallest:
        below, above = (max(architecture.smallest, edge) for edge in (size - size % stride, size + -size % stride))
        near = str(below) if below == above else f"{below} or {above}"
        raise ValueError(
            f"{sizes}, which {name} cannot take: it needs a multiple of {stride}, "
            f"at least {architecture.smallest}; the nearest: {near}"
        )
