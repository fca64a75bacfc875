"""The whole pipeline through DVC, on a tiny generated dataset in a repository of its own."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.checkout import STAGES, Repository
from tests.torture import Torture

pytestmark = pytest.mark.xdist_group("pipeline")  # one worker runs all of this file: the tests share one repository


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The pipeline, run once."""
    repository = Repository(tmp_path_factory.mktemp("pipeline") / "repository")
    assert repository.repro() == STAGES
    return repository


def test_every_output_is_there_and_says_what_it_should(repository: Repository) -> None:
    data, splits = repository.json("metrics/data.json"), repository.json("metrics/splits.json")
    assert data["pictures"] == 36
    assert data["rejected"] == 0
    sizes = splits["sizes"]
    assert sizes["test"] == {"pictures": 8, "clips": 4}
    assert sum(size["pictures"] for size in sizes.values()) == 36
    scores = repository.json("metrics/evaluate.json")
    classes = repository.json("data/cache/cache.json")["classes"]
    for grid in ("native", "cached"):
        assert 0 < scores[grid]["miou"] < scores[grid]["pixel_accuracy"] <= 1
        assert {*scores[grid]["per_class"], *scores[grid]["absent"]} == set(classes)
    with (repository.path / "metrics/plots/curves.csv").open() as file:
        curves = list(csv.DictReader(file))
    assert [row["epoch"] for row in curves] == ["1", "2"]
    assert list(curves[0]) == ["epoch", "lr", "loss", "f1", "iou", "val_loss", "val_f1", "val_iou"]
    assert len(list((repository.path / "reports/samples").glob("*.png"))) == 2
    assert "<html" in (repository.path / "reports/report.html").read_text()


def test_a_second_run_does_nothing(repository: Repository) -> None:
    assert repository.repro() == []


def test_outputs_hold_no_path_of_this_machine(repository: Repository) -> None:
    files = [
        *repository.path.glob("metrics/**/*.*"),
        *repository.path.glob("data/*/*.[cj]s*"),
        repository.path / "models/model.json",
    ]
    assert len(files) > 10
    for file in [*files, repository.path / "reports/report.html", repository.path / "dvc.lock"]:
        assert str(repository.path.parent) not in file.read_text(), file


@pytest.mark.parametrize(
    ("module", "stages"),
    [
        ("src/faceseg/sources/fetch.py", {"download", "merge", "resize", "cache", "evaluate"}),
        ("src/faceseg/labels/decode.py", {"merge"}),
        ("src/faceseg/images/geometry.py", {"merge", "resize", "cache", "evaluate"}),
        ("src/faceseg/inputs/augment.py", {"train", "evaluate"}),
        ("src/faceseg/objectives/losses.py", {"train", "evaluate"}),
        ("src/faceseg/evaluation/report.py", {"evaluate"}),
        ("stages/resize.py", {"resize"}),
        ("src/faceseg/tracking/tracker.py", set()),
    ],
)
def test_a_changed_module_reruns_the_stages_that_import_it(
    repository: Repository, module: str, stages: set[str]
) -> None:
    path = repository.path / module
    before = path.read_text()
    path.write_text(before + "# a change\n")
    try:
        changed = repository.changed_stages()
    finally:
        path.write_text(before)
    assert changed == stages


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ({"train": {"learning_rate": 0.001}}, {"train"}),
        ({"split": {"seed": 7}}, {"cache"}),
        ({"resize": {"size": 96}}, {"resize", "cache"}),
        ({"dataset": {"limit": {"train": 4}}}, {"cache"}),
        ({"dataset": {"synthetic": {"seed": 9}}}, {"download"}),
        ({"compute": {"workers": 1}}, set()),
        ({"evaluate": {"samples": 1}}, {"evaluate"}),
    ],
)
def test_a_changed_parameter_changes_the_stages_that_read_it(
    repository: Repository, change: dict[str, Any], stages: set[str]
) -> None:
    path = repository.path / "params.yaml"
    before = path.read_text()
    repository.change(change)
    try:
        changed = repository.changed_stages()
    finally:
        path.write_text(before)
    assert changed == stages


def test_a_learning_rate_reruns_train_and_evaluate_only(repository: Repository) -> None:
    before = (repository.path / "params.yaml").read_text()
    repository.change({"train": {"learning_rate": 0.001}})
    assert repository.repro() == ["train", "evaluate"]
    (repository.path / "params.yaml").write_text(before)
    repository.run("dvc", "checkout", "--force")


