"""A stage that is told to end does so at once, with nothing left half written; a killed one leaves that to the next."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.running.probe import LONG, WRITES, Probe, below, gone, wait_until
from tests.running.test_parent import DVC

SLEEPS = WRITES.format(wait="time.sleep(600)")
# One call into C of minutes, in which Python runs none of its own handlers.
IN_C = WRITES.format(wait="import hashlib; hashlib.pbkdf2_hmac('sha256', b'', b'', 2_000_000_000)")
WORKERS = """
    from joblib import delayed
    from faceseg.running.workers import processes
    sys.path.insert(0, ".")
    import task
    Path("out").mkdir(exist_ok=True)
    processes(2)(delayed(task.write)(number) for number in range(2))
"""
TASK = """
import time
from pathlib import Path
from faceseg.files import atomic_write
def write(number):
    with atomic_write(Path(f"out/half-{number}")) as file:
        file.write(b"half"); file.flush()
        Path(f"working-{number}").touch()
        while not Path(f"working-{1 - number}").exists():
            time.sleep(0.02)
        Path("ready").touch()
        while True:
            Path(f"beat-{number}").touch()
            time.sleep(0.05)
"""
# Files to remove that take longer than the interpreter needs to end, and a main thread that ends at the first of them.
RUNS_OUT = """
    Path("out").mkdir(exist_ok=True)
    for number in range(20_000):
        Path(f"out/.{number:05d}.tmp").touch()
    Path("ready").touch()
    while Path("out/.00000.tmp").exists():
        time.sleep(0.001)
"""
WITHOUT_READY = WRITES.replace('        Path("ready").touch()\n', "")
IN_A_STEP = WITHOUT_READY.format(
    wait="""import tensorflow as tf
        @tf.function
        def step(matrix):
            tf.io.write_file("ready", "")
            for _ in tf.range(1_000_000):
                matrix = tf.matmul(matrix, matrix) / 1000.0
            return matrix
        step(tf.ones((1000, 1000)))"""
)
IN_TRACING = WITHOUT_READY.format(
    wait="""import tensorflow as tf
        @tf.function
        def step(value):
            Path("ready").touch()
            for _ in range(100_000_000):
                value = value + 1.0
            return value
        step(tf.ones(()))"""
)


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_with_its_temporary_files_gone(tmp_path: Path, kind: signal.Signals) -> None:
    probe = Probe(tmp_path, SLEEPS)
    process = probe.start()
    assert probe.unfinished()
    process.send_signal(kind)
    _, said = process.communicate(timeout=LONG)
    assert process.returncode == 128 + kind
    assert f"probe: ended by {kind.name}; `dvc repro` goes on" in said
    assert "Traceback" not in said
    assert probe.unfinished() == []
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["whole"]


def test_under_nohup_it_outlives_its_terminal(tmp_path: Path) -> None:
    probe = Probe(tmp_path, WRITES.format(wait="while not Path('go').exists(): time.sleep(0.02)"))
    process = probe.start("nohup", *probe.command)
    process.send_signal(signal.SIGHUP)
    (tmp_path / "go").touch()
    _, said = process.communicate(timeout=LONG)
    assert process.returncode == 0, said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["half", "whole"]


def test_a_long_call_into_c_does_not_hold_it_up(tmp_path: Path) -> None:
    probe = Probe(tmp_path, IN_C)
    process = probe.start()
    process.terminate()
    process.communicate(timeout=LONG)
    assert process.returncode == 143
    assert probe.unfinished() == []


@pytest.mark.slow
@pytest.mark.parametrize("body", [IN_A_STEP, IN_TRACING], ids=["step", "tracing"])
def test_tensorflow_does_not_hold_it_up(tmp_path: Path, body: str) -> None:
    probe = Probe(tmp_path, body)
    process = probe.start()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=LONG)
    assert process.returncode == 130
    assert probe.unfinished() == []


def test_what_the_main_thread_comes_to_meanwhile_does_not_count(tmp_path: Path) -> None:
    """It may run to its end while the stage is being ended; the exit code and the clearing up are the signal's."""
    probe = Probe(tmp_path, RUNS_OUT)
    process = probe.start()
    process.terminate()
    _, said = process.communicate(timeout=LONG)
    assert process.returncode == 143
    assert "Traceback" not in said
    assert probe.unfinished() == []


