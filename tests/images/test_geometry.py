"""Geometry against hand-checked pixels, Pillow's NEAREST, a brute-force vote, and the way back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from faceseg.images.geometry import BORDER_GREY, content_box, resize_image, resize_mask
from faceseg.labels.classes import IGNORED

masks = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.sampled_from([0, 1, 2, 255])
)


def test_the_box_of_a_stretched_picture_is_the_whole_square():
    assert content_box(1000, 10, 256, "stretch") == (0, 0, 256, 256)


@pytest.mark.parametrize(
    ("width", "height", "box"),
    [
        (100, 100, (0, 0, 8, 8)),
        (200, 100, (0, 2, 8, 6)),  # landscape: 8 x 4, two rows of border on each side
        (100, 200, (2, 0, 6, 8)),  # portrait
        (160, 100, (0, 1, 8, 6)),  # 8 x 5: the odd row of border goes below
        (1, 2000, (3, 0, 4, 8)),  # never thinner than one pixel
        (2000, 1, (0, 3, 8, 4)),
    ],
)
def test_the_box_of_a_padded_picture_is_centred_and_keeps_the_aspect(width, height, box):
    assert content_box(width, height, 8, "pad") == box


def test_an_empty_picture_and_an_unknown_fit_are_refused():
    with pytest.raises(ValueError, match="got a picture of 0 x 5 for a square of 8; every side must be at least 1"):
        content_box(0, 5, 8, "pad")
    with pytest.raises(ValueError, match="got fit 'crop', expected 'stretch' or 'pad'"):
        content_box(5, 5, 8, "crop")


def test_nearest_takes_the_pixel_under_the_centre():
    # 6 to 4: centres at 0.75, 2.25, 3.75, 5.25 of the source, so columns 0, 2, 3, 5.
    row = np.arange(6, dtype=np.uint8)
    assert resize_mask(np.tile(row, (6, 1)), 4, "stretch", "nearest")[0].tolist() == [0, 2, 3, 5]
    # 4 to 2: centres fall between pixels, at 1 and 3, and belong to the later one.
    assert resize_mask(np.tile(row[:4], (4, 1)), 2, "stretch", "nearest")[0].tolist() == [1, 3]


@given(mask=masks, size=st.sampled_from([1, 2, 4, 8, 16, 32]))
def test_nearest_is_pillows_nearest(mask, size):
    oracle = np.asarray(Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST))
    assert np.array_equal(resize_mask(mask, size, "stretch", "nearest"), oracle)


def test_majority_by_hand():
    mask = np.array(
        [
            [1, 1, 2, 0],
            [1, 0, 2, 0],  # left: three of 1; right: two of 2 and two of 0, so the lowest, 0
            [3, 255, 2, 2],
            [255, 255, 2, 1],  # left: three not scored; right: three of 2
        ],
        np.uint8,
    )
    assert resize_mask(mask, 2, "stretch", "majority").tolist() == [[1, 0], [255, 2]]


def test_majority_weighs_parts_of_pixels():
    # 3 to 2: each new pixel covers one and a half of the old ones; 1 is worth 1 against the half of 0, and so is 2.
    row = np.array([1, 0, 2], np.uint8)
    assert resize_mask(np.tile(row, (3, 1)), 2, "stretch", "majority").tolist() == [[1, 2], [1, 2]]


@given(mask=masks, size=st.integers(1, 12))
def test_majority_is_the_brute_force_vote(mask, size):
    height, width = mask.shape
    # Every source pixel as size x size small ones; a new pixel is then height x width of them exactly.
    small = np.kron(mask, np.ones((size, size), np.uint8)).reshape(size, height, size, width)
    oracle = [[np.bincount(small[y, :, x].ravel()).argmax() for x in range(size)] for y in range(size)]
    assert resize_mask(mask, size, "stretch", "majority").tolist() == np.array(oracle).tolist()


@given(
    mask=masks,
    size=st.integers(1, 33),
    fit=st.sampled_from(["stretch", "pad"]),
    mask_filter=st.sampled_from(["nearest", "majority"]),
)
def test_no_class_is_invented_and_the_border_alone_is_255(mask, size, fit, mask_filter):
    height, width = mask.shape
    left, top, right, bottom = content_box(width, height, size, fit)
    square = resize_mask(mask, size, fit, mask_filter)
    assert square.shape == (size, size)
    assert square.dtype == np.uint8
    inner = square[top:bottom, left:right]
    assert set(np.unique(inner)) <= set(np.unique(mask))
    border = np.ones((size, size), bool)
    border[top:bottom, left:right] = False
    assert (square[border] == IGNORED).all()


@given(mask=masks)
def test_shrinking_and_looking_up_commute(mask):
    table = np.arange(256, dtype=np.uint8)
    table[:3] = [1, 0, 1]
    shrunk_first = table[resize_mask(mask, 7, "pad", "nearest")]
    assert np.array_equal(shrunk_first, resize_mask(table[mask], 7, "pad", "nearest"))


@given(
    mask=hnp.arrays(np.uint8, st.tuples(st.integers(1, 16), st.integers(1, 16)), elements=st.integers(0, 3)),
    fit=st.sampled_from(["stretch", "pad"]),
    mask_filter=st.sampled_from(["nearest", "majority"]),
)
def test_the_box_leads_back_to_the_native_grid(mask, fit, mask_filter):
    height, width = mask.shape
    size = 16 * max(height, width)
    square = resize_mask(mask, size, fit, mask_filter)
    left, top, right, bottom = content_box(width, height, size, fit)
    cropped = Image.fromarray(square[top:bottom, left:right])
    assert np.array_equal(np.asarray(cropped.resize((width, height), Image.Resampling.NEAREST)), mask)


@pytest.mark.parametrize("shape", [(2000, 1), (1, 2000), (1, 1), (300, 17)])
@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_extreme_shapes(shape, fit):
    image = np.full((*shape, 3), 200, np.uint8)
    mask = np.ones(shape, np.uint8)
    left, top, right, bottom = content_box(shape[1], shape[0], 32, fit)
    square = resize_image(image, 32, fit)
    assert square.shape == (32, 32, 3)
    assert (square[top:bottom, left:right] == 200).all()
    for mask_filter in ("nearest", "majority"):
        assert (resize_mask(mask, 32, fit, mask_filter)[top:bottom, left:right] == 1).all()


def test_the_border_of_a_padded_picture_is_grey():
    image = np.full((4, 8, 3), 10, np.uint8)
    square = resize_image(image, 8, "pad")
    assert (square[:2] == BORDER_GREY).all()
    assert (square[6:] == BORDER_GREY).all()
    assert (square[2:6] == 10).all()


def test_pictures_are_antialiased():
    # Stripes of one pixel, black and white: whoever drops pixels gets black or white, an average gets grey.
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    inner = resize_image(stripes, 8, "stretch")[:, 1:-1]
    assert ((inner > 120) & (inner < 135)).all()


def test_a_picture_as_an_array_and_as_a_pillow_image_gives_the_same():
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    assert np.array_equal(resize_image(image, 16, "pad"), resize_image(Image.fromarray(image), 16, "pad"))


def test_a_picture_that_its_decoder_shrank_keeps_the_box_of_its_native_size():
    # 1001 x 503 decoded at a half is 501 x 252; its own aspect would give a box of 101 rows at 200, the mask has 100.
    native = (1001, 503)
    shrunk = np.full((252, 501, 3), 10, np.uint8)
    left, top, right, bottom = content_box(*native, 200, "pad")
    assert content_box(501, 252, 200, "pad") != (left, top, right, bottom)
    square = resize_image(shrunk, 200, "pad", native)
    assert (square[top:bottom, left:right] == 10).all()
    assert (square[:top] == BORDER_GREY).all()
    assert (square[bottom:] == BORDER_GREY).all()


def test_what_is_no_picture_and_no_mask_is_refused():
    with pytest.raises(ValueError, match=r"got a picture of shape \(4, 4\) and type uint8, expected \(h, w, 3\) uint8"):
        resize_image(np.zeros((4, 4), np.uint8), 8, "pad")
    with pytest.raises(ValueError, match="got a picture of mode L, expected RGB"):
        resize_image(Image.new("L", (4, 4)), 8, "pad")
    with pytest.raises(ValueError, match=r"got a mask of shape \(4, 4\) and type int64, expected \(h, w\) uint8"):
        resize_mask(np.zeros((4, 4), np.int64), 8, "pad", "nearest")
    with pytest.raises(ValueError, match="got mask_filter 'mean', expected 'nearest' or 'majority'"):
        resize_mask(np.zeros((4, 4), np.uint8), 8, "pad", "mean")
