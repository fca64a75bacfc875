"""Comparisons: hand arithmetic, scikit-learn and SciPy as oracles, and simulations of coverage and of false alarms."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceseg.evaluation import compare as module
from faceseg.evaluation.compare import Comparison, ComparisonError, Measured, compare, intervals, smallest_p
from faceseg.objectives.metrics import Scores
from tests.evaluation.clips import NAMES, SHARES, draw, measured

MIXED = (-0.3, -0.3, -0.6, -0.8, 1.5)  # every class is better but the smallest, and so is the mean


def both(counts: np.ndarray) -> Comparison:
    return compare(measured(counts[:, 0]), measured(counts[:, 1]))


def row(comparison: Comparison, name: str) -> module.Row:
    return next(row for row in (*comparison.totals, *comparison.classes) if row.name == name)


def test_scores_are_those_of_the_evaluation() -> None:
    counts = draw(np.random.default_rng(1), 9)
    comparison = both(counts)
    for side, attribute in enumerate(("base", "head")):
        expected = Scores.from_confusion(counts[:, side].sum(axis=0), NAMES)
        values = [getattr(row, attribute) for row in (*comparison.totals, *comparison.classes)]
        np.testing.assert_allclose(
            values, [expected.miou, expected.mf1, expected.pixel_accuracy, *expected.iou], rtol=1e-12
        )


def test_an_absent_class_is_left_out_and_has_no_verdict() -> None:
    counts = draw(np.random.default_rng(1), 9)
    counts[..., 0] += counts[..., -1]
    counts[..., -1, :] = counts[..., -1] = 0
    eyes = row(both(counts), "eyes")
    assert np.isnan([eyes.base, eyes.head, eyes.difference, eyes.low, eyes.high]).all()
    assert eyes.verdict is None
    assert row(both(counts), "mIoU").base == pytest.approx(np.mean([r.base for r in both(counts).classes[:-1]]))


def test_the_swap_test_tries_every_exchange_of_few_clips() -> None:
    """Five clips, all 32 exchanges by hand."""
    counts = draw(np.random.default_rng(3), 5, (0.5,) * 5)

    def skin(sides: np.ndarray) -> float:
        base, head = (Scores.from_confusion(side, NAMES).iou[1] for side in sides.sum(axis=0))
        return abs(head - base)

    exchanged = []
    for swaps in itertools.product((False, True), repeat=5):
        exchanged.append(skin(np.stack([pair[::-1] if swap else pair for pair, swap in zip(counts, swaps)])))  # noqa: B905 - equal by product
    expected = np.mean(np.array(exchanged) >= skin(counts) - 1e-12)
    sums = np.stack(
        [np.stack([module._sums(measured(counts[:, s]), f"clip{n:04}", NAMES) for n in range(5)]) for s in (0, 1)]
    )
    observed = np.diff(module._scores(sums.sum(axis=1)), axis=0)[0]
    assert module._swap_test(sums, observed, np.random.default_rng(0))[4] == pytest.approx(expected)


def test_the_interval_of_a_plain_mean_is_the_t_interval() -> None:
    """Clips of one size make pixel accuracy a mean over clips, for which Student's interval is the oracle."""
    from scipy import stats

    generator = np.random.default_rng(5)
    counts = np.zeros((12, 2, 2, 2), np.int64)
    for side, chance in enumerate((0.7, 0.75)):
        hits = generator.binomial(1000, np.clip(generator.normal(chance, 0.05, 12), 0, 1))
        counts[:, side, 0, 0], counts[:, side, 0, 1] = hits, 1000 - hits
    result = row(compare(measured(counts[:, 0], "ab"), measured(counts[:, 1], "ab")), "pixel accuracy")
    changes = (counts[:, 1, 0, 0] - counts[:, 0, 0, 0]) / 1000
    expected = stats.t.interval(0.95, 11, changes.mean(), stats.sem(changes))
    np.testing.assert_allclose((result.low, result.high), expected, atol=0.04 * (expected[1] - expected[0]))


