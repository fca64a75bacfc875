"""A training notices that its dvc process is gone, whatever shell stands between."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHILD = """
import sys, time
from pathlib import Path
from faceseg.running.parent import OrphanedError, Parent
parent, folder = Parent(), Path(sys.argv[1])
(folder / "ready").touch()
for _ in range(400):
    try:
        parent.check()
    except OrphanedError as error:
        (folder / "half").write_text(str(error))
        (folder / "half").replace(folder / "message")  # whole as soon as it is there
        break
    time.sleep(0.05)
"""
# Stands for dvc: a script of that name that runs a command through the shell, as dvc runs a stage.
DVC = """
import os, subprocess, sys
subprocess.run(sys.argv[1], shell=True, executable=os.environ.get("SHELL"))
"""


def wait_for(path: Path) -> None:
    for _ in range(400):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path.name} did not appear")


@pytest.mark.parametrize("shell", ["bash", "dash", None])
def test_the_orphan_stops_and_says_so(tmp_path: Path, shell: str | None) -> None:
    if shell and not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    environment = {name: value for name, value in os.environ.items() if name != "SHELL"}
    if shell:
        environment["SHELL"] = str(shutil.which(shell))
    (tmp_path / "dvc").write_text(DVC)
    (tmp_path / "child.py").write_text(CHILD)
    # `; true` keeps the shell from replacing itself by the command.
    command = f"{sys.executable} {tmp_path / 'child.py'} {tmp_path}; true"
    dvc = subprocess.Popen([sys.executable, str(tmp_path / "dvc"), command], env=environment)
    wait_for(tmp_path / "ready")
    time.sleep(0.2)
    assert not (tmp_path / "message").exists()
    dvc.send_signal(signal.SIGKILL)
    dvc.wait()
    wait_for(tmp_path / "message")
    message = (tmp_path / "message").read_text()
    assert f"the dvc process {dvc.pid} that began this stage is gone" in message
    assert "`dvc repro` goes on from what is saved" in message


def test_without_dvc_nothing_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    from faceseg.running import parent

    monkeypatch.setattr(parent, "_is_dvc", lambda process: False)
    assert parent.Parent().check() is None
