"""Each architecture: shapes, dtypes, gradients, what it cannot take, and equality with its plain form."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from faceseg.models import deeplabv3plus, pspnet
from faceseg.models.build import ARCHITECTURES, build_model
from faceseg.params import read_params

CLASSES = 5


def _params(architecture, backbone="mobilenet", **changes):
    shipped = read_params(Path(__file__).parents[2] / "params.yaml").model
    return shipped.model_copy(update={"architecture": architecture, "backbone": backbone, **changes})


def _images(size=64, batch=2):
    return np.random.default_rng(0).uniform(0, 255, (batch, size, size, 3)).astype(np.float32)


@pytest.fixture
def policy(request):
    previous = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(request.param)
    yield request.param
    keras.mixed_precision.set_dtype_policy(previous)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"], indirect=True)
@pytest.mark.parametrize(
    ("architecture", "backbone"),
    [(name, backbone) for name in ("pspnet", "deeplabv3plus") for backbone in ("resnet18", "efficientnetb0", "vgg16")]
    + [("fcn", "vgg16"), ("unet", "resnet18"), ("fpn", "mobilenet"), ("linknet", "mobilenet")],
)
def test_logits_and_gradients(architecture, backbone, policy):
    # EfficientNet leaves whole blocks out at random; both pictures at once would leave their weights without gradient.
    keras.utils.set_random_seed(0)
    model = build_model(_params(architecture, backbone), 64, CLASSES)
    assert model.input_shape == (None, 64, 64, 3)
    assert model.output_shape == (None, 64, 64, CLASSES)
    with tf.GradientTape() as tape:
        outputs = model(_images(), training=True)
        value = tf.reduce_mean(outputs**2)
    assert outputs.dtype == tf.float32
    assert outputs.shape == (2, 64, 64, CLASSES)
    # Logits, not probabilities.
    assert np.ptp(np.sum(outputs, axis=-1)) > 0.01
    assert all(variable.dtype == "float32" for variable in model.trainable_variables)
    gradients = tape.gradient(value, model.trainable_variables)
    dead = [
        variable.path
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True)
        if gradient is None or not np.any(gradient)
    ]
    assert dead == []


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_first_predictions_favour_no_class_by_far(architecture):
    probabilities = tf.nn.softmax(build_model(_params(architecture), 64, CLASSES)(_images(), training=True))
    entropy = -tf.reduce_mean(tf.reduce_sum(probabilities * tf.math.log(probabilities), axis=-1))
    assert entropy > 0.5 * np.log(CLASSES)


@pytest.mark.parametrize(
    ("architecture", "size", "message"),
    [
        (
            "pspnet",
            100,
            r"resize.size is 100, which pspnet cannot take: it needs a multiple of 8, .*nearest: 96 or 104",
        ),
        ("pspnet", 40, r"a multiple of 8, at least 48; the nearest: 48"),
        ("deeplabv3plus", 250, r"deeplabv3plus cannot take: it needs a multiple of 16, .*nearest: 240 or 256"),
        ("deeplabv3plus", 48, r"at least 64; the nearest: 64"),
    ],
)
def test_a_size_that_the_architecture_cannot_take(architecture, size, message):
    with pytest.raises(ValueError, match=message):
        build_model(_params(architecture), size, CLASSES)


@pytest.mark.parametrize(("architecture", "size"), [("pspnet", 48), ("pspnet", 104), ("deeplabv3plus", 80)])
def test_sizes_that_48_does_not_divide(architecture, size):
    assert build_model(_params(architecture), size, CLASSES)(_images(size)).shape == (2, size, size, CLASSES)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_wrong_names_and_numbers(architecture):
    with pytest.raises(
        ValueError, match=r"model.backbone is 'resnet': there is no such encoder.*choose one of: .*resnet34"
    ):
        build_model(_params(architecture, "resnet"), 64, CLASSES)
    with pytest.raises(ValueError, match="a model for 1 classes: expected at least 2"):
        build_model(_params(architecture), 64, 1)


# Keras 3.15 asks TensorFlow 2.21's variables for an array in a way that NumPy 2 calls outdated.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
@pytest.mark.parametrize("backbone", ["mobilenet", "seresnet50"])
def test_weights_go_from_one_model_to_another(backbone, tmp_path):
    # The library numbers some layers anew each time; the file must not depend on it.
    first, second = (build_model(_params("deeplabv3plus", backbone), 64, CLASSES) for _ in range(2))
    first.save_weights(tmp_path / "model.weights.h5")
    assert not np.array_equal(first(_images()), second(_images()))
    second.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(first(_images()), second(_images()))


def test_a_model_learns_one_picture_and_remembers_it():
    # With Keras' momentum of 0.99 the moving statistics would be far behind after 30 steps, and the last line fail.
    keras.utils.set_random_seed(0)
    model = build_model(_params("deeplabv3plus", "resnet18"), 64, 2)
    images = _images(batch=4)
    masks = np.zeros((4, 64, 64), np.int32)
    masks[:, 16:48, 20:40] = 1
    images[masks == 1] *= 0.3
    optimizer = keras.optimizers.Adam(1e-3)
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    step = tf.function(lambda: _step(model, optimizer, crossentropy, images, masks))
    for _ in range(30):
        step()
    assert np.mean(np.argmax(model(images, training=False), axis=-1) == masks) > 0.95


def _step(model, optimizer, crossentropy, images, masks):
    with tf.GradientTape() as tape:
        value = crossentropy(masks, model(images, training=True))
    optimizer.apply(tape.gradient(value, model.trainable_variables), model.trainable_variables)


def _rectify(layer, inputs):
    return keras.ops.relu(layer(inputs, training=False))


def _joined(parts, kernels):
    """The plain form: concatenate, then one 1x1 convolution."""
    return tf.nn.conv2d(tf.concat(parts, -1), tf.concat(kernels, 2), 1, "SAME")


def test_pspnet_equals_its_plain_form():
    features = keras.Input((13, 13, 7))
    model = keras.Model(features, pspnet.head({8: features}, CLASSES, 104))
    at = model.get_layer
    values = np.random.default_rng(0).normal(size=(2, 13, 13, 7)).astype(np.float32)
    branches = [values]
    for bins in (1, 2, 3, 6):
        if bins == 1:
            pooled = at("reduce1")(tf.reduce_mean(values, (1, 2), keepdims=True))
        else:
            pooled = _rectify(at(f"reduce{bins}_bn"), at(f"reduce{bins}")(at(f"bins{bins}")(values)))
        branches.append(tf.image.resize(pooled, (13, 13)))
    kernels = [at(name).kernel for name in ("join_features", "join1", "join2", "join3", "join6")]
    joined = _rectify(at("join_bn"), _joined(branches, kernels))
    expected = tf.image.resize(at("classifier")(joined), (104, 104))
    np.testing.assert_allclose(model(values, training=False), expected, rtol=1e-3, atol=1e-4)


def test_deeplabv3plus_equals_its_plain_form():
    levels = {4: keras.Input((24, 24, 5)), 16: keras.Input((6, 6, 7))}
    model = keras.Model(list(levels.values()), deeplabv3plus.head(levels, CLASSES, 96))
    at = model.get_layer
    rng = np.random.default_rng(0)
    fine, coarse = (rng.normal(size=(2, *level.shape[1:])).astype(np.float32) for level in levels.values())
    names = ["aspp_point", "aspp_atrous0", "aspp_atrous1", "aspp_atrous2"]
    branches = [_rectify(at(f"{name}_bn"), at(name)(coarse)) for name in names]
    branches.append(tf.image.resize(at("aspp_picture")(tf.reduce_mean(coarse, (1, 2), keepdims=True)), (6, 6)))
    context = _rectify(at("join_bn"), _joined(branches, [at("join_branches").kernel, at("join_picture").kernel]))
    parts = [tf.image.resize(context, (24, 24)), fine]
    decoded = _rectify(at("decode_bn"), _joined(parts, [at("decode_context").kernel, at("decode_fine").kernel]))
    decoded = _rectify(at("refine_bn"), at("refine")(decoded))
    expected = tf.image.resize(at("classifier")(decoded), (96, 96))
    np.testing.assert_allclose(model([fine, coarse], training=False), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        (33, (6, 12, 18)),  # the paper's
        (16, (3, 6, 9)),  # 6 * 16 / 33 = 2.9, 5.8, 8.7
        (4, (1, 1, 2)),  # 0.7, 1.5, 2.2
    ],
)
def test_dilation_shrinks_with_the_map(side, expected):
    assert deeplabv3plus.rates(side) == expected
