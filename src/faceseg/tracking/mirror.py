"""A thread that hands a journal's lines on while the training goes on: a slow or dead MLflow costs it no time."""

import threading
import time

from faceseg.tracking.delivery import deliver, describe
from faceseg.tracking.journal import Journal
from faceseg.tracking.store import Store

RETRY_S = 20.0  # after a failure, before the next attempt
# At the end, for what has not been handed on yet: a server may hang in the middle, a database is only busy.
GRACE_S = {"server": 15.0, "database": 120.0}


class Mirror(threading.Thread):
    """Delivers whenever there is something new. It never prints: :meth:`news` has what the user should read."""

    def __init__(self, journal: Journal, store: Store) -> None:
        super().__init__(name="mlflow-mirror", daemon=True)
        self._journal = journal
        self._store = store
        self._wake = threading.Event()
        self._ending = False
        self._failed_at: float | None = None
        self._warned = False
        self._news: list[str] = []
        self._lock = threading.Lock()

    def run(self) -> None:
        """The thread: hand on what is new when poked, rest after a failure, try once more at the end."""
        while True:
            self._wake.wait()
            self._wake.clear()
            ending = self._ending
            if self._failed_at is None or ending or time.monotonic() - self._failed_at > RETRY_S:
                self._attempt()
            if ending:
                return

    def poke(self) -> None:
        """There is something new."""
        self._wake.set()

    def news(self) -> list[str]:
        """What the user should read, each line once."""
        with self._lock:
            news, self._news = self._news, []
        return news

    def finish(self, patient: bool = True) -> None:
        """Deliver what is left and end, within ``GRACE_S``; within a second when not ``patient``."""
        self._ending = True
        self._wake.set()
        self.join(timeout=GRACE_S["database" if self._store.is_local else "server"] if patient else 1.0)
        if self.is_alive():
            self._warn("it takes too long")

    def _attempt(self) -> None:
        try:
            notes = deliver(self._journal, self._store).notes
        except Exception as error:  # MLflow lets through what its stores and HTTP libraries raise; none may end a run.
            self._failed_at = time.monotonic()
            self._warn(describe(error))
            return
        with self._lock:
            self._news += notes
            if self._warned and self._failed_at is not None:
                self._news.append(f"MLflow at {self._store.name} is there again and has what it missed")
        self._failed_at = None
        self._warned = False

    def _warn(self, what: str) -> None:
        with self._lock:
            if not self._warned:
                self._news.append(warning(self._store, what))
            self._warned = True


def warning(store: Store, what: str) -> str:
    """What a user reads when MLflow did not take a run."""
    return (
        f"MLflow at {store.name} did not take the run ({what}); "
        "the journal has it, and `faceseg sync` delivers it later"
    )
