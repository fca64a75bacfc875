"""params.yaml is strict, and says what is wrong in words that mend it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from faceseg.params import LossParams, ModelParams, ParamsError, TrainParams, parse_yaml, read_params

ROOT = Path(__file__).parents[1]
MEMBER = {"architecture": "unet", "backbone": "resnet18", "shrink": 2}


def read_with(tmp_path: Path, key: str, value: Any = None, *, drop: bool = False) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    *sections, last = key.split(".")
    section = values
    for name in sections:
        section = section[name]
    if drop:
        del section[last]
    else:
        section[last] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values))
    read_params(path)


def test_the_shipped_file_is_valid() -> None:
    params = read_params(ROOT / "params.yaml")
    assert params.resize.size == 256
    assert params.merge.into == "face8"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train.learning_rat", 0.1, r"train\.learning_rat: unknown key; did you mean 'learning_rate'\?.*batch_size"),
        ("resize.colour", 1, r"resize\.colour: unknown key; known here: size, fit, mask_filter"),
        ("train.epochs", "many", r"train\.epochs: got 'many'; .*integer"),
        ("train.epochs", True, r"train\.epochs: got True; .*integer"),
        ("train.epochs", "10", r"train\.epochs: got '10'; .*integer"),
        ("train.deterministic", "no", r"train\.deterministic: got 'no'; .*boolean"),
        ("train.learning_rate", float("inf"), r"train\.learning_rate: got inf; .*finite"),
        ("train.seed", 2**70, r"train\.seed: got \d+; .*less than"),
        ("train.epochs", 0, r"train\.epochs: got 0; .*greater than or equal to 1"),
        ("resize.fit", "crop", r"resize\.fit: got 'crop'; .*'stretch' or 'pad'"),
        ("model.architecture", "unet9", r"model\.architecture: got 'unet9'; .*pspnet"),
        ("train.optimizer.momentum", 1.5, r"train\.optimizer\.momentum: got 1\.5; .*less than 1"),
        ("train.loss", dict.fromkeys(LossParams.model_fields, 0), r"train\.loss: every weight is 0"),
        (
            "dataset.folder.classes",
            {"a": [0, 0, 0]},
            r"dataset\.folder: classes\.a: got \(0, 0, 0\), but masks is 'index'",
        ),
        (
            "dataset.folder.masks",
            "rgb",
            r"dataset\.folder: classes\.background: got 0, .*expected a colour, \[r, g, b\]",
        ),
        ("model.ensemble", {"architecture": None}, r"model\.ensemble: got \{.*\}; .*list"),
        (
            "model.ensemble",
            [{"architecture": "unet", "backbone": "resnet18"}],
            r"model\.ensemble\.0\.shrink: missing; this section needs: architecture, backbone, shrink",
        ),
        (
            "model.ensemble",
            [MEMBER, {**MEMBER, "backbon": "vgg16"}],
            r"model\.ensemble\.1\.backbon: unknown key; did you mean 'backbone'\?",
        ),
        (
            "model.ensemble",
            [{**MEMBER, "shrink": 0}],
            r"model\.ensemble\.0\.shrink: got 0; .*greater than or equal to 1",
        ),
        ("evaluate.scales", [], r"evaluate\.scales: got \[\]; .*at least 1 item"),
        ("evaluate.scales", [1.0, 0.1], r"evaluate\.scales\.1: got 0\.1; .*greater than or equal to 0\.5"),
        ("evaluate.scales", [1.0, 0.9, 1.0], r"evaluate: scales are \[1\.0, 0\.9, 1\.0\]; name each once"),
        ("evaluate.scales", [1.2, 1.5], r"evaluate: scales are \[1\.2, 1\.5\], all above 1.*; add 1\.0"),
        ("split.lists", {"train": ["a"], "val": ["a"], "test": []}, r"split\.lists: the groups a are named twice"),
    ],
)
def test_a_wrong_value_is_named_with_its_cure(tmp_path: Path, key: str, value: Any, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        read_with(tmp_path, key, value)


def test_a_missing_key_names_its_neighbours(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"resize\.size: missing; this section needs: size, fit, mask_filter"):
        read_with(tmp_path, "resize.size", drop=True)


def test_a_missing_section_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"train: missing; this section needs: dataset, merge, split"):
        read_with(tmp_path, "train", drop=True)


def test_shares_that_leave_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"val 0\.5 and test 0\.5 leave nothing to train on"):
        read_with(tmp_path, "split", {"by": "clip", "val": 0.5, "test": 0.5, "seed": 0, "lists": _no_lists()})


def test_plateau_without_a_validation_split(tmp_path: Path) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["split"]["val"] = 0
    values["train"]["schedule"]["name"] = "plateau"
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(ParamsError, match=r"split\.val is 0 and train\.schedule\.name is 'plateau'"):
        read_params(path)


def test_a_key_that_comes_twice(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text().replace("  epochs: 10\n", "  epochs: 10\n  epochs: 3\n"))
    with pytest.raises(ParamsError, match="the key 'epochs' comes twice; keep one"):
        read_params(path)


def test_numbers_as_people_write_them(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text()
    path = tmp_path / "params.yaml"
    path.write_text(text.replace("learning_rate: 0.002", "learning_rate: 2e-3").replace("rotate: 15.0", "rotate: 15"))
    params = read_params(path)
    assert params.train.learning_rate == 0.002
    assert params.train.augment.rotate == 15


def test_early_stopping_without_a_validation_split(tmp_path: Path) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["split"]["val"] = 0
    values["train"]["early_stopping"]["patience"] = 3
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(ParamsError, match=r"follows val_iou; .*train\.monitor to a curve of the training split"):
        read_params(path)
    values["train"]["monitor"] = "loss"
    path.write_text(yaml.safe_dump(values))
    assert read_params(path).train.monitor == "loss"


def test_several_faults_come_together(tmp_path: Path) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["resize"]["size"] = "big"
    values["train"]["sed"] = 1
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(ParamsError, match=r"(?s)resize\.size: got 'big'.*train\.sed: unknown key"):
        read_params(path)


def test_no_file_and_no_yaml(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="run from the root of the repository"):
        read_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: [")
    with pytest.raises(ParamsError, match="not valid YAML"):
        read_params(tmp_path / "params.yaml")


def _no_lists() -> dict[str, list[str]]:
    return {"train": [], "val": [], "test": []}


def leaves(section: type[BaseModel], above: str) -> list[str]:
    names: list[str] = []
    for name, field in section.model_fields.items():
        kind = field.annotation
        inner = isinstance(kind, type) and issubclass(kind, BaseModel)
        names += leaves(kind, f"{above}.{name}") if inner else [f"{above}.{name}"]
    return names


def test_every_parameter_of_model_and_train_is_documented_beside_its_cost() -> None:
    """docs/parameters.md has a row for it, or its name in the row of its section or of its neighbour."""
    table = [line.strip("| ").split(" | ") for line in (ROOT / "docs/parameters.md").read_text().splitlines()]
    rows = [(re.findall("`([^`]+)`", " ".join(cells)), cells) for cells in table if len(cells) == 3]
    missing = []
    for leaf in leaves(ModelParams, "model") + leaves(TrainParams, "train"):
        section, _, name = leaf.rpartition(".")
        about = [
            cells[2]
            for spans, cells in rows
            if leaf in spans or (name in spans and section in (spans[0], spans[0].rpartition(".")[0]))
        ]
        if not any(about):
            missing.append(leaf)
    assert missing == []


def test_what_only_begins_like_a_number_is_a_text() -> None:
    """Hashes in dvc.lock do, and names may."""
    values = parse_yaml("[1e-3, 1.5E2, 7e2bd129, 1e-06, 2.0e-3x]")
    assert values == [0.001, 150.0, "7e2bd129", 1e-06, "2.0e-3x"]
