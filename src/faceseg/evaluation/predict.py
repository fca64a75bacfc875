"""A trained model from its folder, and the network's pass over a split in batches of one static shape."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from faceseg.files import read_json, sha256
from faceseg.inputs.pipeline import FILLING, evaluation_batches
from faceseg.models.build import build_described
from faceseg.store.packs import MissingInputError
from faceseg.store.shards import Cache, Split

DESCRIPTION = "model.json"
WEIGHTS = "model.weights.h5"


def read_description(folder: Path) -> Mapping[str, Any]:
    """``model.json`` of a trained model.

    Raises:
        MissingInputError: it is not there; it is written last, so the model is not complete then.
    """
    try:
        description: Mapping[str, Any] = read_json(folder / DESCRIPTION)
    except FileNotFoundError:
        raise MissingInputError(f"{folder / DESCRIPTION} is not there, so there is no complete model") from None
    return description


def load_model(folder: Path, cache: Cache) -> keras.Model:
    """The trained model, for pictures of ``cache``.

    Raises:
        MissingInputError: a file of the model is not there, or the weights are not those of the description.
        ValueError: the model was trained for other classes, another size or another fit than the cache has.
    """
    _check_same(read_description(folder), cache)
    return read_model(folder)


def read_model(folder: Path) -> keras.Model:
    """The trained model of a folder, for the size and classes of its own description.

    Raises:
        MissingInputError: a file of the model is not there, or the weights are not those of the description.
    """
    description = read_description(folder)
    weights = folder / WEIGHTS
    if not weights.exists():
        raise MissingInputError(f"{weights} is not there")
    if sha256(weights) != description["weights_sha256"]:
        raise MissingInputError(f"{weights} is not the file that {folder / DESCRIPTION} describes")
    model = build_described(description)
    model.load_weights(weights)
    return model


def _check_same(description: Mapping[str, Any], cache: Cache) -> None:
    for what, of_model, of_cache in (
        ("classes", list(description["classes"]), list(cache.classes)),
        ("size", description["size"], cache.size),
        ("fit", description["fit"], cache.fit),
    ):
        if of_model != of_cache:
            raise ValueError(
                f"the model's {what} is {of_model}, but the cache's is {of_cache}; "
                "train on this cache with `dvc repro`, or bring the cache of the model back with `dvc checkout`"
            )


def forward(model: keras.Model, split: Split, batch_size: int) -> Iterator[tuple[int, np.ndarray]]:
    """Every row of the split once, in order: (row, logits (S, S, K) float32)."""

    @tf.function
    def logits_of(images: tf.Tensor) -> tf.Tensor:
        return model(tf.cast(images, tf.float32), training=False)

    for batch in evaluation_batches(split, batch_size):
        for row, logits in zip(batch["rows"].numpy(), logits_of(batch["images"]).numpy(), strict=True):
            if row != FILLING:
                yield int(row), logits


def logits_at(model: keras.Model, split: Split, row: int) -> np.ndarray:
    """Logits (S, S, K) float32 of one row."""
    images = split.images_at(np.array([row])).astype(np.float32)
    return np.asarray(model(images, training=False))[0]
