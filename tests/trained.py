"""A folder with a model in it, as the train stage leaves one."""

from pathlib import Path

import keras

from faceseg.files import sha256, write_json
from faceseg.params import ModelParams


def write_model(folder: Path, model: keras.Model, params: ModelParams) -> None:
    """Weights, and of model.json what building the model and loading them takes."""
    folder.mkdir()
    model.save_weights(folder / "model.weights.h5")
    _, size, _, classes = model.output_shape
    description = {
        "params": params.model_dump(),
        "backbone": params.backbone,
        "size": size,
        "classes": [str(label) for label in range(classes)],
        "weights_sha256": sha256(folder / "model.weights.h5"),
    }
    write_json(folder / "model.json", description)
