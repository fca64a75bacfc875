"""How a stage ends when it is told to, or when the dvc process that waits for it is gone: at once, and tidily.

A thread listens, because Python's own handlers wait for the main thread, which may be inside a long call: a huge
picture, a step of TensorFlow. It ends the workers, removes what is half written, and the process. What is whole stays,
as after SIGKILL, which nobody can listen to; what that leaves behind the next run removes.
"""

import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import psutil

from faceseg.files import remove_unfinished, stop_writing
from faceseg.running.parent import OrphanedError, Parent

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOOK_SECONDS = 1.0  # between two looks at the dvc process
_WORKERS_SECONDS = 2.0  # until killed workers are gone


class Ending:
    """Listens within its ``with`` block; :attr:`begun` is set once the process is being ended."""

    def __init__(self, name: str, outs: Sequence[Path], parent: Parent, ends_itself: bool) -> None:
        """``outs``: in which half-written files are removed. ``ends_itself``: it is not ended when its dvc is gone."""
        self.begun = threading.Event()
        self._name = name
        self._outs = outs
        self._parent = None if ends_itself else parent

    def __enter__(self) -> "Ending":
        self._heard, self._told = os.pipe()
        os.set_blocking(self._told, False)
        signal.set_wakeup_fd(self._told, warn_on_full_buffer=False)
        # What is ignored (nohup) stays ignored; the others get a handler that does nothing, but tells the pipe.
        self._before = {kind: signal.getsignal(kind) for kind in SIGNALS}
        for kind, before in self._before.items():
            if before is not signal.SIG_IGN:
                signal.signal(kind, lambda *_: None)
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.begun.is_set():
            # Whatever the main thread came to while its workers and files went: the other thread has the last word.
            threading.Event().wait()
        signal.set_wakeup_fd(-1)
        for kind, before in self._before.items():
            signal.signal(kind, before)
        os.close(self._told)  # ends the thread

    def _listen(self) -> None:
        while True:
            ready, _, _ = select.select([self._heard], [], [], _LOOK_SECONDS)
            if ready:
                heard = os.read(self._heard, 64)
                if not heard:
                    os.close(self._heard)
                    return
                kind = next((kind for kind in SIGNALS if kind in heard), None)
                if kind is not None:
                    self._end(f"{self._name}: ended by {kind.name}; `dvc repro` goes on", 128 + kind)
            elif self._parent is not None:
                try:
                    self._parent.check()
                except OrphanedError as error:
                    self._end(f"{self._name}: {error}", 1)

    def _end(self, message: str, code: int) -> None:
        self.begun.set()
        _say(message)
        stop_writing()
        end_workers()
        for out in self._outs:
            with contextlib.suppress(OSError):  # the next run tries again
                remove_unfinished(out)
        os._exit(code)


def _say(message: str) -> None:
    # A progress bar hides the cursor.
    shown = "\x1b[?25h" if sys.stderr.isatty() else ""
    with contextlib.suppress(OSError):  # whoever read it may be gone
        os.write(2, f"{shown}\n{message}\n".encode())


def end_workers() -> None:
    """All processes below this one but joblib's tracker, which removes semaphores and folders once we are gone."""
    workers = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if not any("resource_tracker" in word for word in process.cmdline()):
                process.kill()
                workers.append(process)
    psutil.wait_procs(workers, timeout=_WORKERS_SECONDS)