def test_the_intervals_of_one_model() -> None:
    """The same oracle; an absent class has none, and one clip has none at all."""
    from scipy import stats

    counts = np.zeros((12, 3, 3), np.int64)
    hits = np.arange(12) * 10 + 645  # symmetrical, as Student has it
    counts[:, 0, 0], counts[:, 0, 1] = hits, 1000 - hits
    means, classes = intervals(measured(counts, "abc"))
    expected = stats.t.interval(0.95, 11, hits.mean() / 1000, stats.sem(hits / 1000))
    np.testing.assert_allclose(means["pixel_accuracy"], expected, atol=0.04 * (expected[1] - expected[0]))
    assert means.keys() == {"miou", "mf1", "pixel_accuracy"}
    # Nothing is predicted "a" but "a", so its IoU is its part of the truth that was found.
    assert classes["a"] == pytest.approx(means["pixel_accuracy"])
    assert np.isnan(classes["c"]).all()
    means, classes = intervals(measured(counts[:1], "abc"))
    assert np.isnan([*means.values(), *classes.values()]).all()


def test_the_same_inputs_give_the_same_numbers_and_exchanged_ones_their_negatives() -> None:
    counts = draw(np.random.default_rng(2), 20, (0.3,) * 5)
    one, again, turned = both(counts), both(counts), both(counts[:, ::-1])
    assert one == again
    for a, b in zip((*one.totals, *one.classes), (*turned.totals, *turned.classes), strict=True):
        np.testing.assert_allclose((a.difference, a.low, a.high), (-b.difference, -b.high, -b.low), atol=1e-12)
        assert a.p == b.p
    assert (one.verdict, turned.verdict) == ("worse", "better")


def test_the_order_of_clips_does_not_matter() -> None:
    counts = draw(np.random.default_rng(2), 20, (0.3,) * 5)
    sides = [measured(counts[:, side]) for side in (0, 1)]
    turned = [Measured(side.classes, dict(reversed(side.clips.items()))) for side in sides]
    assert compare(*sides) == compare(*turned)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 16))
def test_a_model_is_within_noise_of_itself(seed: int, clips: int) -> None:
    counts = draw(np.random.default_rng(seed), clips)
    comparison = both(counts[:, [0, 0]])
    assert comparison.verdict == "within noise"
    assert all(row.difference == 0 for row in (*comparison.totals, *comparison.classes) if np.isfinite(row.base))


def test_a_loss_in_one_small_class_is_worse_though_the_mean_rose() -> None:
    counts = draw(np.random.default_rng(4), 60, MIXED)
    comparison = both(counts)
    assert row(comparison, "mIoU").difference > 0
    assert SHARES[-1] == 0.01
    assert row(comparison, "eyes").verdict == "worse"
    assert row(comparison, "skin").verdict == "better"
    assert comparison.verdict == "worse"


def test_other_clips_are_said_and_left_out() -> None:
    counts = draw(np.random.default_rng(2), 20, (0.3,) * 5)
    base, head = measured(counts[:, 0]), measured(counts[:, 1])
    fewer = Measured(
        NAMES, {clip: matrix for clip, matrix in head.clips.items() if clip < "clip0015"} | {"new": counts[0, 1]}
    )
    comparison = compare(base, fewer)
    assert comparison.clips == 15
    assert "5 clips only in base, 1 only in head" in comparison.notes[0]
    same = compare(measured(counts[:15, 0]), measured(counts[:15, 1]))
    assert (comparison.totals, comparison.classes) == (same.totals, same.classes)


def test_clips_with_other_labels_are_said_and_left_out() -> None:
    counts = draw(np.random.default_rng(2), 20)
    changed = counts[:, 1].copy()
    changed[3, 0, 0] += 7
    comparison = compare(measured(counts[:, 0]), measured(changed))
    assert comparison.clips == 19
    assert "1 clips have other labels" in comparison.notes[0]


