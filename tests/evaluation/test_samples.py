"""Which pictures are drawn, and what the strips hold."""

from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from faceseg.evaluation.evaluate import evaluate
from faceseg.evaluation.samples import GAP, HEIGHT, LINE, WRONG, Sample, choose, compose, draw_samples, errors, paint
from tests.evaluation.staged import CLASSES, COLOURS, Staged


def drawn(staged: Staged, model: keras.Model, count: int, folder: Path) -> list[Sample]:
    with staged.originals() as originals:
        evaluation = evaluate(model, staged.cache(), originals, 4)
        return draw_samples(evaluation, model, staged.cache(), originals, count, folder)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        # By mIoU the rows come as 3 (.1), 0 (.2), 4 (.2), 1 (.9); row 2 has none.
        (4, [(3, 1), (0, 2), (4, 3), (1, 4)]),
        (2, [(3, 1), (1, 4)]),
        (1, [(3, 1)]),
        (0, []),
        (99, [(3, 1), (0, 2), (4, 3), (1, 4)]),
    ],
)
def test_the_choice_is_spread_from_worst_to_best(count: int, expected: list[tuple[int, int]]) -> None:
    assert choose(np.array([0.2, 0.9, np.nan, 0.1, 0.2]), count) == expected


def test_the_strips_are_named_by_rank_and_show_the_pictures(
    stretched: Staged, network: keras.Model, tmp_path: Path
) -> None:
    samples = drawn(stretched, network, 3, tmp_path / "out")
    assert [sample.path.name for sample in samples] == [f"{n:02d}-{s.id}.png" for n, s in enumerate(samples, 1)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(s.path.name for s in samples)
    assert [sample.place for sample in samples] == [1, 3, 5]
    assert sorted(sample.miou for sample in samples) == [sample.miou for sample in samples]
    for sample in samples:
        height, width = stretched.masks[sample.id].shape
        shown = round(width * HEIGHT / height)
        assert {panel.shape for panel in sample.panels} == {(HEIGHT, shown, 3)}
        strip = np.asarray(Image.open(sample.path))
        top = GAP + 2 * LINE
        for number, panel in enumerate(sample.panels):
            left = GAP + number * (shown + GAP)
            np.testing.assert_array_equal(strip[top : top + HEIGHT, left : left + shown], panel)
        # The truth over the picture: half of each, at the picture's own size.
        blend = (stretched.images[sample.id].astype(float) + paint(stretched.masks[sample.id], COLOURS)) / 2
        np.testing.assert_array_equal(sample.overlays[1], blend.astype(np.uint8))
        assert sample.overlays[0].shape == (height, width, 3)
        # The truth panel is the mask, enlarged: its centre pixel has the colour of its class.
        label = stretched.masks[sample.id][height // 2, width // 2]
        assert tuple(sample.panels[1][HEIGHT // 2, shown // 2]) == COLOURS[label]


def test_the_same_twice_is_the_same_bytes(stretched: Staged, network: keras.Model, tmp_path: Path) -> None:
    first = drawn(stretched, network, 1, tmp_path / "a")
    second = drawn(stretched, network, 1, tmp_path / "b")
    assert first[0].path.read_bytes() == second[0].path.read_bytes()


def test_paint_and_errors_by_hand() -> None:
    truth = np.array([[0, 1, 255]], np.uint8)
    predicted = np.array([[0, 2, 1]], np.uint8)
    assert paint(truth, COLOURS).tolist() == [[[200, 0, 0], [0, 200, 0], [128, 128, 128]]]
    image = np.full((1, 3, 3), 100, np.uint8)
    # Right and not scored: 0.45 of the picture; wrong: red.
    assert errors(image, truth, predicted).tolist() == [[[45] * 3, list(WRONG), [45] * 3]]


def test_a_narrow_strip_breaks_its_legend_into_lines() -> None:
    narrow = compose([np.zeros((50, 30, 3), np.uint8)] * 4, "x", CLASSES, COLOURS)
    wide = compose([np.zeros((50, 300, 3), np.uint8)] * 4, "x", CLASSES, COLOURS)
    assert narrow.width == 4 * (30 + GAP) + GAP
    assert (narrow.height - wide.height) % LINE == 0
    assert narrow.height > wide.height
