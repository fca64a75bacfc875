"""segmentation-models' encoders by name: feature levels by stride, and each one's own normalisation as layers.

The library serves Keras 3 through its tf.keras framework, which an environment variable chooses before the import.
"""

import contextlib
import difflib
import io
import os
import socket
import warnings
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from faceseg.models.blocks import batch_norm

os.environ["SM_FRAMEWORK"] = "tf.keras"
# The library greets on standard output, and on its first import Python compiles docstrings of its that hold "\c": a
# DeprecationWarning up to Python 3.11, a SyntaxWarning from 3.12 on. Neither is about us.
with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
    warnings.filterwarnings("ignore", message="invalid escape sequence", category=DeprecationWarning)
    warnings.filterwarnings("ignore", message="invalid escape sequence", category=SyntaxWarning)
    warnings.filterwarnings("ignore", message='"is" with', category=SyntaxWarning)
    import segmentation_models
    from segmentation_models.backbones.backbones_factory import Backbones

# DenseNets name their layers with "/", which Keras 3 refuses.
NOT_ON_KERAS_3 = ("densenet121", "densenet169", "densenet201")
# tf.keras.backend still has what keras.backend has lost; ``tf`` is where EfficientNets look for TensorFlow's own swish.
BACKEND = SimpleNamespace(**vars(tf.keras.backend), tf=tf)
# Its layers are our keras.layers but for batch normalisation.
LAYERS = SimpleNamespace(**{**vars(keras.layers), "BatchNormalization": batch_norm})
LEVELS = (16, 8, 4, 2)  # the strides of the library's feature layers, in its order
DEEPEST = 32  # the stride of its last features
DOWNLOAD_TIMEOUT_SECONDS = 30


def backbone_names() -> list[str]:
    """The encoders that can be built, sorted."""
    return sorted(set(Backbones.models_names()) - set(NOT_ON_KERAS_3))


def build_encoder(
    name: str, size: int, strides: Sequence[int], weights: str | None, key: str = "model.backbone"
) -> keras.Model:
    """The encoder up to its deepest wanted level: normalised (B, size, size, 3) to one feature map a stride.

    Args:
        name: one of :func:`backbone_names`.
        size: pixels, square.
        strides: of the wanted levels, out of 2, 4, 8, 16 and 32; the outputs come in this order.
        weights: ``imagenet``, downloaded by segmentation-models into Keras' own folder, or None: random.
        key: the parameter that names the encoder, for messages.

    Raises:
        ValueError: no such encoder, it does not take this size, or the weights cannot be had.
    """
    _check_name(name, key)
    with _explained(name, size, weights):
        whole = Backbones.get_backbone(
            name,
            input_shape=(size, size, 3),
            weights=weights,
            include_top=False,
            backend=BACKEND,
            layers=LAYERS,
            models=keras.models,
            utils=keras.utils,
        )
    _hold_offset_of_pixels(whole)
    return keras.Model(whole.inputs, [_level(name, whole, size, stride) for stride in strides], name="encoder")


def _level(name: str, encoder: keras.Model, size: int, stride: int) -> Any:
    """The last features of a whole encoder at this stride, as the library's own decoders take them."""
    if stride == DEEPEST:
        features = encoder.output
    else:
        layer = Backbones.get_feature_layers(name, n=5)[LEVELS.index(stride)]
        features = encoder.get_layer(layer).output if isinstance(layer, str) else encoder.layers[layer].output
    _, height, width, _ = features.shape
    if (height * stride, width * stride) != (size, size):
        raise ValueError(
            f"resize.size is {size}, and the features of {name} at stride {stride} are {height} x {width} cells; "
            f"expected a multiple of {stride}"
        )
    return features


def scale_to_unit(images: Any) -> Any:
    """RGB pixels 0 to 255, (B, S, S, 3), to 0 to 1, as a layer in float32."""
    return keras.layers.Rescaling(1 / 255, dtype="float32", name="normalise")(images)


def normalise(images: Any, name: str) -> Any:
    """The encoder's own normalisation of RGB pixels 0 to 255, (B, S, S, 3), as layers in float32."""
    reverse, scale, offset = normalisation(name)
    if reverse:
        images = keras.ops.flip(images, axis=-1)
    if np.all(scale == 1) and np.all(offset == 0):
        return images
    return keras.layers.Rescaling(scale.tolist(), offset.tolist(), dtype="float32", name="normalise")(images)


def normalisation(name: str) -> tuple[bool, NDArray[np.float64], NDArray[np.float64]]:
    """(reverse, scale, offset): the library takes the pixels, BGR if reverse, times scale (3,) plus offset (3,).

    Read off the library's own function on a black pixel and on one pixel of each colour, so that there is no second
    table of means to keep.
    """
    _check_name(name, "model.backbone")
    pixels = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)])[None]
    black, *colours = segmentation_models.get_preprocessing(name)(pixels)[0]
    slopes = (np.stack(colours) - black) / 255
    reverse = bool(slopes[0, 0] == 0)
    if reverse:
        slopes = slopes[::-1]
    scale = np.diag(slopes)
    assert np.array_equal(slopes, np.diag(scale)), f"{name}'s preprocessing mixes channels"
    return reverse, scale, black


def _hold_offset_of_pixels(encoder: keras.Model) -> None:
    """Keep the offset of a ResNet's first layer, a normalisation of the pixels, at its initial (or ImageNet's) value.

    Its three numbers alone would need the first convolution's gradient with respect to the picture: measured, about a
    tenth of a ResNet-18's training step.
    """
    for layer in encoder.layers:
        if layer.name == "bn_data":
            layer.beta.trainable = False


def _check_name(name: str, key: str) -> None:
    names = backbone_names()
    if name in names:
        return
    why = "its layers' names are refused by Keras 3" if name in NOT_ON_KERAS_3 else "there is no such encoder"
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    raise ValueError(f"{key} is {name!r}: {why}{hint} choose one of: {', '.join(names)}")


@contextlib.contextmanager
def _explained(name: str, size: int, weights: str | None) -> Iterator[None]:
    """What goes wrong while the library builds an encoder, as a message about params.yaml."""
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_SECONDS)
    try:
        yield
    except Exception as error:  # Keras' download raises Exception itself
        if weights is None:
            raise ValueError(f"{name} cannot be built at resize.size {size}: {error}") from error
        raise ValueError(
            f"model.encoder_weights is {weights!r}, and the weights of {name} cannot be had: {error}. "
            "Connect to the network for the first run (Keras keeps the file in ~/.keras/models, or in "
            "$KERAS_HOME/models), or set model.encoder_weights to null"
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)
