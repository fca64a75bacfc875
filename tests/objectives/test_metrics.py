"""Scores against a matrix worked out by hand and against scikit-learn."""

import subprocess
import sys

import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf

from faceseg.files import write_json
from faceseg.objectives.metrics import Scores, confusion_matrix

NAMES = ("background", "skin", "eyes", "glasses")

# actual \ predicted  background skin eyes glasses
MATRIX = np.array(
    [
        [6, 2, 0, 0],
        [1, 5, 2, 0],
        [0, 3, 1, 0],
        [0, 0, 0, 0],
    ]
)


def test_scores_by_hand():
    scores = Scores.from_confusion(MATRIX, NAMES)
    # Row sums 8 8 4 0, column sums 7 10 3 0, diagonal 6 5 1 0.
    assert scores.pixel_accuracy == 12 / 20
    np.testing.assert_allclose(scores.iou, [6 / 9, 5 / 13, 1 / 6, np.nan])
    np.testing.assert_allclose(scores.f1, [12 / 15, 10 / 18, 2 / 7, np.nan])
    np.testing.assert_allclose(scores.precision, [6 / 7, 5 / 10, 1 / 3, np.nan])
    np.testing.assert_allclose(scores.recall, [6 / 8, 5 / 8, 1 / 4, np.nan])
    assert scores.miou == pytest.approx((6 / 9 + 5 / 13 + 1 / 6) / 3)
    assert scores.mf1 == pytest.approx((12 / 15 + 10 / 18 + 2 / 7) / 3)
    assert scores.absent == ["glasses"]


def test_as_json_an_absent_class_is_named_and_has_no_scores(tmp_path):
    scores = Scores.from_confusion(MATRIX, NAMES).to_dict()
    write_json(tmp_path / "scores.json", scores)
    assert scores["absent"] == ["glasses"]
    assert list(scores["per_class"]) == ["background", "skin", "eyes"]
    assert scores["per_class"]["background"] == {
        "iou": pytest.approx(6 / 9),
        "f1": pytest.approx(12 / 15),
        "precision": pytest.approx(6 / 7),
        "recall": pytest.approx(6 / 8),
    }
    assert scores["pixel_accuracy"] == 0.6
    assert set(scores) == {"pixel_accuracy", "miou", "mf1", "per_class", "absent"}


def test_a_class_in_truth_or_prediction_alone_scores_zero():
    scores = Scores.from_confusion(np.array([[4, 0, 1], [2, 0, 0], [0, 0, 0]]), ("a", "never predicted", "never true"))
    for values in (scores.iou, scores.f1, scores.precision, scores.recall):
        np.testing.assert_array_equal(values[1:], [0, 0])
    assert scores.absent == []
    assert scores.miou == pytest.approx((4 / 7) / 3)


def test_nothing_scored_has_no_numbers(tmp_path):
    scores = Scores.from_confusion(np.zeros((4, 4), int), NAMES)
    assert np.isnan([scores.pixel_accuracy, scores.miou, scores.mf1]).all()
    assert scores.to_dict() == {
        "pixel_accuracy": None,
        "miou": None,
        "mf1": None,
        "per_class": {},
        "absent": list(NAMES),
    }
    write_json(tmp_path / "scores.json", scores.to_dict())


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    # The last class is never true, and sometimes predicted.
    truth, predicted = rng.integers(0, 3, 300), rng.integers(0, 4, 300)
    matrix = confusion_matrix(truth.reshape(3, 10, 10), predicted.reshape(3, 10, 10), 4).numpy()
    np.testing.assert_array_equal(matrix, sklearn.metrics.confusion_matrix(truth, predicted, labels=range(4)))
    scores = Scores.from_confusion(matrix, NAMES)
    settings = {"labels": range(4), "average": None, "zero_division": 0}
    np.testing.assert_allclose(scores.iou, sklearn.metrics.jaccard_score(truth, predicted, **settings))
    np.testing.assert_allclose(scores.f1, sklearn.metrics.f1_score(truth, predicted, **settings))
    np.testing.assert_allclose(scores.precision, sklearn.metrics.precision_score(truth, predicted, **settings))
    np.testing.assert_allclose(scores.recall, sklearn.metrics.recall_score(truth, predicted, **settings))
    assert scores.pixel_accuracy == pytest.approx(sklearn.metrics.accuracy_score(truth, predicted))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_confusion_by_hand_without_255(dtype):
    masks = np.array([[[0, 1], [1, 255]], [[2, 2], [255, 0]]], dtype)
    predictions = np.array([[[0, 1], [0, 1]], [[2, 1], [2, 0]]], dtype)
    matrix = tf.function(confusion_matrix)(masks, predictions, 3)
    assert matrix.dtype == tf.int64
    np.testing.assert_array_equal(matrix, [[2, 0, 0], [1, 1, 0], [0, 1, 1]])


def test_confusion_of_a_large_picture_loses_no_pixel():
    side = 2048
    matrix = confusion_matrix(np.ones((1, side, side), np.uint8), np.ones((1, side, side), np.int32), 2)
    np.testing.assert_array_equal(matrix, [[0, 0], [0, side * side]])


def test_a_matrix_of_another_size():
    with pytest.raises(ValueError, match=r"shape \(4, 4\) for the 2 classes skin, hair: expected 2 x 2"):
        Scores.from_confusion(MATRIX, ("skin", "hair"))


def test_a_negative_count():
    with pytest.raises(ValueError, match="counts pixels, and its smallest count is -1"):
        Scores.from_confusion(np.array([[3, -1], [0, 2]]), ("skin", "hair"))


def test_reading_scores_needs_no_tensorflow():
    code = "import sys, faceseg.objectives.metrics; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
