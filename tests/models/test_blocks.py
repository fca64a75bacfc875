"""The shared layers against Keras, TensorFlow and hand arithmetic."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from faceseg.models.blocks import (
    BATCH_NORM_MOMENTUM,
    BinAverage,
    Enlarge,
    FusedBatchNormalization,
    batch_norm,
    bilinear_matrix,
    bin_matrix,
)

SIDES = st.integers(1, 40)


def _random(*shape):
    return np.random.default_rng(0).normal(2, 3, shape).astype(np.float32)


@pytest.fixture(params=[{}, {"scale": False}, {"center": False}], ids=["whole", "no scale", "no centre"])
def twins(request):
    """Our batch normalisation and Keras' own, with the same weights, which are not the initial ones."""
    rng = np.random.default_rng(1)
    layers = [
        kind(momentum=0.8, **request.param) for kind in (FusedBatchNormalization, keras.layers.BatchNormalization)
    ]
    for layer in layers:
        layer.build((None, 5, 4, 3))
    values = [rng.uniform(0.5, 2, weight.shape) for weight in layers[0].weights]
    for layer in layers:
        layer.set_weights(values)
    return layers


def test_fused_batch_norm_trains_as_keras_does(twins):
    inputs = tf.constant(_random(2, 5, 4, 3))
    outcomes = []
    for layer in twins:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True)
            value = tf.reduce_sum(outputs**3)
        gradients = tape.gradient(value, [inputs, *layer.trainable_variables])
        outcomes.append([outputs, *gradients, *layer.weights])
    for ours, theirs in zip(*outcomes, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-4)


def test_fused_batch_norm_infers_as_keras_does(twins):
    ours, theirs = (layer(_random(2, 5, 4, 3), training=False) for layer in twins)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_fused_batch_norm_that_is_frozen_keeps_its_statistics(twins):
    before = twins[0].get_weights()
    twins[0].trainable = False
    inputs = _random(2, 5, 4, 3)
    np.testing.assert_array_equal(twins[0](inputs, training=True), twins[0](inputs, training=False))
    np.testing.assert_array_equal(np.concatenate(twins[0].get_weights()), np.concatenate(before))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_fused_batch_norm_in_half_precision(policy):
    inputs = tf.cast(_random(2, 5, 4, 3), policy.removeprefix("mixed_"))
    ours, theirs = FusedBatchNormalization(dtype=policy), keras.layers.BatchNormalization(dtype=policy)
    outputs = ours(inputs, training=True)
    assert outputs.dtype == inputs.dtype
    np.testing.assert_allclose(
        tf.cast(outputs, "float32"), tf.cast(theirs(inputs, training=True), "float32"), atol=0.02
    )
    np.testing.assert_allclose(ours.moving_variance, theirs.moving_variance, rtol=1e-5)


def test_synchronized_batch_norm_is_keras_own():
    inputs = _random(2, 5, 4, 3)
    ours, theirs = (
        kind(synchronized=True)(inputs, training=True)
        for kind in (FusedBatchNormalization, keras.layers.BatchNormalization)
    )
    np.testing.assert_array_equal(ours, theirs)


def test_batch_norm_has_our_momentum_whatever_was_asked_for():
    layer = batch_norm(momentum=0.99, epsilon=2e-5, name="named")
    assert (layer.momentum, layer.epsilon, layer.name) == (BATCH_NORM_MOMENTUM, 2e-5, "named")
    assert not layer.synchronized


TWO_DEVICES = """
import numpy as np, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
from faceseg.models.blocks import batch_norm

pixels = np.random.default_rng(0).normal(size=(4, 3, 3, 2)).astype("float32")
one = batch_norm()
whole = one(pixels, training=True)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    two = batch_norm()
    two.build(pixels.shape)
halves = strategy.experimental_distribute_values_from_function(
    lambda context: tf.constant(np.split(pixels, 2)[context.replica_id_in_sync_group])
)
outputs = tf.function(lambda: strategy.run(lambda half: two(half, training=True), args=(halves,)))()
outputs = tf.concat(strategy.experimental_local_results(outputs), 0)
np.testing.assert_allclose(outputs, whole, atol=1e-5)
for ours, theirs in zip(two.weights, one.weights, strict=True):
    np.testing.assert_allclose(ours.value.numpy(), theirs.value.numpy(), atol=1e-6)
print("equal")
"""


def test_batch_norm_on_two_devices_sees_the_global_batch():
    # Logical devices can only be set before TensorFlow's first operation: a process of its own.
    run = subprocess.run([sys.executable, "-c", TWO_DEVICES], capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout.endswith("equal\n")


@pytest.mark.parametrize(
    ("inputs", "outputs"), [((1, 1), (7, 5)), ((4, 4), (16, 16)), ((3, 5), (8, 8)), ((6, 6), (32, 32))]
)
def test_enlarge_is_bilinear_interpolation(inputs, outputs):
    pixels = _random(2, *inputs, 3)
    expected = tf.image.resize(pixels, outputs, method="bilinear")
    np.testing.assert_allclose(Enlarge(*outputs)(pixels), expected, rtol=1e-5, atol=1e-5)


def test_enlarge_by_hand():
    # Centres of 4 pixels over 2: at -1/4, 1/4, 3/4, 5/4 of the way from the first centre to the second.
    np.testing.assert_array_equal(bilinear_matrix(2, 4), [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])


def test_bins_that_divide_the_map_are_average_pooling():
    pixels = _random(2, 12, 6, 3)
    expected = keras.layers.AveragePooling2D((4, 2))(pixels)
    np.testing.assert_allclose(BinAverage(3, 3)(pixels), expected, rtol=1e-5, atol=1e-5)


def test_bins_that_do_not_divide_the_map_by_hand():
    # Five cells in three bins: from 0, 1 2/3 and 3 1/3 to 1 2/3, 3 1/3 and 5, outwards: 0-1, 1-3, 3-4.
    third = 1 / 3
    np.testing.assert_allclose(
        bin_matrix(5, 3), [[0.5, 0.5, 0, 0, 0], [0, third, third, third, 0], [0, 0, 0, 0.5, 0.5]]
    )


@settings(deadline=None)
@given(inputs=SIDES, outputs=SIDES)
def test_resampling_is_averaging(inputs, outputs):
    for matrix in (bilinear_matrix(inputs, outputs), bin_matrix(inputs, outputs)):
        assert (matrix >= 0).all()
        np.testing.assert_allclose(matrix.sum(axis=1), 1)
    # Every cell is in some bin.
    assert (bin_matrix(inputs, outputs) > 0).any(axis=0).all()


# Keras 3.15 asks TensorFlow 2.21's variables for an array in a way that NumPy 2 calls outdated.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
@pytest.mark.parametrize(
    "layer", [Enlarge(8, 6), BinAverage(2, 3), FusedBatchNormalization()], ids=lambda layer: layer.name
)
def test_layers_survive_serialisation(layer, tmp_path):
    pixels = _random(1, 4, 4, 2)
    model = keras.Sequential([keras.Input((4, 4, 2)), layer])
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(pixels), model(pixels))


def test_layers_keep_the_dtype():
    pixels = tf.cast(_random(1, 4, 4, 2), "bfloat16")
    assert Enlarge(8, 8, dtype="bfloat16")(pixels).dtype == tf.bfloat16
    assert BinAverage(2, 2, dtype="mixed_bfloat16")(pixels).dtype == tf.bfloat16
