"""VGG-Face's converter: a network in MatConvNet's layout gives the same features, or the message says what is wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import tensorflow as tf
from typer.testing import CliRunner

from faceseg import vgg_face
from faceseg.cli import app
from faceseg.files import read_json, sha256
from faceseg.models.backbones import normalisation
from faceseg.models.build import build_model
from faceseg.params import read_params
from faceseg.training.initial import begin_from, check_initial

SHIPPED = read_params(Path(__file__).parents[1] / "params.yaml").model
FCN = SHIPPED.model_copy(update={"architecture": "fcn", "backbone": "vgg16"})
WIDTHS = {1: 64, 2: 128, 3: 256, 4: 512, 5: 512}
MEAN = np.array([120.5, 100.25, 90.0])  # R, G, B; not the published one, so that it is seen to be read


def network() -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Name, filters (3, 3, in, out) and biases (out, 1) of VGG-16's convolutions, and of one layer after them."""
    rng = np.random.default_rng(0)
    layers, width = [], 3
    for name in vgg_face.CONVOLUTIONS:
        out = WIDTHS[int(name[4])]
        filters = rng.normal(0, np.sqrt(2 / (9 * width)), (3, 3, width, out)).astype(np.float32)
        layers.append((name, filters, rng.normal(0, 1, (out, 1)).astype(np.float32)))
        width = out
    return [*layers, ("fc6", np.zeros((7, 7, 2, 3), np.float32), np.zeros((3, 1), np.float32))]


def cell(values: list[Any]) -> np.ndarray:
    made = np.empty((1, len(values)), object)
    made[0] = values
    return made


def layers_of(parts: list[tuple[str, np.ndarray, np.ndarray]], old: bool = False) -> np.ndarray:
    """MatConvNet's cell of structs; before 1.0-beta17 filters and biases were fields of their own."""
    structs: list[dict[str, Any]] = []
    for name, filters, biases in parts:
        weights = {"filters": filters, "biases": biases.T} if old else {"weights": cell([filters, biases])}
        structs.append({"name": name, "type": "conv", "pad": 1.0, "stride": 1.0, **weights})
        structs.append({"name": f"relu{name[4:]}", "type": "relu"})
    return cell(structs)


def save(path: Path, parts: list[tuple[str, np.ndarray, np.ndarray]], kind: str = "matconvnet") -> Path:
    if kind == "matconvnet":
        picture = np.broadcast_to(MEAN, (4, 4, 3))
        content: dict[str, Any] = {"layers": layers_of(parts), "meta": {"normalization": {"averageImage": picture}}}
    else:
        content = {"net": {"layers": layers_of(parts, old=True), "classes": {"description": "people"}}}
    scipy.io.savemat(path, content, do_compression=False)
    return path


def features(parts: list[tuple[str, np.ndarray, np.ndarray]], images: np.ndarray, mean: np.ndarray) -> Any:
    """VGG-Face's own forward pass, on RGB less its mean, with ImageNet's mean colour around the picture."""
    _, scale, offset = normalisation("vgg16")
    imagenet = (-offset / scale)[::-1]
    values = tf.constant(images - mean, tf.float32)
    around = [[0, 0], [1, 1], [1, 1]]
    channels = [tf.pad(values[..., c], around, constant_values=float(imagenet[c] - mean[c])) for c in range(3)]
    values = tf.stack(channels, axis=-1)
    for index, (name, filters, biases) in enumerate(parts[:-1]):
        padding = "VALID" if index == 0 else "SAME"
        values = tf.nn.relu(tf.nn.conv2d(values, filters, 1, padding) + biases[:, 0])
        if name in ("conv1_2", "conv2_2", "conv3_3", "conv4_3"):
            values = tf.nn.max_pool2d(values, 2, 2, "VALID")
        if name == "conv5_3":
            return values
    raise AssertionError


