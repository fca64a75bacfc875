"""``faceseg compare`` as a person and as CI run it, on real predictions of tiny models."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix
from sklearn.tree import DecisionTreeClassifier
from typer.testing import CliRunner, Result

from faceseg.cli import app
from faceseg.labels.merge import lookup_table
from faceseg.params import Synthetic
from faceseg.sources import catalog
from faceseg.sources.synthetic import generate
from tests.evaluation.clips import Measurements, draw, measured

SIDE = 48


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")

    def command(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["compare", *arguments])

    return command


@pytest.fixture
def repository(tmp_path: Path) -> Measurements:
    """Tags ``good``, ``same`` (as good, with other noise) and ``bad``; the workspace holds ``bad``."""
    repository = Measurements(tmp_path)
    counts = draw(np.random.default_rng(0), 24)
    repository.write(measured(counts[:, 0]), {"train": {"learning_rate": 0.002}}, "a" * 32)
    repository.commit("good")
    repository.write(measured(counts[:, 1]), {"train": {"learning_rate": 0.002}}, "b" * 32)
    repository.commit("same")
    worse = draw(np.random.default_rng(0), 24, (1.0,) * 5)
    repository.write(measured(worse[:, 1]), {"train": {"learning_rate": 2.0}}, "b" * 32)
    repository.commit("bad")
    return repository


def test_worse_fails_only_when_asked(run: Run, repository: Measurements) -> None:
    assert run("good").exit_code == 0
    done = run("good", "--fail-if-worse")
    assert done.exit_code == 1
    assert "worse: mIoU" in done.output
    assert run("bad", "good", "--fail-if-worse").exit_code == 0
    assert "better: mIoU" in run("bad", "good").output


def test_noise_never_fails(run: Run, repository: Measurements) -> None:
    done = run("good", "same", "--fail-if-worse")
    assert done.exit_code == 0
    assert "within noise: mIoU" in done.output


def test_markdown_holds_scores_changes_and_verdict(run: Run, repository: Measurements) -> None:
    text = run("good", "bad", "--markdown").output
    lines = text.splitlines()
    assert lines[0].startswith("### faceseg compare: worse: mIoU 0.")
    assert "24 test clips" in lines[2]
    table = [line for line in lines if line.startswith("| ")]
    assert [line.split(" | ")[0] for line in table[2:10]] == [
        f"| {name}" for name in ("mIoU", "mF1", "pixel accuracy", "background", "skin", "hair", "mouth", "eyes")
    ]
    assert "| `train.learning_rate` | 0.002 | 2.0 |" in text
    assert "| `models` | aaaaaaaa | bbbbbbbb |" in text
    assert text == run("good", "bad", "--markdown").output


def test_json_is_what_the_table_shows(run: Run, repository: Measurements) -> None:
    values = json.loads(run("good", "--json").output)
    assert values["verdict"] == "worse"
    assert values["head"] == {"name": "workspace", "commit": None}
    assert values["changed_params"] == {"train.learning_rate": ["0.002", "2.0"]}
    total = values["totals"]["mIoU"]
    assert total["low"] < total["difference"] < total["high"] < 0
    assert total["difference"] == pytest.approx(total["head"] - total["base"])
    assert values["totals"]["mF1"]["verdict"] is None


def test_what_cannot_be_compared_is_exit_code_2(run: Run, repository: Measurements) -> None:
    done = run("nowhere")
    assert done.exit_code == 2
    assert "'nowhere' is no git revision and no experiment here" in done.output
    assert run("good", "--json", "--markdown").exit_code == 2


def test_scores_recorded_under_other_parameters_are_flagged(run: Run, repository: Measurements) -> None:
    """What dvc.lock says the stages ran with is held against params.yaml; a section and a single key."""
    counts = draw(np.random.default_rng(0), 24)
    params = {"train": {"learning_rate": 0.1, "seed": 0}, "dataset": {"name": "mine", "limit": None}}
    repository.write(measured(counts[:, 0]), params, "a" * 32)
    lock = repository.root / "dvc.lock"
    recorded = {"train": {"learning_rate": 0.2, "seed": 0}, "dataset.name": "mine"}
    stages = {
        "train": {"params": {"params.yaml": recorded}},
        "cache": {"params": {"params.yaml": {"dataset.name": "x"}}},
    }
    lock.write_text(json.dumps({"schema": "2.0", "stages": stages}))
    commit = repository.commit("changed")[:7]
    note = (
        f"The scores of changed ({commit}) were recorded under other parameters than its params.yaml has: "
        "dataset.name x (now mine), train.learning_rate 0.2 (now 0.1). "
    )
    assert f"\n> {note}" in run("good", "changed", "--markdown").output
    assert json.loads(run("good", "changed", "--json").output)["notes"][0].startswith(note)
    assert "were recorded under" in run("changed", "good").output
    assert "recorded under" not in run("good", "same", "--markdown").output


def test_small_numbers_are_the_same_in_either_file(run: Run, repository: Measurements) -> None:
    """dvc.lock has 1e-06, which YAML 1.1 reads as a text, for params.yaml's 0.000001."""
    counts = draw(np.random.default_rng(0), 24)
    repository.write(measured(counts[:, 0]), {"train": {"decay": 0.000001}}, "a" * 32)
    lock = "schema: '2.0'\nstages:\n  train:\n    params:\n      params.yaml:\n        train.decay: {}\n"
    (repository.root / "dvc.lock").write_text(lock.format("1e-06"))
    repository.commit("small")
    assert "recorded under" not in run("good", "small", "--markdown").output
    (repository.root / "dvc.lock").write_text(lock.format("2e-06"))
    repository.commit("other")
    assert "train.decay 2.0e-06 (now 1.0e-06)" in run("good", "other", "--markdown").output


