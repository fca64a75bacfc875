"""A model begins from another: what fits is taken over, the rest is named and keeps its new values."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from faceseg.models.build import build_model
from faceseg.params import ModelParams, read_params
from faceseg.training.initial import begin_from, check_initial, initial_folder, initial_identity
from tests.trained import write_model

SHIPPED = read_params(Path(__file__).parents[2] / "params.yaml").model


def params_of(**changes: Any) -> ModelParams:
    return SHIPPED.model_copy(update={"backbone": "mobilenet", **changes})


def write_new(folder: Path, params: ModelParams, size: int, classes: int) -> keras.Model:
    model = build_model(params, size, classes)
    write_model(folder, model, params)
    return model


def test_other_classes_leave_only_the_classifier(tmp_path: Path) -> None:
    source = write_new(tmp_path / "models", params_of(), 64, 6)
    model = build_model(params_of(), 96, 3)
    loaded = begin_from(model, tmp_path / "models", params_of())
    assert loaded.left == ("classifier/kernel (1, 1, 64, 3)", "classifier/bias (3,)")
    assert loaded.encoder[0] == loaded.encoder[1] == len(source.get_layer("encoder").weights)
    assert loaded.head[0] == loaded.head[1] - 2
    assert "new values stay in: classifier/kernel" in str(loaded)
    for weight, theirs in zip(model.weights, source.weights, strict=True):
        if "classifier" not in weight.path:
            np.testing.assert_array_equal(np.asarray(weight), np.asarray(theirs))


@pytest.mark.parametrize("backbone", ["resnet18", "seresnet18"])
def test_another_architecture_takes_the_encoder(tmp_path: Path, backbone: str) -> None:
    """PSPNet's encoder ends at stride 8: a U-Net takes it over and keeps its own deeper layers."""
    source = write_new(tmp_path / "models", params_of(architecture="pspnet", backbone=backbone), 64, 3)
    params = params_of(architecture="unet", backbone=backbone)
    model = build_model(params, 64, 3)
    loaded = begin_from(model, tmp_path / "models", params)
    assert loaded.encoder[0] == len(source.get_layer("encoder").weights) < loaded.encoder[1]
    assert any(name.startswith("encoder/") for name in loaded.left)
    # The same features at stride 8, whatever numbers Keras gave to the layers of the two.
    images = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    expected = source.get_layer("encoder")([images])
    np.testing.assert_allclose(model.get_layer("encoder")([images])[1], expected, rtol=1e-5, atol=1e-6)


def test_another_encoder_is_refused(tmp_path: Path) -> None:
    write_new(tmp_path / "models", params_of(), 64, 3)
    with pytest.raises(ValueError, match=r"has the encoder mobilenet, and model.backbone is resnet18; set it to"):
        check_initial(tmp_path / "models", params_of(backbone="resnet18"))


def test_another_encoder_of_an_ensemble_is_refused(tmp_path: Path) -> None:
    def ensemble(*backbones: str) -> ModelParams:
        chosen = [{"architecture": "pspnet", "backbone": backbone, "shrink": 1} for backbone in backbones]
        return ModelParams.model_validate(params_of().model_dump() | {"ensemble": chosen})

    params = ensemble("mobilenet", "mobilenet")
    write_new(tmp_path / "models", params, 64, 3)
    check_initial(tmp_path / "models", params)
    check_initial(tmp_path / "models", ensemble())
    check_initial(tmp_path / "models", ensemble("mobilenet"))
    with pytest.raises(
        ValueError,
        match=r"model\.ensemble\.1 of the model in .*models has the encoder mobilenet, and "
        r"model\.ensemble\.1\.backbone is resnet18; set it to the same",
    ):
        check_initial(tmp_path / "models", ensemble("mobilenet", "resnet18"))


def test_no_model_and_damaged_weights(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model.json is not there; expected the folder `models` of a training"):
        check_initial(tmp_path, params_of())
    write_new(tmp_path / "models", params_of(), 64, 3)
    check_initial(tmp_path / "models", params_of())
    with (tmp_path / "models/model.weights.h5").open("ab") as file:
        file.write(b"more")
    with pytest.raises(ValueError, match=r"model.weights.h5 is not the file that model.json describes"):
        check_initial(tmp_path / "models", params_of())


def test_the_placeholder_means_new_weights(tmp_path: Path) -> None:
    assert initial_folder(SHIPPED.init_from, tmp_path) is None
    assert initial_folder("../other/models", tmp_path) == tmp_path / "../other/models"
    assert initial_identity(None) is None
    check_initial(None, params_of())
