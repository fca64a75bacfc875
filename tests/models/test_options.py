"""What the model section can change: scaling, a held encoder, one logit for two classes."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from faceseg.models.build import ARCHITECTURES, build_model
from faceseg.objectives.losses import build_loss
from faceseg.params import read_params

SHIPPED = read_params(Path(__file__).parents[2] / "params.yaml")
MASKS = np.random.default_rng(1).choice([0, 1, 255], (2, 64, 64))


def _model(classes=2, **changes):
    keras.utils.set_random_seed(0)
    values = {"architecture": "deeplabv3plus", "backbone": "mobilenet", **changes}
    return build_model(SHIPPED.model.model_copy(update=values), 64, classes)


def _images():
    return np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_two_logits_of_one_are_its_sigmoid(architecture):
    model = _model(architecture=architecture, output="sigmoid")
    assert model.output_shape == (None, 64, 64, 2)
    logits = model(_images(), training=True)
    assert logits.dtype == tf.float32
    np.testing.assert_array_equal(logits[..., 0], np.zeros((2, 64, 64)))
    np.testing.assert_allclose(tf.nn.softmax(logits)[..., 1], tf.sigmoid(logits[..., 1]), rtol=1e-5)
    # The class is 1 where the foreground's probability is above one half.
    np.testing.assert_array_equal(tf.argmax(logits, -1) == 1, tf.sigmoid(logits[..., 1]) > 0.5)


def test_the_loss_of_one_logit_is_binary_cross_entropy():
    logits = _model(output="sigmoid")(_images())
    only = dict.fromkeys(("dice", "jaccard"), 0.0)
    loss = build_loss(SHIPPED.train.loss.model_copy(update=only), 2)
    scored = MASKS != 255
    expected = keras.losses.BinaryCrossentropy(from_logits=True)(MASKS[scored], logits.numpy()[..., 1][scored])
    assert float(loss(logits, MASKS)) == pytest.approx(float(expected), rel=1e-5)


def test_one_logit_has_half_the_classifier():
    two, one = _model(), _model(output="sigmoid")
    assert two.get_layer("classifier").count_params() == 2 * one.get_layer("classifier").count_params()


def test_a_sigmoid_for_three_classes():
    with pytest.raises(ValueError, match=r"model.output is 'sigmoid', .* the merge has 3 classes; set model.output"):
        _model(classes=3, output="sigmoid")


def test_unit_scaling_is_zero_to_one():
    model = _model(input_scaling="unit")
    scaled = keras.Model(model.input, model.get_layer("normalise").output)(_images())
    np.testing.assert_allclose(scaled, _images() / 255, rtol=1e-6)
    assert not np.allclose(model(_images()), _model()(_images()))


def test_a_held_encoder_moves_neither_weights_nor_statistics():
    model = _model(backbone="resnet18", encoder_trainable=False)
    encoder = model.get_layer("encoder")
    before = [np.asarray(weight) for weight in encoder.weights]
    assert encoder.trainable_variables == []
    with tf.GradientTape() as tape:
        value = tf.reduce_mean(model(_images(), training=True) ** 2)
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.apply(tape.gradient(value, model.trainable_variables), model.trainable_variables)
    for weight, value in zip(encoder.weights, before, strict=True):
        np.testing.assert_array_equal(np.asarray(weight), value)


def test_a_free_encoder_still_holds_the_offset_of_the_pixels():
    encoder = _model(backbone="resnet18").get_layer("encoder")
    assert not encoder.get_layer("bn_data").beta.trainable
    assert encoder.get_layer("stage1_unit1_bn1").beta.trainable
