"""folder: two folders become an archive and parameters, and one line trains on them."""

import difflib
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from faceseg import folder
from faceseg.params import read_params
from faceseg.sources.archive import Archive
from tests.checkout import ROOT, Repository


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "repository").mkdir()
    shutil.copy(ROOT / "params.yaml", tmp_path / "repository")
    return tmp_path / "repository"


def faces(at: Path, count: int, nested: str = "", values: tuple[int, int] = (0, 4)) -> tuple[Path, Path]:
    """Pictures with a bright box, which the mask marks; names with spaces."""
    images, labels = at / "my images" / nested, at / "my labels" / nested
    for part in (images, labels):
        part.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for n in range(count):
        left, top = rng.integers(0, 30, 2)
        picture = rng.integers(0, 60, (48, 40, 3), np.uint8)
        mask = np.full((48, 40), values[0], np.uint8)
        picture[top : top + 16, left : left + 10] += 150
        mask[top : top + 16, left : left + 10] = values[1]
        Image.fromarray(picture).save(images / f"face {n}+.jpg", quality=95)
        Image.fromarray(mask).save(labels / f"face {n}+.png")
    return at / "my images", at / "my labels"


def prepare(images: Path, labels: Path, epochs: int | None, root: Path) -> None:
    folder.prepare(images, labels, epochs, root, read_params(root / "params.yaml"))


def test_the_archive_and_the_parameters(tmp_path: Path, root: Path) -> None:
    images, labels = faces(tmp_path, 12)
    before = (root / "params.yaml").read_text()
    prepare(images, labels, 5, root)
    with Archive(root / "data/folder.zip") as archive:
        assert len(archive.names) == 24
        assert archive.read("images/face 3+.jpg") == (images / "face 3+.jpg").read_bytes()
    params = read_params(root / "params.yaml")
    assert (params.dataset.name, params.dataset.source) == ("folder", "data/folder.zip")
    assert params.dataset.folder.classes == {"class_0": 0, "class_4": 4}
    assert (params.merge.into, params.split.by, params.train.epochs) == ("identity", "clip", 5)
    assert 1 <= params.train.batch_size <= 8
    # Comments, order and everything else stay.
    after = (root / "params.yaml").read_text()
    changed = [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line.startswith("- ")]
    assert [line.split(":")[0].strip("- ") for line in changed] == [
        "name", "source", "tolerance", "max_strays", "classes", "into", "by", *(["seed"] if params.split.seed else []),
        "epochs", *(["batch_size"] if params.train.batch_size < 8 else []),
    ]  # fmt: skip
    assert "# a description in src/faceseg/datasets/" in after


def test_the_same_folders_give_the_same_bytes(tmp_path: Path, root: Path) -> None:
    images, labels = faces(tmp_path, 12)
    prepare(images, labels, None, root)
    archive, params = (root / "data/folder.zip").read_bytes(), (root / "params.yaml").read_bytes()
    os.utime(images / "face 3+.jpg")
    prepare(images, labels, None, root)
    assert (root / "data/folder.zip").read_bytes() == archive
    assert (root / "params.yaml").read_bytes() == params


def test_names_that_somebody_gave_to_the_classes_stay(tmp_path: Path, root: Path) -> None:
    images, labels = faces(tmp_path, 12)
    prepare(images, labels, None, root)
    folder.write_params(root / "params.yaml", {"dataset.folder.classes": {"rest": 0, "box": 4, "other": 9}})
    prepare(images, labels, None, root)
    assert read_params(root / "params.yaml").dataset.folder.classes == {"rest": 0, "box": 4, "other": 9}


def test_folders_with_one_folder_in_them(tmp_path: Path, root: Path) -> None:
    images, labels = faces(tmp_path, 12, "images")
    prepare(images, labels, None, root)
    with Archive(root / "data/folder.zip") as archive:
        assert archive.names[0] == "images/face 0+.jpg"


def test_black_and_white_masks(tmp_path: Path, root: Path) -> None:
    prepare(*faces(tmp_path, 12, values=(0, 255)), None, root)
    table = yaml.safe_load((root / "params.yaml").read_text())["dataset"]["folder"]
    assert table["masks"] == "rgb"
    assert table["classes"] == {"background": [0, 0, 0], "foreground": [255, 255, 255]}


def test_too_few_pictures(tmp_path: Path, root: Path) -> None:
    with pytest.raises(ValueError, match="2 pictures with a mask are too few to train, validate and test on: the"):
        prepare(*faces(tmp_path, 2), None, root)


def test_folders_without_files_and_with_links(tmp_path: Path, root: Path) -> None:
    images, labels = faces(tmp_path, 3)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no files; expected the labels themselves, or one folder with"):
        prepare(images, tmp_path / "empty", None, root)
    (images / "more.jpg").symlink_to(images / "face 0+.jpg")
    with pytest.raises(ValueError, match=r"more\.jpg is a link; expected files"):
        prepare(images, labels, None, root)


def test_masks_of_other_names(tmp_path: Path, root: Path) -> None:
    images, _ = faces(tmp_path, 3)
    with pytest.raises(ValueError, match="0 pictures with a mask are too few"):
        prepare(images, _renamed(tmp_path), None, root)


def _renamed(at: Path) -> Path:
    (at / "others").mkdir()
    Image.new("L", (4, 4)).save(at / "others/x.png")
    return at / "others"


@pytest.mark.slow
def test_one_line_trains_on_two_folders(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    repository.change({"train": {"batch_size": 8}})
    repository.environment["PYTHONPATH"] = str(repository.path / "src")
    images, labels = faces(tmp_path, 24)

    def run() -> str:
        command = "from faceseg.cli import app; app()"
        return repository.run(sys.executable, "-c", command, "folder", str(images), str(labels), "-e", "2")

    first = run()
    assert "Running stage 'evaluate'" in first
    assert "class_4" in first.split("Test split, native size")[1]
    assert len((repository.path / "metrics/plots/curves.csv").read_text().splitlines()) == 3  # a header and two epochs
    assert "Running stage" not in run()
