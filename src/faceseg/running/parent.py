"""The dvc process above a stage: when it is gone, the stage is an orphan, and stops: a training at its epoch's end.

Killing ``dvc repro`` alone leaves its stage running, and nobody would take its outputs. The stage's own parent proves
nothing (a shell may stand between, and lives on), so the dvc process is found once, at the start, by its command line,
and known by its pid together with its start time: pids are used again.
"""

from functools import cache

import psutil


class OrphanedError(ValueError):
    """The dvc process that began this stage has ended."""


class Parent:
    """The nearest dvc process above this one, if there is one."""

    def __init__(self) -> None:
        self._process = next((process for process in psutil.Process().parents() if _is_dvc(process)), None)

    def check(self) -> None:
        """Call where the stage may end.

        Raises:
            OrphanedError: the dvc process was there at the start and is gone. Without one at the start (a stage run by
                hand) nothing is checked.
        """
        if self._process is not None and not _is_alive(self._process):
            raise OrphanedError(
                f"the dvc process {self._process.pid} that began this stage is gone, so nobody would take its "
                "outputs; `dvc repro` goes on from what is saved"
            )


@cache
def parent() -> Parent:
    """The one that was found when this was first called: at the stage's start, before dvc has had time to go."""
    return Parent()


def _is_alive(process: psutil.Process) -> bool:
    try:
        # is_running compares the start time too; a zombie is a process that was killed and not yet reaped.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _is_dvc(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()
    except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
        return False
    # `dvc ...` is `python .../bin/dvc ...`; `python -m dvc ...` shows as it was typed or as .../dvc/__main__.py.
    names = [word.replace("\\", "/").rsplit("/", 2) for word in words[:3]]
    return any(name[-1] in ("dvc", "dvc.exe") or name[-2:] == ["dvc", "__main__.py"] for name in names)
