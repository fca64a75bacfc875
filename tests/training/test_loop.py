"""The loop learns, its scores are whole-split scores, and a killed run comes back bit for bit."""

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import jaccard_score

from faceseg.params import TrainParams
from faceseg.store.shards import Cache
from faceseg.training import setup
from faceseg.training.checkpoint import RunFolder
from faceseg.training.loop import Epoch, Loop, Progress
from tests.training.blocks import CLASSES, train_params, write_cache


def small_model() -> keras.Model:
    """Has what a resume can lose: batch statistics and dropout."""
    keras.utils.set_random_seed(1)
    images = keras.Input((16, 16, 3))
    values = keras.layers.Rescaling(1 / 255)(images)
    values = keras.layers.Conv2D(8, 3, padding="same", use_bias=False)(values)
    values = keras.layers.BatchNormalization(momentum=0.5)(values)
    values = keras.layers.Dropout(0.2)(keras.layers.ReLU()(values))
    return keras.Model(images, keras.layers.Conv2D(3, 1, dtype="float32")(values))


class KilledError(Exception):
    """Stands for a kill: the loop is left at an epoch's end."""


def training(folder: Path, cache: Path, params: TrainParams, stop_after: int | None = None) -> tuple[Progress, list]:
    model = small_model()
    heard: list[Epoch] = []

    def observe(epoch: Epoch) -> None:
        heard.append(epoch)
        if epoch.epoch == stop_after:
            raise KilledError

    with RunFolder(folder, {"params": params.model_dump()}) as run:
        progress = Loop(model, params, Cache.open(cache), run, setup.strategy()).run(observe)
    assert [epoch.epoch for epoch in heard] == [epoch.epoch for epoch in progress.epochs]
    return progress, [np.asarray(variable) for variable in model.weights]


