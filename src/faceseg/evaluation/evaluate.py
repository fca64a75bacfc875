"""Scores on the test split, at the training size and on each picture's own grid, from one pass of the network.

Every picture has a confusion matrix of its own; they are summed first and divided once at the end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np

from faceseg.evaluation.native import native_labels
from faceseg.evaluation.originals import Originals
from faceseg.evaluation.predict import forward
from faceseg.files import write_csv, write_json
from faceseg.images.geometry import IGNORED, Fit, content_box
from faceseg.objectives.metrics import Scores
from faceseg.progress import track
from faceseg.store.shards import Cache

SPLIT = "test"


@dataclass(frozen=True)
class Evaluation:
    """What the test split showed.

    Attributes:
        classes: names by id.
        ids, clips: of each picture, by row.
        native: (n, K, K) int64, pixels of each picture at native size, actual by predicted.
        cached: (n, K, K) int64, the same at the training size.
    """

    classes: tuple[str, ...]
    ids: Sequence[str]
    clips: Sequence[str]
    native: np.ndarray
    cached: np.ndarray

    @property
    def native_scores(self) -> Scores:
        return Scores.from_confusion(self.native.sum(axis=0), self.classes)

    @property
    def cached_scores(self) -> Scores:
        return Scores.from_confusion(self.cached.sum(axis=0), self.classes)

    def headlines(self) -> dict[str, float]:
        """The means and each class's IoU that are numbers, by names that a tracker shows, such as ``test.miou``."""
        native = self.native_scores
        named = {"miou": native.miou, "mf1": native.mf1, "pixel_accuracy": native.pixel_accuracy}
        named |= {f"iou.{name}": float(native.iou[n]) for n, name in enumerate(self.classes)}
        named |= {"cached.miou": self.cached_scores.miou}
        return {f"test.{name}": value for name, value in named.items() if np.isfinite(value)}

    def picture_miou(self) -> np.ndarray:
        """mIoU of each picture at native size over the classes in its truth or prediction: (n,), NaN: none scored."""
        return np.array([Scores.from_confusion(matrix, self.classes).miou for matrix in self.native])


def evaluate(model: keras.Model, cache: Cache, originals: Originals, batch_size: int) -> Evaluation:
    """Score the model on the test split.

    Raises:
        ValueError: an input is missing, the model gives logits that are no numbers, or no pixel of the split is scored.
    """
    split = cache.split(SPLIT)
    shape = (len(split), len(cache.classes), len(cache.classes))
    native, cached = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for row, logits in track(forward(model, split, batch_size), len(split), "evaluate, pictures"):
        if not np.isfinite(logits).all():
            raise ValueError(
                f"the model gives logits that are no numbers for {split.ids[row]}; its weights are spoilt, so train "
                "again, with a lower train.learning_rate"
            )
        cached_mask = split.masks_at(np.array([row]))[0]
        cached[row] = count(cached_mask, logits.argmax(axis=-1).astype(np.uint8), len(cache.classes))
        width, height = (int(side) for side in split.sizes[row])
        truth = originals.mask(split.ids[row], (width, height))
        native[row] = count(truth, labels_of(logits, (width, height), cache), len(cache.classes))
    if not native.sum():
        raise ValueError(
            f"none of the {len(split)} test pictures has a scored pixel: all of their masks are 255; "
            "look at the merge's classes in the dataset's description"
        )
    return Evaluation(cache.classes, split.ids, split.clips, native, cached)


def labels_of(logits: np.ndarray, size: tuple[int, int], cache: Cache) -> np.ndarray:
    """The prediction on a picture's own grid, (height, width) uint8.

    Args:
        logits: (S, S, K) float32, of the square that the cache made of the picture.
        size: (width, height) of the picture, in pixels.
        cache: says how the picture lies in the square.
    """
    left, top, right, bottom = content_box(*size, cache.size, cast(Fit, cache.fit))
    return native_labels(logits[top:bottom, left:right], *size)


def count(actual: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Pixels by actual (rows) and predicted class, (K, K) int64.

    Args:
        actual: (h, w) uint8, 0..K - 1, or 255: not scored, left out.
        predicted: (h, w) uint8, 0..K - 1.
        classes: K.

    Raises:
        ValueError: the shapes differ, or the truth holds another id.
    """
    if actual.shape != predicted.shape:
        raise ValueError(f"a mask of {actual.shape} for a prediction of {predicted.shape}; expected the same")
    # One histogram of pairs; a row of 256 columns for each actual id keeps the pair a 16-bit number.
    pairs = np.bincount((actual.astype(np.uint16) * 256 + predicted).ravel(), minlength=256 * 256).reshape(256, 256)
    foreign = np.flatnonzero(pairs[classes:IGNORED].any(axis=1))
    if foreign.size:
        raise ValueError(
            f"a mask holds the id {classes + foreign[0]}, expected 0 to {classes - 1} or {IGNORED}; "
            "the merged masks are of another merge, so run `dvc repro`"
        )
    return pairs[:classes, :classes]


def write_scores(evaluation: Evaluation, scores: Path, confusion: Path, clips: Path) -> None:
    """The scores as JSON, the confusion matrix at native size as CSV, and the same for each clip (no zeros)."""
    write_json(scores, {"native": evaluation.native_scores.to_dict(), "cached": evaluation.cached_scores.to_dict()})
    names = evaluation.classes
    total = evaluation.native.sum(axis=0)
    write_csv(
        confusion,
        ("actual", "predicted", "pixels"),
        ((names[a], names[p], int(total[a, p])) for a in range(len(names)) for p in range(len(names))),
    )
    write_csv(
        clips,
        ("clip", "actual", "predicted", "pixels"),
        (
            (clip, names[a], names[p], int(matrix[a, p]))
            for clip, matrix in by_clip(evaluation).items()
            for a, p in np.argwhere(matrix)
        ),
    )


def write_summary(path: Path, evaluation: Evaluation, training: Mapping[str, Any]) -> None:
    """The few numbers by which experiments are told apart, as ``dvc exp show`` lists them: one column each.

    Args:
        training: metrics/train.json; without a validation split it holds no ``val_iou``.
    """
    scores = evaluation.native_scores
    write_json(
        path,
        {
            "test_miou": scores.miou,
            "test_mf1": scores.mf1,
            "test_pixel_accuracy": scores.pixel_accuracy,
            "val_miou": training.get("val_iou"),
            "kept_epoch": training["kept_epoch"],
        },
    )


def by_clip(evaluation: Evaluation) -> dict[str, np.ndarray]:
    """The confusion matrix (K, K) of each clip at native size, clips sorted."""
    clips: dict[str, np.ndarray] = {}
    for clip, matrix in zip(evaluation.clips, evaluation.native, strict=True):
        clips[clip] = clips.get(clip, 0) + matrix
    return dict(sorted(clips.items()))
