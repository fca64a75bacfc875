"""The registry: one version for each training, ``candidate`` on the newest, ``champion`` on the best that was shown.

A version becomes champion when there is none, or when ``faceseg compare`` calls it better than the champion of the
moment, on the clips that both were tested on. Each version carries its own clips for that.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from faceseg.evaluation.compare import ComparisonError, Measured, compare
from faceseg.evaluation.revisions import parse
from faceseg.tracking.journal import Journal
from faceseg.tracking.packaging import save_model
from faceseg.tracking.store import Store

CANDIDATE, CHAMPION = "candidate", "champion"
CLIPS, CONFUSION = "evaluation/clips.csv", "evaluation/confusion.csv"  # in a run, and in a version's model folder
MODEL = "model"  # folder in a run
_EVALUATED_TAG, _VERDICT_TAG = "faceseg.evaluated_ms", "faceseg.verdict"

Line = Mapping[str, Any]


def registered_name(dataset: str) -> str:
    """The registered model of a dataset; models of two datasets are not rivals."""
    return f"faceseg-{dataset}"


def register(store: Store, run_id: str, journal: Journal, line: Line) -> list[str]:
    """Put an evaluated model into the registry, or bring its version up to date; returns what the user should know.

    Whatever a delivery that was cut off has done already is found again and not done twice.
    """
    name = registered_name(line["dataset"])
    version = _find_version(store, name, run_id)
    weights = journal.kept(line["model"]["weights"])
    if weights.exists():
        # Also where there is a version: it predicts as it was evaluated last.
        _log_model(store, run_id, journal, line)
    elif version is None:
        return [
            f"the model of run {journal.path.stem} is not in the registry of {store.name}: its weights went to another "
            "store, and the journal keeps no copy of those"
        ]
    if version is None:
        version = _create_version(store, name, run_id)
    for path in (CLIPS, CONFUSION):
        store.log_file(run_id, journal.kept(line["files"][path]), f"{MODEL}/{path}")
    notes = _judge(store, name, version, line, _measured(journal, line))
    # The store has them now.
    journal.drop(line["model"]["weights"])
    return notes


def _find_version(store: Store, name: str, run_id: str) -> Any | None:
    found = [one for one in store.client.search_model_versions(f"run_id = '{run_id}'") if one.name == name]
    return found[0] if found else None


def _log_model(store: Store, run_id: str, journal: Journal, line: Line) -> None:
    weights, description = (journal.kept(line["model"][name]) for name in ("weights", "description"))
    with tempfile.TemporaryDirectory(prefix="faceseg-") as folder:
        # A line of before there were scales has none.
        save_model(Path(folder) / MODEL, weights, description, line["flip"], line.get("scales", [1.0]))
        store.client.log_artifacts(run_id, str(Path(folder) / MODEL), MODEL)


def _create_version(store: Store, name: str, run_id: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        store.client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    run = store.client.get_run(run_id)
    tags = {key: run.data.tags[key] for key in ("dvc.exp", "mlflow.source.git.commit") if key in run.data.tags}
    return store.client.create_model_version(name, f"{run.info.artifact_uri}/{MODEL}", run_id, tags=tags)


def _judge(store: Store, name: str, version: Any, line: Line, head: Measured) -> list[str]:
    """Set the aliases and say why on the version."""
    aliases = store.client.get_registered_model(name).aliases
    champion = aliases.get(CHAMPION)
    if _is_newest(store, name, version, aliases.get(CANDIDATE), line["time_ms"]):
        store.client.set_registered_model_alias(name, CANDIDATE, version.version)
    _tag(store, name, version, _EVALUATED_TAG, str(line["time_ms"]))
    for metric in ("test.miou", "test.pixel_accuracy"):
        if metric in line["metrics"]:
            _tag(store, name, version, metric, f"{line['metrics'][metric]:.4f}")
    if champion == version.version:
        return [f"version {version.version} of {name} in MLflow's registry is the champion"]
    wins, verdict = (True, "the first") if champion is None else _verdict(store, name, champion, head)
    _tag(store, name, version, _VERDICT_TAG, verdict)
    if wins:
        store.client.set_registered_model_alias(name, CHAMPION, version.version)
    roles = "candidate and champion" if wins else "candidate"
    return [f"version {version.version} of {name} in MLflow's registry: {roles}, {verdict}"]


def _is_newest(store: Store, name: str, version: Any, candidate: str | None, time_ms: int) -> bool:
    """Whether it was evaluated after the candidate of the moment: what was late on its way is not new."""
    if candidate is None or candidate == version.version:
        return True
    tags = store.client.get_model_version(name, candidate).tags
    return int(tags.get(_EVALUATED_TAG, 0)) <= time_ms


def _verdict(store: Store, name: str, champion: str, head: Measured) -> tuple[bool, str]:
    """Whether ``head`` takes the place of the champion, and in words."""
    base = _measured_version(store, store.client.get_model_version(name, champion))
    if base is None:
        return False, f"not comparable with version {champion}, which has no {CLIPS}"
    if {*base.classes} != {*head.classes}:
        return False, f"not comparable with version {champion}, which has other classes"
    try:
        verdict = compare(base, head).verdict
    except ComparisonError as error:
        return False, f"not comparable with version {champion}: {error}"
    words = {"better": "better than", "worse": "worse than", "within noise": "within noise of"}
    return verdict == "better", f"{words[verdict]} version {champion}"


def _measured(journal: Journal, line: Line) -> Measured:
    clips, confusion = (journal.kept(line["files"][path]).read_text(encoding="utf-8") for path in (CLIPS, CONFUSION))
    return parse(clips, confusion)


def _measured_version(store: Store, version: Any) -> Measured | None:
    """What a version measured, from its own folder; None for one that was registered by other means."""
    paths = {one.path for one in store.client.list_artifacts(version.run_id, f"{MODEL}/evaluation")}
    if not {f"{MODEL}/{path}" for path in (CLIPS, CONFUSION)} <= paths:
        return None
    with tempfile.TemporaryDirectory(prefix="faceseg-") as folder:
        clips, confusion = (
            Path(store.client.download_artifacts(version.run_id, f"{MODEL}/{path}", folder)).read_text(encoding="utf-8")
            for path in (CLIPS, CONFUSION)
        )
    return parse(clips, confusion)


def _tag(store: Store, name: str, version: Any, key: str, value: str) -> None:
    store.client.set_model_version_tag(name, version.version, key, value)
