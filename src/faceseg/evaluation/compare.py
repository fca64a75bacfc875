"""Two models on the same test clips: the difference of each score, how sure it is, and a verdict.

The clip is what is drawn at random, not the pixel: frames of one clip are alike. So intervals resample clips, and each
clip keeps its two confusion matrices together (paired), which takes the clips' own difficulty out of the difference.
docs/compare.md has the method in words, docs/decisions/compare.md why this one.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Verdict = Literal["better", "worse", "within noise"]

LEVEL = 0.95
DRAWS = 9_999  # resamples of the clips, and random swaps
EXACT_CLIPS = 13  # up to here all 2**n swaps are tried
_CHUNK = 1_000  # draws at once: bounded memory for any number of clips
_TIE = 1e-12  # differences closer than this are equal; the sums behind them are whole numbers
_HEADLINES = ("mIoU", "mF1", "pixel accuracy")
_TESTED = "mIoU"

Floats = NDArray[np.float64]
Clips = Mapping[str, NDArray[np.int64]]
Interval = tuple[float, float]


class ComparisonError(ValueError):
    """The two cannot be compared."""


@dataclass(frozen=True)
class Measured:
    """One model's test split. ``clips``: each clip's confusion matrix (K, K), actual by predicted, of ``classes``."""

    classes: tuple[str, ...]
    clips: Clips


@dataclass(frozen=True)
class Row:
    """One score of both models. Fractions 0 to 1, NaN where a class is absent.

    ``low`` and ``high`` bound the difference head - base at ``LEVEL``, NaN where there is no interval. ``p`` is the
    two-sided chance of such a difference between equals, and ``verdict`` what holds after correction for all that is
    tested; both None for a score that is shown but not tested.
    """

    name: str
    base: float
    head: float
    low: float
    high: float
    p: float | None
    verdict: Verdict | None

    @property
    def difference(self) -> float:
        return self.head - self.base


@dataclass(frozen=True)
class Comparison:
    """``totals`` and ``classes`` row by row, the verdict on the whole, how many clips, ``notes`` on the test set."""

    totals: tuple[Row, ...]
    classes: tuple[Row, ...]
    verdict: Verdict
    clips: int
    notes: tuple[str, ...]

    def rows(self, verdict: Verdict) -> list[Row]:
        """The tested rows of this verdict."""
        return [row for row in (*self.totals, *self.classes) if row.verdict == verdict]


def compare(base: Measured, head: Measured) -> Comparison:
    """Compare two models over the clips that both were tested on.

    Worse: the mean IoU or the IoU of any class is lower by more than chance explains. Better: none is, and at least
    one is higher. The chance of calling two equal models better or worse is at most 5 % over all of these together
    (Holm 1979). The same inputs give the same numbers, and exchanged inputs the same with the sign turned.

    Raises:
        ComparisonError: no clip, or no class, is in both with the same labels.
    """
    names = tuple(name for name in head.classes if name in base.classes)
    if not names:
        raise ComparisonError(
            f"no class is in both: {', '.join(base.classes)} and {', '.join(head.classes)}; "
            "compare two models of one merge"
        )
    clips, notes = _common_clips(base, head, names)
    sums = np.stack([np.stack([_sums(side, clip, names) for clip in clips]) for side in (base, head)])
    if {*base.classes} != {*head.classes}:
        notes.append(f"The classes differ; the {len(names)} common ones are compared: {', '.join(names)}.")
    observed = _scores(sums.sum(axis=1))
    differences = observed[1] - observed[0]
    low, high = _interval(sums, _generator(clips, "bootstrap"))
    tested = [_HEADLINES.index(_TESTED), *range(len(_HEADLINES), len(_HEADLINES) + len(names))]
    p = _swap_test(sums, differences, _generator(clips, "swap"))
    # A verdict needs both: an interval without zero, and a chance that holds after correction.
    apart = (low > 0) | (high < 0)
    verdicts = _verdicts(differences[tested], np.where(apart | np.isnan(p), p, 1.0)[tested])
    judged = dict(zip(tested, verdicts, strict=True))
    rows = tuple(
        Row(
            name,
            float(observed[0, n]),
            float(observed[1, n]),
            float(low[n]),
            float(high[n]),
            float(p[n]) if n in judged and math.isfinite(p[n]) else None,
            judged.get(n),
        )
        for n, name in enumerate((*_HEADLINES, *names))
    )
    totals, classes = rows[: len(_HEADLINES)], rows[len(_HEADLINES) :]
    return Comparison(totals, classes, _whole(verdicts), len(clips), tuple(notes))


def intervals(side: Measured) -> tuple[dict[str, Interval], dict[str, Interval]]:
    """Where one model's scores would lie on other test clips of the same kind, at ``LEVEL``.

    Returns:
        (low, high) of the means, by ``miou``, ``mf1`` and ``pixel_accuracy``, and of each class's IoU, by its name; NaN
        where there is none: of a single clip, and of an absent class.
    """
    clips = sorted(side.clips)
    sums = np.stack([_sums(side, clip, side.classes) for clip in clips])[None]
    low, high = _bounds((scores[:, 0] for scores in _resampled(sums, _generator(clips, "bootstrap"))), len(clips))
    pairs = [(float(one), float(other)) for one, other in zip(low, high, strict=True)]
    means = dict(zip(("miou", "mf1", "pixel_accuracy"), pairs, strict=False))
    return means, dict(zip(side.classes, pairs[len(means) :], strict=True))


def smallest_p(clips: int) -> float:
    """The smallest p that so many clips can give: with few clips no difference is beyond chance."""
    return 2 / 2**clips if clips <= EXACT_CLIPS else 1 / (DRAWS + 1)


def _common_clips(base: Measured, head: Measured, names: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """The clips that both have with the same truth, sorted, and what is to be said of the others."""
    shared = sorted({*base.clips} & {*head.clips})
    clips = [clip for clip in shared if (_sums(base, clip, names)[1] == _sums(head, clip, names)[1]).all()]
    notes = []
    only = [len({*one.clips} - {*other.clips}) for one, other in ((base, head), (head, base))]
    if any(only):
        notes.append(
            f"The test sets differ: {only[0]} clips only in base, {only[1]} only in head. "
            f"The {len(clips)} common ones are compared."
        )
    if len(clips) < len(shared):
        notes.append(f"{len(shared) - len(clips)} clips have other labels in base than in head; they are left out.")
    if not clips:
        raise ComparisonError(
            f"no clip is in both test sets with the same labels ({len(base.clips)} clips in base, {len(head.clips)} in "
            f"head, {len(shared)} of the same name): evaluate both models on one test set"
        )
    tested = len(names) + 1
    if smallest_p(len(clips)) * tested > 1 - LEVEL:
        notes.append(
            f"{len(clips)} clips are too few for any verdict but `within noise` on {tested} scores; "
            f"{_clips_needed(tested)} are enough."
        )
    return clips, notes


def _clips_needed(tested: int) -> int:
    return next(n for n in range(1, EXACT_CLIPS + 2) if smallest_p(n) * tested <= 1 - LEVEL or n > EXACT_CLIPS)


def _sums(side: Measured, clip: str, names: tuple[str, ...]) -> NDArray[np.int64]:
    """Hits, true and predicted pixels of each class, and of all classes together in a last column: (3, k + 1)."""
    matrix = side.clips[clip]
    columns = [side.classes.index(name) for name in names]
    per_class = np.stack([np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)])
    return np.concatenate([per_class[:, columns], per_class.sum(axis=1, keepdims=True)], axis=1).astype(np.int64)


def _scores(sums: NDArray[np.int64] | Floats) -> Floats:
    """(..., 3, k + 1) summed pixels to (..., 3 + k): mean IoU, mean F1, pixel accuracy, the IoU of each class.

    As ``Scores`` divides them; an absent class is NaN and left out of the means.
    """
    hits, truth, predicted = (sums[..., n, :-1] for n in range(3))
    present = truth + predicted > 0
    iou = np.where(present, hits / np.maximum(truth + predicted - hits, 1), np.nan)
    f1 = np.where(present, 2 * hits / np.maximum(truth + predicted, 1), np.nan)
    count = np.maximum(present.sum(axis=-1), 1)
    means = [np.where(present, values, 0).sum(axis=-1) / count for values in (iou, f1)]
    accuracy = sums[..., 0, -1] / np.maximum(sums[..., 1, -1], 1)
    return np.concatenate([np.stack([*means, accuracy], axis=-1), iou], axis=-1)


def _generator(clips: list[str], purpose: str) -> np.random.Generator:
    """Draws that are a function of the compared clips and nothing else."""
    digest = hashlib.sha256("\n".join([purpose, *clips]).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "big")))


def _interval(sums: NDArray[np.int64], generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Bounds of head - base for each score, from resampled clips; ``sums`` is (2, n, 3, k + 1)."""
    return _bounds((scores[:, 1] - scores[:, 0] for scores in _resampled(sums, generator)), sums.shape[1])


