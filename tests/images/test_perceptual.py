"""The perceptual hash: by hand, and near for what looks alike."""

import io

import numpy as np
from PIL import Image

from faceseg.images.perceptual import BITS, difference_hash


def test_each_bit_says_whether_the_picture_darkens_to_the_right() -> None:
    falling = np.repeat(np.arange(90, 0, -10, np.uint8), 4)  # nine steps of four pixels
    picture = np.repeat(np.tile(falling, (32, 1))[..., None], 3, axis=2)
    assert difference_hash(picture) == (1 << BITS) - 1
    assert difference_hash(picture[:, ::-1]) == 0
    half = picture.copy()
    half[16:] = half[16:, ::-1]
    assert difference_hash(half) == 0xFFFFFFFF00000000


def test_one_colour_has_no_bit() -> None:
    assert difference_hash(np.full((20, 30, 3), 77, np.uint8)) == 0


def test_what_was_scaled_and_recoded_stays_near_and_another_picture_does_not() -> None:
    hashes = []
    for seed in range(12):
        small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
        picture = Image.fromarray(small).resize((300, 260), Image.Resampling.BICUBIC)
        buffer = io.BytesIO()
        picture.resize((200, 173)).save(buffer, "JPEG", quality=60)
        with Image.open(buffer) as copy:
            one, other = difference_hash(np.asarray(picture)), difference_hash(np.asarray(copy))
        assert (one ^ other).bit_count() <= 3
        hashes.append(one)
    assert min((a ^ b).bit_count() for n, a in enumerate(hashes) for b in hashes[:n]) > 8
