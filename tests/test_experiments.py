"""``dvc exp`` as a new user tries it, on a tiny repository: run, queue, show, diff, apply, branch, remove.

The tests tell one story in one repository, so they run in this order.
"""

import csv
import io
import json
import shutil
import sys
import time
from collections.abc import Iterator

import pytest

from tests.checkout import LEAST, STAGES, Repository

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pipeline")]

COLUMNS = {"test_miou", "test_mf1", "test_pixel_accuracy", "val_miou", "kept_epoch"}
DEADLINE_SECONDS = 240.0


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    repository = Repository(tmp_path_factory.mktemp("experiments") / "repository")
    repository.change(LEAST)
    assert repository.repro() == STAGES
    repository.commit("baseline")
    yield repository
    # Workers wait a minute for more work before they end.
    repository.run("dvc", "queue", "stop")


def shown(repository: Repository) -> dict[str, dict[str, str]]:
    """The rows of ``dvc exp show`` by experiment, with the baseline under its branch."""
    table = csv.DictReader(io.StringIO(repository.run("dvc", "exp", "show", "--csv", "--only-changed")))
    return {row["Experiment"] or row["rev"]: row for row in table}


def queued(repository: Repository) -> dict[str, str]:
    """The state of each task of the queue, by its experiment's name."""
    lines = repository.run("dvc", "queue", "status").splitlines()
    rows = [line.split() for line in lines if line.rstrip().endswith(("Queued", "Running", "Success", "Failed"))]
    return {row[1]: row[-1] for row in rows}


def wait_for_queue(repository: Repository) -> dict[str, str]:
    end = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < end:
        states = queued(repository)
        if states and not {"Queued", "Running"} & {*states.values()}:
            return states
        time.sleep(1)
    raise AssertionError(f"the queue did not end: {states}")


def mlflow_runs(repository: Repository) -> list[list[str]]:
    """Name, tag ``dvc.exp`` and status of every run."""
    code = (
        "import mlflow, json; c = mlflow.MlflowClient('sqlite:///mlflow.db')\n"
        "runs = c.search_runs([c.get_experiment_by_name('faceseg').experiment_id])\n"
        "print(json.dumps([[r.info.run_name, r.data.tags['dvc.exp'], r.info.status] for r in runs]))"
    )
    runs: list[list[str]] = json.loads(repository.run(sys.executable, "-W", "ignore", "-c", code).splitlines()[-1])
    return runs


def test_an_experiment_runs_what_it_changes_and_is_named_in_mlflow(repository: Repository) -> None:
    output = repository.run("dvc", "exp", "run", "--name", "bold", "--set-param", "train.learning_rate=0.01")
    assert [stage for stage in STAGES if f"Running stage '{stage}'" in output] == ["train", "evaluate"]
    assert ["bold", "bold", "FINISHED"] in mlflow_runs(repository)


def test_show_has_few_columns_and_all_that_changed(repository: Repository) -> None:
    rows = shown(repository)
    columns = {*rows["bold"]} - {"Experiment", "rev", "typ", "Created", "parent", "State", "Executor"}
    assert columns - COLUMNS <= {"train.learning_rate", "models", "metrics/train.json", "metrics/plots/curves.csv"}
    assert "test_miou" in columns
    assert float(rows["bold"]["train.learning_rate"]) == 0.01
    metrics = json.loads(repository.run("dvc", "metrics", "show", "--json"))
    assert {*metrics[""]["data"]["metrics/summary.json"]["data"]} == COLUMNS
    assert len(metrics[""]["data"]) == 1


