"""Recipes through DVC on miniatures in the layout of their data: the loss falls, files are there, again and again."""

import csv
import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from faceseg.params import Synthetic
from faceseg.sources.archive import write_archive
from faceseg.sources.synthetic import generate
from tests.test_whole_pipeline import Repository

ROOT = Path(__file__).parents[1]

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("recipes")]


def multiclass_face(path: Path) -> None:
    """The generator draws in this layout."""
    with path.open("wb") as file:
        write_archive(file, generate(Synthetic(train_clips=10, val_clips=3, frames=2, seed=5), 1))


def fasseg_frontal(path: Path) -> None:
    """Nested boxes in the six colours, on noise of the same colour."""
    colours = [(255, 0, 0), (127, 0, 0), (255, 255, 0), (0, 0, 255), (0, 255, 255), (0, 255, 0)]
    boxes = [(0, 0, 64, 64), (8, 8, 56, 56), (14, 16, 50, 52), (20, 22, 44, 27), (28, 28, 36, 38), (24, 42, 40, 47)]
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for split, count in (("Train", 10), ("Test", 3)):
            for number in range(1, count + 1):
                label = np.zeros((64, 64, 3), np.uint8)
                dx, dy = rng.integers(-4, 5, 2)
                for colour, (left, top, right, bottom) in zip(colours, boxes, strict=True):
                    shift = (0, 0) if left == 0 else (dx, dy)
                    label[top + shift[1] : bottom + shift[1], left + shift[0] : right + shift[0]] = colour
                picture = np.clip(label * 0.5 + 60 + rng.normal(0, 15, label.shape), 0, 255).astype(np.uint8)
                for kind, pixels in (("RGB", picture), ("Labels", label)):
                    content = io.BytesIO()
                    Image.fromarray(pixels).save(content, "BMP")
                    archive.writestr(f"V2/{split}_{kind}/{number}.bmp", content.getvalue())


MINIATURES = {"multiclass-face": multiclass_face, "fasseg-frontal": fasseg_frontal}
RECIPES = ["fasseg-unet", "fasseg-best", "multiclass-face-deeplabv3plus", "multiclass-face-pspnet"]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A checkout with the recipes in it, shortened, and a commit, which experiments need."""
    repository = Repository(tmp_path_factory.mktemp("recipes") / "repository")
    (repository.path / "recipes").mkdir()
    for path in (ROOT / "recipes").glob("*.yaml"):
        values = yaml.safe_load(path.read_text())
        values["params"].setdefault("resize", {})["size"] = 64
        values["params"]["train"] |= {"epochs": 3, "batch_size": 2}
        values["params"]["model"] |= {"backbone": "mobilenet"}
        if values["params"]["dataset"]["name"] == "multiclass-face":
            # One clip of ten outside the test split has glasses, and train must have it.
            values["params"].setdefault("split", {})["lists"] = {"train": ["0003"]}
        (repository.path / "recipes" / path.name).write_text(yaml.safe_dump(values))
    repository.environment |= {
        f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    repository.run("git", "add", "-A")
    repository.run("git", "commit", "--quiet", "-m", "start")
    return repository


def run(repository: Repository, name: str, source: Path) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """The recipe's curves and scores."""
    faceseg = "import sys; sys.path.insert(0, 'src'); from faceseg.cli import app; app()"
    repository.run(sys.executable, "-W", "ignore", "-c", faceseg, "recipe", name, "--source", str(source))
    with (repository.path / "metrics/plots/curves.csv").open() as file:
        return list(csv.DictReader(file)), repository.json("metrics/evaluate.json")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_runs_on_a_miniature(repository: Repository, tmp_path: Path, name: str) -> None:
    params = yaml.safe_load((repository.path / f"recipes/{name}.yaml").read_text())["params"]
    source = tmp_path / "source.zip"
    MINIATURES[params["dataset"]["name"]](source)
    curves, scores = run(repository, name, source)
    assert len(curves) == 3
    assert float(curves[-1]["loss"]) < float(curves[0]["loss"])
    assert repository.json("models/model.json")["architecture"] == params["model"]["architecture"]
    assert 0 < scores["native"]["miou"] < 1
    assert name in repository.run("dvc", "exp", "list", "--name-only").split()
    if name == RECIPES[0]:
        again, _ = run(repository, name, source)
        assert again == curves
