"""Every recipe fits params.yaml, its dataset and its model; a run starts from the committed parameters each time."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from faceseg.params import Params, read_params
from faceseg.recipes import (
    Recipe,
    RecipeError,
    begun_from,
    overrides,
    read_recipe,
    recipe_names,
    recipe_values,
    with_changes,
)
from faceseg.sources import catalog

ROOT = Path(__file__).parents[1]
NAMES = [
    "celeba-unet-eyes-lips",
    "fasseg-best",
    "fasseg-multipose",
    "fasseg-unet",
    "lfw-fcn",
    "multiclass-face-deeplabv3plus",
    "multiclass-face-pspnet",
]


def shipped() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    return values


def described(name: str) -> Params:
    """The recipe's parameters; skips where its dataset has no description."""
    params = Params.model_validate(recipe_values(read_recipe(name, ROOT), shipped(), "data/published"))
    if params.dataset.name not in catalog.names():
        pytest.skip(f"there is no description of {params.dataset.name} yet")
    return params


def test_these_are_there() -> None:
    assert recipe_names(ROOT) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_fits_its_dataset_and_builds_its_model(name: str) -> None:
    from faceseg.models.build import build_model

    params = described(name)
    merge = catalog.load(params.dataset.name).merge(params.merge.into)
    model = build_model(params.model, params.resize.size, len(merge.classes))
    assert model.output_shape == (None, params.resize.size, params.resize.size, len(merge.classes))


@pytest.mark.parametrize("name", NAMES)
def test_there_is_a_test_split(name: str) -> None:
    """Of the dataset's own, or carved from its clips; otherwise the cache stage would refuse the recipe."""
    params = described(name)
    layout = catalog.load(params.dataset.name).layout
    own = "test" in layout.splits or (layout.lists is not None and "test" in layout.lists.files)
    assert own if params.split.by == "own" else params.split.test > 0


def recipe(**params: Any) -> Recipe:
    words = dict.fromkeys(("title", "cost", "published", "note", "score", "machine", "commit"), "")
    return Recipe.model_validate({**words, "params": params})


def test_overrides_go_back_to_the_committed_values() -> None:
    """After one recipe its values lie in the workspace; the next one must not see them."""
    first = recipe_values(recipe(train={"epochs": 3, "loss": {"dice": 0.0}}), shipped(), "data/published")
    second = recipe_values(recipe(train={"batch_size": 2}), shipped(), "../faces.zip")
    assert overrides(first, shipped()) == ["train.epochs=3", "train.loss.dice=0.0"]
    assert overrides(second, first) == [
        "dataset.source='../faces.zip'",
        "train.epochs=10",
        "train.batch_size=2",
        "train.loss.dice=1.0",
    ]
    assert overrides(second, copy.deepcopy(second)) == []


def test_a_start_of_this_machine_goes_over_the_recipe_s() -> None:
    about = begun_from(recipe(model={"backbone": "vgg16"}), "../vgg-face")
    values = recipe_values(about, shipped(), "data/published")
    assert overrides(values, shipped()) == ["model.backbone='vgg16'", "model.init_from='../vgg-face'"]


def test_every_kind_of_value_survives_dvc(tmp_path: Path) -> None:
    """Through DVC's own reader of -S."""
    before = {"train": {"class_weights": "none", "rate": 1.0, "keep": "best", "wait": 3, "held": False}, "lists": []}
    weights = {"eyes": 2.0, "skin": 0.5}
    train = {"class_weights": weights, "rate": 0.25, "keep": "a b/c", "wait": None, "held": True}
    after = {"train": train, "lists": ["train-3", "train-9"]}
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(before))
    apply_overrides(path, overrides(after, before))
    assert yaml.safe_load(path.read_text()) == after


def test_a_tiny_number_survives_dvc(tmp_path: Path) -> None:
    """DVC writes 1e-06, which YAML 1.1 reads as a word; params.py takes the word for the number."""
    values = shipped()
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values))
    changed = recipe_values(recipe(train={"schedule": {"decay": 2e-06}}), values, "data/published")
    apply_overrides(path, overrides(changed, values))
    assert read_params(path).train.schedule.decay == 2e-06


def test_what_a_recipe_may_not() -> None:
    with pytest.raises(RecipeError, match=r"the recipe sets train\.epoch, which params\.yaml does not have"):
        recipe_values(recipe(train={"epoch": 3}), shipped(), "data/published")
    with pytest.raises(RecipeError, match=r"(?s)does not fit params.yaml: .*train\.epochs"):
        recipe_values(recipe(train={"epochs": 0}), shipped(), "data/published")
    with pytest.raises(RecipeError, match=r"there is no recipe 'best'; choose one of: celeba-unet-eyes-lips, "):
        read_recipe("best", ROOT)


def test_a_recipe_does_not_set_the_source(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    text = (ROOT / "recipes/fasseg-unet.yaml").read_text()
    with_source = text.replace("{name: fasseg-frontal}", "{name: fasseg-frontal, source: a}")
    (tmp_path / "recipes/mine.yaml").write_text(with_source)
    with pytest.raises(RecipeError, match=r"mine.yaml sets dataset.source, which belongs to a machine"):
        read_recipe("mine", tmp_path)
    (tmp_path / "recipes/mine.yaml").write_text(text.replace("score:", "result:"))
    with pytest.raises(RecipeError, match="result"):
        read_recipe("mine", tmp_path)


def test_changes_over_a_recipe() -> None:
    changed = with_changes(
        recipe(train={"epochs": 3}), ["train.loss.dice=0.5", "train.epochs=7", "model.backbone=vgg16"]
    )
    assert changed.params == {"train": {"epochs": 7, "loss": {"dice": 0.5}}, "model": {"backbone": "vgg16"}}
    members = [{"architecture": "unet", "shrink": 2}, {"architecture": "fpn", "shrink": 1}]
    changed = with_changes(
        recipe(model={"ensemble": members}), ["model.ensemble.1.shrink=4", "train.learning_rate=1e-3"]
    )
    assert changed.params["model"]["ensemble"] == [members[0], {"architecture": "fpn", "shrink": 4}]
    assert changed.params["train"] == {"learning_rate": 0.001}
    with pytest.raises(RecipeError, match=r"got 'epochs', expected key=value"):
        with_changes(recipe(), ["epochs"])
    with pytest.raises(RecipeError, match=r"got 'train\.loss=\{dice', whose value is not valid YAML"):
        with_changes(recipe(), ["train.loss={dice"])
