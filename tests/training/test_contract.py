"""What a training promises beyond learning: its order, its rate, its augmentation, its record, its identity."""

import csv
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml

from faceseg.files import sha256
from faceseg.inputs.pipeline import evaluation_batches
from faceseg.params import Augment, ModelParams
from faceseg.store.shards import Cache
from faceseg.training import setup
from faceseg.training.checkpoint import RunFolder, forget, runs_in
from faceseg.training.loop import Epoch, Loop
from faceseg.training.schedule import Schedule
from faceseg.training.step import build_optimizer, build_training_step
from faceseg.training.train import Outputs, train
from tests.training.blocks import CLASSES, ROOT, train_params, write_cache

STILL = dict.fromkeys(Augment.model_fields, 0.0)


def plain_model() -> keras.Model:
    """No dropout and no batch statistics: its loss depends on the pictures and the weights alone."""
    keras.utils.set_random_seed(1)
    images = keras.Input((16, 16, 3))
    return keras.Model(images, keras.layers.Conv2D(3, 3, padding="same")(keras.layers.Rescaling(1 / 255)(images)))


def loop(folder: RunFolder, cache: Path, **changes: Any) -> Loop:
    return Loop(plain_model(), train_params(**changes), Cache.open(cache), folder, setup.strategy())


def test_each_epoch_takes_another_part_in_another_order(tmp_path: Path, cache_folder: Path) -> None:
    """8 of 12 pictures an epoch, weights held still: equal losses would mean equal pictures."""
    with RunFolder(tmp_path, {}) as folder:
        still = loop(folder, cache_folder, epochs=3, batch_size=8, learning_rate=1e-30, augment=STILL)
        losses = [epoch.loss for epoch in still.run(lambda _: None).epochs]
    assert len(set(losses)) == 3


def test_each_epoch_augments_anew(tmp_path: Path, cache_folder: Path) -> None:
    """All 12 pictures in one batch, weights held still: only the augmentation can change the loss."""
    arguments: dict[str, Any] = {"epochs": 3, "batch_size": 12, "learning_rate": 1e-30}
    with RunFolder(tmp_path / "still", {}) as folder:
        still = [e.loss for e in loop(folder, cache_folder, **arguments, augment=STILL).run(lambda _: None).epochs]
    with RunFolder(tmp_path / "moving", {}) as folder:
        moving = [e.loss for e in loop(folder, cache_folder, **arguments).run(lambda _: None).epochs]
    assert np.ptp(still) < 1e-6 * still[0]  # the order of a sum
    assert min(np.diff(sorted(moving))) > 1e-5 * still[0]


def test_the_rate_is_the_schedule_s_and_is_what_the_curves_say(tmp_path: Path, cache_folder: Path) -> None:
    params = train_params(epochs=3, schedule={"name": "cosine", "warmup_epochs": 1})
    with RunFolder(tmp_path, {}) as folder:
        running = Loop(plain_model(), params, Cache.open(cache_folder), folder, setup.strategy())
        epochs = running.run(lambda _: None).epochs
    schedule = Schedule(params.schedule, params.learning_rate, params.epochs, 3)
    assert [epoch.lr for epoch in epochs] == [schedule.rate(number) for number in (1, 2, 3)]
    assert float(running._optimizer.learning_rate) == pytest.approx(schedule.rate(3))


def test_the_validation_loss_weighs_batches_by_their_pictures(tmp_path: Path, cache_folder: Path) -> None:
    """5 pictures in batches of 4: the mean is (4 first + 1 last) / 5."""
    with RunFolder(tmp_path, {}) as folder:
        running = loop(folder, cache_folder, epochs=1, keep="last")
        (epoch,) = running.run(lambda _: None).epochs
        batches = evaluation_batches(Cache.open(cache_folder).split("val"), 4)
        first, last = (float(running._val_step(batch)[0]) for batch in batches)
    assert first != pytest.approx(last, rel=1e-3)
    assert epoch.val_loss == pytest.approx((4 * first + last) / 5)


def test_a_missing_shard_is_named_before_any_work(tmp_path: Path, cache_folder: Path) -> None:
    (cache_folder / "val" / "masks-00000.npy").unlink()
    with RunFolder(tmp_path, {}) as folder, pytest.raises(ValueError, match=r"val/masks-00000\.npy is not there"):
        loop(folder, cache_folder)


