"""The page: all facts, well-formed, alone in the world, and the same bytes twice."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import keras
import pytest

from faceseg.evaluation.charts import line_chart, ticks
from faceseg.evaluation.compare import Measured, intervals
from faceseg.evaluation.evaluate import by_clip, evaluate
from faceseg.evaluation.report import Sources, flat, write_report
from faceseg.evaluation.samples import draw_samples
from faceseg.files import read_json, write_csv, write_json
from faceseg.store.packs import MissingInputError
from tests.evaluation.staged import CLASSES, Staged

VOID = {"meta", "img", "path", "polyline", "circle", "br", "hr"}


class Checker(HTMLParser):
    """Notes every tag with its attributes, and that each one is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        # An item and a list item's end may be left out in HTML; here they are not.
        assert self.open.pop() == tag


def sources(staged: Staged, val: bool = True) -> Sources:
    """The other stages' facts, with a name that would be markup if it were not escaped."""
    root = staged.root
    write_json(root / "raw" / "source.json", {"dataset": "tiny <b>", "bytes": 123, "sha256": "ab", "members": 5})
    made_from = {"model": {"backbone": "resnet18"}, "train": {"loss": {"dice": 1.0}}, "data": "cd"}
    params = {"ensemble": [{"architecture": "unet", "backbone": "vgg16", "shrink": 2}]}
    description = {"architecture": "pspnet", "backbone": "resnet18", "params": params, "made_from": made_from}
    write_json(root / "models" / "model.json", description)
    write_json(root / "metrics" / "data.json", {"pictures": 5, "rejected": {"no mask": 1}})
    write_json(root / "metrics" / "train.json", {"epochs": 2, "kept_epoch": 2})
    header = ("epoch", "lr", "loss", "f1", "iou", "val_loss", "val_f1", "val_iou")
    rest = ((0.9, 0.3, 0.2), (0.8, 0.4, 0.3)) if val else (("", "", ""), ("", "", ""))
    rows = [(1, 0.01, 1.5, 0.2, 0.1, *rest[0]), (2, 0.005, 1.1, 0.5, 0.4, *rest[1])]
    write_csv(root / "metrics" / "plots" / "curves.csv", header, rows)
    return Sources(root / "raw", root / "models", root / "metrics")


def page(staged: Staged, model: keras.Model, count: int = 2, val: bool = True) -> str:
    facts = sources(staged, val)
    out = staged.root / "reports"
    with staged.originals() as originals:
        evaluation = evaluate(model, staged.cache(), originals, 4)
        samples = draw_samples(evaluation, model, staged.cache(), originals, count, out / "samples")
    write_report(out / "report.html", evaluation, samples, staged.cache(), facts)
    return (out / "report.html").read_text(encoding="utf-8")


def test_the_page_is_well_formed_and_holds_all_that_it_shows(stretched: Staged, network: keras.Model) -> None:
    text = page(stretched, network)
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    tags = [tag for tag, _ in checker.seen]
    assert not {"script", "link", "iframe", "object"} & set(tags)
    images = [attributes for tag, attributes in checker.seen if tag == "img"]
    assert len(images) == 2 * (4 + 2)
    assert all((image["src"] or "").startswith("data:image/") and image["alt"] for image in images)
    assert "http" not in text
    assert "url(" not in text
    assert str(stretched.root) not in text
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)


def test_the_page_can_be_read_without_seeing_it(stretched: Staged, network: keras.Model) -> None:
    checker = Checker()
    checker.feed(page(stretched, network))
    tags = [tag for tag, _ in checker.seen]
    assert ("html", {"lang": "en"}) in checker.seen
    assert tags.count("h1") == 1
    assert tags.count("main") == 1
    assert tags.count("table") == tags.count("caption")
    assert all("scope" in attributes for tag, attributes in checker.seen if tag == "th")
    drawings = [attributes for tag, attributes in checker.seen if tag == "svg"]
    assert len(drawings) == 4
    assert drawings[0]["aria-label"] == "Loss: training from 1.5 to 1.1; validation from 0.9 to 0.8"


@pytest.mark.parametrize(
    ("ensemble", "words"),
    [
        (None, "pspnet with resnet18"),
        ({"architecture": None, "backbone": "vgg16", "shrink": 2}, "pspnet with resnet18"),
        (
            {"architecture": "unet", "backbone": "vgg16", "shrink": 2},
            "pspnet with resnet18 and unet with vgg16 at 1/2 of the side",
        ),
        ([{"architecture": "unet", "backbone": "vgg16", "shrink": 1}], "pspnet with resnet18 and unet with vgg16"),
    ],
)
def test_the_model_in_words(
    stretched: Staged, network: keras.Model, ensemble: dict[str, Any] | list[Any] | None, words: str
) -> None:
    described = sources(stretched)
    description = read_json(described.models / "model.json")
    description["params"] = {} if ensemble is None else {"ensemble": ensemble}
    write_json(described.models / "model.json", description)
    with stretched.originals() as originals:
        evaluation = evaluate(network, stretched.cache(), originals, 4)
    write_report(stretched.root / "words.html", evaluation, [], stretched.cache(), described)
    assert f"<h1>{words} on " in (stretched.root / "words.html").read_text()


