"""A real MLflow server on loopback: there, killed at every moment, started again; and one that hangs."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from faceseg.tracking import Tracker, sync
from faceseg.tracking.journal import BusyError, journals
from faceseg.tracking.mirror import GRACE_S
from tests.tracking.runs import Server, Told, epoch, evaluate, new_tracker, sides, train

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("tracking")]


@pytest.fixture
def served(root: Path, server: Server, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Server:
    """The server, up, with an experiment for this test alone."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.name)
    monkeypatch.setattr("faceseg.tracking.mirror.RETRY_S", 0.0)
    # A busy machine is no dead server; what a test kills refuses at once all the same.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "120")
    monkeypatch.setattr("faceseg.tracking.store.PATIENCE_S", 60.0)
    monkeypatch.setitem(GRACE_S, "server", 600.0)
    server.start_again()
    return server


@pytest.fixture
def told(served: Server, request: pytest.FixtureRequest) -> Told:
    return Told(served.uri, request.node.name)


def assert_whole(told: Told, epochs: int = 3) -> None:
    """One run that has each epoch once."""
    run = told.run()
    for key in ("loss", "val_iou", "val_iou.nose", "lr"):
        steps = [step for step, _ in told.history(run.info.run_id, key)]
        assert steps == list(range(1, epochs + 1)), key
    assert len(run.inputs.dataset_inputs) == 1
    assert run.info.status == "FINISHED"


def test_a_server_that_is_up_has_the_run_the_files_and_the_model(root: Path, served: Server, told: Told) -> None:
    train(root, "model", epochs=3)
    evaluate(root, "model", sides(0)[0])
    assert_whole(told)
    shown = told.artifacts(told.run().info.run_id)
    assert {"curves.csv", "evaluation/clips.csv", "model/MLmodel", "model/evaluation/clips.csv"} <= set(shown)
    assert len(told.versions()) == 1
    # The same once more, as after a delivery that was cut off before it was noted: nothing is doubled.
    (journal,) = journals(root)
    journal.note_sent(served.uri, journal.sent(served.uri).run_id or "", 0)
    assert sync(root)[1] == []
    assert_whole(told)
    assert told.artifacts(told.run().info.run_id) == shown
    assert len(told.versions()) == 1


