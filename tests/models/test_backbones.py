"""Encoders: names, levels, normalisation as the library does it, and what happens without a network."""

import os
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest

from faceseg.models.backbones import backbone_names, build_encoder, normalise, segmentation_models
from faceseg.models.blocks import FusedBatchNormalization

# One of each family, and the smallest of it.
FAMILIES = ["resnet18", "seresnet18", "vgg16", "mobilenet", "mobilenetv2", "efficientnetb0", "inceptionv3"]


def test_the_library_runs_on_keras_3():
    assert segmentation_models.framework() == "tf.keras"
    assert keras.__version__.startswith("3.")


def test_names():
    names = backbone_names()
    assert names == sorted(names)
    assert set(FAMILIES) | {"resnet50", "seresnet50", "resnext50", "senet154"} <= set(names)
    assert not any(name.startswith("densenet") for name in names)


@pytest.mark.parametrize("name", FAMILIES)
def test_levels_have_their_strides(name):
    encoder = build_encoder(name, 96, (2, 4, 8, 16), None)
    assert [features.shape[1:3] for features in encoder.outputs] == [(48, 48), (24, 24), (12, 12), (6, 6)]


# Keras calls the format of the files that are there to be downloaded "legacy".
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("name", ["resnet18", "vgg16"])
def test_downloaded_weights_are_taken_over(name, tmp_path, monkeypatch):
    """All but the download: a file of another encoder's weights in the format that the library fetches."""
    other = build_encoder(name, 96, (2, 4, 8, 16, 32), None)
    other.save(tmp_path / "whole.h5")
    with h5py.File(tmp_path / "whole.h5") as whole, h5py.File(tmp_path / "weights.h5", "w") as weights:
        weights.attrs.update(whole["model_weights"].attrs)
        for layer in whole["model_weights"]:
            whole.copy(f"model_weights/{layer}", weights)
    asked = []

    def fetched(fname, origin, **options):
        asked.append((fname, options["cache_subdir"]))
        return str(tmp_path / "weights.h5")

    monkeypatch.setattr(keras.utils, "get_file", fetched)
    encoder = build_encoder(name, 96, (2, 4, 8, 16, 32), "imagenet")
    assert len(asked) == 1
    assert asked[0][1] == "models", "Keras' folder for them"
    assert len(encoder.weights) == len(other.weights)
    for weight, expected in zip(encoder.weights, other.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(weight), np.asarray(expected))


@pytest.mark.slow
@pytest.mark.parametrize("name", backbone_names())
def test_every_encoder_builds(name):
    encoder = build_encoder(name, 96, (4, 16), None)
    assert [features.shape[1:3] for features in encoder.outputs] == [(24, 24), (6, 6)]


def test_levels_come_in_the_order_asked_for():
    encoder = build_encoder("mobilenet", 64, (16, 4), None)
    assert [features.shape[1] for features in encoder.outputs] == [4, 16]


def test_layers_beyond_the_deepest_level_are_left_out():
    whole, half = (build_encoder("mobilenet", 64, strides, None).count_params() for strides in ((4, 16), (4, 8)))
    assert half < whole / 4


def test_batch_normalisation_is_ours():
    encoder = build_encoder("resnet18", 64, (16,), None)
    normalisations = [layer for layer in encoder.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(normalisations) == 15
    assert all(type(layer) is FusedBatchNormalization and layer.momentum == 0.9 for layer in normalisations)
    # The library's other settings stay.
    assert {layer.epsilon for layer in normalisations} == {2e-5}


@pytest.mark.parametrize("name", [*FAMILIES, "resnet50", "seresnet50", "vgg19", "inceptionresnetv2", "efficientnetb3"])
def test_normalisation_is_the_library_s(name):
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 5, 4, 3)).astype(np.float32)
    images = keras.Input((5, 4, 3))
    model = keras.Model(images, normalise(images, name))
    expected = segmentation_models.get_preprocessing(name)(pixels.copy())
    np.testing.assert_allclose(model(pixels), expected, rtol=1e-5, atol=2e-5)


def test_normalisation_stays_in_float32_under_a_mixed_policy():
    images = keras.Input((5, 4, 3), dtype="float32")
    previous = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        assert normalise(images, "vgg16").dtype == normalise(images, "mobilenet").dtype == "float32"
    finally:
        keras.mixed_precision.set_dtype_policy(previous)


def test_a_wrong_name_lists_the_choices():
    with pytest.raises(
        ValueError, match=r"model.backbone is 'resnet19'.*did you mean 'resnet18'\?.* efficientnetb0, .* vgg16"
    ):
        build_encoder("resnet19", 64, (4, 16), None)


def test_densenet_says_why_not():
    with pytest.raises(ValueError, match=r"model.backbone is 'densenet121': its layers' names are refused by Keras 3"):
        build_encoder("densenet121", 64, (4, 16), None)


def test_a_size_that_the_encoder_refuses():
    with pytest.raises(ValueError, match=r"inceptionv3 cannot be built at resize.size 64: .*75"):
        build_encoder("inceptionv3", 64, (4, 16), None)


def test_a_size_that_the_levels_do_not_divide():
    with pytest.raises(
        ValueError, match=r"resize.size is 72, and the features of mobilenet at stride 16 are 4 x 4 cells"
    ):
        build_encoder("mobilenet", 72, (4, 16), None)


@pytest.mark.parametrize("name", ["resnet18", "efficientnetb0"])
def test_without_a_network_the_message_says_what_to_do(name, tmp_path):
    code = (
        "from faceseg.models.backbones import build_encoder\n"
        f"try: build_encoder('{name}', 64, (4, 16), 'imagenet')\n"
        "except ValueError as error: print(error)"
    )
    # A proxy that nobody answers for: no network, wherever the test runs.
    surroundings = os.environ | {"KERAS_HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9", "no_proxy": ""}
    run = subprocess.run(
        [sys.executable, "-c", code], env=surroundings, capture_output=True, text=True, check=True, timeout=60
    )
    assert f"model.encoder_weights is 'imagenet', and the weights of {name} cannot be had: " in run.stdout
    assert "Connection refused" in run.stdout
    assert "set model.encoder_weights to null" in run.stdout
