"""The processes that a data stage works with: they end with the stage, and no later stage begins before they have.

A stage that is killed cannot tell its workers, and one of them could still give a file its name after the next run has
made its own. So each holds a lock that the kernel frees with it, and looks whether the stage still lives.
"""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import joblib

from faceseg.running.locks import share

_LOOK_SECONDS = 0.2

lock: Path | None = None  # set by the stage that is running; a library that is used otherwise has none


def processes(workers: int | None, **options: Any) -> joblib.Parallel:
    """``joblib.Parallel`` over so many processes (None: one a core), which end when this process does."""
    return joblib.Parallel(
        n_jobs=workers or joblib.cpu_count(), initializer=_begin, initargs=(os.getpid(), lock), **options
    )


def _begin(parent: int, lock: Path | None) -> None:
    """In the worker, before its first task."""
    # A terminal's Ctrl-C reaches every process of the group; the stage ends its workers, and says so once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if lock is not None:
        globals()["_shared"] = share(lock)  # until the worker is gone
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)
