"""The faceseg command as a user meets it: what `make repro` begins and ends with."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from faceseg.cli import app
from faceseg.files import write_json
from faceseg.training.checkpoint import RunFolder

ROOT = Path(__file__).parents[1]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml alone, in which the command runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


def change(checkout: Path, section: str, **changes: Any) -> None:
    path = checkout / "params.yaml"
    values = yaml.safe_load(path.read_text())
    values[section] |= changes
    path.write_text(yaml.safe_dump(values))


def test_check_passes_on_the_shipped_parameters(checkout: Path) -> None:
    (checkout / "data").mkdir()
    shutil.copy(ROOT / "data" / "published", checkout / "data")
    shutil.copy(ROOT / "data" / "no-model", checkout / "data")
    result = CliRunner().invoke(app, ["check"])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        ("dataset", {"name": "synthetic-face"}, "synthetic-faces"),
        ("dataset", {"source": "nowhere.zip"}, "nowhere.zip"),
        ("merge", {"into": "face9"}, "face8"),
        ("train", {"epochs": "ten"}, "train.epochs: got 'ten'"),
        ("resize", {"size": 100}, "resize.size is 100, which deeplabv3plus cannot take"),
        ("model", {"backbone": "resnet19"}, "did you mean"),
    ],
)
def test_check_names_what_is_wrong_before_any_work(
    checkout: Path, section: str, changes: dict[str, Any], message: str
) -> None:
    (checkout / "data").mkdir()
    shutil.copy(ROOT / "data" / "published", checkout / "data")
    shutil.copy(ROOT / "data" / "no-model", checkout / "data")
    change(checkout, section, **changes)
    result = CliRunner().invoke(app, ["check"])
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output


def scores(value: float) -> dict[str, Any]:
    per_class = {"nose": dict.fromkeys(("iou", "f1", "precision", "recall"), value)}
    return {"miou": value, "mf1": value, "pixel_accuracy": value, "per_class": per_class, "absent": ["glasses"]}


def test_the_summary_shows_native_scores_and_where_to_look(checkout: Path) -> None:
    write_json(checkout / "metrics" / "evaluate.json", {"native": scores(0.25), "cached": scores(0.75)})
    write_json(checkout / "metrics" / "splits.json", {"sizes": {"test": {"pictures": 8, "clips": 4}}})
    result = CliRunner().invoke(app, ["summary"])
    assert result.exit_code == 0, result.output
    (row,) = (line for line in result.output.splitlines() if "nose" in line)
    assert row.count("0.250") == 4
    assert "test mIoU 0.250" in result.output
    assert "(mIoU 0.750 at the training size), 8 pictures of 4 clips" in result.output
    assert "glasses" in result.output
    assert "reports/report.html" in result.output


def test_the_summary_without_an_evaluation_says_what_makes_it(checkout: Path) -> None:
    result = CliRunner().invoke(app, ["summary"])
    assert result.exit_code == 1
    assert "`make repro` makes it" in result.output


def test_the_summary_leaves_out_clips(checkout: Path) -> None:
    """Clip a: 6 skin right, 2 taken for hair, 2 hair right: IoU 6/8 and 2/4. Clip b, all wrong, is left out."""
    (checkout / "metrics" / "plots").mkdir(parents=True)
    pairs = [(one, other) for one in ("skin", "hair") for other in ("skin", "hair")]
    cells = "".join(f"{one},{other},9\n" for one, other in pairs)
    (checkout / "metrics" / "plots" / "confusion.csv").write_text(f"actual,predicted,pixels\n{cells}")
    rows = "a,skin,skin,6\na,skin,hair,2\na,hair,hair,2\nb,skin,hair,50\n"
    (checkout / "metrics" / "clips.csv").write_text(f"clip,actual,predicted,pixels\n{rows}")
    result = CliRunner().invoke(app, ["summary", "--without", "b"])
    assert result.exit_code == 0, result.output
    assert "test mIoU 0.625, mean F1 0.762, pixel accuracy 0.800 at native size over 1 of 2 clips" in result.output
    result = CliRunner().invoke(app, ["summary", "--without", "c"])
    assert result.exit_code == 1
    assert "there is no test clip 'c'; metrics/clips.csv has a, b" in result.output
    result = CliRunner().invoke(app, ["summary", "--without", "a", "--without", "b"])
    assert "no test clip is left without all 2" in result.output


def test_sync_without_a_journal_has_nothing_to_do(checkout: Path) -> None:
    result = CliRunner().invoke(app, ["sync"])
    assert result.exit_code == 0
    assert "0 lines delivered" in result.output


def test_clean_removes_what_abandoned_trainings_left(checkout: Path) -> None:
    for seed in (1, 2):
        with RunFolder(checkout / ".faceseg/runs", {"seed": seed}) as folder:
            folder.save(3, [np.zeros(1000)], {})
    held = RunFolder(checkout / ".faceseg/runs", {"seed": 2})
    with held:
        dry = CliRunner().invoke(app, ["clean", "--dry-run"]).output
        assert len(list(checkout.glob(".faceseg/runs/*"))) == 2
        output = CliRunner().invoke(app, ["clean"]).output
    assert dry.count("epoch 3") == 2
    assert "bytes would be removed" in dry
    assert f"{held.path.name}  epoch 3, " in output
    assert "stays, a process trains in it" in output
    assert list(checkout.glob(".faceseg/runs/*")) == [held.path]
    assert CliRunner().invoke(app, ["clean"]).exit_code == 0
    assert list(checkout.glob(".faceseg/runs/*")) == []
