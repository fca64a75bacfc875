"""Multiply-adds by hand and beside TensorFlow's own profiler."""

from pathlib import Path

import keras
import pytest
import tensorflow as tf
from typer.testing import CliRunner

from faceseg.cli import app
from faceseg.models.blocks import Enlarge
from faceseg.models.build import build_model
from faceseg.models.costs import multiply_adds
from faceseg.params import read_params

ROOT = Path(__file__).parents[2]


def test_by_hand():
    images = keras.Input((8, 8, 3))
    values = keras.layers.Conv2D(4, 3, strides=2, padding="same")(images)  # 4 x 4 cells x 3 x 3 x 3 x 4
    values = keras.layers.DepthwiseConv2D(3, padding="same")(values)  # 16 x 3 x 3 x 4
    values = keras.layers.Conv2D(6, 1, groups=2)(values)  # 16 x 2 x 6
    values = keras.layers.Conv2DTranspose(5, 4, strides=2, padding="same")(values)  # 16 x 4 x 4 x 6 x 5
    values = Enlarge(16, 16)(values)  # rows 16 x 8 x 8 x 5, columns 16 x 8 x 16 x 5
    inner = keras.Model(images, values)
    outer = keras.Model(images, keras.layers.ReLU()(inner(images)))
    assert multiply_adds(outer) == 16 * 108 + 16 * 36 + 16 * 12 + 16 * 480 + 5120 + 10240


@pytest.mark.parametrize(("architecture", "backbone"), [("deeplabv3plus", "resnet18"), ("unet", "mobilenet")])
def test_the_profiler_of_tensorflow_counts_twice_as_many_operations(architecture, backbone):
    params = read_params(ROOT / "params.yaml").model
    model = build_model(params.model_copy(update={"architecture": architecture, "backbone": backbone}), 64, 5)
    function = tf.function(lambda images: model(images, training=False))
    graph = function.get_concrete_function(tf.TensorSpec((1, 64, 64, 3))).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    with graph.as_default():
        operations = tf.compat.v1.profiler.profile(graph, options=options).total_float_ops
    # It counts additions and normalisation too, which we leave out.
    assert multiply_adds(model) == pytest.approx(operations / 2, rel=0.03)


def test_the_command_lists_and_refuses(monkeypatch):
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(app, ["models", "--architecture", "fcn", "--backbone", "vgg16", "--size", "64"])
    assert result.exit_code == 0
    assert result.output.splitlines()[1].split()[:2] == ["fcn", "vgg16"]
    assert CliRunner().invoke(app, ["models", "--architecture", "segnet"]).exit_code == 1
    assert CliRunner().invoke(app, ["models", "--architecture", "unet", "--backbone", "alexnet"]).exit_code == 1
