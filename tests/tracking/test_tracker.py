"""The journal is the truth; a real MLflow database mirrors it, each point once."""

import json
import socket
import threading
import time
from pathlib import Path

import pytest

from faceseg.tracking import Tracker, flatten, sync
from faceseg.tracking.journal import Journal
from tests.tracking.runs import Told, epoch, evaluate, new_tracker, sides, train

pytestmark = pytest.mark.xdist_group("tracking")  # one worker, and so one database made


def test_a_resumed_training_continues_its_run_with_every_epoch_once(root: Path, told: Told) -> None:
    with new_tracker(root) as tracker:
        tracker.start("f" * 64)
        for number in (1, 2):
            tracker.epoch(epoch(number))
    assert told.run().info.status == "RUNNING"
    # A killed training comes back: the epochs before the checkpoint are told again.
    with new_tracker(root) as again:
        again.start("f" * 64)
        for number in (1, 2, 3):
            again.epoch(epoch(number))
        again.trained("hash-of-the-model", {})
    run = told.run()
    for key in ("val_iou", "val_iou.nose", "loss", "f1", "iou", "val_loss", "val_f1"):
        assert told.history(run.info.run_id, key) == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert told.history(run.info.run_id, "images_per_second") == [(1, 8.0), (2, 8.0), (3, 8.0)]
    assert run.info.status == "FINISHED"


def test_a_run_says_where_it_came_from(root: Path, told: Told) -> None:
    with new_tracker(root, **{"mlflow.source.git.commit": "abc", "git.dirty": "true"}) as tracker:
        tracker.start("f" * 64)
    run = told.run()
    assert run.info.run_name == "workspace"
    assert run.data.params == {"train.seed": "0"}
    tags = run.data.tags
    assert (tags["mlflow.source.git.commit"], tags["git.dirty"]) == ("abc", "true")
    assert tags["faceseg.fingerprint"] == "f" * 64
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("faces-train", "d1")
    assert json.loads(dataset.dataset.profile) == {"pictures": 9}
    assert [(tag.key, tag.value) for tag in dataset.tags] == [("mlflow.data.context", "train")]


def test_system_metrics_go_on_counting_after_a_resume(root: Path, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "3600")  # the last sample alone
    for _ in range(2):
        with new_tracker(root) as tracker:
            tracker.start("f" * 64)
    run = told.run()
    for key in ("system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"):
        assert [step for step, _ in told.history(run.info.run_id, key)] == [0, 1]


def test_a_line_delivered_twice_is_stored_once(root: Path, told: Told) -> None:
    tracker = train(root, "model")
    before = told.history(told.run().info.run_id, "loss")
    # As if the process had died between MLflow's answer and the note of it.
    journal = tracker.journal
    store = f"sqlite:///{root / 'mlflow.db'}"
    journal.note_sent(store, journal.sent(store).run_id or "", 0)
    delivery, failures = sync(root)
    assert (delivery.lines, failures) == (len(journal.lines()), [])
    run = told.run()
    assert told.history(run.info.run_id, "loss") == before == [(1, 0.1), (2, 0.2)]
    assert len(run.inputs.dataset_inputs) == 1
    assert told.artifacts(run.info.run_id) == ["curves.csv"]


def test_a_rerun_is_a_new_run(root: Path, told: Told) -> None:
    for _ in range(2):
        train(root, "model")
    assert len(told.runs()) == 2


def test_a_fault_and_an_interruption_are_told_apart(root: Path, told: Told) -> None:
    def fail(error: BaseException, fingerprint: str) -> None:
        with new_tracker(root) as tracker:
            tracker.start(fingerprint)
            raise error

    with pytest.raises(ValueError, match="the loss"):
        fail(ValueError("the loss became nan\nand more"), "FAILED" * 11)
    with pytest.raises(KeyboardInterrupt):
        fail(KeyboardInterrupt(), "KILLED" * 11)
    # An interrupted training does not wait for MLflow; here its thread lives on.
    for thread in threading.enumerate():
        if thread.name == "mlflow-mirror":
            thread.join()
    sync(root)
    failed, killed = told.runs()
    assert (failed.info.status, failed.data.tags["faceseg.stopped"]) == ("FAILED", "the loss became nan")
    assert killed.info.status == "KILLED"
    with new_tracker(root) as again:
        again.start("KILLED" * 11)
    assert [run.info.status for run in told.runs()] == ["FAILED", "RUNNING"]


