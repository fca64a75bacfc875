"""Repeat-factor sampling by hand, and as a law."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from faceseg.inputs.pipeline import training_batches
from faceseg.inputs.sampling import draw_rows, repeat_shares
from faceseg.store.shards import Cache, Split
from tests.inputs.rare import write_rare


@pytest.fixture
def split(tmp_path: Path) -> Split:
    return Cache.open(write_rare(tmp_path)).split("train")


def test_shares_by_hand(split: Split) -> None:
    # Class 1 is in 2 of 8 pictures: sqrt(0.5 / 0.25) = 1.414; class 0 is in all.
    root = np.sqrt(2)
    mean = (2 * root + 6) / 8
    assert repeat_shares(split, 2, 0.5) == pytest.approx(np.array([root, root, 1, 1, 1, 1, 1, 1]) / mean)
    assert repeat_shares(split, 2, 0.2) == pytest.approx(np.ones(8))
    assert repeat_shares(split, 2, None) is None


def test_a_foreign_class_is_named(split: Split) -> None:
    with pytest.raises(ValueError, match="holds the id 1, expected 0 to 0"):
        repeat_shares(split, 1, 0.5)


@pytest.mark.parametrize("start", [0.0, 0.37, 0.999])
def test_each_row_comes_as_often_as_its_share_rounded(start: float) -> None:
    shares = np.array([2.5, 0.25, 1.0, 0.25, 1.0])
    counts = np.bincount(draw_rows(shares, start), minlength=5)
    assert counts.sum() == 5
    assert (np.abs(counts - shares) < 1).all()


def epoch(split: Split, number: int, shares: np.ndarray | None) -> list[tuple[bytes, bytes]]:
    batches = training_batches(split, 4, 7, number, shares)
    return [
        (image.tobytes(), key.tobytes())
        for batch in batches
        for image, key in zip(batch["images"].numpy(), batch["keys"].numpy(), strict=True)
    ]


def test_epochs_are_keyed_and_rare_pictures_come_more_often(split: Split) -> None:
    shares = repeat_shares(split, 2, 1.0)
    assert shares is not None
    assert epoch(split, 3, shares) == epoch(split, 3, shares)
    assert epoch(split, 3, shares) != epoch(split, 4, shares)
    seen = Counter(image for number in range(1, 60) for image, _ in epoch(split, number, shares))
    of_row = [seen[split.images_at(np.array([row])).tobytes()] / 59 for row in range(8)]
    np.testing.assert_allclose(of_row, shares, atol=0.12)


def test_a_picture_that_comes_twice_has_two_keys(split: Split) -> None:
    keys = [key for _, key in epoch(split, 1, np.array([8.0, 0, 0, 0, 0, 0, 0, 0]))]
    assert len(set(keys)) == 8
