"""What `faceseg summary` shows: the scores of the evaluated model, over all test clips or without some."""

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from faceseg.evaluation.revisions import CLIPS, CONFUSION, parse
from faceseg.files import read_json
from faceseg.objectives.metrics import Scores

METRICS = Path("metrics")


def show(console: Console) -> None:
    """The scores of metrics/evaluate.json, and where pictures and curves are.

    Raises:
        ValueError: a file of metrics/ is not there.
    """
    scores, splits = (_read(METRICS / name) for name in ("evaluate.json", "splits.json"))
    native, cached, test = scores["native"], scores["cached"], splits["sizes"]["test"]
    console.print(_table(native))
    console.print(
        f"{_means(native)} (mIoU {cached['miou']:.3f} at the training size), "
        f"{test['pictures']} pictures of {test['clips']} clips",
        soft_wrap=True,
    )
    console.print("report    reports/report.html", "pictures  reports/samples/", sep="\n", highlight=False)
    console.print(
        "curves    metrics/plots/curves.csv, `dvc plots show`, or `make ui` for MLflow", soft_wrap=True, highlight=False
    )


def show_without(clips: set[str], console: Console) -> None:
    """The scores over the other test clips: where some are known from training, say.

    Raises:
        ValueError: a file of metrics/ is not there, there is no such clip, or none is left.
    """
    try:
        measured = parse(*(Path(name).read_text(encoding="utf-8") for name in (CLIPS, CONFUSION)))
    except FileNotFoundError as error:
        raise ValueError(f"{error.filename} is not there; `make repro` makes it") from None
    foreign = sorted(clips - measured.clips.keys())
    if foreign:
        raise ValueError(
            f"there is no test clip {foreign[0]!r}; metrics/clips.csv has {', '.join(sorted(measured.clips))}"
        )
    kept = [matrix for clip, matrix in measured.clips.items() if clip not in clips]
    if not kept:
        raise ValueError(f"no test clip is left without all {len(measured.clips)}; leave out fewer")
    scores = Scores.from_confusion(np.sum(kept, axis=0), measured.classes).to_dict()
    console.print(_table(scores))
    console.print(f"{_means(scores)} over {len(kept)} of {len(measured.clips)} clips", soft_wrap=True)


def _read(path: Path) -> Any:
    try:
        return read_json(path)
    except FileNotFoundError:
        raise ValueError(f"{path} is not there; `make repro` makes it") from None


def _means(scores: dict[str, Any]) -> str:
    return (
        f"test mIoU {scores['miou']:.3f}, mean F1 {scores['mf1']:.3f}, pixel accuracy {scores['pixel_accuracy']:.3f} "
        "at native size"
    )


def _table(scores: dict[str, Any]) -> Table:
    table = Table(title="Test split, native size")
    table.add_column("class")
    for name in ("IoU", "F1", "precision", "recall"):
        table.add_column(name, justify="right")
    for name, values in scores["per_class"].items():
        table.add_row(name, *(f"{values[key]:.3f}" for key in ("iou", "f1", "precision", "recall")))
    for name in scores["absent"]:
        table.add_row(name, "absent", "", "", "")
    return table
