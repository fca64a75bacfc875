"""Every recipe through DVC on a miniature in the layout of its data: the loss falls, shapes and files are right."""

import csv
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from faceseg.recipes import leaves, recipe_names
from faceseg.sources import catalog
from tests import recipe_miniatures
from tests.checkout import ROOT, Repository

SIDE = recipe_miniatures.SIDE
# Encoders that take long to build and to compile, in place of which a small one runs here; the rest runs with its own.
HEAVY = ("resnet50", "resnet34", "efficientnetb0")
TWICE = "fasseg-best"  # this one again at once, in place of its former experiment
FACESEG = "import sys; sys.path.insert(0, 'src'); from faceseg.cli import app; app()"
WRITTEN = (
    "models/model.weights.h5",
    "metrics/data.json",
    "metrics/splits.json",
    "metrics/train.json",
    "metrics/summary.json",
    "metrics/clips.csv",
    "metrics/plots/classes.csv",
    "metrics/plots/confusion.csv",
    "reports/report.html",
)

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("recipes")]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A checkout with the recipes in it, shortened, and a commit, which experiments need."""
    repository = Repository(tmp_path_factory.mktemp("recipes") / "repository")
    (repository.path / "recipes").mkdir()
    for path in (ROOT / "recipes").glob("*.yaml"):
        values = yaml.safe_load(path.read_text())
        params = values["params"]
        # The network of an ensemble that sees least gets the side that the others get.
        shrink = max((member["shrink"] for member in params["model"].get("ensemble", [])), default=1)
        params.setdefault("resize", {})["size"] = SIDE * shrink
        params["train"] |= {"epochs": 3, "batch_size": 2}
        if params["model"]["backbone"] in HEAVY:
            params["model"]["backbone"] = "mobilenet"
        if params["dataset"]["name"] == "multiclass-face":
            # One clip of ten outside the test split has glasses, and train must have it.
            params.setdefault("split", {})["lists"] = {"train": ["0003"]}
        (repository.path / "recipes" / path.name).write_text(yaml.safe_dump(values))
    repository.commit("start")
    return repository


def run(repository: Repository, name: str, source: Path) -> list[dict[str, str]]:
    """The recipe's curves."""
    repository.run(sys.executable, "-W", "ignore", "-c", FACESEG, "recipe", name, "--source", str(source))
    with (repository.path / "metrics/plots/curves.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", recipe_names(ROOT))
def test_a_recipe_runs_on_a_miniature(repository: Repository, tmp_path: Path, name: str) -> None:
    params = yaml.safe_load((repository.path / f"recipes/{name}.yaml").read_text())["params"]
    source = tmp_path / "source.zip"
    recipe_miniatures.write(params["dataset"]["name"], source)
    curves = run(repository, name, source)

    now = dict(leaves(yaml.safe_load((repository.path / "params.yaml").read_text())))
    for key, value in leaves(params):
        assert now[key] == (pytest.approx(value) if isinstance(value, float) else value), f"{key}, as the recipe says"
    assert len(curves) == 3
    # Not at every step: some recipes have a high rate, a batch of two here, and no batch normalisation.
    assert min(float(epoch["loss"]) for epoch in curves[1:]) < 0.99 * float(curves[0]["loss"])
    assert bool(curves[-1]["val_loss"]) == ("val" in repository.json("metrics/splits.json")["sizes"])
    model = repository.json("models/model.json")
    assert (model["architecture"], model["backbone"]) == (params["model"]["architecture"], params["model"]["backbone"])
    classes = list(catalog.load(params["dataset"]["name"]).merge(params["merge"]["into"]).classes)
    assert model["classes"] == classes
    side = params["resize"]["size"]
    assert model["input"]["shape"] == [None, side, side, 3]
    assert model["output"]["shape"] == [None, side, side, len(classes)]
    assert [file for file in WRITTEN if not (repository.path / file).is_file()] == []
    _check_scores(repository, classes, now["evaluate.samples"])
    if name == TWICE:
        assert run(repository, name, source) == curves
    assert repository.run("dvc", "exp", "list", "--name-only").split().count(name) == 1


def _check_scores(repository: Repository, classes: list[str], samples: int) -> None:
    scores: dict[str, Any] = repository.json("metrics/evaluate.json")["native"]
    assert 0 < scores["miou"] < 1
    assert {*scores["per_class"], *scores["absent"]} == set(classes)
    tested = repository.json("metrics/splits.json")["sizes"]["test"]["pictures"]
    assert len(list((repository.path / "reports/samples").glob("*.png"))) == min(samples, tested)