def test_its_workers_end_with_it(tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text(TASK)
    probe = Probe(tmp_path, WORKERS)
    process = probe.start()
    workers = below(process.pid)
    assert len(workers) >= 2
    assert len(probe.unfinished()) == 2
    for worker in workers:
        worker.send_signal(signal.SIGSTOP)  # so that it cannot see by itself that the stage has ended
    process.terminate()
    try:
        _, said = process.communicate(timeout=LONG)
    finally:
        for worker in workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.send_signal(signal.SIGCONT)
    assert process.returncode == 143
    assert "Traceback" not in said
    assert probe.unfinished() == []
    assert all(gone(worker) for worker in workers)


def test_a_fault_in_one_worker_leaves_nothing_of_the_others_half_written(tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text(
        TASK.replace("while True:", "if number: raise ValueError('no room')\n        while True:")
    )
    probe = Probe(tmp_path, WORKERS)
    process = probe.start()
    _, said = process.communicate(timeout=LONG)
    assert process.returncode == 1
    assert "no room" in said
    assert "Traceback" not in said
    assert probe.unfinished() == []


def test_workers_leave_ctrl_c_to_the_stage(tmp_path: Path) -> None:
    """A terminal sends it to them too; each would say so in a traceback of its own."""
    (tmp_path / "task.py").write_text(TASK)
    process = Probe(tmp_path, WORKERS).start()
    for worker in below(process.pid):
        worker.send_signal(signal.SIGINT)
    beats = [tmp_path / f"beat-{number}" for number in range(2)]
    for beat in beats:
        wait_until(beat.exists, "a worker did not begin")
        beat.unlink()
    for beat in beats:
        wait_until(beat.exists, "a worker has ended")
    process.terminate()
    _, said = process.communicate(timeout=LONG)
    assert process.returncode == 143
    assert "Traceback" not in said


def test_the_workers_of_a_killed_stage_end_and_the_next_run_removes_what_was_half_written(tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text(TASK)
    process = Probe(tmp_path, WORKERS).start()
    workers = below(process.pid)
    process.kill()
    process.communicate()
    wait_until(lambda: all(gone(worker) for worker in workers), "the workers live on")
    probe = Probe(tmp_path, "    pass")
    assert len(probe.unfinished()) == 2
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics/.probe.json.1.tmp").touch()
    (tmp_path / "metrics/.another.json.1.tmp").touch()
    subprocess.run(probe.command, cwd=tmp_path, env=probe.environment, check=True)
    assert [path.name for path in probe.unfinished()] == [".another.json.1.tmp"], "another stage's is not touched"


# What DVC says of a stage that its bash became, and of a dash that stood between and ended by the signal itself.
@pytest.mark.parametrize(("shell", "code"), [("bash", 130), ("dash", -2)])
def test_ctrl_c_in_the_terminal_of_dvc_repro(tmp_path: Path, shell: str, code: int) -> None:
    """The whole group gets SIGINT: dvc, the shell, the stage and its workers."""
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    (tmp_path / "task.py").write_text(TASK)
    probe = Probe(tmp_path, WORKERS)
    probe.environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_SITE_CACHE_DIR": str(tmp_path / "site"),
        "SHELL": str(shutil.which(shell)),
    }
    (tmp_path / "dvc.yaml").write_text("stages: {probe: {cmd: python probe.py, outs: [out]}}\n")
    subprocess.run(["dvc", "init", "--no-scm", "--quiet"], cwd=tmp_path, env=probe.environment, check=True)
    dvc = probe.start("dvc", "repro")
    stage = below(dvc.pid)
    os.killpg(dvc.pid, signal.SIGINT)
    _, said = dvc.communicate(timeout=LONG)
    assert "probe: ended by SIGINT; `dvc repro` goes on" in said
    assert f"python probe.py, exited with {code}\n" in said
    assert "Traceback" not in said
    wait_until(lambda: all(gone(process) for process in stage), "a process of the stage lives on")
    assert probe.unfinished() == []


@pytest.mark.parametrize("shell", ["bash", "dash", None])
def test_an_orphan_ends(tmp_path: Path, shell: str | None) -> None:
    if shell and not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    probe = Probe(tmp_path, SLEEPS)
    probe.environment.pop("SHELL", None)
    if shell:
        probe.environment["SHELL"] = str(shutil.which(shell))
    (tmp_path / "dvc").write_text(DVC)
    dvc = probe.start(sys.executable, "dvc", f"{sys.executable} probe.py; echo $? > code")
    dvc.kill()
    _, said = dvc.communicate(timeout=LONG)  # the pipe's last end is the stage's
    wait_until(lambda: (tmp_path / "code").exists() and (tmp_path / "code").read_text() == "1\n", "no exit code")
    assert f"probe: the dvc process {dvc.pid} that began this stage is gone" in said
    assert probe.unfinished() == []
