"""Where a model begins: the weights of another trained model with the same encoder, as far as they fit."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import keras
import numpy as np

from faceseg.files import read_json, sha256
from faceseg.models.backbones import DEEPEST, build_encoder
from faceseg.models.build import build_described, members_of, networks
from faceseg.params import ModelParams

UNNAMED = ("conv2d", "depthwise_conv2d", "dense", "batch_normalization", "fused_batch_normalization")
ENCODER = "encoder"  # model.json's ``holds``, of weights that are an encoder's alone
NO_MODEL = "data/no-model"  # model.init_from: new weights; a file, because DVC refuses null as a dependency


@dataclass(frozen=True)
class Loaded:
    """What a model took over.

    Attributes:
        encoder: weights of the encoder that were taken over, and how many it has.
        head: the same of the rest.
        left: names and shapes of what keeps its new values.
    """

    encoder: tuple[int, int]
    head: tuple[int, int]
    left: tuple[str, ...]

    def __str__(self) -> str:
        took = (
            f"{self.encoder[0]} of {self.encoder[1]} weights of the encoder, {self.head[0]} of {self.head[1]} after it"
        )
        return f"{took}; new values stay in: {', '.join(self.left) or 'none'}"


def initial_folder(init_from: str, root: Path) -> Path | None:
    """The folder that ``model.init_from`` names, relative to ``root``; None where it means new weights."""
    return None if PurePosixPath(init_from) == PurePosixPath(NO_MODEL) else root / init_from


def initial_identity(folder: Path | None) -> str | None:
    """The sha256 of the weights that a training begins with, or None."""
    return None if folder is None else str(_describe(folder)["weights_sha256"])


def check_initial(folder: Path | None, params: ModelParams) -> None:
    """Find out before any work whether the folder holds a model that can be begun from.

    Raises:
        ValueError: it holds no complete model, its weights are not those that it describes, its encoder (or, between
            two ensembles, that of a further network) is another, or its pixels were scaled otherwise.
    """
    if folder is None:
        return
    description = _describe(folder)
    _checked_weights(folder, description)
    if description["backbone"] != params.backbone:
        raise ValueError(
            f"model.init_from: the model in {folder} has the encoder {description['backbone']}, and model.backbone is "
            f"{params.backbone}; set it to the same"
        )
    for place, (theirs, ours) in enumerate(zip(members_of(description), params.ensemble, strict=False)):
        if theirs["backbone"] != ours.backbone:
            raise ValueError(
                f"model.init_from: model.ensemble.{place} of the model in {folder} has the encoder "
                f"{theirs['backbone']}, and model.ensemble.{place}.backbone is {ours.backbone}; set it to the same"
            )
    scaling = description["params"]["input_scaling"]
    if scaling != params.input_scaling:
        raise ValueError(
            f"model.init_from: the model in {folder} learnt from pixels scaled as model.input_scaling {scaling!r} has "
            f"them, and it is {params.input_scaling!r}; set it to the same"
        )


def begin_from(model: keras.Model, folder: Path, params: ModelParams) -> Loaded:
    """Take over every weight of the trained model in ``folder`` that fits by its layer's name and its shape.

    Other classes, another size or another architecture are no obstacle: what does not fit keeps its new values.

    Raises:
        ValueError: as :func:`check_initial`.
    """
    check_initial(folder, params)
    encoder, rest = _parts(model)
    source_encoder, source_rest = _read_parts(folder)
    left = [*_take_over(encoder, source_encoder), *_take_over(rest, source_rest)]
    of_encoder = sum(name in encoder for name, _ in left)
    return Loaded(
        (len(encoder) - of_encoder, len(encoder)),
        (len(rest) - (len(left) - of_encoder), len(rest)),
        tuple(f"{name} {shape}" for name, shape in left),
    )


def _describe(folder: Path) -> Mapping[str, Any]:
    try:
        description: Mapping[str, Any] = read_json(folder / "model.json")
    except OSError:
        raise ValueError(
            f"model.init_from: {folder / 'model.json'} is not there; expected the folder `models` of a training, or "
            f"{NO_MODEL} for new weights"
        ) from None
    return description


def _checked_weights(folder: Path, description: Mapping[str, Any]) -> Path:
    """The weights, which are not read unless they are those of the description."""
    weights = folder / "model.weights.h5"
    if sha256(weights) != description["weights_sha256"]:
        raise ValueError(f"model.init_from: {weights} is not the file that model.json describes")
    return weights


def _read_parts(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The weights in ``folder``: of its encoder, and of what follows it where there is anything."""
    description = _describe(folder)
    weights = _checked_weights(folder, description)
    if description.get("holds") == ENCODER:
        encoder = build_encoder(description["backbone"], description["size"], (DEEPEST,), None)
        encoder.load_weights(weights)
        return _of_encoder(encoder), {}
    source = build_described(description)
    source.load_weights(weights)
    return _parts(source)


def _parts(model: keras.Model) -> tuple[dict[str, Any], dict[str, Any]]:
    """The weights of the encoder and of what follows it, by name, in the model's order.

    Those of an ensemble's further networks bear their number before their names: the second begins from a second.
    """
    encoders: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for place, network in enumerate(networks(model)):
        before = f"network {place + 1}/" if place else ""
        encoder = network.get_layer("encoder")
        held = {id(weight) for weight in encoder.weights}
        encoders |= {before + name: weight for name, weight in _of_encoder(encoder).items()}
        rest |= {before + weight.path: weight for weight in network.weights if id(weight) not in held}
    return encoders, rest


def _of_encoder(encoder: keras.Model) -> dict[str, Any]:
    names = _lasting_names(encoder)
    weights = {
        f"encoder/{names[layer.name]}/{weight.name}": weight for layer in encoder.layers for weight in layer.weights
    }
    assert len(weights) == len(encoder.weights), "two layers of the encoder have one name"
    return weights


def _lasting_names(encoder: keras.Model) -> dict[str, str]:
    """A name for each layer that is the same in every model: Keras goes on counting the layers that have none.

    Such layers are counted anew here, in the order in which they were made; an encoder that ends earlier lacks the last
    ones.
    """
    names = {layer.name: layer.name for layer in encoder.layers}
    numbered: dict[str, list[tuple[int, str]]] = {}
    for layer in encoder.layers:
        found = re.fullmatch(rf"({'|'.join(UNNAMED)})(?:_(\d+))?", layer.name)
        if found:
            numbered.setdefault(found[1], []).append((int(found[2] or 0), layer.name))
    for kind, layers in numbered.items():
        names |= {name: f"{kind}#{place}" for place, (_, name) in enumerate(sorted(layers))}
    return names


def _take_over(into: Mapping[str, Any], source: Mapping[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    """Assign what fits; the names and shapes of what does not."""
    left = []
    for name, weight in into.items():
        if name in source and source[name].shape == weight.shape:
            weight.assign(np.asarray(source[name]))
        else:
            left.append((name, tuple(weight.shape)))
    return left