def _resampled(sums: NDArray[np.int64], generator: np.random.Generator) -> Iterator[Floats]:
    """Scores (draws, sides, 3 + k) of resampled clips, in chunks; ``sums`` is (sides, n, 3, k + 1)."""
    for size in _chunks(DRAWS):
        yield _scores(_weighted(_weights(generator, size, sums.shape[1]), sums))


def _bounds(drawn: Iterable[Floats], n: int) -> tuple[Floats, Floats]:
    """The interval at ``LEVEL`` of each column of what was drawn by resampling n clips.

    Percentiles of a plain bootstrap are too narrow for few clips, by the factor that separates a t interval from a
    normal one with the variance divided by n; the percentiles are moved outwards by that factor (the expanded
    percentile interval of Hesterberg, "What Teachers Should Know About the Bootstrap", 2015, section 5.3).
    """
    values = np.concatenate(list(drawn))
    if n < 2:
        unknown = np.full(values.shape[1], np.nan)
        return unknown, unknown
    tail = NormalDist().cdf(-math.sqrt(n / (n - 1)) * float(stdtrit(n - 1, 1 - (1 - LEVEL) / 2)))
    # A class that a resample has no pixel of has no score there.
    known = [column[np.isfinite(column)] for column in values.T]
    low, high = (
        np.array([np.quantile(column, q) if column.size else np.nan for column in known]) for q in (tail, 1 - tail)
    )
    return low, high


