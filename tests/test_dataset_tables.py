"""dataset_tables and ``faceseg datasets``: what a person reads about datasets."""

import shutil
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table
from typer.testing import CliRunner

from faceseg import dataset_tables
from faceseg.cli import app
from faceseg.files import write_json
from faceseg.params import read_params
from faceseg.sources import catalog
from faceseg.sources.download import part_of

ROOT = Path(__file__).parents[1]
FOLDER = read_params(ROOT / "params.yaml").dataset.folder


def drawn(table: Table, colours: bool = False, width: int = 300) -> str:
    console = Console(width=width, force_terminal=colours, color_system="truecolor" if colours else None)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def row(text: str, name: str) -> list[str]:
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines()]
    first = next(n for n, cells in enumerate(rows) if name in cells)
    lines = rows[first : first + 1]
    for cells in rows[first + 1 :]:
        if not cells or cells[0]:
            break
        lines.append(cells)
    return [" ".join(filter(None, cells)) for cells in zip(*lines, strict=True)]


def test_the_overview_names_counts_classes_merges_and_licence(tmp_path: Path) -> None:
    text = drawn(dataset_tables.overview(FOLDER, tmp_path))
    assert row(text, "fasseg-multipose") == [
        "fasseg-multipose", "train 182 test 96", "6", "face6", "research use", "-",
    ]  # fmt: skip
    assert row(text, "celebamask-hq")[1:4] == ["train 30,000", "19", "parts19 face8 eyes-lips"]
    assert row(text, "folder")[1:4] == ["yours", "2", "identity"]
    assert all(f" {name} " in text for name in catalog.names())


def test_a_narrow_terminal_cuts_nothing_off(tmp_path: Path) -> None:
    assert "…" not in drawn(dataset_tables.overview(FOLDER, tmp_path), width=80)


def test_what_is_on_this_machine(tmp_path: Path) -> None:
    write_json(tmp_path / "data/raw/source.json", {"dataset": "lfw-parts", "bytes": 35_400_000, "members": 1234})
    splits = {"train": {"pictures": 7}, "test": {"pictures": 2}}
    write_json(tmp_path / "data/cache/cache.json", {"dataset": "lfw-parts", "splits": splits})
    part = part_of("kaggle:ashish2001/multiclass-face-segmentation", tmp_path / ".faceseg/downloads")
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(2_500_000))
    text = drawn(dataset_tables.overview(FOLDER, tmp_path))
    assert row(text, "lfw-parts")[-1] == "fetched: 1,234 files, 35.4 MB prepared: train 7, test 2"
    assert row(text, "multiclass-face")[-1] == "begun: 2.5 MB have come"
    assert row(text, "folder")[-1] == "-"


def test_labels_in_their_colours() -> None:
    table = dataset_tables.labels(catalog.load("celebamask-hq"))
    assert row(drawn(table), "l_eye") == ["4", "#3333ff", "l_eye", "r_eye", "l_eye", "eyes", "eyes_lips"]
    [line] = [line for line in drawn(table, colours=True).splitlines() if "#3333ff" in line]
    assert "\x1b[48;2;51;51;255m    \x1b[0m" in line


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("celebamask-hq", "1/2 of the image's size, painted in the order skin, nose, eye_g"),
        ("lfw-parts", "parts_validation.txt"),
        ("multiclass-face", "Kaggle, ashish2001/multiclass-face-segmentation, with your token"),
        ("fasseg-frontal", "https://github.com/massimomauro/FASSEG-repository/archive"),
        ("synthetic-faces", "drawn by faceseg"),
        ("folder", "faceseg folder IMAGES LABELS"),
    ],
)
def test_the_command_shows_one_dataset(name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["datasets", name])
    assert done.exit_code == 0
    assert said in done.stdout
    assert catalog.load(name, FOLDER).citation[:20] in done.stdout


def test_the_command_lists_all_and_knows_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    listed = CliRunner().invoke(app, ["datasets"]).stdout
    assert all(f" {name} " in listed for name in catalog.names())
    wrong = CliRunner().invoke(app, ["datasets", "celebamask"])
    assert wrong.exit_code == 1
    assert "there is no dataset 'celebamask', did you mean 'celebamask-hq'?" in wrong.stderr
