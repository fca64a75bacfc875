"""What happened, epoch by epoch: a local journal that is the truth, and MLflow as its mirror.

The journal is one JSON line for each fact, fsynced as it is written, under ``.faceseg/journal/``. MLflow gets the lines
in order, each with the time that the journal noted, so that a line delivered twice is stored once. A server that is
down costs a few seconds and one warning; ``faceseg sync`` delivers what is missing.
"""

import fcntl
import json
import logging
import os
import re
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from faceseg.files import read_json, sealed, unsealed, write_json

EXPERIMENT = "faceseg"
CURVES = ("lr", "loss", "f1", "iou", "val_loss", "val_f1", "val_iou", "seconds", "images_per_second")

# MLflow's own defaults block for minutes on each call to a server that is down.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")


def repository_root() -> Path:
    """The repository that the user sits in, also inside an experiment that DVC runs in a folder of its own."""
    return Path(os.environ.get("DVC_ROOT") or Path.cwd())


def tracking_uri(root: Path) -> str:
    """Where MLflow keeps its runs: ``MLFLOW_TRACKING_URI``, or a database in the repository."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow.db'}"


def flatten(settings: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Nested sections as dotted names, the way DVC and MLflow show them."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{where}.{key}" if where else key
        flat.update(flatten(value, name) if isinstance(value, Mapping) else {name: value})
    return flat


class Journal:
    """One training's lines, appended and fsynced; kept beside a note of how many of them MLflow has."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sent_path = path.with_suffix(".sent.json")

    def append(self, kind: str, **values: Any) -> None:
        self._mend()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(sealed({"kind": kind, "time_ms": time.time_ns() // 1_000_000, **values}), sort_keys=True)
        with self.path.open("ab") as file:
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def lines(self) -> list[dict[str, Any]]:
        """All whole lines; the torn last line of a killed process is left out."""
        if not self.path.exists():
            return []
        whole = self.path.read_bytes().rpartition(b"\n")[0]
        return [unsealed(json.loads(line)) for line in whole.split(b"\n") if line]

    def _mend(self) -> None:
        """Cut off a torn last line, so that the next one starts on a line of its own."""
        if self.path.exists():
            content = self.path.read_bytes()
            whole = content.rpartition(b"\n")[0]
            if content and not content.endswith(b"\n"):
                self.path.write_bytes(whole + b"\n" if whole else b"")

    @property
    def sent(self) -> dict[str, Any]:
        """``store`` and ``run_id`` of the mirror, and ``lines``: how many it has."""
        return read_json(self._sent_path) if self._sent_path.exists() else {"store": None, "run_id": None, "lines": 0}

    def note_sent(self, store: str, run_id: str, lines: int) -> None:
        write_json(self._sent_path, {"store": store, "run_id": run_id, "lines": lines})


class Tracker:
    """Writes the journal of one training, or of its evaluation, and mirrors it to MLflow as it goes."""

    def __init__(self, root: Path, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """``root``: the user's repository; ``params`` and ``tags`` as MLflow shows them."""
        self._root = root
        self._params = dict(params)
        self._tags = dict(tags)
        self._mirror_is_up = True
        self._known_epochs: set[int] = set()
        self._journal: Journal | None = None

    @property
    def journal(self) -> Journal:
        assert self._journal is not None, "start or find comes first"
        return self._journal

    def start(self, fingerprint: str) -> None:
        """Take up the journal that a killed training of the same fingerprint left open, or begin a new one."""
        folder = self._root / ".faceseg" / "journal"
        for path in sorted(folder.glob(f"{fingerprint[:16]}-*.jsonl")):
            journal = Journal(path)
            lines = journal.lines()
            if lines and all(line["kind"] not in ("trained", "ended") for line in lines):
                self._journal = journal
                self._known_epochs = {line["values"]["epoch"] for line in lines if line["kind"] == "epoch"}
                return
        self._journal = Journal(folder / f"{fingerprint[:16]}-{uuid.uuid4().hex[:8]}.jsonl")
        self.journal.append("start", params=self._params, tags=self._tags)
        self._mirror()

    def find(self, model_sha256: str) -> bool:
        """Take up the newest journal whose training ended with this model; False when it was trained elsewhere."""
        found = [
            path
            for path in (self._root / ".faceseg" / "journal").glob("*.jsonl")
            if any(line["kind"] == "trained" and line["model_sha256"] == model_sha256 for line in Journal(path).lines())
        ]
        if found:
            self._journal = Journal(max(found, key=lambda path: path.stat().st_mtime))
        return bool(found)

    def epoch(self, epoch: Any) -> None:
        """One epoch's numbers, a dataclass with the names of ``CURVES``; one that the journal has is not repeated."""
        if epoch.epoch not in self._known_epochs:
            self._known_epochs.add(epoch.epoch)
            self.journal.append("epoch", values=asdict(epoch))
            self._mirror()

    def trained(self, model_sha256: str, files: Sequence[Path]) -> None:
        """The training's end: the model that it made, and files to show beside it."""
        self.journal.append("trained", model_sha256=model_sha256, files=[str(path.resolve()) for path in files])
        self._mirror()

    def evaluated(self, metrics: Mapping[str, float], files: Sequence[Path]) -> None:
        """The evaluation: final metrics by name, and files to show."""
        self.journal.append("ended", metrics=dict(metrics), files=[str(path.resolve()) for path in files])
        self._mirror(last=True)

    def _mirror(self, last: bool = False) -> None:
        if not (self._mirror_is_up or last):
            return
        try:
            deliver(self.journal, self._root)
        except Exception as error:  # MLflow lets through what its stores and HTTP libraries raise; none may end a run.
            self._mirror_is_up = False
            print(
                f"MLflow at {_without_password(tracking_uri(self._root))} did not take the run "
                f"({type(error).__name__}: {_without_password(str(error))}); "
                "the journal has it, and `faceseg sync` delivers it later",
                flush=True,
            )


def sync(root: Path) -> tuple[int, list[str]]:
    """Deliver every journal's missing lines; returns how many were delivered, and what failed, a line each."""
    delivered, failures = 0, []
    for path in sorted((root / ".faceseg" / "journal").glob("*.jsonl")):
        try:
            delivered += deliver(Journal(path), root)
        except Exception as error:  # MLflow lets through what its stores and HTTP libraries raise.
            failures.append(f"{path.name}: {type(error).__name__}: {_without_password(str(error))}")
    return delivered, failures


def deliver(journal: Journal, root: Path) -> int:
    """Send the lines that the MLflow store of today does not have yet, in order; returns how many those were."""
    lines = journal.lines()
    store = _without_password(tracking_uri(root))
    sent = journal.sent
    if sent["store"] != store:
        # Another store, or none so far: it gets everything.
        sent = {"run_id": None, "lines": 0}
    missing = lines[sent["lines"] :]
    if not missing:
        return 0
    with warnings.catch_warnings():
        # MLflow's dependencies warn of their own future changes; the user can do nothing about them.
        warnings.simplefilter("ignore")
        client = _client(root)
        run_id = sent["run_id"] or _find_or_create(client, journal, lines[0], root)
        for number, line in enumerate(missing, start=sent["lines"] + 1):
            _send(client, run_id, line)
            journal.note_sent(store, run_id, number)
    return len(missing)


def _without_password(text: str) -> str:
    """A text without the user and password that an address in it may hold."""
    return re.sub(r"://[^/@\s]+@", "://", text)


def _client(root: Path) -> Any:
    import mlflow

    for name in ("mlflow", "alembic"):
        # They tell of every table that they make.
        logging.getLogger(name).setLevel(logging.WARNING)
    uri = tracking_uri(root)
    with _store_lock(root):
        client = mlflow.MlflowClient(tracking_uri=uri)
        # The first call makes the tables of a fresh database; two processes doing so at once would crash.
        client.search_experiments(max_results=1)
    return client


@contextmanager
def _store_lock(root: Path) -> Iterator[None]:
    path = root / ".faceseg" / "mlflow.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _find_or_create(client: Any, journal: Journal, start: Mapping[str, Any], root: Path) -> str:
    """The run of this journal, known by its tag, so that a run made just before a kill is found again."""
    with _store_lock(root):
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            local = tracking_uri(root).startswith("sqlite:")
            experiment_id = client.create_experiment(EXPERIMENT, str(root / "mlruns") if local else None)
        else:
            experiment_id = experiment.experiment_id
        name = journal.path.stem
        found = client.search_runs([experiment_id], f"tags.`faceseg.journal` = '{name}'", max_results=1)
        if found:
            return str(found[0].info.run_id)
        tags = {"faceseg.journal": name, **start["tags"]}
        run = client.create_run(
            experiment_id, start_time=start["time_ms"], tags=tags, run_name=start["tags"].get("dvc.exp")
        )
        return str(run.info.run_id)


def _send(client: Any, run_id: str, line: Mapping[str, Any]) -> None:
    from mlflow.entities import Metric, Param, RunStatus

    when = line["time_ms"]
    if line["kind"] == "start":
        client.log_batch(run_id, params=[Param(key, str(value)) for key, value in sorted(line["params"].items())])
    elif line["kind"] == "epoch":
        values = line["values"]
        step = values["epoch"]
        metrics = [Metric(key, values[key], when, step) for key in CURVES if values.get(key) is not None]
        metrics += [Metric(f"val_iou.{name}", value, when, step) for name, value in values["val_class_iou"].items()]
        client.log_batch(run_id, metrics=metrics)
    else:
        for key, value in line.get("metrics", {}).items():
            client.log_metric(run_id, key, value, when, 0)
        for path in line["files"]:
            if Path(path).exists():
                client.log_artifact(run_id, path)
        if line["kind"] == "ended":
            client.set_terminated(run_id, RunStatus.to_string(RunStatus.FINISHED), when)
