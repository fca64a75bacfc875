"""Scores of a network whose predictions are known, against the same work done another way."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import confusion_matrix, jaccard_score

from faceseg.evaluation.evaluate import Evaluation, by_clip, count, evaluate, write_scores
from faceseg.files import read_csv
from faceseg.images.geometry import content_box
from faceseg.store.packs import MissingInputError
from tests.evaluation.staged import CLASSES, Staged, stage


def scored(staged: Staged, model: keras.Model, batch_size: int = 2) -> Evaluation:
    with staged.originals() as originals:
        return evaluate(model, staged.cache(), originals, batch_size)


def test_native_scores_are_those_of_tensorflows_enlargement(staged: Staged, network: keras.Model) -> None:
    """Both fits: the cached picture is the logits; crop, enlarge, argmax, count with scikit-learn."""
    cache = staged.cache()
    split = cache.split("test")
    evaluation = scored(staged, network)
    pixels = 0
    for row, sample in enumerate(split.ids):
        truth = staged.masks[sample]
        height, width = truth.shape
        left, top, right, bottom = content_box(width, height, cache.size, cache.fit)  # type: ignore[arg-type]
        logits = split.images_at(np.array([row]))[0, top:bottom, left:right].astype(np.float32)
        predicted = tf.image.resize(logits, (height, width), "bilinear").numpy().argmax(axis=-1)
        kept = truth != 255
        expected = confusion_matrix(truth[kept], predicted[kept], labels=range(4))
        # A tie between two colours, which rounding may break either way, is a pixel or two.
        assert np.abs(evaluation.native[row] - expected).sum() <= 4
        assert evaluation.native[row].sum() == kept.sum()
        pixels += kept.sum()
    assert evaluation.native.sum() == pixels
    assert evaluation.native_scores.pixel_accuracy > 0.7


def test_cached_scores_are_scikit_learns(staged: Staged, network: keras.Model) -> None:
    split = staged.cache().split("test")
    rows = np.arange(len(split))
    truth = split.masks_at(rows)
    predicted = split.images_at(rows).argmax(axis=-1)
    kept = truth != 255
    scores = scored(staged, network).cached_scores
    expected = jaccard_score(truth[kept], predicted[kept], labels=[0, 1, 2], average=None)
    np.testing.assert_allclose(scores.iou[:3], expected, rtol=1e-12)
    assert scores.absent == ["never"]


@pytest.mark.parametrize("batch_size", [1, 3, 5, 8])
def test_every_picture_counts_once_at_any_batch_size(stretched: Staged, network: keras.Model, batch_size: int) -> None:
    evaluation = scored(stretched, network, batch_size)
    by_two = scored(stretched, network, 2)
    np.testing.assert_array_equal(evaluation.native, by_two.native)
    np.testing.assert_array_equal(evaluation.cached, by_two.cached)
    assert len(evaluation.ids) == 5


def test_the_written_scores(stretched: Staged, network: keras.Model, tmp_path: Path) -> None:
    evaluation = scored(stretched, network)
    write_scores(evaluation, tmp_path / "e.json", tmp_path / "confusion.csv", tmp_path / "clips.csv")
    written = json.loads((tmp_path / "e.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert set(written) == {"native", "cached"}
    assert written["native"]["absent"] == ["never"]
    assert set(written["native"]["per_class"]) == {"red", "green", "blue"}
    assert written["native"]["miou"] == pytest.approx(np.nanmean(evaluation.native_scores.iou))

    cells = list(read_csv(tmp_path / "confusion.csv"))
    assert len(cells) == 16
    assert list(cells[0]) == ["actual", "predicted", "pixels"]
    total = evaluation.native.sum(axis=0)
    assert [int(cell["pixels"]) for cell in cells] == total.ravel().tolist()

    of_clips = np.zeros((4, 4), np.int64)
    rows = list(read_csv(tmp_path / "clips.csv"))
    for row in rows:
        assert int(row["pixels"]) > 0
        of_clips[CLASSES.index(row["actual"]), CLASSES.index(row["predicted"])] += int(row["pixels"])
    np.testing.assert_array_equal(of_clips, total)
    assert list(dict.fromkeys(row["clip"] for row in rows)) == ["clip0", "clip1", "clip2"]


def test_a_clips_matrix_is_the_sum_of_its_pictures() -> None:
    native = np.arange(12, dtype=np.int64).reshape(3, 2, 2)
    evaluation = Evaluation(("a", "b"), ["1", "2", "3"], ["y", "x", "y"], native, native)
    clips = by_clip(evaluation)
    assert list(clips) == ["x", "y"]
    # native[0] + native[2] = [[0, 1], [2, 3]] + [[8, 9], [10, 11]]
    assert clips["y"].tolist() == [[8, 10], [12, 14]]


def test_headlines_leave_out_what_is_no_number() -> None:
    # Class a: 6 right, 2 taken for b; b: 2 right. IoU a 6/8, b 2/4; c is absent.
    matrix = np.array([[[6, 2, 0], [0, 2, 0], [0, 0, 0]]], np.int64)
    headlines = Evaluation(("a", "b", "c"), ["1"], ["1"], matrix, matrix).headlines()
    assert headlines["test.iou.a"] == 0.75
    assert headlines["test.iou.b"] == 0.5
    assert headlines["test.miou"] == 0.625
    assert headlines["test.pixel_accuracy"] == 0.8
    assert "test.iou.c" not in headlines


def test_count_by_hand() -> None:
    actual = np.array([[0, 0, 1], [1, 255, 2]], np.uint8)
    predicted = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)
    assert count(actual, predicted, 3).tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 0]]


def test_count_refuses_a_foreign_id_and_another_shape() -> None:
    with pytest.raises(ValueError, match=r"holds the id 5, expected 0 to 2 or 255.*dvc repro"):
        count(np.full((2, 2), 5, np.uint8), np.zeros((2, 2), np.uint8), 3)
    with pytest.raises(ValueError, match=r"mask of \(2, 2\) for a prediction of \(2, 3\)"):
        count(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8), 3)


def test_logits_that_are_no_numbers_are_refused(stretched: Staged, network: keras.Model) -> None:
    spoilt = keras.models.clone_model(network)
    spoilt.set_weights([np.full_like(weight, np.nan) for weight in network.get_weights()])
    with pytest.raises(ValueError, match=r"no numbers for clip0_0; its weights are spoilt"):
        scored(stretched, spoilt)


def test_a_split_without_a_scored_pixel_is_refused(
    tmp_path: Path, network: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.evaluation import staged as tiny

    picture = tiny._picture
    monkeypatch.setattr(tiny, "_picture", lambda *at: (picture(*at)[0], np.full_like(picture(*at)[1], 255)))
    with pytest.raises(ValueError, match="none of the 5 test pictures has a scored pixel"):
        scored(stage(tmp_path, "stretch"), network)


def test_masks_of_another_run_are_refused(stretched: Staged) -> None:
    with stretched.originals() as originals, pytest.raises(ValueError, match=r"clip0_0 is 40 x 30.*says 41 x 30"):
        originals.mask("clip0_0", (41, 30))
    with stretched.originals() as originals, pytest.raises(MissingInputError, match=r"nobody is in the cache but not"):
        originals.image("nobody", 16)


@pytest.mark.parametrize("missing", ["raw/dataset.zip", "merged/index.csv"])
def test_missing_inputs_are_named(stretched: Staged, missing: str) -> None:
    (stretched.root / missing).unlink()
    with pytest.raises(MissingInputError, match=rf"{missing} is not there; `dvc repro`"):
        stretched.originals()
