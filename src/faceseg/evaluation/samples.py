"""Strips that show what the model does: picture, truth, prediction and errors side by side, with a legend.

The pictures are spread evenly over the test split from the worst to the best, so neither the failures nor the
successes are chosen by hand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from faceseg.evaluation.evaluate import SPLIT, Evaluation, labels_of
from faceseg.evaluation.originals import Originals
from faceseg.evaluation.predict import logits_at
from faceseg.files import atomic_write
from faceseg.images.geometry import IGNORED
from faceseg.objectives.metrics import Scores
from faceseg.store.shards import Cache, Split

HEIGHT = 320  # of each panel, in pixels
GAP = 8
TEXT = 16  # of the letters, in pixels
LINE = 24
PAPER, INK = (255, 255, 255), (20, 20, 20)
UNSCORED = (128, 128, 128)
WRONG = (230, 30, 60)
DIM = 0.45  # brightness of what is right in the errors panel
TINT = 0.5  # part of the class's colour in an overlay
PANELS = ("picture", "truth", "prediction", "errors")

Colours = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Sample:
    """One picture that was drawn.

    Attributes:
        path: the strip.
        id: of the sample.
        miou: at native size, over the classes in its truth or prediction.
        place: by mIoU from 1, the worst, to ``pictures``.
        panels: (h, w, 3) uint8 for each of ``PANELS``.
        overlays: prediction and truth in colours over the picture, (height, width, 3) uint8 at native size.
        iou: of each class that it shows, by name, at native size.
        wrong: part of its scored pixels.
    """

    path: Path
    id: str
    miou: float
    place: int
    pictures: int
    panels: Sequence[np.ndarray]
    overlays: tuple[np.ndarray, np.ndarray]
    iou: Mapping[str, float]
    wrong: float

    @property
    def title(self) -> str:
        return f"{self.id}: mIoU {self.miou:.3f}, {self.place} of {self.pictures}"


def choose(miou: np.ndarray, count: int) -> list[tuple[int, int]]:
    """(row, place) of ``count`` pictures spread evenly from the worst mIoU to the best; place 1 is the worst.

    Rows of equal mIoU keep their order; rows without a scored pixel (NaN) are left out.
    """
    order = [int(row) for row in np.argsort(miou, kind="stable") if not np.isnan(miou[row])]
    places = np.unique(np.round(np.linspace(0, len(order) - 1, min(count, len(order)))).astype(int))
    return [(order[place], int(place) + 1) for place in places]


def draw_samples(
    evaluation: Evaluation, model: keras.Model, cache: Cache, originals: Originals, count: int, folder: Path
) -> list[Sample]:
    """Write ``<nn>-<id>.png`` for the chosen pictures, the worst first."""
    split = cache.split(SPLIT)
    miou = evaluation.picture_miou()
    pictures = int(np.count_nonzero(~np.isnan(miou)))
    samples = []
    for number, (row, place) in enumerate(choose(miou, count), start=1):
        name = split.ids[row].replace("/", "_")
        panels, overlays = _drawn(model, cache, split, row, originals)
        scores = Scores.from_confusion(evaluation.native[row], cache.classes)
        sample = Sample(
            path=folder / f"{number:02d}-{name}.png",
            id=split.ids[row],
            miou=float(miou[row]),
            place=place,
            pictures=pictures,
            panels=panels,
            overlays=overlays,
            iou={name: float(iou) for name, iou in zip(cache.classes, scores.iou, strict=True) if not np.isnan(iou)},
            wrong=1 - scores.pixel_accuracy,
        )
        with atomic_write(sample.path) as file:
            compose(panels, sample.title, cache.classes, cache.colours).save(file, "PNG", optimize=True)
        samples.append(sample)
    return samples


def _drawn(
    model: keras.Model, cache: Cache, split: Split, row: int, originals: Originals
) -> tuple[list[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The panels of one picture, and its overlays."""
    size = int(split.sizes[row, 0]), int(split.sizes[row, 1])
    native = originals.image(split.ids[row], at_least=max(size))
    width = max(1, round(size[0] * HEIGHT / size[1]))
    image = np.asarray(Image.fromarray(native).resize((width, HEIGHT), Image.Resampling.BILINEAR))
    truth = originals.mask(split.ids[row], size)
    predicted = labels_of(logits_at(model, split, row), size, cache)
    small = _shrunk(truth, width), _shrunk(predicted, width)
    panels = [image, *(paint(labels, cache.colours) for labels in small), errors(image, *small)]
    return panels, (overlay(native, predicted, cache.colours), overlay(native, truth, cache.colours))


def _shrunk(labels: np.ndarray, width: int) -> np.ndarray:
    return np.asarray(Image.fromarray(labels).resize((width, HEIGHT), Image.Resampling.NEAREST))


def paint(labels: np.ndarray, colours: Colours) -> np.ndarray:
    """Labels (h, w) uint8 in their classes' colours, (h, w, 3) uint8; 255 in grey."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(colours)] = colours
    table[IGNORED] = UNSCORED
    return table[labels]


def overlay(image: np.ndarray, labels: np.ndarray, colours: Colours) -> np.ndarray:
    """Labels (h, w) uint8 in their classes' colours over the picture (h, w, 3) uint8, which shines through."""
    return ((1 - TINT) * image + TINT * paint(labels, colours)).astype(np.uint8)


def errors(image: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """The picture (h, w, 3) uint8, dark where the prediction is right or not scored, and red where it is wrong."""
    shown = (image * DIM).astype(np.uint8)
    shown[(truth != predicted) & (truth != IGNORED)] = WRONG
    return shown


def compose(panels: Sequence[np.ndarray], title: str, classes: Sequence[str], colours: Colours) -> Image.Image:
    """Panels of one size side by side, each under its name, with a title above and a legend below."""
    height, width = panels[0].shape[:2]
    font = ImageFont.load_default(TEXT)
    whole = GAP + len(panels) * (width + GAP)
    entries = _legend(classes, colours, whole, font)
    lines = 1 + max(line for line, *_ in entries)
    top = GAP + 2 * LINE
    strip = Image.new("RGB", (whole, top + height + GAP + lines * LINE + GAP), PAPER)
    draw = ImageDraw.Draw(strip)
    draw.text((GAP, GAP), title, INK, font)
    for number, (name, panel) in enumerate(zip(PANELS, panels, strict=True)):
        x = GAP + number * (width + GAP)
        draw.text((x, GAP + LINE), name, INK, font)
        strip.paste(Image.fromarray(panel), (x, top))
    for line, x, name, colour in entries:
        y = top + height + GAP + line * LINE
        draw.rectangle((x, y + 2, x + TEXT, y + 2 + TEXT), colour, INK)
        draw.text((x + TEXT + GAP, y), name, INK, font)
    return strip


def _legend(
    classes: Sequence[str], colours: Colours, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> list[tuple[int, int, str, tuple[int, ...]]]:
    """(line, x, name, colour) of every entry, broken into lines no wider than ``width``."""
    named = [*zip(classes, (tuple(colour) for colour in colours), strict=True)]
    entries, line, x = [], 0, GAP
    for name, colour in [*named, ("not scored", UNSCORED), ("wrong", WRONG)]:
        needed = TEXT + GAP + int(font.getlength(name)) + 2 * GAP
        if x > GAP and x + needed > width:
            line, x = line + 1, GAP
        entries.append((line, x, name, colour))
        x += needed
    return entries
