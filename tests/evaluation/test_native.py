"""Labels at native size against Pillow's and TensorFlow's own enlargement."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from faceseg.evaluation import native
from faceseg.evaluation.native import native_labels


def smooth(seed: int, height: int, width: int, classes: int) -> np.ndarray:
    """Logits that change slowly, with areas of one class, as a network's do."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(4, 4, classes)).astype(np.float32)
    return tf.image.resize(coarse, (height, width), "bicubic").numpy()


def assert_same_where_it_is_clear(labels: np.ndarray, enlarged: np.ndarray) -> None:
    """Equal to the argmax, but where the two greatest logits are within rounding of each other."""
    ordered = np.sort(enlarged, axis=-1)
    clear = ordered[..., -1] - ordered[..., -2] > 1e-4
    assert clear.mean() > 0.98
    np.testing.assert_array_equal(labels[clear], enlarged.argmax(axis=-1)[clear])


@pytest.mark.parametrize("size", [(100, 60), (37, 53), (16, 12), (17, 200)])
def test_it_is_pillows_bilinear_enlargement(size: tuple[int, int]) -> None:
    logits = smooth(1, 12, 16, 5)
    planes = [np.asarray(Image.fromarray(logits[..., k]).resize(size, Image.Resampling.BILINEAR)) for k in range(5)]
    assert_same_where_it_is_clear(native_labels(logits, *size), np.stack(planes, axis=-1))


@given(seed=st.integers(0, 99), h=st.integers(1, 20), w=st.integers(1, 20), H=st.integers(1, 70), W=st.integers(1, 70))
@settings(max_examples=40, deadline=None)
def test_it_is_tensorflows_enlargement_at_every_size(seed: int, h: int, w: int, H: int, W: int) -> None:
    """Noise, where almost every pixel lies on a border; also where the picture is smaller than the logits."""
    logits = np.random.default_rng(seed).normal(size=(h, w, 3)).astype(np.float32)
    enlarged = tf.image.resize(logits, (H, W), "bilinear", antialias=False).numpy()
    ordered = np.sort(enlarged, axis=-1)
    clear = ordered[..., -1] - ordered[..., -2] > 1e-4
    np.testing.assert_array_equal(native_labels(logits, W, H)[clear], enlarged.argmax(axis=-1)[clear])


def test_by_hand() -> None:
    """Two pixels become four: centres at -1/4, 1/4, 3/4 and 5/4; class 1 leads from 1/2 on."""
    logits = np.array([[[1, 0], [0, 1]]], np.float32)
    np.testing.assert_array_equal(native_labels(logits, 4, 1), [[0, 0, 1, 1]])
    # With a lead of 3 on the left, class 1 leads from 3/4 on, and where it is equal the first class stays.
    logits = np.array([[[3, 0], [0, 1]]], np.float32)
    np.testing.assert_array_equal(native_labels(logits, 4, 2), [[0, 0, 0, 1]] * 2)


def test_a_class_between_two_others_may_win() -> None:
    """The middle class is nowhere the greatest at a source pixel, but it is half-way between them."""
    logits = np.array([[[10, 7, 0], [0, 7, 10]]], np.float32)
    np.testing.assert_array_equal(native_labels(logits, 10, 1)[0, [0, 4, 5, 9]], [0, 1, 1, 2])


def test_bands_and_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = smooth(3, 14, 15, 4)
    whole = native_labels(logits, 91, 83)
    monkeypatch.setattr(native, "BAND_PIXELS", 91 * 5)
    monkeypatch.setattr(native, "CHUNK", 7)
    np.testing.assert_array_equal(native_labels(logits, 91, 83), whole)


def test_one_logit_fills_the_picture() -> None:
    labels = native_labels(np.array([[[0, 2, 1]]], np.float32), 5, 3)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, np.ones((3, 5)))
