"""One step: the optimizers beside Keras', clipping beside TensorFlow's, parts beside the whole, averages."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from faceseg.params import Augment, TrainParams
from faceseg.training.averages import Averages
from faceseg.training.step import build_optimizer, build_training_step
from tests.training.blocks import CLASSES, picture, train_params

NO_AUGMENT = dict.fromkeys(Augment.model_fields, 0.0)
ENTROPY = {"dice": 0.0, "jaccard": 0.0}
STEPS = 4


def linear_model() -> keras.Model:
    keras.utils.set_random_seed(1)
    images = keras.Input((16, 16, 3))
    return keras.Model(images, keras.layers.Conv2D(3, 3, padding="same")(keras.layers.Rescaling(1 / 255)(images)))


def batch_of(number: int) -> dict[str, tf.Tensor]:
    images, masks = zip(*(picture("train", row) for row in range(number)), strict=True)
    return {
        "images": tf.constant(np.stack(images)),
        # Scored throughout, so that the parts of a batch have as many scored pixels each.
        "masks": tf.constant(np.where(np.stack(masks) == 255, 0, np.stack(masks)).astype(np.uint8)),
        "keys": tf.zeros((number, 2), tf.int32),
    }


def ours(**changes: Any) -> list[np.ndarray]:
    params = train_params(augment=NO_AUGMENT, loss=ENTROPY, **changes)
    model, optimizer = linear_model(), build_optimizer(params)
    optimizer.build(model.trainable_variables)
    step = build_training_step(model, optimizer, params, CLASSES, [], tf.distribute.get_strategy(), None)
    for _ in range(STEPS):
        step(batch_of(params.batch_size))
    return [np.asarray(weight) for weight in model.weights]


def theirs(optimizer: keras.Optimizer, batch_size: int = 4) -> list[np.ndarray]:
    model, batch = linear_model(), batch_of(batch_size)
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for _ in range(STEPS):
        with tf.GradientTape() as tape:
            value = entropy(batch["masks"], model(tf.cast(batch["images"], tf.float32), training=True))
        optimizer.apply(tape.gradient(value, model.trainable_variables), model.trainable_variables)
    return [np.asarray(weight) for weight in model.weights]


def assert_same(got: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_missing_background_is_named_before_the_first_step() -> None:
    params = train_params(augment={**NO_AUGMENT, "background": 0.5})
    with pytest.raises(ValueError, match=r"^train\.augment\.background repaints the class 'background', and the merge"):
        build_training_step(
            linear_model(), build_optimizer(params), params, CLASSES, [], tf.distribute.get_strategy(), None
        )


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (
            {"name": "sgd", "momentum": 0.8, "nesterov": True, "weight_decay": 0.0},
            lambda: keras.optimizers.SGD(0.05, momentum=0.8, nesterov=True),
        ),
        (
            {"name": "sgd", "momentum": 0.8, "weight_decay": 0.1},
            lambda: keras.optimizers.SGD(0.05, momentum=0.8, weight_decay=0.1),
        ),
        # Plain Adam has no weight decay, whatever is set for the others.
        ({"name": "adam", "beta_1": 0.8, "weight_decay": 0.5}, lambda: keras.optimizers.Adam(0.05, beta_1=0.8)),
        (
            {"name": "adamw", "beta_2": 0.9, "weight_decay": 0.1},
            lambda: keras.optimizers.AdamW(0.05, weight_decay=0.1, beta_2=0.9),
        ),
    ],
    ids=["nesterov", "sgd-decay", "adam", "adamw"],
)
def test_optimizers_are_those_of_keras(chosen: dict[str, Any], expected: Any) -> None:
    assert_same(ours(learning_rate=0.05, optimizer=chosen), theirs(expected()))


SGD = {"name": "sgd", "momentum": 0.0, "weight_decay": 0.0}


def test_clipping_is_by_the_length_of_the_whole_gradient() -> None:
    clipped = ours(learning_rate=0.5, optimizer=SGD, clip_norm=0.01)
    assert_same(clipped, theirs(keras.optimizers.SGD(0.5, global_clipnorm=0.01)))
    start = [np.asarray(weight) for weight in linear_model().weights]
    moved = np.sqrt(sum(np.sum((now - then) ** 2) for now, then in zip(clipped, start, strict=True)))
    assert 0 < moved <= STEPS * 0.5 * 0.01 * 1.0001


def test_a_long_limit_clips_nothing() -> None:
    assert_same(ours(optimizer=SGD, clip_norm=1e6), ours(optimizer=SGD))


@pytest.mark.parametrize("parts", [2, 4])
def test_the_mean_over_parts_is_the_whole(parts: int) -> None:
    """Cross-entropy of pictures with as many scored pixels, without batch statistics: nothing else may differ."""
    assert_same(ours(optimizer=SGD, accumulate=parts, clip_norm=0.05), ours(optimizer=SGD, clip_norm=0.05))


def test_float16_is_clipped_by_its_unscaled_length() -> None:
    before = keras.mixed_precision.dtype_policy()
    try:
        scaled = ours(optimizer=SGD, clip_norm=0.01, precision="mixed_float16", learning_rate=0.5)
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    assert_same(scaled, ours(optimizer=SGD, clip_norm=0.01, learning_rate=0.5))


@pytest.mark.parametrize("decay", [0.3, 0.99])
def test_averages_are_tensorflow_s(decay: float) -> None:
    model = linear_model()
    averages = Averages(model, decay)
    theirs = tf.train.ExponentialMovingAverage(decay)
    values = [tf.Variable(np.asarray(weight)) for weight in model.weights]
    theirs.apply(values)
    for step in range(1, 30):
        for weight, value in zip(model.weights, values, strict=True):
            moved = np.random.default_rng(step).normal(size=weight.shape).astype(np.float32)
            weight.assign(moved)
            value.assign(moved)
        averages.update()
        theirs._num_updates = step
        theirs.apply(values)
    own = [np.asarray(weight) for weight in model.weights]
    with averages.in_place():
        for weight, value in zip(model.weights, values, strict=True):
            np.testing.assert_allclose(np.asarray(weight), theirs.average(value).numpy(), rtol=1e-5, atol=1e-6)
    for weight, value in zip(model.weights, own, strict=True):
        np.testing.assert_array_equal(np.asarray(weight), value)


def test_parts_must_divide_the_batch() -> None:
    values = train_params().model_dump()
    with pytest.raises(ValueError, match="batch_size is 8, which accumulate 3 does not divide"):
        TrainParams.model_validate({**values, "batch_size": 8, "accumulate": 3})
