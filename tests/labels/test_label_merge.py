"""merge: the table reaches every class, commutes with nearest shrinking, and the palette shows its colours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from faceseg.labels.classes import IGNORED, palette
from faceseg.labels.merge import lookup_table, merge_ids, merge_pixels
from faceseg.sources import catalog

FACE8 = catalog.load("multiclass-face").merge("face8")
TABLE = lookup_table(FACE8)

# As the dataset's masks are merged: ears (13, 14) and glasses (16) are classes of their own.
EXPECTED = {
    "background": {0, 10, 15, 17},
    "skin": {1, 11, 12},
    "eyebrows": {2, 3},
    "eyes": {4, 5},
    "nose": {6},
    "mouth": {7, 8, 9},
    "ears": {13, 14},
    "glasses": {16},
}


@pytest.mark.parametrize("name", ["multiclass-face", "synthetic-faces"])
def test_eighteen_classes_become_eight(name: str) -> None:
    merge = catalog.load(name).merge("face8")
    assert merge.classes == tuple(EXPECTED)
    table = lookup_table(merge)
    for target, members in enumerate(EXPECTED.values()):
        assert {id_ for id_ in range(256) if table[id_] == target} == members
    assert (table[18:] == IGNORED).all()


def test_every_pixel_is_looked_up() -> None:
    ids = np.arange(18, dtype=np.uint8).reshape(3, 6)
    assert merge_ids(ids, TABLE).tolist() == [[0, 1, 2, 2, 3, 3], [4, 5, 5, 5, 0, 1], [1, 6, 6, 0, 7, 0]]


masks = npst.arrays(np.uint8, npst.array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.integers(0, 17))


@given(masks, st.integers(1, 40), st.integers(1, 40))
def test_merging_commutes_with_nearest_shrinking(ids: np.ndarray, width: int, height: int) -> None:
    def shrunk(mask: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))

    np.testing.assert_array_equal(merge_ids(shrunk(ids), TABLE), shrunk(merge_ids(ids, TABLE)))


@given(masks)
def test_counts_are_merged_like_pixels(ids: np.ndarray) -> None:
    merged = merge_pixels(np.bincount(ids.ravel(), minlength=256), TABLE)
    np.testing.assert_array_equal(merged, np.bincount(merge_ids(ids, TABLE).ravel(), minlength=256))


def test_the_palette_is_by_id() -> None:
    colours = palette([(1, 2, 3), (4, 5, 6)])
    assert len(colours) == 768
    assert colours[:6] == bytes([1, 2, 3, 4, 5, 6])
    assert colours[6:765] == bytes(759)
    assert colours[765:] == b"\xff\xff\xff"
