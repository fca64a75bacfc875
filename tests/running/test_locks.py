"""Two runs of one stage never write at once, whatever became of the first; the second is told who holds the lock."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from faceseg.running.locks import HeldError, held, is_held, share, take
from tests.running.probe import LONG, WRITES, Probe, below, wait_until
from tests.running.test_ending import TASK, WORKERS

SLEEPS = WRITES.format(wait="time.sleep(600)")
IMPATIENT = (
    "import stages; stages.PATIENCE_SECONDS = 0.3; import runpy; runpy.run_path('probe.py', run_name='__main__')"
)


def test_the_second_is_told_the_first_s_pid_command_and_since_when(tmp_path: Path) -> None:
    probe = Probe(tmp_path, SLEEPS)
    first = probe.start()
    half = probe.unfinished()
    second = subprocess.run(
        [probe.command[0], "-c", IMPATIENT],
        cwd=tmp_path,
        env={**probe.environment, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=LONG,
    )
    assert second.returncode == 1
    assert re.search(
        rf"the stage probe is already running: process {first.pid} on \S+ \(`python probe\.py`\), "
        r"since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC, holds \.faceseg/locks/probe\. Wait for it, or end that process",
        second.stderr,
    )
    assert probe.unfinished() == half, "the first one's half-written file is not the second one's to remove"
    first.kill()
    first.communicate()
    second_probe = Probe(tmp_path, "    pass")
    subprocess.run(second_probe.command, cwd=tmp_path, env=probe.environment, check=True, timeout=LONG)


def test_a_worker_that_outlives_its_stage_keeps_the_next_one_out(tmp_path: Path) -> None:
    """It is stopped, as on a machine that swaps: it could go on at any time and give a file its name."""
    (tmp_path / "task.py").write_text(TASK)
    probe = Probe(tmp_path, WORKERS)
    stage = probe.start()
    workers = below(stage.pid)
    for worker in workers:
        worker.send_signal(signal.SIGSTOP)
    stage.kill()
    stage.wait()  # not communicate: the pipe is the workers' too
    path = tmp_path / ".faceseg/locks/probe.workers"
    try:
        assert not is_held(tmp_path / ".faceseg/locks/probe")
        with pytest.raises(HeldError, match="the stage probe is already running"), held(path, "the stage probe"):
            pass
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGCONT)
    wait_until(lambda: not is_held(path), "the workers live on")
    stage.communicate()


def test_a_lock_whose_file_was_removed_keeps_nobody_out_and_is_taken_anew(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = take(path, "it")
    path.unlink()
    second = take(path, "it")
    with pytest.raises(HeldError, match=rf"it is already running: process {os.getpid()} on "):
        take(path, "it")
    first.close()
    assert is_held(path)
    second.close()
    assert not is_held(path)


def test_those_who_share_a_lock_keep_out_who_wants_it_alone(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    one, other = share(path), share(path)
    one.close()
    with pytest.raises(HeldError):
        take(path, "it")
    other.close()
    take(path, "it").close()