def test_a_deleted_database_gets_everything_again(root: Path, told: Told, empty_database: Path) -> None:
    train(root, "model")
    (root / "mlflow.db").write_bytes(empty_database.read_bytes())
    # The count says that all is delivered, so a new line is what brings it up.
    with new_tracker(root) as tracker:
        tracker.find("model")
        tracker.journal.append("resumed")
    assert sync(root)[1] == []
    assert told.history(told.run().info.run_id, "loss") == [(1, 0.1), (2, 0.2)]


def test_a_run_that_the_user_deleted_stays_deleted(root: Path, told: Told) -> None:
    tracker = train(root, "model")
    told.client.delete_run(told.run().info.run_id)
    tracker.journal.append("resumed")
    delivery, failures = sync(root)
    assert (delivery.lines, failures) == (0, [])
    assert told.runs() == []


def test_another_store_gets_the_whole_run(root: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(root, "model")
    (root / "other").mkdir()
    (root / "other" / "mlflow.db").write_bytes(empty_database.read_bytes())
    other = f"sqlite:///{root / 'other' / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", other)
    assert sync(root)[1] == []
    told = Told(other)
    assert told.history(told.run().info.run_id, "loss") == [(1, 0.1), (2, 0.2)]
    assert told.artifacts(told.run().info.run_id) == ["curves.csv"]


def test_a_server_that_is_down_costs_one_warning_and_sync_delivers_once(
    root: Path, told: Told, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address = "http://me:s3cret@127.0.0.1:9"  # the discard port: nothing answers  # pragma: allowlist secret
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    tracker = train(root, "model")
    out = capsys.readouterr().out
    assert out.count("did not take the run (NoAnswerError: the server cannot be reached)") == 1
    assert "`faceseg sync` delivers it later" in out
    assert "s3cret" not in out
    delivery, failures = sync(root)
    assert delivery.lines == 0
    assert len(failures) == 1
    assert "s3cret" not in failures[0]
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert sync(root)[0].lines == len(tracker.journal.lines())
    assert sync(root)[0].lines == 0
    assert told.history(told.run().info.run_id, "loss") == [(1, 0.1), (2, 0.2)]


def test_a_server_that_never_answers_costs_a_bounded_wait(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("faceseg.tracking.store.PATIENCE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as hanging:  # the kernel accepts, and nobody reads
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{hanging.getsockname()[1]}")
        with new_tracker(root) as tracker:
            tracker.start("c" * 64)
            began = time.perf_counter()
            for number in range(1, 51):
                tracker.epoch(epoch(number))
            told_in = time.perf_counter() - began
            tracker.trained("model", {})
    out = capsys.readouterr().out
    assert out.count("did not take the run (NoAnswerError: the server takes the call and says nothing)") == 1
    assert sum(line["kind"] == "epoch" for line in tracker.journal.lines()) == 50
    # Far more than 50 lines take, and less than 50 waits for the server would.
    assert told_in < 10


def test_a_torn_last_line_of_one_run_does_not_hide_another(root: Path) -> None:
    train(root, "first")
    second = train(root, "second")
    with second.journal.path.open("ab") as file:
        file.write(b'{"kind": "end')
    again = Tracker(root, {}, {})
    assert again.find("first")
    assert again.find("second")
    again.journal.append("resumed")
    assert [line["kind"] for line in Journal(again.journal.path).lines()][-2:] == ["trained", "resumed"]


def test_a_model_of_another_repository_is_not_found(root: Path) -> None:
    train(root, "model")
    assert not Tracker(root, {}, {}).find("pulled")


def test_flatten_gives_dotted_names() -> None:
    assert flatten({"train": {"loss": {"dice": 1.0}, "seed": 0}}) == {"train.loss.dice": 1.0, "train.seed": 0}


def test_the_evaluation_lands_in_the_run_of_its_training(root: Path, told: Told) -> None:
    train(root, "model")
    evaluate(root, "model", sides(0)[0], 0.7, **{"evaluate.samples": "6"})
    # Again, with other parameters of the evaluation.
    evaluate(root, "model", sides(0)[0], 0.7, **{"evaluate.samples": "9"})
    run = told.run()
    assert told.history(run.info.run_id, "test.miou") == [(0, 0.7), (1, 0.7)]
    assert run.data.tags["evaluate.samples"] == "9"
    shown = told.artifacts(run.info.run_id)
    assert {"curves.csv", "evaluation/clips.csv", "evaluation/confusion.csv", "model/MLmodel"} <= set(shown)
    assert len(told.versions()) == 1
