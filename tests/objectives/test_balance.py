"""Class weights by hand and beside scikit-learn's."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from faceseg.objectives.balance import class_weights

NAMES = ("skin", "eyes", "glasses")


def test_none_is_no_weights() -> None:
    assert class_weights("none", NAMES, {}) is None


def test_inverse_is_scikit_learn_s_balanced() -> None:
    labels = np.repeat([0, 1, 2], [70, 20, 10])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert class_weights("inverse", NAMES, {"skin": 70, "eyes": 20, "glasses": 10}) == pytest.approx(expected)


def test_median_by_hand() -> None:
    # Parts 0.7, 0.2, 0.1; their median is 0.2.
    weights = class_weights("median", NAMES, {"skin": 70, "eyes": 20, "glasses": 10})
    assert weights == pytest.approx([0.2 / 0.7, 1, 2])


def test_a_class_without_a_pixel_weighs_nothing() -> None:
    pixels = {"skin": 70, "eyes": 30, "glasses": 0}
    assert class_weights("inverse", NAMES, pixels) == pytest.approx([100 / 2 / 70, 100 / 2 / 30, 0])
    assert class_weights("median", NAMES, pixels) == pytest.approx([50 / 70, 50 / 30, 0])


def test_given_weights_go_by_name() -> None:
    assert class_weights({"glasses": 3.0, "skin": 1.0, "eyes": 2.0}, NAMES, {}) == [1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match="class_weights names skin, hair, expected a weight for each of skin, eyes, g"):
        class_weights({"skin": 1.0, "hair": 2.0}, NAMES, {})