def test_it_learns(tmp_path: Path, cache_folder: Path) -> None:
    progress, _ = training(tmp_path / "runs", cache_folder, train_params(epochs=25))
    first, last = progress.epochs[0], progress.epochs[-1]
    assert last.loss < first.loss / 2
    assert last.val_iou is not None
    assert last.val_iou > 0.8
    assert set(last.val_class_iou) == {"red", "green", "blue"}


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": {"name": "plateau", "patience": 1}},
        {"schedule": {"name": "cosine"}},
        {"average_decay": 0.9, "keep": "best"},
        {"average_decay": 0.9, "keep": "last", "accumulate": 2, "clip_norm": 0.1, "repeat_rare_below": 1.0},
        {"optimizer": {"name": "sgd", "nesterov": True}, "monitor": "loss", "schedule": {"name": "inverse_time"}},
    ],
    ids=["plateau", "cosine", "averages-best", "averages-last", "sgd"],
)
def test_a_killed_run_continues_bit_for_bit(tmp_path: Path, cache_folder: Path, changes: dict[str, Any]) -> None:
    params = train_params(**{"epochs": 6, "early_stopping": {"patience": 3}, "learning_rate": 0.2, **changes})
    whole, whole_weights = training(tmp_path / "whole", cache_folder, params)
    for stop in (1, 2, 4):
        with pytest.raises(KilledError):
            training(tmp_path / "killed", cache_folder, params, stop_after=stop)
    again, again_weights = training(tmp_path / "killed", cache_folder, params)
    assert timeless(again) == timeless(whole)
    assert (again.best, again.best_epoch, again.waited) == (whole.best, whole.best_epoch, whole.waited)
    for got, expected in zip(again_weights, whole_weights, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_everything_at_once_continues_bit_for_bit(tmp_path: Path, cache_folder: Path) -> None:
    """Plateau, early stopping, averages, best weights, Adam's slots, accumulation, repeats, dropout, order."""
    params = train_params(
        epochs=40,
        learning_rate=0.3,
        schedule={"name": "plateau", "patience": 1, "warmup_epochs": 1},
        monitor="val_loss",
        early_stopping={"patience": 3},
        average_decay=0.9,
        keep="best",
        accumulate=2,
        clip_norm=1.0,
        repeat_rare_below=1.0,
    )
    whole, whole_weights = training(tmp_path / "whole", cache_folder, params)
    epochs = len(whole.epochs)
    assert whole.best_epoch == epochs - 3
    assert epochs < 40, "it is stopped early, so that the count of a resumed run matters"
    assert whole.epochs[-1].lr < 0.3, "the plateau has lowered the rate, so that its state matters"
    for stop in (1, epochs - 2, epochs - 1):
        with pytest.raises(KilledError):
            training(tmp_path / "killed", cache_folder, params, stop_after=stop)
    again, again_weights = training(tmp_path / "killed", cache_folder, params)
    assert timeless(again) == timeless(whole)
    assert (again.best, again.best_epoch, again.waited) == (whole.best, whole.best_epoch, whole.waited)
    for got, expected in zip(again_weights, whole_weights, strict=True):
        np.testing.assert_array_equal(got, expected)


def timeless(progress: Progress) -> list[dict[str, Any]]:
    """The epochs without how long they took."""
    skip = ("seconds", "images_per_second")
    return [{key: value for key, value in vars(epoch).items() if key not in skip} for epoch in progress.epochs]


def test_validation_scores_are_those_of_the_whole_split(tmp_path: Path, cache_folder: Path) -> None:
    """5 pictures in batches of 4: the last batch is filled up, and filling must not count."""
    params = train_params(epochs=1, keep="last")
    model = small_model()
    cache = Cache.open(cache_folder)
    with RunFolder(tmp_path / "runs", {}) as run:
        progress = Loop(model, params, cache, run, setup.strategy()).run(lambda _: None)
    split = cache.split("val")
    rows = np.arange(len(split))
    truth = split.masks_at(rows)
    predicted = np.argmax(model(split.images_at(rows).astype(np.float32), training=False), axis=-1)
    scored = truth != 255
    expected = jaccard_score(truth[scored], predicted[scored], average="macro")
    assert progress.epochs[0].val_iou == pytest.approx(expected, abs=1e-12)


def test_the_best_epoch_is_kept(tmp_path: Path, cache_folder: Path) -> None:
    """A rate that ruins the weights: the best epoch is an earlier one, and its weights are back."""
    params = train_params(epochs=8, learning_rate=1.5, schedule={"name": "constant"})
    progress, kept = training(tmp_path / "runs", cache_folder, params)
    scores = [epoch.val_iou for epoch in progress.epochs]
    assert progress.best_epoch == 1 + int(np.argmax(scores))
    _, stopped_there = training(
        tmp_path / "short", cache_folder, params.model_copy(update={"epochs": progress.best_epoch, "keep": "last"})
    )
    for got, expected in zip(kept, stopped_there, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_early_stopping_counts_epochs_without_a_better_score(tmp_path: Path, cache_folder: Path) -> None:
    params = train_params(epochs=40, learning_rate=1e-9, early_stopping={"patience": 3}, optimizer={"name": "sgd"})
    progress, _ = training(tmp_path / "runs", cache_folder, params)
    assert len(progress.epochs) == progress.best_epoch + 3


@pytest.mark.parametrize(("curve", "best"), [("loss", np.argmin), ("val_loss", np.argmin), ("f1", np.argmax)])
def test_any_curve_can_be_monitored(tmp_path: Path, cache_folder: Path, curve: str, best: Any) -> None:
    params = train_params(
        epochs=30, learning_rate=1.5, schedule={"name": "constant"}, monitor=curve, early_stopping={"patience": 2}
    )
    progress, _ = training(tmp_path / "runs", cache_folder, params)
    values = [getattr(epoch, curve) for epoch in progress.epochs]
    assert progress.best_epoch == 1 + int(best(values))
    assert len(progress.epochs) == progress.best_epoch + 2


def test_averaged_weights_are_scored_and_kept(tmp_path: Path, cache_folder: Path) -> None:
    """The kept weights give the last validation score, and they are not the ones that were trained on."""
    params = train_params(epochs=3, average_decay=0.9, keep="last")
    model = small_model()
    cache = Cache.open(cache_folder)
    with RunFolder(tmp_path / "runs", {}) as run:
        progress = Loop(model, params, cache, run, setup.strategy()).run(lambda _: None)
        saved = run.latest()
    assert saved is not None
    split = cache.split("val")
    rows = np.arange(len(split))
    predicted = np.argmax(model(split.images_at(rows).astype(np.float32), training=False), axis=-1)
    truth = split.masks_at(rows)
    expected = jaccard_score(truth[truth != 255], predicted[truth != 255], average="macro")
    assert progress.epochs[-1].val_iou == pytest.approx(expected, abs=1e-12)
    assert np.abs(saved[1][0] - np.asarray(model.variables[0])).max() > 1e-4
    # Training itself is not touched by its averages.
    _, plain = training(tmp_path / "plain", cache_folder, params.model_copy(update={"average_decay": None}))
    np.testing.assert_array_equal(saved[1][0], plain[0])


def test_without_validation_the_last_epoch_is_kept(tmp_path: Path) -> None:
    cache = write_cache(tmp_path / "cache", val=False)
    progress, _ = training(tmp_path / "runs", cache, train_params(epochs=2))
    assert progress.best_epoch == 2
    assert progress.epochs[0].val_iou is None
    assert progress.epochs[0].val_loss is None


def test_a_loss_that_is_no_number_says_what_to_lower(tmp_path: Path, cache_folder: Path) -> None:
    params = train_params(learning_rate=1e30, optimizer={"name": "sgd"}, schedule={"name": "constant"}, epochs=9)
    with pytest.raises(
        ValueError, match=r"the loss became (nan|inf) in epoch \d; lower train\.learning_rate \(now 1e\+30\)"
    ):
        training(tmp_path / "runs", cache_folder, params)


def test_a_batch_larger_than_the_split(tmp_path: Path, cache_folder: Path) -> None:
    with pytest.raises(ValueError, match=r"train\.batch_size is 13, but the train split has 12 pictures"):
        training(tmp_path / "runs", cache_folder, train_params(batch_size=13))


def test_float16_skips_a_step_that_overflows_and_recovers(cache_folder: Path) -> None:
    """A loss scale of 2**40 overflows float16: steps are skipped and the scale halves until training goes on."""
    from faceseg.inputs.pipeline import training_batches
    from faceseg.training.step import build_optimizer, build_training_step

    params = train_params(precision="mixed_float16", optimizer={"weight_decay": 0.01})
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        model = small_model()
        optimizer = build_optimizer(params)
        optimizer.build(model.trainable_variables)
        optimizer.dynamic_scale.assign(2.0**40)
        step = build_training_step(model, optimizer, params, CLASSES, [], tf.distribute.get_strategy(), None)
        start = [np.asarray(variable) for variable in model.trainable_variables]
        moved_at = None
        batches = training_batches(Cache.open(cache_folder).split("train"), 4, 0, 1).repeat()
        for number, batch in enumerate(batches.take(60)):
            scale = float(optimizer.dynamic_scale)
            loss, _ = step(batch)
            assert math.isfinite(float(loss))
            values = [np.asarray(variable) for variable in model.trainable_variables]
            moved = any((now != then).any() for now, then in zip(values, start, strict=True))
            if moved:
                moved_at = number
                break
            assert float(optimizer.dynamic_scale) == scale / 2
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    assert moved_at is not None
    assert moved_at > 5
    assert all(np.isfinite(value).all() for value in values)