def test_a_validation_split_without_a_scored_pixel(tmp_path: Path, cache_folder: Path) -> None:
    path = cache_folder / "val" / "masks-00000.npy"
    np.save(path, np.full_like(np.load(path), 255))
    with (
        RunFolder(tmp_path, {}) as folder,
        pytest.raises(ValueError, match=r"the validation split has no scored pixel: all its masks are 255"),
    ):
        loop(folder, cache_folder).run(lambda _: None)


@pytest.mark.parametrize(("flip", "truth"), [(1.0, [0, 64, 0]), (0.0, [64, 0, 0])])
def test_a_flip_swaps_left_and_right_in_the_truth_too(flip: float, truth: list[int]) -> None:
    """One picture of class 0 alone; 0 and 1 are mirror partners."""
    params = train_params(augment={**STILL, "flip": flip})
    images = keras.Input((8, 8, 3))
    model = keras.Model(images, keras.layers.Conv2D(3, 1)(images))
    optimizer = build_optimizer(params)
    optimizer.build(model.trainable_variables)
    step = build_training_step(model, optimizer, params, CLASSES, [(0, 1)], tf.distribute.get_strategy(), None)
    batch = {
        "images": tf.zeros((1, 8, 8, 3), tf.uint8),
        "masks": tf.zeros((1, 8, 8), tf.uint8),
        "keys": tf.constant([[3, 4]], tf.int32),
    }
    _, confusion = step(batch)
    assert confusion.numpy().sum(axis=1).tolist() == truth


class Observer:
    """Hears of a training and, asked to, ends it as a kill would."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after = stop_after
        self.fingerprints: list[str] = []

    def start(self, fingerprint: str) -> None:
        self.fingerprints.append(fingerprint)

    def epoch(self, epoch: Epoch) -> None:
        if epoch.epoch == self.stop_after:
            raise KeyboardInterrupt


def test_a_whole_training_writes_what_happened_and_never_resumes_other_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = write_cache(tmp_path / "cache", size=64)
    values = yaml.safe_load((ROOT / "params.yaml").read_text())["model"]
    model_params = ModelParams.model_validate(values)
    params = train_params(epochs=3, learning_rate=0.01)
    outputs = Outputs(tmp_path / "models", tmp_path / "metrics")
    runs = tmp_path / "runs"

    with pytest.raises(KeyboardInterrupt):
        train(cache, model_params, params, runs, outputs, Observer(stop_after=1), None)
    assert len(list(runs.glob("*/epoch-00001.npz"))) == 1
    assert outputs.curves.read_text().splitlines()[1].startswith("1,"), "the curves are written as it happens"
    manifest = cache / "cache.json"
    manifest.write_text(manifest.read_text() + "\n")
    capsys.readouterr()
    trained = train(cache, model_params, params, runs, outputs, Observer(), None)
    out = capsys.readouterr().out
    assert "continuing after" not in out
    assert "it differs in:\n  data: " in out

    assert [path.name for path in runs.glob("*/epoch-0000[23].npz")] == ["epoch-00003.npz"], "all but the last stay"
    with outputs.curves.open() as file:
        curves = {int(row["epoch"]): row for row in csv.DictReader(file)}
    scores = json.loads(outputs.scores.read_text())
    assert list(curves) == [1, 2, 3]
    best = max(curves, key=lambda number: float(curves[number]["val_iou"]))
    assert scores["kept_epoch"] == trained.kept.epoch == best
    for name in ("loss", "f1", "iou", "val_loss", "val_f1", "val_iou"):
        assert scores[name] == pytest.approx(float(curves[best][name]), rel=1e-4)
    description = json.loads(outputs.description.read_text())
    assert description["weights_sha256"] == sha256(outputs.weights)
    assert description["made_from"]["data"] == sha256(manifest)
    assert description["classes"] == ["red", "green", "blue"]

    # Killed now, before DVC has the outputs, they are made again without training.
    weights = outputs.weights.read_bytes()
    outputs.weights.unlink()
    again = train(cache, model_params, params, runs, outputs, Observer(), None)
    assert "continuing after epoch 3 of 3" in capsys.readouterr().out
    assert outputs.weights.read_bytes() == weights
    assert again.model_sha256 == trained.model_sha256
    forget(runs, description["made_from"])
    assert [run.epoch for run in runs_in(runs)] == [1], "that of the other data stays"


def test_seed_precision_and_determinism_are_set() -> None:
    before = keras.mixed_precision.dtype_policy()
    try:
        weights = []
        for seed in (7, 7, 8):
            setup.prepare(seed, "mixed_bfloat16", deterministic=False)
            weights.append(float(keras.ops.sum(keras.initializers.GlorotUniform()((4, 4)))))
            assert keras.mixed_precision.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    assert weights[0] == weights[1] != weights[2]
