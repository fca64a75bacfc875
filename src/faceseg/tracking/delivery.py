"""Lines of a journal to an MLflow store: in order, each once, however often a delivery is cut off.

A line keeps the time at which it was written, and MLflow takes the same point (key, step, time, value) twice as once.
A run is known by its tag ``faceseg.journal``, files by their path in the run, a model's version by its run: so a
delivery that died between MLflow's answer and the note of it is simply repeated.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faceseg.tracking.journal import BusyError, Journal, Sent, journals
from faceseg.tracking.registry import register
from faceseg.tracking.store import Store, experiment_name, without_password

CURVES = ("lr", "loss", "f1", "iou", "val_loss", "val_f1", "val_iou", "seconds", "images_per_second")
JOURNAL_TAG = "faceseg.journal"
_PARAMS_AT_ONCE = 100  # MLflow's own limits of one call
_METRICS_AT_ONCE = 1000
_NUMBERS = ("epoch", "system")  # kinds of lines that are nothing but metrics

Line = Mapping[str, Any]


@dataclass
class Delivery:
    """What was delivered: how many ``lines``, and ``notes`` for the user."""

    lines: int = 0
    notes: list[str] = field(default_factory=list)


def sync(root: Path) -> tuple[Delivery, list[str]]:
    """Deliver every journal's missing lines, the oldest journal first; also what failed, a line each."""
    whole, failures = Delivery(), []
    store = Store(root)
    for journal in journals(root):
        try:
            one = deliver(journal, store)
        except BusyError as error:
            whole.notes.append(str(error))
        except Exception as error:  # MLflow lets through what its stores and HTTP libraries raise.
            failures.append(f"{journal.path.name}: {describe(error)}")
        else:
            whole.lines += one.lines
            whole.notes += one.notes
    return whole, failures


def describe(error: Exception) -> str:
    """An error in one line that is not too long, without passwords."""
    text = " ".join(str(error).split())
    return without_password(f"{type(error).__name__}: {text if len(text) <= 300 else text[:300] + ' ...'}")


def deliver(journal: Journal, store: Store) -> Delivery:
    """Send what the store does not have yet.

    Raises:
        BusyError: another process is at it.
        Exception: what MLflow's stores and HTTP libraries raise; what was sent until then is noted.
    """
    delivery = Delivery()
    if len(journal.lines()) <= journal.sent(store.name).lines:
        return delivery
    with journal.delivering():
        lines, sent = journal.lines(), journal.sent(store.name)
        if len(lines) <= sent.lines:
            return delivery
        store.open()
        found = _find_run(store, journal, lines[0], sent)
        if found is None:
            return delivery
        run_id = found.run_id
        assert run_id is not None, "a run that was found or made has an id"
        for batch, end in _batches(lines, found.lines):
            # One after the other: sqlite refuses a writer that waits too long for another, and a champion is judged
            # against the one before it. Where a server does the rest, nobody waits for another's call.
            with store.lock() if store.is_local or batch[0]["kind"] == "evaluated" else nullcontext():
                _send(store, run_id, journal, batch, delivery)
            journal.note_sent(store.name, run_id, end)
            delivery.lines = end - found.lines
    return delivery


def _batches(lines: Sequence[Line], start: int) -> Iterator[tuple[list[Line], int]]:
    """Lines from ``start`` on, numbers in a row together as far as one call takes them; (lines, how many then)."""
    batch: list[Line] = []
    points = 0
    for end, line in enumerate(lines[start:], start=start + 1):
        batch.append(line)
        points += len(_points(line)) if line["kind"] in _NUMBERS else _METRICS_AT_ONCE
        following = lines[end] if end < len(lines) else None
        numbers = following is not None and following["kind"] in _NUMBERS
        if following is None or not numbers or points + len(_points(following)) > _METRICS_AT_ONCE:
            yield batch, end
            batch, points = [], 0