def test_train_and_evaluate_are_one_mlflow_run(repository: Repository) -> None:
    code = (
        "import mlflow, json; c = mlflow.MlflowClient('sqlite:///mlflow.db')\n"
        "runs = c.search_runs([c.get_experiment_by_name('faceseg').experiment_id], order_by=['start_time'])\n"
        "r = runs[0]; points = {k: [m.step for m in c.get_metric_history(r.info.run_id, k)] for k in r.data.metrics}\n"
        "print(json.dumps({'points': points, 'params': r.data.params, 'status': r.info.status}))"
    )
    run = json.loads(repository.run(sys.executable, "-W", "ignore", "-c", code).splitlines()[-1])
    for key in ("lr", "loss", "f1", "iou", "val_loss", "val_f1", "val_iou"):
        assert run["points"][key] == [1, 2]
    assert "test.miou" in run["points"]
    assert run["params"]["train.batch_size"] == "4"
    assert run["status"] == "FINISHED"


def test_kills_while_something_is_written_change_no_byte(repository: Repository) -> None:
    """The short version of `make torture`: a kill of each kind, one of them of a training after its first epoch."""
    repository.repro()
    torture = Torture(repository, seed=1)
    torture.kill("resize", "process", changes=3)
    torture.kill("resize", "group", changes=2)
    torture.let_through("resize")
    torture.kill("train", "dvc", changes=1)
    torture.let_through("train")
    repository.repro()
    assert torture.count.mismatches == []
    assert torture.count.kills == {"resize": 2, "train": 1}


@pytest.mark.slow
def test_a_killed_training_ends_in_the_same_bytes(repository: Repository) -> None:
    """SIGKILL to dvc and all its children after the second epoch; the next `dvc repro` goes on from there."""
    before = (repository.path / "params.yaml").read_text()
    lock = (repository.path / "dvc.lock").read_text()
    repository.change({"train": {"epochs": 5}})
    assert repository.repro() == ["train", "evaluate"]
    files = (
        "models/model.weights.h5",
        "models/model.json",
        "metrics/plots/curves.csv",
        "metrics/train.json",
        "dvc.lock",
    )
    undisturbed = {name: (repository.path / name).read_bytes() for name in files}
    assert not list((repository.path / ".faceseg" / "runs").iterdir()), "checkpoints of a finished run stay behind"

    command = ["dvc", "repro", "--force", "--single-item", "train"]
    killed = subprocess.Popen(command, cwd=repository.path, env=repository.environment, start_new_session=True)
    for _ in range(1200):
        if list(repository.path.glob(".faceseg/runs/*/epoch-00002.json")):
            break
        time.sleep(0.1)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (repository.path / "models/model.json").exists()
    output = repository.run("dvc", "repro")
    assert "continuing after epoch" in output
    assert {name: (repository.path / name).read_bytes() for name in files} == undisturbed
    (repository.path / "params.yaml").write_text(before)
    (repository.path / "dvc.lock").write_text(lock)
    repository.run("dvc", "checkout", "--force")


def test_an_edited_local_source_reruns_what_depends_on_it(repository: Repository, tmp_path: Path) -> None:
    archive = tmp_path / "mine.zip"
    shutil.copy(repository.path / "data/raw/dataset.zip", archive)
    before = (repository.path / "params.yaml").read_text()
    lock = (repository.path / "dvc.lock").read_text()
    repository.change({"dataset": {"source": str(archive)}})
    assert repository.repro("download") == ["download"]
    assert "download" not in repository.changed_stages()
    archive.write_bytes(archive.read_bytes() + b"edited")
    assert "download" in repository.changed_stages()
    (repository.path / "params.yaml").write_text(before)
    (repository.path / "dvc.lock").write_text(lock)
    repository.run("dvc", "checkout", "--force")


@pytest.mark.parametrize(
    ("stage", "missing"),
    [
        ("merge", "data/raw"),
        ("resize", "data/merged"),
        ("cache", "data/resized"),
        ("train", "data/cache"),
        ("evaluate", "models"),
    ],
)
def test_a_stage_without_its_inputs_says_what_makes_them(repository: Repository, stage: str, missing: str) -> None:
    aside = repository.path / "aside"
    (repository.path / missing).rename(aside)
    try:
        output = repository.run(sys.executable, "-m", f"stages.{stage}", ok=False)
    finally:
        aside.rename(repository.path / missing)
    assert missing in output
    assert "dvc repro" in output
    assert "Traceback" not in output
