"""A model comes back from its folder as it was, or is refused with the reason."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

from faceseg.evaluation.predict import forward, load_model, logits_at
from faceseg.files import read_json, sha256, write_json
from faceseg.models.build import build_model
from faceseg.params import ModelParams, read_params
from faceseg.store.packs import MissingInputError
from tests.evaluation.staged import Staged

# Keras 3.15 hands its variables to NumPy in a way that NumPy 2 frowns upon, whenever it saves weights.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

SHIPPED = read_params(Path(__file__).parents[2] / "params.yaml").model.model_dump()
PARAMS = {**SHIPPED, "architecture": "deeplabv3plus", "backbone": "resnet18", "encoder_weights": None}


def cache_like(**changes: Any) -> Any:
    """What load_model asks of a cache."""
    return SimpleNamespace(**{"classes": ("a", "b", "c"), "size": 64, "fit": "pad", **changes})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, keras.Model]:
    """A model's folder as the train stage writes it, with weights that are not the initial ones."""
    folder = tmp_path_factory.mktemp("models")
    model = build_model(ModelParams(**PARAMS), 64, 3)
    model.set_weights([weight + 0.01 for weight in model.get_weights()])
    model.save_weights(folder / "model.weights.h5")
    description = {
        "architecture": "deeplabv3plus",
        "backbone": "resnet18",
        # Training began from ImageNet's weights; they must not be asked for again.
        "params": {**PARAMS, "encoder_weights": "imagenet"},
        "classes": ["a", "b", "c"],
        "size": 64,
        "fit": "pad",
        "weights_sha256": sha256(folder / "model.weights.h5"),
    }
    write_json(folder / "model.json", description)
    return folder, model


def copied(trained: tuple[Path, keras.Model], tmp_path: Path) -> Path:
    for name in ("model.json", "model.weights.h5"):
        (tmp_path / name).write_bytes((trained[0] / name).read_bytes())
    return tmp_path


def test_the_loaded_model_predicts_as_the_trained_one(trained: tuple[Path, keras.Model]) -> None:
    loaded = load_model(trained[0], cache_like())
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded(images, training=False), trained[1](images, training=False))


@pytest.mark.parametrize("missing", ["model.json", "model.weights.h5"])
def test_a_missing_file_is_named(trained: tuple[Path, keras.Model], tmp_path: Path, missing: str) -> None:
    folder = copied(trained, tmp_path)
    (folder / missing).unlink()
    with pytest.raises(MissingInputError, match=rf"{missing} is not there.*`dvc repro`.*`dvc checkout`"):
        load_model(folder, cache_like())


def test_weights_of_another_model_are_refused(trained: tuple[Path, keras.Model], tmp_path: Path) -> None:
    folder = copied(trained, tmp_path)
    description = read_json(folder / "model.json")
    (folder / "model.json").write_text(json.dumps({**description, "weights_sha256": "0" * 64}))
    with pytest.raises(MissingInputError, match=r"model.weights.h5 is not the file that .*model.json describes"):
        load_model(folder, cache_like())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"classes": ("a", "b", "d")},
            r"classes is \['a', 'b', 'c'\], but the cache's is \['a', 'b', 'd'\].*dvc repro",
        ),
        ({"size": 96}, "size is 64, but the cache's is 96"),
        ({"fit": "stretch"}, "fit is pad, but the cache's is stretch"),
    ],
)
def test_a_model_for_other_data_is_refused(
    trained: tuple[Path, keras.Model], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_model(trained[0], cache_like(**changes))


def test_forward_gives_every_row_once_and_in_order(stretched: Staged, network: keras.Model) -> None:
    split = stretched.cache().split("test")
    passed = list(forward(network, split, 3))
    assert [row for row, _ in passed] == [0, 1, 2, 3, 4]
    for row, logits in passed:
        np.testing.assert_array_equal(logits[..., :3], split.images_at(np.array([row]))[0])
        np.testing.assert_array_equal(logits, logits_at(network, split, row))
