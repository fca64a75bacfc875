"""candidate is the newest, champion the best that was shown; a training has one version, however often it is sent."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from faceseg.evaluation.compare import Measured
from faceseg.files import read_json, sealed, write_json
from faceseg.tracking import registry, sync
from faceseg.tracking.journal import journals
from tests.tracking.runs import Told, evaluate, sides, train

pytestmark = pytest.mark.xdist_group("tracking")


@pytest.fixture(autouse=True)
def _light_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in a model's folder is the business of test_serving.py."""

    def save_model(path: Path, weights: Path, description: Path, flip: bool, scales: Sequence[float]) -> None:
        path.mkdir()
        (path / "weights").write_bytes(weights.read_bytes())
        write_json(path / "views.json", {"flip": flip, "scales": list(scales)})

    monkeypatch.setattr(registry, "save_model", save_model)


def challenge(root: Path, effect: float) -> None:
    """A first model, and a second one with ``effect`` on the log odds of its errors."""
    for model, side in zip(("first", "second"), sides(effect), strict=True):
        train(root, model)
        evaluate(root, model, side)


def verdicts(told: Told) -> list[str]:
    return [version.tags["faceseg.verdict"] for version in told.versions()]


def test_a_journal_of_before_there_were_scales_is_delivered(
    root: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(root, "first")
    evaluate(root, "first", sides(0)[0])
    (journal,) = journals(root)
    lines = [{key: value for key, value in line.items() if key != "scales"} for line in journal.lines()]
    journal.path.write_text("".join(f"{json.dumps(sealed(line), sort_keys=True)}\n" for line in lines))
    journal.keep(root / "models" / "model.weights.h5")  # the store has them, and this one has not
    other = f"sqlite:///{root / 'other.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", other)
    assert sync(root)[1] == []
    again = Told(other)
    (version,) = again.versions()
    folder = Path(again.client.download_artifacts(version.run_id, "model", str(root)))
    assert read_json(folder / "views.json") == {"flip": False, "scales": [1.0]}


def test_the_first_is_candidate_and_champion(root: Path, told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    train(root, "first")
    evaluate(root, "first", sides(0)[0], miou=0.75)
    assert told.aliases() == {"candidate": "1", "champion": "1"}
    (version,) = told.versions()
    assert version.run_id == told.run().info.run_id
    assert version.tags["test.miou"] == "0.7500"
    assert (
        "version 1 of faceseg-faces in MLflow's registry: candidate and champion, the first" in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("effect", "champion", "verdict"),
    [
        (-1.0, "2", "better than version 1"),
        (1.0, "1", "worse than version 1"),
        (0.0, "1", "within noise of version 1"),
    ],
)
def test_only_a_better_model_becomes_champion(
    root: Path, told: Told, effect: float, champion: str, verdict: str
) -> None:
    challenge(root, effect)
    assert told.aliases() == {"candidate": "2", "champion": champion}
    assert verdicts(told) == ["the first", verdict]


def test_other_classes_are_not_compared(root: Path, told: Told) -> None:
    first, second = sides(-1.0)
    renamed = Measured(("background", "skin", "hair", "mouth", "glasses"), second.clips)
    for model, side in (("first", first), ("second", renamed)):
        train(root, model)
        evaluate(root, model, side)
    assert told.aliases() == {"candidate": "2", "champion": "1"}
    assert verdicts(told)[1] == "not comparable with version 1, which has other classes"


def test_other_clips_are_not_compared(root: Path, told: Told) -> None:
    first, second = sides(-1.0)
    elsewhere = Measured(second.classes, {f"other-{clip}": matrix for clip, matrix in second.clips.items()})
    for model, side in (("first", first), ("second", elsewhere)):
        train(root, model)
        evaluate(root, model, side)
    assert told.aliases()["champion"] == "1"
    assert verdicts(told)[1].startswith("not comparable with version 1: no clip is in both test sets")


def test_a_champion_without_clips_stays(root: Path, told: Told) -> None:
    train(root, "first")
    run = told.run()
    told.client.create_registered_model("faceseg-faces")
    version = told.client.create_model_version("faceseg-faces", f"{run.info.artifact_uri}/by-hand", run.info.run_id)
    told.client.set_registered_model_alias("faceseg-faces", "champion", version.version)
    train(root, "second")
    evaluate(root, "second", sides(0)[0])
    assert told.aliases() == {"candidate": "2", "champion": "1"}
    assert "which has no evaluation/clips.csv" in told.versions()[1].tags["faceseg.verdict"]


def test_an_evaluation_that_is_sent_again_makes_no_second_version(root: Path, told: Told) -> None:
    challenge(root, -1.0)
    store = f"sqlite:///{root / 'mlflow.db'}"
    for journal in journals(root):
        journal.note_sent(store, journal.sent(store).run_id or "", 0)
    delivery, failures = sync(root)
    assert failures == []
    assert delivery.lines > 4
    assert len(told.versions()) == 2
    assert told.aliases() == {"candidate": "2", "champion": "2"}


def test_what_was_late_on_its_way_is_not_the_candidate(root: Path, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = sides(0.0)
    train(root, "first")
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        evaluate(root, "first", first)
    train(root, "second")
    evaluate(root, "second", second)
    assert told.aliases() == {"candidate": "1", "champion": "1"}
    assert sync(root)[1] == []
    assert told.aliases() == {"candidate": "1", "champion": "1"}
    assert [version.tags["faceseg.verdict"] for version in told.versions()] == [
        "the first",
        "within noise of version 1",
    ]


def test_weights_are_kept_only_until_they_are_delivered(
    root: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept() -> list[Path]:
        return list((root / ".faceseg" / "journal").glob("*.files/*.h5"))

    train(root, "model")
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        evaluate(root, "model", sides(0)[0])
    assert [path.read_text() for path in kept()] == ["model"]
    (root / "models" / "model.weights.h5").write_text("of the next training")
    assert sync(root)[1] == []
    assert kept() == []
    told = Told(f"sqlite:///{root / 'mlflow.db'}")
    weights = told.client.download_artifacts(told.run().info.run_id, "model/weights", str(root))
    assert Path(weights).read_text() == "model"
    # Another store gets the run, and is told why not the model.
    (root / "other").mkdir()
    (root / "other" / "mlflow.db").write_bytes(empty_database.read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'other' / 'mlflow.db'}")
    delivery, failures = sync(root)
    assert failures == []
    assert "its weights went to another store" in delivery.notes[0]
