"""Augmentation: exact where it is off, keyed by the picture alone, and the same change for image and mask."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from faceseg.inputs.augment import augment
from faceseg.inputs.pipeline import epoch_keys
from faceseg.params import Augment

SIDE = 32
LUMA = [0.299, 0.587, 0.114]
NAMES = ("skin", "left", "background", "right", "hair")
CLASSES = len(NAMES)
OFF = dict.fromkeys(Augment.model_fields, 0.0)
ALL = {
    "flip": 0.5,
    "rotate": 15,
    "scale": 0.15,
    "shift": 0.1,
    "brightness": 0.2,
    "contrast": 0.3,
    "saturation": 0.4,
    "background": 0.9,
}


def pictures(count: int, seed: int = 0, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Noise with labels 0..CLASSES - 1 and some 255."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, side, side, 3)).astype(np.float32)
    masks = rng.integers(0, CLASSES, (count, side, side)).astype(np.int32)
    masks[:, 3:5] = 255
    return images, masks


def changed(
    images: np.ndarray,
    masks: np.ndarray,
    keys: np.ndarray,
    mirror: tuple[tuple[int, int], ...] = (),
    names: tuple[str, ...] = NAMES,
    **strengths: float,
) -> tuple[np.ndarray, np.ndarray]:
    params = Augment(**{**OFF, **strengths})

    @tf.function
    def graph(*batch: Any) -> Any:
        return augment(*batch, params, mirror, names)

    result = graph(tf.constant(images), tf.constant(masks), tf.constant(keys))
    return result[0].numpy(), result[1].numpy()


def test_with_all_strengths_0_nothing_changes_by_a_bit() -> None:
    images, masks = pictures(3)
    after_images, after_masks = changed(images, masks, epoch_keys(0, 1, 3))
    np.testing.assert_array_equal(after_images, images)
    np.testing.assert_array_equal(after_masks, masks)


def test_a_certain_flip_is_numpys_mirror_image_and_swaps_partner_classes() -> None:
    images, masks = pictures(4)
    after_images, after_masks = changed(images, masks, epoch_keys(0, 1, 4), mirror=((1, 3),), flip=1)
    np.testing.assert_array_equal(after_images, images[:, :, ::-1])
    partner = np.arange(256)
    partner[[1, 3]] = [3, 1]
    np.testing.assert_array_equal(after_masks, partner[masks[:, :, ::-1]])


def test_half_of_the_pictures_flip_and_the_others_stay() -> None:
    images, masks = pictures(64, side=8)
    after_images, after_masks = changed(images, masks, epoch_keys(0, 1, 64), mirror=((0, 1),), flip=0.5)
    flipped = 0
    for image, mask, before_image, before_mask in zip(after_images, after_masks, images, masks, strict=True):
        if np.array_equal(image, before_image):
            np.testing.assert_array_equal(mask, before_mask)
            continue
        flipped += 1
        np.testing.assert_array_equal(image, before_image[:, ::-1])
        assert not np.array_equal(mask, before_mask[:, ::-1])  # the partners changed places
    assert 20 <= flipped <= 44


@pytest.mark.parametrize("alone", ["1 picture", "another batch", "another place"])
def test_a_picture_does_not_depend_on_its_batch_or_place(alone: str) -> None:
    images, masks = pictures(7)
    keys = epoch_keys(3, 2, 7)
    whole_images, whole_masks = changed(images, masks, keys, mirror=((0, 2),), **ALL)
    rows = {"1 picture": [4], "another batch": [5, 4, 1], "another place": [4, 6, 0, 1, 2, 3, 5]}[alone]
    some_images, some_masks = changed(images[rows], masks[rows], keys[rows], mirror=((0, 2),), **ALL)
    np.testing.assert_array_equal(some_images, whole_images[rows])
    np.testing.assert_array_equal(some_masks, whole_masks[rows])


def test_the_same_key_gives_the_same_and_another_epoch_another_picture() -> None:
    images, masks = pictures(2)
    first = changed(images, masks, epoch_keys(0, 1, 2), **ALL)
    again = changed(images, masks, epoch_keys(0, 1, 2), **ALL)
    later = changed(images, masks, epoch_keys(0, 2, 2), **ALL)
    np.testing.assert_array_equal(first[0], again[0])
    assert np.abs(first[0] - later[0]).mean() > 1
    assert np.abs(first[0][0] - first[0][1]).mean() > 1


def test_pictures_of_one_batch_with_one_key_change_alike() -> None:
    images, masks = pictures(1)
    twice = np.repeat(images, 2, axis=0), np.repeat(masks, 2, axis=0)
    after_images, after_masks = changed(*twice, np.array([[5, -9], [5, -9]], np.int32), **ALL)
    np.testing.assert_array_equal(after_images[0], after_images[1])
    np.testing.assert_array_equal(after_masks[0], after_masks[1])


def test_one_strength_leaves_the_other_draws_as_they_were() -> None:
    """With colours and background on or off, geometry and so the mask stay the same."""
    images, masks = pictures(3)
    keys = epoch_keys(0, 1, 3)
    geometry = {"flip": 0.5, "rotate": 20, "shift": 0.1}
    _, plain = changed(images, masks, keys, **geometry)
    _, coloured = changed(images, masks, keys, **geometry, saturation=0.5, brightness=0.2, background=1.0)
    np.testing.assert_array_equal(plain, coloured)


@pytest.mark.parametrize("strength", [{"rotate": 40}, {"scale": 0.3}, {"shift": 0.2}, {"flip": 1}, ALL])
def test_image_and_mask_move_together(strength: dict[str, float]) -> None:
    """A bright 5 x 5 marker off the centre: its centroid in the image is that of its class in the mask."""
    count, side = 8, 64
    images = np.zeros((count, side, side, 3), np.float32)
    masks = np.zeros((count, side, side), np.int32)
    images[:, 20:25, 36:41] = 200
    masks[:, 20:25, 36:41] = 4
    geometry = {name: value for name, value in strength.items() if name in ("flip", "rotate", "scale", "shift")}
    after_images, after_masks = changed(images, masks, epoch_keys(1, 1, count), **geometry)
    moved = 0.0
    for image, mask in zip(after_images[..., 0], after_masks, strict=True):
        grid = np.mgrid[:side, :side]
        of_image = (grid * image).sum((1, 2)) / image.sum()
        of_mask = (grid * (mask == 4)).sum((1, 2)) / (mask == 4).sum()
        np.testing.assert_allclose(of_image, of_mask, atol=0.6)
        moved += np.abs(of_mask - [22, 38]).max()
    assert moved / count > 0.5


def test_a_shift_moves_by_what_it_says_and_leaves_255_outside() -> None:
    """A shift of s turns column x into x + s; what comes from beyond the border is not scored and no colour of 0."""
    side = 40
    images = np.full((1, side, side, 3), 90, np.float32)
    masks = np.ones((1, side, side), np.int32)
    key = np.array([[7, 7]], np.int32)
    draws = tf.random.stateless_uniform((8,), key[0], alg="philox").numpy()
    right, down = (2 * draws[3:5] - 1) * 0.25 * side
    after_images, after_masks = changed(images, masks, key, shift=0.25)
    columns = np.arange(side) - right
    rows = np.arange(side) - down
    inside = (np.abs(columns - 19.5)[None] < 20) & (np.abs(rows - 19.5)[:, None] < 20)
    np.testing.assert_array_equal(after_masks[0], np.where(inside, 1, 255))
    np.testing.assert_allclose(after_images, 90, atol=1e-4)
    assert 0.1 < (after_masks == 255).mean() < 0.6


@given(seed=st.integers(0, 2**32), epoch=st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_no_label_is_invented_and_values_stay_in_range(seed: int, epoch: int) -> None:
    images, _ = pictures(2, side=16)
    masks = np.where(np.arange(16) < 8, 1, 3).astype(np.int32) * np.ones((2, 16, 1), np.int32)
    strengths = {**ALL, "rotate": 180.0, "scale": 0.9, "brightness": 0.9, "contrast": 0.9, "saturation": 1.0}
    after_images, after_masks = changed(images, masks, epoch_keys(seed, epoch, 2), **strengths)
    assert set(np.unique(after_masks)) <= {1, 3, 255}
    assert after_images.min() >= 0
    assert after_images.max() <= 255
    assert after_images.dtype == np.float32
    assert after_masks.dtype == np.int32


@pytest.mark.parametrize(
    ("strength", "place", "expected"),
    [
        ({"brightness": 0.1}, 5, lambda x, u: x + 255 * 0.1 * u),
        ({"contrast": 0.5}, 6, lambda x, u: (x - 127.5) * (1 + 0.5 * u) + 127.5),
        ({"saturation": 0.5}, 7, lambda x, u: x @ LUMA + (x - x @ LUMA) * (1 + 0.5 * u)),
    ],
)
def test_colour_changes_follow_their_formula(strength: dict[str, float], place: int, expected: Any) -> None:
    pixel = np.array([100.0, 150.0, 80.0])
    images = np.tile(pixel.astype(np.float32), (1, 4, 4, 1))
    key = np.array([[11, 12]], np.int32)
    signed = 2 * float(tf.random.stateless_uniform((8,), key[0], alg="philox")[place]) - 1
    after, _ = changed(images, np.zeros((1, 4, 4), np.int32), key, **strength)
    np.testing.assert_allclose(after[0, 2, 1], expected(pixel, signed), rtol=1e-5)
    assert abs(signed) > 0.05


def test_the_background_alone_is_repainted_by_its_formula() -> None:
    """Draws by hand: part, spread, colour of the wall, and 4 x 4 patches about it, enlarged as NumPy interpolates."""
    images, masks = pictures(2)
    keys = np.array([[21, 5], [-4, 8]], np.int32)
    after, after_masks = changed(images, masks, keys, background=0.8)
    np.testing.assert_array_equal(after_masks, masks)
    places = np.clip((np.arange(SIDE) + 0.5) * 4 / SIDE - 0.5, 0, 3)
    for image, before, mask, key in zip(after, images, masks, keys, strict=True):
        draws = tf.random.stateless_uniform((53,), key ^ [0, 1], alg="philox").numpy().astype(np.float64)
        grid = 2 * draws[5:].reshape(4, 4, 3) - 1
        for axis in (0, 1):
            grid = np.apply_along_axis(lambda line: np.interp(places, np.arange(4), line), axis, grid)
        colours = 255 * np.clip(draws[2:5] + draws[1] * grid, 0, 1)
        expected = before + 0.8 * draws[0] * (colours - before)
        background = mask == NAMES.index("background")
        np.testing.assert_allclose(image[background], expected[background], atol=1e-3)
        np.testing.assert_array_equal(image[~background], before[~background])
        assert np.abs(expected - before)[background].mean() > 5


def test_a_merge_without_a_background_cannot_have_it_repainted() -> None:
    images, masks = pictures(1)
    with pytest.raises(ValueError, match=r"repaints the class 'background', and the merge has eyes, rest; set it to 0"):
        changed(images, masks, epoch_keys(0, 1, 1), names=("eyes", "rest"), background=0.5)


def test_a_mirror_pair_outside_the_classes_is_named() -> None:
    images, masks = pictures(1)
    with pytest.raises(ValueError, match=r"mirror pair \(1, 9\) names a class outside 0\.\.4"):
        changed(images, masks, epoch_keys(0, 1, 1), mirror=((1, 9),), flip=1)
