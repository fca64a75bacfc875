"""The journal is the truth; a real MLflow database mirrors it, each point once."""

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from faceseg.tracking import Journal, Tracker, flatten, sync


@dataclass(frozen=True)
class Epoch:
    epoch: int
    lr: float
    loss: float
    f1: float
    iou: float
    val_loss: float | None
    val_f1: float | None
    val_iou: float | None
    val_class_iou: dict[str, float]
    seconds: float
    images_per_second: float


def epoch(number: int, *, val: bool = True) -> Epoch:
    value = number / 10
    scores = (value, value, value) if val else (None, None, None)
    return Epoch(number, 0.1, value, value, value, *scores, {"nose": value} if val else {}, 2.0, 8.0)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow's own dependencies
        yield tmp_path


def runs(root: Path) -> list:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("faceseg")
    return [] if experiment is None else client.search_runs([experiment.experiment_id])


def history(root: Path, run_id: str, key: str) -> list[tuple[int, float]]:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    return [(metric.step, metric.value) for metric in client.get_metric_history(run_id, key)]


def test_train_and_evaluate_are_one_run_with_every_epoch_once(root: Path) -> None:
    tracker = Tracker(root, {"train.seed": 0}, {"dvc.exp": "workspace"})
    tracker.start("f" * 64)
    for number in (1, 2):
        tracker.epoch(epoch(number))
    # A killed training comes back: the epochs before the checkpoint are told again.
    again = Tracker(root, {"train.seed": 0}, {"dvc.exp": "workspace"})
    again.start("f" * 64)
    for number in (1, 2, 3):
        again.epoch(epoch(number))
    again.trained("hash-of-the-model", [])
    evaluation = Tracker(root, {}, {})
    assert evaluation.find("hash-of-the-model")
    evaluation.evaluated({"test.miou": 0.7}, [])

    (run,) = runs(root)
    assert history(root, run.info.run_id, "val_iou") == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert history(root, run.info.run_id, "val_iou.nose") == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert run.data.params == {"train.seed": "0"}
    assert run.data.metrics["test.miou"] == 0.7
    assert run.info.status == "FINISHED"


def test_a_line_delivered_twice_is_stored_once(root: Path) -> None:
    tracker = Tracker(root, {"a": 1}, {})
    tracker.start("e" * 64)
    tracker.epoch(epoch(1))
    # As if the process had died between MLflow's answer and the note of it.
    journal = tracker.journal
    journal.note_sent(journal.sent["store"], journal.sent["run_id"], 0)
    assert sync(root) == (2, [])
    (run,) = runs(root)
    assert history(root, run.info.run_id, "loss") == [(1, 0.1)]


def test_a_rerun_is_a_new_run(root: Path) -> None:
    for _ in range(2):
        tracker = Tracker(root, {}, {})
        tracker.start("d" * 64)
        tracker.epoch(epoch(1, val=False))
        tracker.trained("model", [])
    assert len(runs(root)) == 2


def test_a_server_that_is_down_costs_one_warning_and_sync_delivers(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:s3cret@127.0.0.1:9")  # the discard port: nothing answers
    tracker = Tracker(root, {}, {})
    tracker.start("c" * 64)
    tracker.epoch(epoch(1))
    tracker.epoch(epoch(2))
    out = capsys.readouterr().out
    assert out.count("did not take the run") == 1
    assert "`faceseg sync` delivers it later" in out
    assert "s3cret" not in out
    delivered, failures = sync(root)
    assert delivered == 0
    assert len(failures) == 1
    assert "s3cret" not in failures[0]
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert sync(root) == (3, [])
    assert sync(root) == (0, [])
    (run,) = runs(root)
    assert history(root, run.info.run_id, "loss") == [(1, 0.1), (2, 0.2)]


def test_a_torn_line_is_cut_off(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.jsonl")
    journal.append("start", params={}, tags={})
    with journal.path.open("ab") as file:
        file.write(b'{"kind": "epo')
    assert [line["kind"] for line in journal.lines()] == ["start"]
    journal.append("trained", model_sha256="x", files=[])
    assert [json.loads(line)["kind"] for line in journal.path.read_text().splitlines()] == ["start", "trained"]


def test_another_store_gets_the_whole_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = Tracker(root, {}, {})
    tracker.start("b" * 64)
    tracker.epoch(epoch(1))
    (root / "other").mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'other' / 'mlflow.db'}")
    tracker.epoch(epoch(2))
    (run,) = runs(root / "other")
    assert history(root / "other", run.info.run_id, "loss") == [(1, 0.1), (2, 0.2)]


def test_a_torn_last_line_of_one_run_does_not_hide_another(root: Path) -> None:
    for name in ("first", "second"):
        tracker = Tracker(root, {}, {})
        tracker.start("a" * 64)
        tracker.trained(name, [])
    with tracker.journal.path.open("ab") as file:
        file.write(b'{"kind": "end')
    again = Tracker(root, {}, {})
    assert again.find("second")
    again.evaluated({"test.miou": 0.5}, [])
    assert again.find("first")
    assert [line["kind"] for line in Journal(tracker.journal.path).lines()] == ["start", "trained", "ended"]


def test_flatten_gives_dotted_names() -> None:
    assert flatten({"train": {"loss": {"dice": 1.0}, "seed": 0}}) == {"train.loss.dice": 1.0, "train.seed": 0}
