"""What the stages call: facts go to the journal first, and from there to MLflow."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from faceseg.tracking.delivery import deliver, describe
from faceseg.tracking.journal import Journal, journals
from faceseg.tracking.mirror import Mirror, warning
from faceseg.tracking.store import Store
from faceseg.tracking.system import SystemMetrics

_OVER = ("trained", "evaluated")  # kinds of lines after which a journal is not taken up by another training

Files = Mapping[str, Path]  # path in the run: file here


@dataclass(frozen=True)
class Evaluated:
    """An evaluation, as MLflow shows it.

    Attributes:
        metrics: by name.
        files: to show.
        weights, description: the model's two files.
        dataset: name of the description, after which the registered model is called.
        flip, scales: the views that were looked at, which the served model then looks at as well.
        tags: of the evaluation, such as its parameters.
        datasets: of :func:`faceseg.tracking.provenance.cache_datasets`.
    """

    metrics: Mapping[str, float]
    files: Files
    weights: Path
    description: Path
    dataset: str
    flip: bool
    scales: Sequence[float]
    tags: Mapping[str, str] = field(default_factory=dict)
    datasets: Sequence[Mapping[str, Any]] = ()


class Tracker:
    """One stage's hold on the journal of a training; a context, at whose end MLflow has what it could be given."""

    def __init__(
        self,
        root: Path,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        datasets: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """``root``: the user's repository; ``params``, ``tags`` and ``datasets`` as MLflow shows them."""
        self._root = root
        self._params = dict(params)
        self._tags = dict(tags)
        self._datasets = [dict(about) for about in datasets]
        self._store = Store(root)
        self._known_epochs: set[int] = set()
        self._journal: Journal | None = None
        self._mirror: Mirror | None = None
        self._system: SystemMetrics | None = None

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._mirror is not None and kind is not None:
            # A fault ends the run; being stopped from outside only interrupts it.
            status = "FAILED" if issubclass(kind, Exception) else "KILLED"
            reason = (str(error).strip().splitlines() or [kind.__name__])[0]
            self.journal.append("stopped", status=status, reason=reason[:500])
        self._end(patient=kind is None)

    @property
    def journal(self) -> Journal:
        assert self._journal is not None, "start or find comes first"
        return self._journal

    def start(self, fingerprint: str) -> None:
        """Take up the journal that a killed training of the same fingerprint left open, or begin a new one."""
        self._journal = self._open_journal(fingerprint)
        lines = self.journal.lines()
        if lines:
            self._known_epochs = {line["values"]["epoch"] for line in lines if line["kind"] == "epoch"}
            self.journal.append("resumed")
        else:
            tags = {**self._tags, "faceseg.fingerprint": fingerprint}
            self.journal.append("start", params=self._params, tags=tags, datasets=self._datasets)
        self._mirror = Mirror(self.journal, self._store)
        self._mirror.start()
        self._mirror.poke()
        samples = sum(line["kind"] == "system" for line in lines)
        self._system = SystemMetrics(self.journal, samples, self._mirror.poke)
        self._system.start()

    def _open_journal(self, fingerprint: str) -> Journal:
        known = [one for one in journals(self._root) if one.path.stem.startswith(f"{fingerprint[:16]}-")]
        for journal in known:
            lines = journal.lines()
            if lines and all(line["kind"] not in _OVER for line in lines):
                return journal
        folder = self._root / ".faceseg" / "journal"
        return Journal(folder / f"{fingerprint[:16]}-{uuid.uuid4().hex[:8]}.jsonl")

    def find(self, model_sha256: str) -> bool:
        """Take up the newest journal whose training ended with this model; False when it was trained elsewhere."""
        found = [
            (line["time_ms"], journal)
            for journal in journals(self._root)
            for line in journal.lines()
            if line["kind"] == "trained" and line["model_sha256"] == model_sha256
        ]
        if found:
            self._journal = max(found, key=lambda one: one[0])[1]
        return bool(found)

    def epoch(self, epoch: Any) -> None:
        """One epoch's numbers, a dataclass with the names of ``CURVES``; one that the journal has is not repeated."""
        if epoch.epoch not in self._known_epochs:
            self._known_epochs.add(epoch.epoch)
            self.journal.append("epoch", values=asdict(epoch))
            if self._mirror is not None:
                self._mirror.poke()
        self._tell()

    def trained(self, model_sha256: str, files: Files) -> None:
        """The training's end: the model that it made, and files to show beside it."""
        if self._system is not None:
            self._system.stop()
            self._system = None
        self.journal.append("trained", model_sha256=model_sha256, files=self._keep(files))

    def evaluated(self, evaluated: Evaluated) -> None:
        """The evaluation, again perhaps; delivered before this returns, or one warning says that it was not."""
        earlier = sum(line["kind"] == "evaluated" for line in self.journal.lines())
        self.journal.append(
            "evaluated",
            step=earlier,
            metrics=dict(evaluated.metrics),
            tags=dict(evaluated.tags),
            datasets=[dict(about) for about in evaluated.datasets],
            files=self._keep(evaluated.files),
            model={name: self.journal.keep(path) for name, path in _model_files(evaluated).items()},
            dataset=evaluated.dataset,
            flip=evaluated.flip,
            scales=list(evaluated.scales),
        )
        try:
            notes = deliver(self.journal, self._store).notes
        except Exception as error:  # MLflow lets through what its stores and HTTP libraries raise; none may end a run.
            notes = [warning(self._store, describe(error))]
        for note in notes:
            print(note, flush=True)

    def _keep(self, files: Files) -> dict[str, str]:
        return {shown: self.journal.keep(path) for shown, path in sorted(files.items())}

    def _end(self, patient: bool) -> None:
        if self._system is not None:
            self._system.stop()
            self._system = None
        if self._mirror is not None:
            self._mirror.finish(patient)
            self._tell()
            self._mirror = None

    def _tell(self) -> None:
        """Here and not in the mirror's thread, which may be cut off in the middle of a line when the process ends."""
        for line in self._mirror.news() if self._mirror is not None else []:
            print(line, flush=True)


def _model_files(evaluated: Evaluated) -> dict[str, Path]:
    return {"weights": evaluated.weights, "description": evaluated.description}