def test_the_page_shows_the_scores_and_the_facts(stretched: Staged, network: keras.Model) -> None:
    text = page(stretched, network)
    with stretched.originals() as originals:
        evaluation = evaluate(network, stretched.cache(), originals, 4)
    for scores in (evaluation.native_scores, evaluation.cached_scores):
        assert f"{scores.miou:.3f}" in text
        assert f"{scores.pixel_accuracy:.3f}" in text
    for name in CLASSES:
        assert name in text
    assert "absent: no pixel of it" in text
    assert "pspnet with resnet18 and unet with vgg16 at 1/2 of the side" in text
    assert "tiny &lt;b&gt;" in text
    assert "rejected.no mask" in text
    assert "train.loss.dice" in text
    assert "5 pictures of 3 clips" in text


def test_intervals_stand_beside_the_scores(stretched: Staged, network: keras.Model) -> None:
    text = page(stretched, network)
    with stretched.originals() as originals:
        evaluation = evaluate(network, stretched.cache(), originals, 4)
    means, classes = intervals(Measured(evaluation.classes, by_clip(evaluation)))
    low, high = means["miou"]
    assert low < evaluation.native_scores.miou < high
    assert f"95 % interval {low:.3f} to {high:.3f}" in text
    low, high = classes["red"]
    assert f"<td>{evaluation.native_scores.iou[0]:.3f}</td><td>{low:.3f} to {high:.3f}</td>" in text


def test_pictures_are_told_in_words_and_shown_at_native_size(stretched: Staged, network: keras.Model) -> None:
    checker = Checker()
    text = page(stretched, network)
    checker.feed(text)
    images = [attributes for tag, attributes in checker.seen if tag == "img"]
    said = [image["alt"] or "" for image in images]
    worst = re.search(r"<h3>(\S+): mIoU 0\.\d+, 1 of 5, the worst</h3>", text)
    assert worst is not None
    height, width = stretched.masks[worst[1]].shape
    assert said[0] == f"test picture {worst[1]}"
    assert re.fullmatch(rf"predicted classes of {worst[1]}, IoU red 0\.\d\d, green 0\.\d\d, blue 0\.\d\d", said[2])
    assert [(image["width"], image["height"]) for image in images[4:6]] == [(str(width), str(height))] * 2
    assert ", 5 of 5, the best</h3>" in text


def test_the_page_twice_is_the_same_bytes(stretched: Staged, network: keras.Model) -> None:
    assert page(stretched, network) == page(stretched, network)


def test_without_samples_and_without_validation(stretched: Staged, network: keras.Model) -> None:
    text = page(stretched, network, count=0, val=False)
    assert "<code>evaluate.samples</code> is 0" in text
    assert 'aria-label="Loss: training from 1.5 to 1.1"' in text


def test_a_missing_fact_is_named(stretched: Staged, network: keras.Model, tmp_path: Path) -> None:
    facts = sources(stretched)
    (facts.metrics / "plots" / "curves.csv").unlink()
    with stretched.originals() as originals:
        evaluation = evaluate(network, stretched.cache(), originals, 4)
    with pytest.raises(MissingInputError, match=r"curves\.csv is not there; `dvc repro`"):
        write_report(tmp_path / "report.html", evaluation, [], stretched.cache(), facts)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.13, 0.87, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.5, 0.5, [0.5, 0.6]),
        (-3, 12, [-5, 0, 5, 10, 15]),
    ],
)
def test_ticks_are_round_and_enclose(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_ticks_of_epochs_are_whole() -> None:
    assert ticks(1, 3, whole=True) == [1, 2, 3]
    assert ticks(1, 1, whole=True) == [1, 2]


def test_a_chart_by_hand() -> None:
    """Epochs 1 and 2 lie at the left and right edge, 0 and 1 at the bottom and the top of the plotting area."""
    svg = line_chart({"training": [(1, 0.0), (2, 1.0)], "validation": [(1, float("nan"))]}, "A & B")
    assert '<polyline class="line" style="--line: var(--line-0)" points="52.0,208.0 468.0,12.0"/>' in svg
    assert 'aria-label="A &amp; B: training from 0 to 1"' in svg
    assert line_chart({"training": []}, "nothing") == ""


def test_flat_names_nested_sections() -> None:
    assert flat({"a": {"b": [1, 2], "c": {"d": None}}, "e": "f"}) == {"a.b": "1, 2", "a.c.d": None, "e": "f"}