@pytest.mark.parametrize("moment", ["start", "middle", "end"])
def test_a_server_that_is_killed_costs_one_warning_and_sync_delivers(
    root: Path, served: Server, told: Told, moment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if moment == "start":
        served.kill()
    with new_tracker(root) as tracker:
        tracker.start("f" * 64)
        for number in (1, 2, 3):
            tracker.epoch(epoch(number))
            if number == 1 and moment == "middle":
                _until(lambda: tracker.journal.sent(served.uri).lines >= 2)
                served.kill()
        if moment == "end":
            served.kill()
        tracker.trained("model", {})
    assert capsys.readouterr().out.count("did not take the run") == 1
    served.start_again()
    delivery, failures = sync(root)
    assert failures == []
    assert delivery.lines > 0
    assert sync(root)[0].lines == 0
    assert_whole(told)


def test_a_server_that_comes_back_is_caught_up_with_while_the_training_goes_on(
    root: Path, served: Server, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    with new_tracker(root) as tracker:
        tracker.start("f" * 64)
        tracker.epoch(epoch(1))
        served.kill()
        tracker.epoch(epoch(2))
        _until(lambda: "did not take the run" in _told_so_far(tracker, capsys))
        served.start_again()
        tracker.epoch(epoch(3))
        tracker.trained("model", {})
    assert "is there again and has what it missed" in capsys.readouterr().out
    assert_whole(told)


def test_a_server_that_dies_between_registry_and_note_leaves_one_version(
    root: Path, served: Server, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    train(root, "model", epochs=3)
    served.kill()
    evaluate(root, "model", sides(0)[0])
    assert "did not take the run" in capsys.readouterr().out
    served.start_again()
    for _ in range(2):
        assert sync(root)[1] == []
    assert len([one for one in told.versions() if one.run_id == told.run().info.run_id]) == 1


def test_a_server_that_hangs_in_the_middle_costs_a_bounded_wait(
    root: Path, monkeypatch: pytest.MonkeyPatch, served: Server, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    """It answers until the first epoch is delivered, and then accepts and says nothing."""
    with _Gate(served.uri) as gate:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", gate.uri)
        with new_tracker(root) as tracker:
            tracker.start("f" * 64)
            tracker.epoch(epoch(1))
            _until(lambda: tracker.journal.sent(gate.uri).lines >= 2)
            monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")  # as it is without this test
            monkeypatch.setitem(GRACE_S, "server", 15.0)
            monkeypatch.setattr("faceseg.tracking.store.PATIENCE_S", 3.0)
            gate.shut.set()
            began = time.perf_counter()
            for number in (2, 3):
                tracker.epoch(epoch(number))
            tracker.trained("model", {})
            lost = time.perf_counter() - began
        waited = time.perf_counter() - began
    assert capsys.readouterr().out.count("did not take the run") == 1
    # The epochs wait for nobody; the end waits 15 s at most, and not the minutes that MLflow would. The rest is room
    # for a busy machine.
    assert lost < 60
    assert waited < 100
    monkeypatch.setenv("MLFLOW_TRACKING_URI", served.uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "120")
    monkeypatch.setattr("faceseg.tracking.store.PATIENCE_S", 60.0)
    _until(lambda: not _is_busy(tracker))  # what hung gives up
    assert sync(root)[1] == []
    assert_whole(told)


def test_four_trainings_at_once_on_a_fresh_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    code = (
        "import sys; from pathlib import Path; from tests.tracking.runs import epoch, new_tracker\n"
        "from faceseg.tracking.mirror import GRACE_S; GRACE_S['database'] = 900.0\n"  # a busy machine is no fault
        "with new_tracker(Path(sys.argv[1])) as tracker:\n"
        "    tracker.start(sys.argv[2] * 64)\n"
        "    for number in range(1, 6): tracker.epoch(epoch(number))\n"
        "    tracker.trained('model', {})\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
    processes = [
        subprocess.Popen(
            [*command, name], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for name in "abcd"
    ]
    outputs = [process.communicate()[0].decode() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, outputs
    assert not any("did not take the run" in output for output in outputs), outputs
    told = Told(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert len(told.runs()) == 4
    for run in told.runs():
        assert [step for step, _ in told.history(run.info.run_id, "loss")] == [1, 2, 3, 4, 5]
        assert run.info.status == "FINISHED"


def test_a_training_that_is_killed_outright_goes_on_in_its_run(root: Path) -> None:
    """SIGKILL while lines are on their way; what the next process tells again is not doubled."""
    code = (
        "import os, signal, sys; from pathlib import Path; from tests.tracking.runs import epoch, new_tracker\n"
        "tracker = new_tracker(Path(sys.argv[1])); tracker.start('f' * 64)\n"
        "for number in range(1, 41): tracker.epoch(epoch(number))\n"
        "while tracker.journal.sent(sys.argv[2]).lines < 2: pass\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    store = f"sqlite:///{root / 'mlflow.db'}"
    command = [sys.executable, "-W", "ignore", "-c", code, str(root), store]
    assert subprocess.run(command, cwd=Path(__file__).parents[2], check=False).returncode == -9
    with new_tracker(root) as again:
        again.start("f" * 64)
        for number in range(31, 51):  # from the checkpoint on
            again.epoch(epoch(number))
        again.trained("model", {})
    told = Told(store)
    assert [step for step, _ in told.history(told.run().info.run_id, "loss")] == list(range(1, 51))


class _Gate:
    """Passes connections on to the server, until it is shut: then it accepts, reads, and never answers."""

    def __init__(self, uri: str) -> None:
        self._target = ("127.0.0.1", int(uri.rsplit(":", 1)[1]))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.shut = threading.Event()
        self.uri = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> "_Gate":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in [self._listener, *self._open]:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            self._open += [caller, server]
            for pair in ((caller, server), (server, caller)):
                threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                if not self.shut.is_set():
                    target.sendall(data)
        except OSError:
            return


def _until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, long."""
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it never came true")


def _is_busy(tracker: Tracker) -> bool:
    try:
        with tracker.journal.delivering():
            return False
    except BusyError:
        return True


def _told_so_far(tracker: Tracker, capsys: pytest.CaptureFixture[str]) -> str:
    tracker.epoch(epoch(2))  # known already: it only shows the news
    return capsys.readouterr().out
