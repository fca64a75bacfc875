"""decode: ids and colours to source ids; what the description does not name is an error that names it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from faceseg.labels.decode import ForeignLabelError, pixels_by_id, source_ids
from faceseg.sources import catalog
from faceseg.sources.catalog import Dataset

INDEX = catalog.load("multiclass-face")
RGB = catalog.load("fasseg-frontal")
COLOURS = np.array([source.colour for source in RGB.classes], np.uint8)


def palette_picture(ids: np.ndarray) -> Image.Image:
    picture = Image.fromarray(ids)
    picture.putpalette(bytes(reversed(range(256))) * 3)
    return picture


IDS = np.array([[0, 1, 17], [16, 16, 13]], np.uint8)


@pytest.mark.parametrize(
    "picture",
    [
        Image.fromarray(IDS),
        palette_picture(IDS),
        Image.fromarray(np.repeat(IDS[..., None], 3, axis=2)),
        Image.fromarray(np.stack([IDS, np.full_like(IDS, 255)], axis=2), "LA"),
    ],
    ids=["grey", "palette", "grey in three channels", "grey with alpha"],
)
def test_index_masks(picture: Image.Image) -> None:
    ids, pixels = source_ids(picture, INDEX)
    np.testing.assert_array_equal(ids, IDS)
    assert {n: int(count) for n, count in enumerate(pixels) if count} == {0: 1, 1: 1, 13: 1, 16: 2, 17: 1}


def test_foreign_ids_are_named_and_counted() -> None:
    mask = np.zeros((10, 10), np.uint8)
    mask[0, :3] = 18
    mask[1, 0] = 255
    with pytest.raises(
        ForeignLabelError,
        match=r"holds the ids 18 \(3 pixels\), 255 \(1 pixels\), which are no class of multiclass-face; "
        "expected ids of 0 to 17",
    ):
        source_ids(Image.fromarray(mask), INDEX)


def test_many_foreign_ids_are_summed_up() -> None:
    with pytest.raises(ForeignLabelError, match=r"104 \(1 pixels\) and 95 more, which"):
        source_ids(Image.fromarray(np.arange(100, 200, dtype=np.uint8)[None]), INDEX)


def test_ids_that_the_description_ignores_are_known() -> None:
    masks = INDEX.masks.model_copy(update={"ignored": (255,)})
    ids, _ = source_ids(Image.fromarray(np.array([[0, 255]], np.uint8)), INDEX.model_copy(update={"masks": masks}))
    assert ids.tolist() == [[0, 255]]


def test_a_colour_picture_is_no_index_mask() -> None:
    with pytest.raises(ForeignLabelError, match=r"mode RGB, expected one channel of class ids.*masks.kind is rgb"):
        source_ids(Image.fromarray(COLOURS[None]), INDEX)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_exact_colours(mode: str) -> None:
    ids = np.arange(12).reshape(3, 4) % 6
    decoded, pixels = source_ids(Image.fromarray(COLOURS[ids]).convert(mode), RGB)
    np.testing.assert_array_equal(decoded, ids)
    assert pixels[:6].tolist() == [2] * 6


def within_the_tolerance(dataset: Dataset, tolerance: int, max_strays: float) -> Dataset:
    masks = dataset.masks.model_copy(update={"tolerance": tolerance, "max_strays": max_strays})
    return dataset.model_copy(update={"masks": masks})


@given(npst.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3))))
def test_every_pixel_goes_to_the_nearest_colour(mask: np.ndarray) -> None:
    ids, _ = source_ids(Image.fromarray(mask), within_the_tolerance(RGB, 441, 1.0))
    distances = ((mask[:, :, None].astype(int) - COLOURS.astype(int)) ** 2).sum(axis=3)
    np.testing.assert_array_equal(ids, distances.argmin(axis=2))


def test_too_many_pixels_far_from_every_colour() -> None:
    mask = COLOURS[np.zeros((10, 10), int)].copy()
    mask[0, :2] = (255, 120, 120)  # about 170 from the nearest, (255, 0, 0): sqrt(120 ** 2 + 120 ** 2)
    mask[0, 2] = (255, 3, 0)
    two_strays = within_the_tolerance(RGB, 64, 0.02)
    assert source_ids(Image.fromarray(mask), two_strays)[0][0, 0] == 0
    mask[1, 0] = (128, 128, 255)
    with pytest.raises(
        ForeignLabelError,
        match=r"3 of 100 pixels of the mask are more than 64 levels from the colour of every class of fasseg-frontal: "
        r"\(255, 120, 120\) \(2 pixels\), \(128, 128, 255\) \(1 pixels\); expected at most 0.02",
    ):
        source_ids(Image.fromarray(mask), two_strays)


def test_the_tolerance_itself_is_within() -> None:
    mask = np.array([[[255, 64, 0]]], np.uint8)
    source_ids(Image.fromarray(mask), within_the_tolerance(RGB, 64, 0.0))
    with pytest.raises(ForeignLabelError, match="more than 63 levels"):
        source_ids(Image.fromarray(mask), within_the_tolerance(RGB, 63, 0.0))


@given(npst.arrays(np.uint8, npst.array_shapes(min_dims=2, max_dims=2, max_side=30)))
def test_counting_is_bincount(ids: np.ndarray) -> None:
    counted = pixels_by_id(ids)
    assert counted.dtype == np.int64
    np.testing.assert_array_equal(counted, np.bincount(ids.ravel(), minlength=256))
