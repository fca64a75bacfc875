"""U-Net, FPN and LinkNet equal segmentation-models' own, but for what is ours on purpose."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from faceseg.models.backbones import normalise, segmentation_models
from faceseg.models.blocks import FusedBatchNormalization, Repeat
from faceseg.models.build import build_model
from faceseg.params import read_params

CLASSES = 4
SIZE = 64
THEIRS = {"unet": "Unet", "fpn": "FPN", "linknet": "Linknet"}


def _params(architecture, backbone="resnet18", **changes):
    shipped = read_params(Path(__file__).parents[2] / "params.yaml").model
    return shipped.model_copy(update={"architecture": architecture, "backbone": backbone, **changes})


@pytest.mark.parametrize(
    ("architecture", "backbone", "decoder"),
    [
        ("unet", "resnet18", "upsampling"),
        ("unet", "vgg16", "transpose"),
        ("linknet", "resnet18", "upsampling"),
        ("linknet", "mobilenet", "transpose"),
        ("fpn", "resnet18", "upsampling"),
    ],
)
def test_logits_are_the_library_s(architecture, backbone, decoder):
    ours = build_model(_params(architecture, backbone, decoder=decoder), SIZE, CLASSES)
    options = {} if architecture == "fpn" else {"decoder_block_type": decoder}
    theirs = getattr(segmentation_models, THEIRS[architecture])(
        backbone, input_shape=(SIZE, SIZE, 3), classes=CLASSES, activation="linear", encoder_weights=None, **options
    )
    of_layer = {
        layer.name: layer for part in ("encoder", "decoder") for layer in ours.get_layer(part).layers if layer.weights
    }
    named = [(re.sub(r"^conv2d.*", "final_conv", layer.name), layer) for layer in theirs.layers if layer.weights]
    assert set(of_layer) == {name for name, _ in named}
    rng = np.random.default_rng(0)
    for name, layer in named:
        # Variances are positive; everything moves away from its initial value, so that no two could be mixed up.
        values = [np.abs(np.asarray(weight) + rng.normal(0, 0.02, weight.shape)) for weight in layer.weights]
        layer.set_weights(values)
        of_layer[name].set_weights(values)
    pixels = rng.uniform(0, 255, (2, SIZE, SIZE, 3)).astype(np.float32)
    images = keras.Input((SIZE, SIZE, 3))
    scaled = keras.Model(images, normalise(images, backbone))(pixels) if backbone != "resnet18" else pixels
    expected = theirs(scaled, training=False).numpy()
    np.testing.assert_allclose(ours(pixels, training=False), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_the_classifier_is_float32_and_batch_normalisation_ours():
    previous = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        decoder = build_model(_params("unet"), SIZE, CLASSES).get_layer("decoder")
    finally:
        keras.mixed_precision.set_dtype_policy(previous)
    assert decoder.get_layer("final_conv").compute_dtype == "float32"
    assert decoder.get_layer("decoder_stage0a_conv").compute_dtype == "bfloat16"
    norms = [layer for layer in decoder.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == 10
    assert all(type(layer) is FusedBatchNormalization and layer.momentum == 0.9 for layer in norms)


def test_repeat_is_nearest_upsampling_with_its_gradient():
    values = tf.Variable(np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32))
    weights = np.random.default_rng(1).normal(size=(2, 6, 8, 5)).astype(np.float32)
    outputs = []
    for layer in (Repeat(2), keras.layers.UpSampling2D(2)):
        with tf.GradientTape() as tape:
            result = layer(values)
            total = tf.reduce_sum(result * weights)
        outputs.append((result, tape.gradient(total, values)))
    np.testing.assert_array_equal(outputs[0][0], outputs[1][0])
    np.testing.assert_allclose(outputs[0][1], outputs[1][1], rtol=1e-6)
