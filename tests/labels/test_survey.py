"""survey: the classes of masks that nobody described."""

import numpy as np
import pytest
from PIL import Image

from faceseg.labels.survey import survey


def grey(*levels: int) -> Image.Image:
    return Image.fromarray(np.array([levels], np.uint8))


def coloured(*colours: tuple[int, int, int]) -> Image.Image:
    return Image.fromarray(np.array([colours], np.uint8))


def test_ids() -> None:
    table = survey([("a", grey(0, 3)), ("b", grey(7, 255))])
    assert table.masks == "index"
    assert table.classes == {"class_0": 0, "class_3": 3, "class_7": 7}


def test_ids_in_a_palette_and_as_grey_in_three_channels() -> None:
    palette = grey(0, 2)
    palette.putpalette([9] * 768)
    assert survey([("a", palette), ("b", coloured((1, 1, 1), (2, 2, 2)))]).classes == {
        "class_0": 0,
        "class_1": 1,
        "class_2": 2,
    }


def test_colours() -> None:
    table = survey([("a", coloured((9, 0, 0), (0, 0, 1))), ("b", coloured((0, 0, 1), (0, 5, 0)))])
    assert table.masks == "rgb"
    assert table.classes == {"class_0": (0, 0, 1), "class_1": (0, 5, 0), "class_2": (9, 0, 0)}


def test_black_and_white() -> None:
    table = survey([("a", grey(0, 255))])
    assert table.masks == "rgb"
    assert table.classes == {"background": (0, 0, 0), "foreground": (255, 255, 255)}


def test_both_kinds() -> None:
    with pytest.raises(ValueError, match="a holds class ids and b holds colours; expected masks of one kind"):
        survey([("a", grey(0, 1)), ("b", coloured((9, 0, 0)))])


def test_photographs() -> None:
    many = coloured(*((n, 0, 1) for n in range(65)))
    with pytest.raises(ValueError, match=r"a and the masks before it hold more than 64 colours; .*dataset\.folder"):
        survey([("a", many)])


def test_no_mask() -> None:
    with pytest.raises(ValueError, match="there is no mask to find classes in"):
        survey([])