def test_a_grid_is_queued_and_runs_the_code_and_parameters_that_it_was_queued_with(repository: Repository) -> None:
    """The working copy is broken, in code and parameters, after queueing; two workers do not notice."""
    repository.run("git", "reset", "--quiet", "--hard")
    repository.run(
        *("dvc", "exp", "run", "--queue", "--set-param", "model.architecture=pspnet,deeplabv3plus"),
        *("--set-param", "train.learning_rate=0.01,0.001", "--set-param", "train.seed=range(0,2)"),
    )
    names = list(queued(repository))
    assert len(names) == 8
    repository.run("dvc", "queue", "remove", *names[2:7])
    chosen = [names[0], names[1], names[7]]
    assert queued(repository) == dict.fromkeys(chosen, "Queued")
    stage = repository.path / "stages/train.py"
    stage.write_text(stage.read_text() + "\nraise RuntimeError('changed after queueing')\n")
    repository.change({"train": {"epochs": 99}, "resize": {"size": 17}})
    repository.run("dvc", "queue", "start", "--jobs", "2")
    assert wait_for_queue(repository) == dict.fromkeys(chosen, "Success")
    repository.run("git", "checkout", "--quiet", "stages", "params.yaml")
    rows = shown(repository)
    assert [rows[name]["model.architecture"] for name in chosen] == ["pspnet", "pspnet", "deeplabv3plus"]
    assert [rows[name]["train.seed"] for name in chosen] == ["0", "1", "1"]
    assert [float(rows[name]["train.learning_rate"]) for name in chosen] == [0.01, 0.01, 0.001]
    named = [[name, name, "FINISHED"] for name in chosen]
    assert sorted(run for run in mlflow_runs(repository) if run[0] in chosen) == sorted(named)


def test_diff_tells_two_experiments_apart(repository: Repository) -> None:
    output = repository.run("dvc", "exp", "diff", "main", "bold", "--md")
    assert "| metrics/summary.json | test_miou" in output
    assert "| params.yaml | train.learning_rate | 0.002" in output
    comparison = json.loads(repository.run("faceseg", "compare", "main", "bold", "--json"))
    assert comparison["clips"] == 9
    assert comparison["changed_params"] == {"train.learning_rate": ["0.002", "0.01"]}
    assert {*comparison["changed_data"]} == {"models"}


def test_apply_branch_and_remove(repository: Repository) -> None:
    baseline = repository.json("metrics/summary.json")
    repository.run("dvc", "exp", "apply", "bold")
    assert "learning_rate: 0.01\n" in (repository.path / "params.yaml").read_text()
    applied = repository.json("metrics/summary.json")
    assert applied != baseline
    assert repository.changed_stages() == set()
    repository.run("git", "reset", "--quiet", "--hard")
    repository.run("dvc", "checkout", "--force")
    repository.run("dvc", "exp", "branch", "bold", "bolder-rate")
    repository.run("git", "merge", "--quiet", "bolder-rate")
    assert repository.json("metrics/summary.json") == applied
    repository.run("dvc", "checkout")
    assert repository.repro() == []
    repository.run("dvc", "exp", "remove", "--all-commits")
    assert "bold" not in repository.run("dvc", "exp", "list", "--all-commits")


def test_queued_data_is_that_of_the_time_of_queueing(repository: Repository) -> None:
    """A local archive that DVC tracks; the one in the working copy is spoilt after queueing."""
    archive = repository.path / "data/mine.zip"
    shutil.copy(repository.path / "data/raw/dataset.zip", archive)
    before = archive.read_bytes()
    repository.run("dvc", "add", "data/mine.zip")
    repository.commit("an archive of our own")
    repository.run(
        *("dvc", "exp", "run", "--queue", "--name", "mine", "--set-param", "dataset.source=data/mine.zip", "download")
    )
    archive.unlink()
    archive.write_bytes(b"not an archive")
    repository.run("dvc", "queue", "start")
    assert wait_for_queue(repository)["mine"] == "Success", repository.run("dvc", "queue", "logs", "mine")
    archive.unlink()
    repository.run("dvc", "checkout", "--force")
    assert archive.read_bytes() == before
    lock = repository.run("git", "show", f"{_commit(repository, 'mine')}:dvc.lock")
    assert "path: data/mine.zip" in lock


def _commit(repository: Repository, name: str) -> str:
    refs = repository.run("git", "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").splitlines()
    return next(ref.split()[0] for ref in refs if ref.endswith(f"/{name}"))
