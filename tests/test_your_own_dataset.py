"""docs/your-own-dataset.md, followed to the letter: files are written as it shows them, commands run as it says."""

import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from pydantic import TypeAdapter

from faceseg.files import read_csv
from faceseg.folder import write_params
from faceseg.sources.schema import IndexMasks, PartsMasks, RgbMasks
from faceseg.store.shards import Cache
from tests.checkout import ROOT, Repository

PAGE = (ROOT / "docs/your-own-dataset.md").read_text()
BLOCKS = re.findall(r"^```(\S*) ?(\S*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)  # kind, file, content
MASKS: TypeAdapter[Any] = TypeAdapter(IndexMasks | RgbMasks | PartsMasks)


def my_faces(folder: Path) -> None:
    """The folder that the page speaks of, with more people, and one picture whose mask was forgotten."""
    for part in ("photos", "annotations"):
        (folder / part).mkdir(parents=True)
    rng = np.random.default_rng(0)
    people = ("anna", "ben", "cleo", "dan", "eva", "finn", "gina", "hugo", "ida", "jan", "kim", "leo")
    for person in people:
        for number in (1, 2):
            mask = np.zeros((40, 30), np.uint8)
            mask[10:30, 5:25] = 1
            mask[14:18, 7:12], mask[14:18, 18:23] = 2, 3
            picture = (mask[..., None] * 60 + rng.integers(0, 30, (40, 30, 3))).astype(np.uint8)
            Image.fromarray(picture).save(folder / f"photos/{person}_{number:02}.jpg")
            if (person, number) != ("ben", 2):
                Image.fromarray(mask).save(folder / f"annotations/{person}_{number:02}.png")


def nested(values: dict[str, Any], where: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= nested(value, f"{where}{key}.") if isinstance(value, dict) else {f"{where}{key}": value}
    return flat


def follow(repository: Repository, commands: int) -> list[str]:
    """Do what the page says, block by block, up to so many commands; what each command printed."""
    said: list[str] = []
    for kind, file, content in BLOCKS:
        if kind == "yaml" and file == "params.yaml":
            write_params(repository.path / file, nested(yaml.safe_load(content)))
        elif kind == "yaml" and file.startswith("src/"):
            (repository.path / file).write_text(content)
        elif kind == "console":
            for line in content.splitlines():
                command = shlex.split(line.removeprefix("$ "))
                if command[0] == "faceseg":
                    command[:1] = [sys.executable, "-c", "from faceseg.cli import app; app()"]
                if len(said) == commands:
                    return said
                said.append(repository.run(*command))
    return said


def prepared(at: Path) -> Repository:
    repository = Repository(at / "repository")
    repository.environment |= {"PYTHONPATH": str(repository.path / "src"), "COLUMNS": "200"}
    shutil.copy(ROOT / "params.yaml", repository.path)
    my_faces(at / "my-faces")
    # Small and lenient, so that it is quick with so few pictures; the page's own values come after these.
    write_params(
        repository.path / "params.yaml",
        {"resize.size": 64, "merge.max_rejected": 0.1, "train.epochs": 1, "train.batch_size": 4, "compute.workers": 1},
    )
    return repository


@pytest.mark.xdist_group("pipeline")
def test_the_page_up_to_the_prepared_data(tmp_path: Path) -> None:
    repository = prepared(tmp_path)
    labels, data = follow(repository, 2)
    assert "left_eye" in labels
    assert "set dataset.source to the folder my-faces" in labels
    assert "Running stage 'cache'" in data
    assert [row["id"] for row in read_csv(repository.path / "data/merged/rejected.csv")] == ["ben_02"]
    assert repository.json("metrics/data.json")["pictures"] == 23
    cache = Cache.open(repository.path / "data/cache")
    assert cache.classes == ("background", "skin", "eyes")
    places = {clip: split for split in cache.splits for clip in cache.split(split).clips}
    assert len(places) == 12
    # By hand: of 40 x 30 at 64 x 64 the eye's rows 14 to 17 are 22.4 to 28.8, its columns 7 to 11 are 14.9 to 25.6.
    mask = cache.split("train").masks_at(np.array([0]))[0]
    assert np.argwhere(mask == 2).min(axis=0).tolist() == [22, 15]
    assert (mask[22:28, 15:25] == 2).all()


@pytest.mark.slow
def test_the_whole_page(tmp_path: Path) -> None:
    said = follow(prepared(tmp_path), 99)
    assert len(said) == 4
    assert "Running stage 'evaluate'" in said[2]
    assert "eyes" in said[3]


def test_the_other_kinds_of_masks_are_valid() -> None:
    snippets = [MASKS.validate_python(yaml.safe_load(content)) for _, file, content in BLOCKS if file == "masks"]
    assert [snippet.kind for snippet in snippets] == ["rgb", "parts", "index"]