def test_parameters_that_cannot_be_read_are_named(run: Run, repository: Measurements) -> None:
    (repository.root / "params.yaml").write_text("train: {seed: 0, seed: 1}\n")
    repository.commit("twice")
    done = run("good", "twice")
    assert done.exit_code == 2
    told = " ".join(done.output.split())
    assert "params.yaml of twice is not valid YAML" in told
    assert "the key 'seed' comes twice; keep one" in told


def drawn(split: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Small pictures, one a clip: features of their pixels (SIDE * SIDE, 5) and face8 labels (SIDE * SIDE,)."""
    files = dict(generate(Synthetic(train_clips=12, val_clips=14, frames=1, seed=3), 1))
    table = lookup_table(catalog.load("synthetic-faces").merge("face8"))
    y, x = np.mgrid[:SIDE, :SIDE]
    found = []
    for name in sorted(name for name in files if f"/{split}/image/" in name):
        mask = name.replace("/image/", "/seg/").rsplit(".", 1)[0] + ".png"
        picture = np.asarray(Image.open(io.BytesIO(files[name])).convert("RGB").resize((SIDE, SIDE)))
        labels = table[np.asarray(Image.open(io.BytesIO(files[mask])).resize((SIDE, SIDE), Image.Resampling.NEAREST))]
        found.append((np.dstack([picture, y, x]).reshape(-1, 5), labels.ravel()))
    return found


def test_a_model_trained_on_shuffled_labels_is_worse(run: Run, tmp_path: Path) -> None:
    """A tree over colour and place, on generated faces; then the same with the labels of other pixels."""
    train, test = drawn("train"), drawn("val")
    features = np.concatenate([one for one, _ in train])
    labels = np.concatenate([one for _, one in train])
    names = catalog.load("synthetic-faces").merge("face8").classes
    repository = Measurements(tmp_path)
    for tag, taught in (("true", labels), ("shuffled", np.random.default_rng(0).permutation(labels))):
        tree = DecisionTreeClassifier(max_depth=12, random_state=0).fit(features, taught)
        counts = [confusion_matrix(truth, tree.predict(pixels), labels=range(len(names))) for pixels, truth in test]
        repository.write(measured(np.array(counts), names), {"labels": tag}, "a" * 32)
        repository.commit(tag)
    done = run("true", "shuffled", "--fail-if-worse")
    assert done.exit_code == 1, done.output
    assert "worse: mIoU" in done.output
    assert run("shuffled", "true", "--fail-if-worse").exit_code == 0
    assert run("true", "true", "--fail-if-worse").exit_code == 0
