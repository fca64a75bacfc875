"""Dark where a class is taken for another, white where there is nothing to show."""

import numpy as np

from faceseg.evaluation.confusion_picture import CELL, FULL, GAP, PAPER, draw_confusion


def test_each_cell_shows_its_share_of_the_row() -> None:
    # Of 8 pixels of a, 6 are right; b is all taken for a; c is not in the truth.
    picture = np.asarray(draw_confusion(np.array([[6, 2, 0], [5, 0, 0], [0, 0, 0]]), ("a", "b", "c")))
    height, width = picture.shape[:2]
    left, top = width - GAP - 3 * CELL, height - GAP - 3 * CELL

    def shade(row: int, column: int) -> tuple[int, ...]:
        """Beside the number in the cell."""
        return tuple(int(level) for level in picture[top + row * CELL + 6, left + column * CELL + 6])

    assert shade(1, 0) == FULL
    assert shade(0, 0) == tuple(round(255 + 0.75 * (full - 255)) for full in FULL)
    assert shade(0, 1) == tuple(round(255 + 0.25 * (full - 255)) for full in FULL)
    for cell in ((0, 2), (1, 1), (2, 0), (2, 1), (2, 2)):
        assert shade(*cell) == PAPER


def test_long_names_have_room() -> None:
    short, long = (draw_confusion(np.eye(2, dtype=int), ("a", name)).size for name in ("b", "a very long class name"))
    assert long[0] > short[0] + 80
    assert long[1] > short[1] + 80