def test_other_classes_are_compared_over_the_common_ones() -> None:
    counts = draw(np.random.default_rng(2), 12)
    comparison = compare(measured(counts[:, 0]), measured(counts[:, 1], (*NAMES[:-1], "glasses")))
    assert [row.name for row in comparison.classes] == list(NAMES[:-1])
    assert "The classes differ" in comparison.notes[0]


def test_too_few_clips_for_a_verdict_are_said() -> None:
    comparison = both(draw(np.random.default_rng(2), 6, (3.0,) * 5))
    assert comparison.verdict == "within noise"
    assert "6 clips are too few for any verdict but `within noise` on 6 scores; 8 are enough" in comparison.notes[0]
    assert smallest_p(8) * 6 <= 0.05 < smallest_p(7) * 6
    assert both(draw(np.random.default_rng(2), 8, (3.0,) * 5)).verdict == "worse"


def test_nothing_in_common_is_an_error() -> None:
    counts = draw(np.random.default_rng(2), 4)
    other = Measured(NAMES, {f"other{n}": matrix for n, matrix in enumerate(counts[:, 1])})
    with pytest.raises(ComparisonError, match=r"no clip is in both test sets.*evaluate both models on one test set"):
        compare(measured(counts[:, 0]), other)
    with pytest.raises(ComparisonError, match=r"no class is in both: background.*compare two models of one merge"):
        compare(measured(counts[:, 0]), measured(counts[:, 1], "vwxyz"))


def test_holm_by_hand() -> None:
    """0.01 against 0.05 / 4, 0.015 against 0.05 / 3, 0.03 against 0.05 / 2: there it stops, for 0.04 as well."""
    verdicts = module._verdicts(np.array([1, -1, 1, 1, np.nan]), np.array([0.03, 0.01, 0.015, 0.04, np.nan]))
    assert verdicts == ["within noise", "worse", "better", "within noise", None]


def simulate(clips: int, effect: tuple[float, ...], runs: int) -> tuple[np.ndarray, dict[str, float]]:
    """How often the interval of each score held the true difference, and how often each verdict came."""
    population = draw(np.random.default_rng(99), 30_000, effect)
    truth = [Scores.from_confusion(population[:, side].sum(axis=0), NAMES) for side in (0, 1)]
    true = np.array([[s.miou, s.mf1, s.pixel_accuracy, *s.iou] for s in truth])
    held, verdicts = [], []
    for run in range(runs):
        comparison = both(draw(np.random.default_rng([clips, run]), clips, effect))
        rows = (*comparison.totals, *comparison.classes)
        held.append([r.low <= value <= r.high for r, value in zip(rows, true[1] - true[0], strict=True)])
        verdicts.append(comparison.verdict)
    return np.mean(held, axis=0), {name: verdicts.count(name) / runs for name in ("better", "worse", "within noise")}


def test_coverage_and_false_alarms_in_a_small_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    """24 clips as in the default test split. 200 runs: a true 95 % is within 0.904 to 0.986 (3 standard errors)."""
    monkeypatch.setattr(module, "DRAWS", 999)
    coverage, verdicts = simulate(24, (0.0,) * 5, 200)
    assert coverage.mean() == pytest.approx(0.95, abs=0.025)
    assert coverage.min() > 0.90
    assert verdicts["better"] + verdicts["worse"] <= 0.05 + 0.046


@pytest.mark.slow
@pytest.mark.parametrize("clips", [8, 24, 60])
def test_coverage_and_false_alarms(clips: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """400 runs; the coverage of a 95 % interval has a standard error of 0.011."""
    monkeypatch.setattr(module, "DRAWS", 999)
    coverage, verdicts = simulate(clips, (0.0,) * 5, 400)
    assert coverage.min() > 0.9
    assert coverage.max() < 0.985
    assert verdicts["better"] + verdicts["worse"] <= 0.05 + 0.033
    coverage, verdicts = simulate(clips, MIXED, 400)
    assert coverage.min() > 0.9
    if clips == 60:
        assert verdicts["worse"] > 0.8