def _find_run(store: Store, journal: Journal, start: Line, sent: Sent) -> Sent | None:
    """The journal's run and how much it has; None: the user has deleted it, which is not undone."""
    from mlflow.entities import LifecycleStage
    from mlflow.exceptions import MlflowException

    if sent.run_id is not None:
        try:
            run = store.client.get_run(sent.run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            # Another database at the same address: it gets everything.
        else:
            return sent if run.info.lifecycle_stage == LifecycleStage.ACTIVE else None
    return Sent(_find_or_create(store, journal.path.stem, start), 0)


def _find_or_create(store: Store, name: str, start: Line) -> str:
    """The run that has the journal's name as its tag, so that one that was made just before a kill is found again."""
    with store.lock():
        experiment = store.experiment(experiment_name())
        found = store.client.search_runs([experiment], f"tags.`{JOURNAL_TAG}` = '{name}'", max_results=1)
        if found:
            return str(found[0].info.run_id)
        run = store.client.create_run(
            experiment,
            start_time=start["time_ms"],
            tags={JOURNAL_TAG: name, **start["tags"]},
            run_name=start["tags"].get("dvc.exp"),
        )
        return str(run.info.run_id)


def _send(store: Store, run_id: str, journal: Journal, batch: Sequence[Line], delivery: Delivery) -> None:
    """One line, or several that are nothing but numbers."""
    line = batch[0]
    if line["kind"] in _NUMBERS:
        store.client.log_batch(run_id, metrics=[point for one in batch for point in _points(one)])
    elif line["kind"] == "start":
        _log_params(store, run_id, line["params"])
        _log_datasets(store, run_id, line["datasets"])
    elif line["kind"] == "resumed":
        store.client.update_run(run_id, status="RUNNING")
    elif line["kind"] == "trained":
        _log_files(store, run_id, journal, line["files"])
        store.client.set_terminated(run_id, "FINISHED", line["time_ms"])
    elif line["kind"] == "evaluated":
        _log_evaluation(store, run_id, journal, line)
        delivery.notes += register(store, run_id, journal, line)
        store.client.set_terminated(run_id, "FINISHED", line["time_ms"])
    elif line["kind"] == "stopped":
        store.client.set_tag(run_id, "faceseg.stopped", line["reason"])
        store.client.set_terminated(run_id, line["status"], line["time_ms"])
    else:
        raise ValueError(f"{journal.path} holds a line of kind {line['kind']!r}, which this version does not know")


def _points(line: Line) -> list[Any]:
    """The metrics of a line of numbers."""
    from mlflow.entities import Metric

    when = line["time_ms"]
    if line["kind"] == "system":
        return [Metric(f"system/{key}", value, when, line["step"]) for key, value in line["values"].items()]
    values = line["values"]
    named = {key: values[key] for key in CURVES if values.get(key) is not None}
    named |= {f"val_iou.{name}": value for name, value in values["val_class_iou"].items()}
    return [Metric(_key(key), value, when, values["epoch"]) for key, value in named.items()]


def _key(name: str) -> str:
    """A name that MLflow takes for a metric: a class may be called anything."""
    return re.sub(r"[^/\w.\- :]", "_", name)


def _log_params(store: Store, run_id: str, params: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    named = [Param(_key(key), str(value)) for key, value in sorted(params.items())]
    for first in range(0, len(named), _PARAMS_AT_ONCE):
        store.client.log_batch(run_id, params=named[first : first + _PARAMS_AT_ONCE])


def _log_datasets(store: Store, run_id: str, datasets: Sequence[Mapping[str, Any]]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = [
        DatasetInput(
            Dataset(
                about["name"],
                about["digest"],
                source_type="local",
                source=json.dumps({"uri": about["uri"]}),
                profile=json.dumps(about["profile"]),
            ),
            [InputTag("mlflow.data.context", about["context"])],
        )
        for about in datasets
    ]
    if inputs:
        store.client.log_inputs(run_id, inputs)


def _log_files(store: Store, run_id: str, journal: Journal, files: Mapping[str, str]) -> None:
    """``files``: the path in the run of every copy that the journal keeps."""
    for shown, name in sorted(files.items()):
        store.log_file(run_id, journal.kept(name), shown)


def _log_evaluation(store: Store, run_id: str, journal: Journal, line: Line) -> None:
    from mlflow.entities import Metric, RunTag

    # An evaluation that comes again, with other parameters, is the next step of the same curves.
    metrics = [Metric(_key(key), value, line["time_ms"], line["step"]) for key, value in line["metrics"].items()]
    tags = [RunTag(key, str(value)) for key, value in line["tags"].items()]
    store.client.log_batch(run_id, metrics=metrics, tags=tags)
    _log_datasets(store, run_id, line["datasets"])
    _log_files(store, run_id, journal, line["files"])
