"""VGG-Face, a MATLAB file of MatConvNet's, as a folder that ``model.init_from`` takes: VGG-16's convolutions only.

Parkhi, Vedaldi, Zisserman: Deep Face Recognition, BMVC 2015. Two files hold the same network: vgg-face.mat of
MatConvNet's page (``layers`` and ``meta`` at the top) and vgg_face.mat of Oxford's archive (both inside ``net``). Each
convolution is a struct with a name and a cell of filters (h, w, in, out) and biases, which is TensorFlow's own order;
MatConvNet does not turn filters around either. Such a file is read without unpickling anything.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from numpy.typing import NDArray

from faceseg.files import sha256 as sha256_of
from faceseg.files import write_json
from faceseg.models.backbones import DEEPEST, build_encoder, normalisation
from faceseg.training.initial import ENCODER

BACKBONE = "vgg16"
SIZE = 224  # what the network was trained on; its convolutions take any size
# Of vgg-face.mat, as MatConvNet's page of pretrained models has it.
PUBLISHED_MD5 = "3d6cd504bf9c98af4a561aad059565d1"  # pragma: allowlist secret
MEAN = (129.1863, 104.7624, 93.5940)  # R, G, B, as Oxford's demonstration subtracts them
LICENCE = "non-commercial, see https://www.robots.ox.ac.uk/~vgg/software/vgg_face/"
CONVOLUTIONS = [
    f"conv{block}_{n}" for block, many in ((1, 2), (2, 2), (3, 3), (4, 3), (5, 3)) for n in range(1, many + 1)
]

Weights = dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]


@dataclass(frozen=True)
class Converted:
    """What was converted: the file's hashes, and whether its MD5 is the published one and its mean was in it."""

    sha256: str
    published: bool
    own_mean: bool


def convert(file: Path, out: Path, expected_sha256: str | None) -> Converted:
    """Write ``out``/model.weights.h5 and, last, ``out``/model.json, from VGG-Face's ``file``.

    The file is hashed before anything reads it. The network wants RGB less its own mean, and our VGG-16 gets BGR less
    ImageNet's: so the first filters are turned around and the difference of the means goes into their biases. That is
    the same function but for the outermost pixels, where either pads with zeros: its own mean, or ImageNet's.

    Raises:
        ValueError: another hash than the expected one, no MATLAB file (or one of version 7.3), a network that lacks one
            of VGG-16's convolutions or has one of another shape, or ``out`` holds a model already.
    """
    if (out / "model.json").exists():
        raise ValueError(f"{out} holds a model already; name another folder, or remove it")
    digest, md5 = _hashes(file)
    if expected_sha256 is not None and digest != expected_sha256.lower():
        raise ValueError(
            f"{file} has the sha256 {digest}, expected {expected_sha256}; it is another file: fetch it again"
        )
    network = _read(file)
    mean = _mean(network)
    encoder = build_encoder(BACKBONE, SIZE, (DEEPEST,), None)
    weights = _convolutions(network, file)
    weights["conv1_1"] = _to_our_pixels(*weights["conv1_1"], np.array(MEAN) if mean is None else mean)
    for name, pair in weights.items():
        layer = encoder.get_layer(re.sub(r"conv(\d)_(\d)", r"block\1_conv\2", name))
        expected = [tuple(weight.shape) for weight in layer.weights]
        if [value.shape for value in pair] != expected:
            raise ValueError(f"{name} of {file} has the shapes {[v.shape for v in pair]}, expected VGG-16's {expected}")
        layer.set_weights(pair)
    out.mkdir(parents=True, exist_ok=True)
    encoder.save_weights(out / "model.weights.h5")
    description = {
        "holds": ENCODER,
        "backbone": BACKBONE,
        "params": {"input_scaling": "encoder"},
        "size": SIZE,
        "weights_sha256": sha256_of(out / "model.weights.h5"),
        "made_from": {"network": "VGG-Face", "sha256": digest, "licence": LICENCE},
    }
    write_json(out / "model.json", description)
    return Converted(digest, md5 == PUBLISHED_MD5, mean is not None)


def _hashes(file: Path) -> tuple[str, str]:
    """Of the whole file: sha256, and the MD5 that MatConvNet publishes."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with file.open("rb") as content:
        while block := content.read(2**20):
            sha256.update(block)
            md5.update(block)
    return sha256.hexdigest(), md5.hexdigest()


def _read(file: Path) -> Mapping[str, Any]:
    """The variables of the file, or the fields of its ``net``: ``layers`` among them, cells as arrays of structs."""
    try:
        found = scipy.io.loadmat(file, struct_as_record=False, squeeze_me=True)
    except NotImplementedError:
        raise ValueError(
            f"{file} is a MATLAB file of version 7.3, which is HDF5; VGG-Face is handed out as version 5. If you saved "
            "it anew, save it with -v7"
        ) from None
    except Exception as error:  # a damaged file raises whatever its bytes lead to
        raise ValueError(f"{file} cannot be read as a MATLAB file: {type(error).__name__}: {error}") from error
    network = vars(found["net"]) if "net" in found else found
    if not isinstance(network.get("layers"), np.ndarray):
        names = ", ".join(name for name in network if not name.startswith("_")) or "nothing"
        raise ValueError(f"{file} holds {names}; expected `layers`, or `net` with `layers`, as MatConvNet writes them")
    return network


def _convolutions(network: Mapping[str, Any], file: Path) -> Weights:
    """Filters (h, w, in, out) and biases (out,) of VGG-16's convolutions by name."""
    layers = {getattr(layer, "name", ""): layer for layer in network["layers"].ravel()}
    missing = [name for name in CONVOLUTIONS if name not in layers]
    if missing:
        raise ValueError(
            f"{file} lacks {', '.join(missing)}; it has {', '.join(map(str, layers))}: expected VGG-16, as VGG-Face is"
        )
    weights: Weights = {}
    for name in CONVOLUTIONS:
        layer = layers[name]
        # Before its version 1.0-beta17 MatConvNet had a field for each.
        filters, biases = layer.weights if hasattr(layer, "weights") else (layer.filters, layer.biases)
        weights[name] = (np.asarray(filters, np.float32), np.asarray(biases, np.float32).ravel())
    return weights


def _mean(network: Mapping[str, Any]) -> NDArray[np.float64] | None:
    """The mean colour of what the network was trained on, R, G, B (3,), where the file has it, also as a picture."""
    place: Any = network["meta"].__dict__ if "meta" in network else network
    average = getattr(place.get("normalization"), "averageImage", None)
    if average is None or np.shape(average)[-1:] != (3,):
        return None
    return np.asarray(average, np.float64).reshape(-1, 3).mean(axis=0)


def _to_our_pixels(
    filters: NDArray[np.float32], biases: NDArray[np.float32], mean: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The first convolution for pixels as our VGG-16 gets them: scale * x + offset, BGR where the library has it so.

    w (x - mean) with x = (y - offset) / scale is (w / scale) y + w (-offset / scale - mean).
    """
    reverse, scale, offset = normalisation(BACKBONE)
    if reverse:
        filters, mean = filters[:, :, ::-1], mean[::-1]
    shift = -offset / scale - mean
    wide = filters.astype(np.float64)
    folded = biases + np.einsum("hwio,i->o", wide, shift)
    return (wide / scale[:, None]).astype(np.float32), folded.astype(np.float32)