def _weights(generator: np.random.Generator, size: int, n: int) -> Floats:
    """How often each of n clips is in each of ``size`` resamples: (size, n)."""
    picks = generator.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
    return np.bincount(picks.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def _weighted(weights: Floats, sums: NDArray[np.int64]) -> Floats:
    """Pixels of resamples, (size, 2, 3, k + 1). Whole numbers below 2**53, so a float sum of any order is exact."""
    return np.stack([np.tensordot(weights, side.astype(np.float64), axes=1) for side in sums], axis=1)


def _swap_test(sums: NDArray[np.int64], observed: Floats, generator: np.random.Generator) -> Floats:
    """Two-sided p of each difference (3 + k,), NaN where there is none.

    Were the two models equals, then in each clip it would be chance which of them is called base. So the clips' two
    matrices are exchanged at random: p is the part of the exchanges that give a difference at least as large. That is
    exact for any number of clips and any score (Fisher 1935; for pooled scores Yeh 2000, "More accurate tests for the
    statistical significance of result differences").
    """
    n = sums.shape[1]
    change = (sums[1] - sums[0])[None]
    base, head = (side.sum(axis=0) for side in sums)
    extreme = np.zeros(len(observed))
    draws = 2**n if n <= EXACT_CLIPS else DRAWS
    start = 0
    for size in _chunks(draws):
        if n <= EXACT_CLIPS:
            swaps = (np.arange(start, start + size)[:, None] >> np.arange(n) & 1).astype(np.float64)
        else:
            swaps = generator.integers(0, 2, (size, n)).astype(np.float64)
        moved = _weighted(swaps, change)[:, 0]
        differences = _scores(head - moved) - _scores(base + moved)
        # A difference that an exchange leaves undefined counts against a verdict.
        extreme += (~(np.abs(differences) < np.abs(observed) - _TIE)).sum(axis=0)
        start += size
    p = extreme / draws if n <= EXACT_CLIPS else (extreme + 1) / (draws + 1)
    return np.where(np.isfinite(observed), p, np.nan)


def _chunks(draws: int) -> list[int]:
    return [min(_CHUNK, draws - start) for start in range(0, draws, _CHUNK)]


def _verdicts(differences: Floats, p: Floats) -> list[Verdict | None]:
    """Each difference's verdict at 5 % over all of them together: Holm's step-down; None where there is none."""
    verdicts: list[Verdict | None] = ["within noise" if math.isfinite(value) else None for value in p]
    order = [int(n) for n in np.argsort(p, kind="stable") if math.isfinite(p[n])]
    for rank, n in enumerate(order):
        # The tolerance is for 0.05 itself, which has no exact binary form.
        if p[n] * (len(order) - rank) > 1 - LEVEL + _TIE:
            break
        verdicts[n] = "better" if differences[n] > 0 else "worse"
    return verdicts


def _whole(verdicts: list[Verdict | None]) -> Verdict:
    return "worse" if "worse" in verdicts else "better" if "better" in verdicts else "within noise"
