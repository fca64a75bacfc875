"""The MLflow of the moment: a database in the repository, or the server that ``MLFLOW_TRACKING_URI`` names."""

import fcntl
import logging
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

PATIENCE_S = 3.0  # for a server to say that it lives
# MLflow's own defaults block for minutes on each call to a server that is down, and it reports on its use to a server
# of its makers unless told not to. Set before MLflow is imported; what the user has set stays.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

# Python's import system may hand a half-made module to a thread that imports it together with another.
importing = threading.Lock()


class NoAnswerError(OSError):
    """The server does not answer."""


def tracking_uri(root: Path) -> str:
    """Where MLflow keeps its runs: ``MLFLOW_TRACKING_URI``, or a database in the repository."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow.db'}"


def experiment_name() -> str:
    """The experiment that holds the runs: ``MLFLOW_EXPERIMENT_NAME``, or the project's own name."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or "faceseg"


def without_password(text: str) -> str:
    """A text without the user and password that an address in it may hold."""
    return re.sub(r"://[^/@\s]+@", "://", text)


class Store:
    """One MLflow store, opened at the first use."""

    def __init__(self, root: Path) -> None:
        """``root``: the repository, which holds the database where no server is named, and the locks."""
        self.root = root
        self._uri = tracking_uri(root)
        self._client: Any = None
        self.name = without_password(self._uri)
        self.is_local = self._uri.startswith("sqlite:")

    def open(self) -> None:
        """Find out whether a server answers, and make the tables of a fresh database; takes the lock.

        Raises:
            NoAnswerError: nobody answers within ``PATIENCE_S``, or a gateway says so.
        """
        self._check()
        if self._client is None:
            with importing:
                import mlflow
            for name in ("mlflow", "alembic"):
                # They tell of every table that they make.
                logging.getLogger(name).setLevel(logging.WARNING)
            # A database that fails, on a full disk say, is said in one line by whoever asked, not in pages here.
            logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
            with self.lock():
                # Whichever of these comes first makes the tables; two processes doing so at once would crash.
                client = mlflow.MlflowClient(tracking_uri=self._uri)
                client.search_experiments(max_results=1)
            self._client = client

    @property
    def client(self) -> Any:
        """MLflow's client."""
        assert self._client is not None, "open comes first"
        return self._client

    def _check(self) -> None:
        if not self._uri.startswith(("http://", "https://")):
            return
        try:
            answer = requests.get(f"{self._uri.rstrip('/')}/health", timeout=PATIENCE_S)
        except requests.RequestException as error:
            kind = "takes the call and says nothing" if isinstance(error, requests.Timeout) else "cannot be reached"
            raise NoAnswerError(f"the server {kind}") from None
        # Whoever asks for a password, or has no such page, is alive.
        if answer.status_code in (502, 503, 504):
            raise NoAnswerError(f"the server answers {answer.status_code}")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """What the processes of this repository do to a store one after the other; not to be taken twice."""
        path = self.root / ".faceseg" / "mlflow.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def experiment(self, name: str) -> str:
        """The id of an experiment, which is made where there is none; hold the lock."""
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(name)
        if found is None:
            artifacts = str(self.root / "mlruns") if self.is_local else None
            try:
                return str(self.client.create_experiment(name, artifacts))
            except MlflowException as error:
                # Somebody on another machine was quicker.
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = self.client.get_experiment_by_name(name)
        return str(found.experiment_id)

    def log_file(self, run_id: str, file: Path, shown: str) -> None:
        """Put a file into a run at the path ``shown``, in the place of one that is there.

        MLflow keeps the name of the file that it is given, so it is given a link of the right name.
        """
        with tempfile.TemporaryDirectory(prefix="faceseg-") as folder:
            named = Path(folder) / Path(shown).name
            named.symlink_to(file.resolve())
            parent = Path(shown).parent.as_posix()
            self.client.log_artifact(run_id, str(named), None if parent == "." else parent)
