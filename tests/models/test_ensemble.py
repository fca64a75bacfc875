"""An ensemble is the mean of several networks, each of which learns as if it were alone."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from faceseg.evaluation.predict import read_model
from faceseg.files import write_json
from faceseg.models.build import build_model, logits_of_each, networks
from faceseg.models.costs import multiply_adds
from faceseg.params import ModelParams, read_params
from faceseg.training.initial import begin_from
from faceseg.training.step import build_optimizer, build_training_step
from tests.trained import write_model

# Keras 3.15 hands its variables to NumPy in a way that NumPy 2 frowns upon, whenever it saves weights.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

SHIPPED = read_params(Path(__file__).parents[2] / "params.yaml")
SIZE, CLASSES = 128, 3


def params_of(second: str | None = "pspnet", shrink: int = 2, **changes: Any) -> ModelParams:
    ensemble = [{"architecture": second, "backbone": "mobilenet", "shrink": shrink}] if second else []
    values = SHIPPED.model.model_dump() | {"backbone": "mobilenet", "ensemble": ensemble} | changes
    return ModelParams.model_validate(values)


def images_of(batch: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (batch, SIZE, SIZE, 3)).astype(np.float32)


def by_hand(model: keras.Model, images: np.ndarray, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
    """Logits of the first two, the second's from squares of 2 x 2 pixels by TensorFlow's pooling and resizing."""
    first, second = networks(model)[:2]
    smaller = tf.nn.avg_pool2d(images, 2, 2, "VALID")
    return first(images, training=training), tf.image.resize(second(smaller, training=training), (SIZE, SIZE))


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    model = build_model(params_of(), SIZE, CLASSES)
    see(model)
    return model


def see(model: keras.Model) -> None:
    """Let it see pictures: with the initial batch statistics, logits are next to nothing, and so are differences."""
    for _ in range(20):
        model(images_of(), training=True)


def test_its_logits_are_the_mean_of_both(model: keras.Model) -> None:
    one, other = by_hand(model, images_of())
    assert np.abs(one - other).max() > 0.01
    np.testing.assert_allclose(model(images_of(), training=False), (one + other) / 2, rtol=1e-4, atol=1e-5)
    for got, expected in zip(logits_of_each(model)(images_of(), training=False), (one, other), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_one_network_is_no_ensemble() -> None:
    alone = build_model(params_of(None), SIZE, CLASSES)
    assert networks(alone) == [alone]
    (only,) = logits_of_each(alone)(images_of(), training=False)
    np.testing.assert_array_equal(only, alone(images_of(), training=False))


def test_without_shrinking_both_see_the_picture_itself() -> None:
    twice = build_model(params_of("deeplabv3plus", shrink=1), SIZE, CLASSES)
    see(twice)
    first, second = networks(twice)
    assert first.input_shape == second.input_shape == (None, SIZE, SIZE, 3)
    expected = (first(images_of()) + second(images_of())) / 2
    np.testing.assert_allclose(twice(images_of(), training=False), expected, rtol=1e-4, atol=1e-5)
    assert np.abs(first(images_of()) - second(images_of())).max() > 0.01, "two networks of other initial weights"


def test_several_of_a_kind_are_several_networks(tmp_path: Path) -> None:
    one = {"architecture": "pspnet", "backbone": "mobilenet", "shrink": 2}
    params = params_of(ensemble=[one, {**one, "shrink": 1}, one])
    model = build_model(params, SIZE, CLASSES)
    see(model)
    assert [network.input_shape[1] for network in networks(model)] == [SIZE, SIZE // 2, SIZE, SIZE // 2]
    _, of_half = by_hand(model, images_of())
    logits = [np.asarray(of_one) for of_one in logits_of_each(model)(images_of(), training=False)]
    np.testing.assert_allclose(logits[1], of_half, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model(images_of(), training=False), np.mean(logits, axis=0), rtol=1e-4, atol=1e-5)
    for place in range(4):
        for other in range(place):
            assert np.abs(logits[place] - logits[other]).max() > 0.01, "other initial weights"
    write_model(tmp_path / "models", model, params)
    loaded = read_model(tmp_path / "models")
    np.testing.assert_array_equal(loaded(images_of(), training=False), model(images_of(), training=False))


def test_it_costs_both_networks_and_what_lies_between(model: keras.Model) -> None:
    first, second = networks(model)
    half = SIZE // 2
    shrinking = half * SIZE * SIZE * 3 + half * SIZE * half * 3
    enlarging = SIZE * half * half * CLASSES + SIZE * half * SIZE * CLASSES
    assert multiply_adds(model) == multiply_adds(first) + multiply_adds(second) + shrinking + enlarging
    assert model.count_params() == first.count_params() + second.count_params()


def test_each_network_learns_from_its_own_loss_alone() -> None:
    """A step of plain SGD against a step by hand: the gradient of one's own cross-entropy, not of the mean's."""
    keras.utils.set_random_seed(0)
    model = build_model(params_of(), SIZE, CLASSES)
    still = dict.fromkeys(SHIPPED.train.augment.model_dump(), 0.0)
    terms = {**SHIPPED.train.loss.model_dump(), "dice": 0.0, "jaccard": 0.0}
    optimizer = {**SHIPPED.train.optimizer.model_dump(), "name": "sgd", "momentum": 0.0, "weight_decay": 0.0}
    values = SHIPPED.train.model_dump() | {"augment": still, "loss": terms, "optimizer": optimizer}
    params = type(SHIPPED.train).model_validate(values | {"learning_rate": 0.1})
    images, masks = images_of(), np.random.default_rng(1).integers(0, CLASSES, (2, SIZE, SIZE))
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    expected, losses = [], []
    for place, network in enumerate(networks(model)):
        before = [np.asarray(weight) for weight in network.trainable_variables]
        with tf.GradientTape() as tape:
            losses.append(entropy(masks, by_hand(model, images, training=True)[place]))
        gradients = tape.gradient(losses[-1], network.trainable_variables)
        expected.append([weight - 0.1 * gradient for weight, gradient in zip(before, gradients, strict=True)])
    moving = build_optimizer(params)
    moving.build(model.trainable_variables)
    step = build_training_step(model, moving, params, ("a", "b", "c"), [], tf.distribute.get_strategy(), None)
    batch = {"images": images.astype(np.uint8), "masks": masks.astype(np.uint8), "keys": np.zeros((2, 2), np.int32)}
    loss, confusion = step({name: tf.constant(value) for name, value in batch.items()})
    assert float(loss) == pytest.approx(float(np.mean(losses)), rel=1e-4)
    assert confusion.numpy().sum() == 2 * SIZE * SIZE
    for network, weights in zip(networks(model), expected, strict=True):
        for weight, value in zip(network.trainable_variables, weights, strict=True):
            np.testing.assert_allclose(np.asarray(weight), value, rtol=1e-3, atol=1e-5, err_msg=weight.path)


def test_it_comes_back_from_its_folder(model: keras.Model, tmp_path: Path) -> None:
    write_model(tmp_path / "models", model, params_of())
    loaded = read_model(tmp_path / "models")
    np.testing.assert_array_equal(loaded(images_of(), training=False), model(images_of(), training=False))


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (None, None),
        (None, {"architecture": None, "backbone": "resnet18", "shrink": 2}),
        ("pspnet", {"architecture": "pspnet", "backbone": "mobilenet", "shrink": 2}),
    ],
    ids=["before there were ensembles", "one alone", "a second"],
)
def test_a_model_described_before_ensembles_were_lists(
    tmp_path: Path, second: str | None, told: dict[str, Any] | None
) -> None:
    model = build_model(params_of(second), SIZE, CLASSES)
    write_model(tmp_path / "models", model, params_of(second))
    description = json.loads((tmp_path / "models" / "model.json").read_text())
    del description["params"]["ensemble"]
    if told is not None:
        description["params"]["ensemble"] = told
    write_json(tmp_path / "models" / "model.json", description)
    loaded = read_model(tmp_path / "models")
    np.testing.assert_array_equal(loaded(images_of(), training=False), model(images_of(), training=False))


def test_it_begins_from_a_model_of_one_network_and_from_an_ensemble(model: keras.Model, tmp_path: Path) -> None:
    alone = build_model(params_of(None), SIZE, CLASSES)
    see(alone)
    write_model(tmp_path / "alone", alone, params_of(None))
    write_model(tmp_path / "both", model, params_of())
    new = build_model(params_of(), SIZE, CLASSES)
    loaded = begin_from(new, tmp_path / "alone", params_of())
    first, _ = networks(new)
    assert loaded.encoder[0] < loaded.encoder[1]
    assert loaded.left
    assert all(name.startswith("network 2/") for name in loaded.left)
    np.testing.assert_array_equal(first(images_of()), alone(images_of()))
    assert begin_from(new, tmp_path / "both", params_of()).left == ()
    np.testing.assert_array_equal(new(images_of(), training=False), model(images_of(), training=False))


@pytest.mark.parametrize(
    ("second", "shrink", "size", "message"),
    [
        ("pspnet", 3, 128, r"^resize\.size is 128, which model\.ensemble\.0\.shrink 3 does not divide"),
        (
            "unet",
            2,
            96,
            r"^resize\.size is 96 and model\.ensemble\.0\.shrink 2, so that network sees 48, which unet cannot take: "
            r"it needs a multiple of 32, at least 64; the nearest: 64",
        ),
    ],
)
def test_sizes_that_a_further_network_cannot_take(second: str, shrink: int, size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_model(params_of(second, shrink), size, CLASSES)


def test_an_encoder_that_does_not_exist() -> None:
    chosen = {"architecture": "pspnet", "backbone": "mobilenet", "shrink": 2}
    params = params_of(ensemble=[chosen, {**chosen, "backbone": "mobilnet"}])
    with pytest.raises(ValueError, match=r"^model\.ensemble\.1\.backbone is 'mobilnet'.*did you mean 'mobilenet'\?"):
        build_model(params, SIZE, CLASSES)