@pytest.mark.parametrize("kind", ["matconvnet", "oxford"])
def test_the_features_are_the_network_s(tmp_path: Path, kind: str) -> None:
    parts = network()
    file = save(tmp_path / "vgg-face.mat", parts, kind)
    done = vgg_face.convert(file, tmp_path / "vgg-face", sha256(file))
    assert (done.sha256, done.published, done.own_mean) == (sha256(file), False, kind == "matconvnet")

    model = build_model(FCN, 64, 3)
    loaded = begin_from(model, tmp_path / "vgg-face", FCN)
    assert loaded.encoder == (26, 26)
    assert loaded.head[0] == 0
    assert all(not name.startswith("encoder/") for name in loaded.left)
    images = np.random.default_rng(1).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    deepest = model.get_layer("encoder")(model.get_layer("normalise")(images[..., ::-1]))[1]
    expected = tf.nn.max_pool2d(
        features(parts, images, MEAN if done.own_mean else np.array(vgg_face.MEAN)), 2, 2, "VALID"
    )
    assert float(tf.reduce_max(expected)) > 1
    np.testing.assert_allclose(deepest, expected, rtol=1e-3, atol=1e-3)


def test_what_model_json_says(tmp_path: Path) -> None:
    file = save(tmp_path / "a.mat", network())
    vgg_face.convert(file, tmp_path / "out", None)
    description = read_json(tmp_path / "out/model.json")
    assert description["weights_sha256"] == sha256(tmp_path / "out/model.weights.h5")
    assert description["made_from"] == {
        "network": "VGG-Face",
        "sha256": sha256(file),
        "licence": "non-commercial, see https://www.robots.ox.ac.uk/~vgg/software/vgg_face/",
    }
    check_initial(tmp_path / "out", FCN)
    with pytest.raises(ValueError, match=r"has the encoder vgg16, and model.backbone is resnet18"):
        check_initial(tmp_path / "out", SHIPPED)
    with pytest.raises(ValueError, match=r"model.input_scaling 'encoder' has them, and it is 'unit'"):
        check_initial(tmp_path / "out", FCN.model_copy(update={"input_scaling": "unit"}))
    with pytest.raises(ValueError, match=r"out holds a model already; name another folder, or remove it"):
        vgg_face.convert(file, tmp_path / "out", None)


def test_what_is_no_vgg_face(tmp_path: Path) -> None:
    parts = network()
    without = [part for part in parts if part[0] not in ("conv4_2", "conv5_3")]
    narrow = [(name, filters[..., :60] if name == "conv1_1" else filters, biases[:60] if name == "conv1_1" else biases)
              for name, filters, biases in parts]  # fmt: skip
    whole = save(tmp_path / "whole.mat", parts).read_bytes()
    (tmp_path / "cut.mat").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.mat").write_text("not found" * 100)
    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    (tmp_path / "hdf5.mat").write_bytes(header.ljust(512, b"\0") + b"\x89HDF\r\n\x1a\n".ljust(512, b"\0"))
    scipy.io.savemat(tmp_path / "other.mat", {"faces": np.eye(3)})
    cases = {
        save(tmp_path / "without.mat", without): r"lacks conv4_2, conv5_3; it has conv1_1, .*: expected VGG-16",
        save(tmp_path / "narrow.mat", narrow): r"conv1_1 of .* has the shapes \[\(3, 3, 3, 60\), \(60,\)\], expected",
        tmp_path / "cut.mat": r"cut.mat cannot be read as a MATLAB file: ",
        tmp_path / "text.mat": r"text.mat cannot be read as a MATLAB file: ",
        tmp_path / "hdf5.mat": r"is a MATLAB file of version 7.3, which is HDF5; .* save it with -v7",
        tmp_path / "other.mat": r"other.mat holds faces; expected `layers`, or `net` with `layers`",
    }
    for file, message in cases.items():
        with pytest.raises(ValueError, match=message):
            vgg_face.convert(file, tmp_path / "out", None)
        assert not (tmp_path / "out/model.json").exists()


def test_another_hash_is_refused_before_the_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_text("no MATLAB file")
    expected = "0" * 64
    with pytest.raises(ValueError, match=rf"has the sha256 [0-9a-f]{{64}}, expected {expected}; it is another file"):
        vgg_face.convert(tmp_path / "a.mat", tmp_path / "out", expected)


def test_the_command(tmp_path: Path) -> None:
    file = save(tmp_path / "a.mat", network(), "oxford")
    result = CliRunner().invoke(app, ["convert-vgg-face", str(file), str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert f"sha256 {sha256(file)}; its MD5 is not the one that MatConvNet publishes" in result.output
    assert "it holds no averageImage: took (129.1863, 104.7624, 93.594)" in result.output
    result = CliRunner().invoke(app, ["convert-vgg-face", str(tmp_path / "none.mat"), str(tmp_path / "out2")])
    assert result.exit_code == 1
    assert "none.mat" in result.output
