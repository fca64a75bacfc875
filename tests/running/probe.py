"""A stage of a few lines in a folder of its own, run as the real ones are: what tests of its ending share."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from faceseg.running.ending import SIGNALS

ROOT = Path(__file__).parents[2]
LONG = 120.0  # seconds that a loaded machine is given; nothing here takes one when it works

STAGE = """
import sys, time
sys.path[:0] = [{root!r}, {src!r}]
from pathlib import Path
from stages import run
from faceseg.files import atomic_write

def main():
{body}

run("probe", main, ["out", "metrics/probe.json"])
"""
WRITES = """
    Path("out").mkdir(exist_ok=True)
    Path("out/whole").write_bytes(b"whole")
    with atomic_write(Path("out/half")) as file, atomic_write(Path("elsewhere/half")):
        file.write(b"half"); file.flush()
        Path("ready").touch()
        {wait}
"""


class Probe:
    """The stage in ``folder``; its ``body`` is the indented text of a function."""

    def __init__(self, folder: Path, body: str) -> None:
        self.folder = folder
        script = STAGE.format(root=str(ROOT), src=str(ROOT / "src"), body=body)
        (folder / "probe.py").write_text(script)
        self.command = [sys.executable, "probe.py"]
        # Without what a test run of pytest's own would tell it.
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("DVC_")}

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Begin the stage (or ``command``, that runs it), in a session of its own, and wait until it is ready."""
        (self.folder / "ready").unlink(missing_ok=True)
        process = subprocess.Popen(
            command or self.command,
            cwd=self.folder,
            env=self.environment,
            start_new_session=True,
            preexec_fn=hear_signals,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: self.ready() or process.poll() is not None, "the stage did not get ready")
        assert self.ready(), process.communicate()[1]
        return process

    def ready(self) -> bool:
        return (self.folder / "ready").exists()

    def unfinished(self) -> list[Path]:
        return list(self.folder.rglob(".*.tmp"))


def hear_signals() -> None:
    """In the child: a test run in the background was told to ignore Ctrl-C, and would hand that on."""
    for kind in SIGNALS:
        signal.signal(kind, signal.SIG_DFL)


def wait_until(condition: Callable[[], bool], otherwise: str) -> None:
    until = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < until, otherwise
        time.sleep(0.02)


def below(pid: int) -> list[psutil.Process]:
    """The processes below ``pid`` but joblib's tracker, which goes by itself."""
    return [
        process
        for process in psutil.Process(pid).children(recursive=True)
        if not any("resource_tracker" in word for word in process.cmdline())
    ]


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
