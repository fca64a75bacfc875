"""reports/report.html: one page that shows what was measured, on what, and how to make it again.

It holds everything it shows: no network, no script. Nothing in it tells when, where or by whom it was made, so the same
model on the same data gives the same bytes.
"""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from faceseg.evaluation.charts import line_chart
from faceseg.evaluation.compare import Measured, intervals
from faceseg.evaluation.evaluate import Evaluation, by_clip
from faceseg.evaluation.predict import read_description
from faceseg.evaluation.samples import PANELS, Sample
from faceseg.files import read_csv, read_json, write_bytes
from faceseg.models.build import members_of
from faceseg.store.packs import MissingInputError
from faceseg.store.shards import Cache

TEMPLATE = "report.html.jinja"
JPEG_QUALITY = 82
CHARTS = {
    "Loss": ("loss", "val_loss"),
    "Mean IoU": ("iou", "val_iou"),
    "Mean F1": ("f1", "val_f1"),
    "Learning rate": ("lr",),
}
SPOKEN = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Sources:
    """Where the page's facts lie: folders."""

    raw: Path
    models: Path
    metrics: Path


def write_report(path: Path, evaluation: Evaluation, samples: Sequence[Sample], cache: Cache, sources: Sources) -> None:
    """Write the page.

    Raises:
        MissingInputError: a file that it draws on is not there.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    try:
        facts = _facts(evaluation, cache, sources)
    except FileNotFoundError as error:
        raise MissingInputError(f"{error.filename} is not there") from None
    page = environment.get_template(TEMPLATE).render(**facts, samples=[_shown(sample) for sample in samples])
    write_bytes(path, page.encode())


def _model_in_words(description: Mapping[str, Any]) -> str:
    words = [f"{description['architecture']} with {description['backbone']}"]
    for member in members_of(description):
        side = f" at 1/{member['shrink']} of the side" if member["shrink"] > 1 else ""
        words.append(f"{member['architecture']} with {member['backbone']}{side}")
    return " and ".join(words)


def _facts(evaluation: Evaluation, cache: Cache, sources: Sources) -> dict[str, Any]:
    description = read_description(sources.models)
    curves = list(read_csv(sources.metrics / "plots" / "curves.csv"))
    total = evaluation.native.sum(axis=0)
    sizes = read_json(sources.metrics / "splits.json")["sizes"]
    means, class_intervals = intervals(Measured(evaluation.classes, by_clip(evaluation)))
    return {
        "clips": len(set(evaluation.clips)),
        "means": means,
        "dataset": cache.dataset,
        "size": cache.size,
        "fit": cache.fit,
        "model": _model_in_words(description),
        "native": evaluation.native_scores,
        "cached": evaluation.cached_scores,
        "classes": [
            {
                "name": name,
                "colour": "#{:02x}{:02x}{:02x}".format(*colour),
                "share": share,
                "interval": class_intervals[name],
            }
            for name, colour, share in zip(cache.classes, cache.colours, total.sum(axis=1) / total.sum(), strict=True)
        ],
        "confusion": _by_row(total),
        "charts": [_chart(title, names, curves) for title, names in CHARTS.items()],
        "curves": curves,
        "splits": {name: sizes[name] for name in SPOKEN if name in sizes},
        "distribution": _distribution(read_csv(sources.metrics / "plots" / "classes.csv")),
        "spoken": SPOKEN,
        "training": read_json(sources.metrics / "train.json"),
        "data": flat(read_json(sources.metrics / "data.json")),
        "source": flat(read_json(sources.raw / "source.json")),
        "made_from": flat(description["made_from"]),
    }


def flat(values: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Nested sections as dotted names; lists as their items in one line."""
    named: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{where}.{key}" if where else key
        if isinstance(value, Mapping):
            named.update(flat(value, name))
        else:
            named[name] = ", ".join(map(str, value)) if isinstance(value, list) else value
    return named


def _by_row(matrix: np.ndarray) -> list[list[float | None]]:
    """Of each actual class the share that was predicted as each class; None for a class that is not in the truth."""
    rows = matrix.sum(axis=1, keepdims=True)
    return [[float(n / total) if total else None for n in row] for row, [total] in zip(matrix, rows, strict=True)]


def _chart(title: str, names: Sequence[str], curves: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """One chart and the names in its legend; a cell that is empty, as without a validation split, is no point."""
    series = {}
    for name in names:
        points = [(float(row["epoch"]), float(row[name])) for row in curves if row[name]]
        if points:
            label = "learning rate" if name == "lr" else "validation" if name.startswith("val_") else "training"
            series[label] = points
    return {"title": title, "svg": line_chart(series, title), "lines": list(series)}


def _distribution(rows: Iterable[Mapping[str, str]]) -> dict[str, dict[str, tuple[float, int]]]:
    """(share of the scored pixels, pictures that show it) by split by class."""
    table: dict[str, dict[str, tuple[float, int]]] = {}
    for row in rows:
        table.setdefault(row["class"], {})[row["split"]] = float(row["share"]), int(row["pictures"])
    return table


def _shown(sample: Sample) -> dict[str, Any]:
    # Masks have few colours and hard edges, for which PNG is the smaller one.
    formats = {"picture": "JPEG", "truth": "PNG", "prediction": "PNG", "errors": "JPEG"}
    panels = zip(PANELS, sample.panels, strict=True)
    return {
        "id": sample.id,
        "title": sample.title,
        "width": sample.panels[0].shape[1],
        "height": sample.panels[0].shape[0],
        "panels": [
            {"name": name, "uri": data_uri(panel, formats[name]), "alt": _spoken(name, sample)}
            for name, panel in panels
        ],
        "rank": {1: "the worst", sample.pictures: "the best"}.get(sample.place, ""),
        "iou": sample.iou,
        "native": {"width": sample.overlays[0].shape[1], "height": sample.overlays[0].shape[0]},
        "overlays": [
            {"name": f"{name} over the picture", "uri": data_uri(pixels, "JPEG"), "alt": _spoken(name, sample)}
            for name, pixels in zip(("prediction", "truth"), sample.overlays, strict=True)
        ],
    }


def _spoken(name: str, sample: Sample) -> str:
    """What a screen reader says of a panel."""
    said = {
        "picture": f"test picture {sample.id}",
        "truth": f"true classes of {sample.id}: {', '.join(sample.iou)}",
        "prediction": f"predicted classes of {sample.id}, IoU "
        + ", ".join(f"{name} {iou:.2f}" for name, iou in sample.iou.items()),
        "errors": f"where {sample.id} is wrong: {100 * sample.wrong:.1f} % of its scored pixels",
    }
    return said[name]


def data_uri(pixels: np.ndarray, kind: str) -> str:
    """Pixels (h, w, 3) uint8 as a ``data:`` address, ``kind`` JPEG or PNG."""
    buffer = io.BytesIO()
    settings: dict[str, Any] = {"quality": JPEG_QUALITY} if kind == "JPEG" else {"optimize": True}
    picture = Image.fromarray(pixels)
    if kind == "PNG":
        picture = picture.quantize(256, dither=Image.Dither.NONE)
    picture.save(buffer, kind, **settings)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
