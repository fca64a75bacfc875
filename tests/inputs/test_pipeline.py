"""The two chains: order from (seed, epoch), full batches for training, every picture once for evaluation."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from faceseg.inputs.pipeline import epoch_keys, epoch_order, evaluation_batches, training_batches
from faceseg.store.shards import Cache

ORDER = [5, 3, 2, 4, 1, 0]
KEYS = [[-753231994, 584452040], [-1800832256, 653516457]]


def rows_of(batches: object) -> list[int]:
    """The rows that a chain hands out, read off the red channel."""
    return [int(value) for batch in batches for value in batch["images"][:, 0, 0, 0]]  # type: ignore[attr-defined]


def test_training_takes_full_batches_of_different_pictures(cache: Cache) -> None:
    batches = list(training_batches(cache.split("train"), 4, seed=0, epoch=1))
    assert [batch["images"].shape for batch in batches] == [(4, 8, 8, 3)] * 2
    rows = rows_of(batches)
    assert len(set(rows)) == 8
    assert rows == epoch_order(0, 1, 11)[:8].tolist()
    for batch in batches:
        np.testing.assert_array_equal(batch["masks"][:, 3, 3], batch["images"][:, 0, 0, 0] % 3)
        np.testing.assert_array_equal(batch["keys"], epoch_keys(0, 1, 11)[batch["images"][:, 0, 0, 0]])


def test_nothing_waits_for_a_tuner_at_the_end_of_an_epoch(cache: Cache) -> None:
    for batches in (training_batches(cache.split("train"), 4, 0, 1), evaluation_batches(cache.split("val"), 4)):
        assert batches.options().autotune.enabled is False


def test_every_epoch_and_seed_has_its_own_order_and_each_the_same_again(cache: Cache) -> None:
    split = cache.split("train")
    orders = {(s, e): tuple(rows_of(training_batches(split, 4, s, e))) for s in (0, 1) for e in (1, 2)}
    assert len(set(orders.values())) == 4
    assert tuple(rows_of(training_batches(split, 4, 1, 2))) == orders[1, 2]


def test_the_pictures_left_out_differ_between_epochs(cache: Cache) -> None:
    split = cache.split("train")
    seen = {row for epoch in range(1, 9) for row in rows_of(training_batches(split, 10, 0, epoch))}
    assert seen == set(range(11))


def test_an_order_is_a_permutation_and_spread_evenly() -> None:
    orders = np.array([epoch_order(5, epoch, 10) for epoch in range(600)])
    assert (np.sort(orders, axis=1) == np.arange(10)).all()
    # Each row is first in 60 of 600 epochs, give or take 4 standard deviations of 7.3.
    counts = np.bincount(orders[:, 0], minlength=10)
    assert counts.min() > 30
    assert counts.max() < 90


def test_keys_do_not_depend_on_the_number_of_pictures_and_never_repeat() -> None:
    np.testing.assert_array_equal(epoch_keys(7, 3, 50)[:20], epoch_keys(7, 3, 20))
    keys = {tuple(key) for seed in (0, 1) for epoch in (1, 2) for key in epoch_keys(seed, epoch, 500).tolist()}
    assert len(keys) == 2000
    assert epoch_keys(7, 3, 2).dtype == np.int32


def test_keys_and_order_are_frozen() -> None:
    """A trained model's bits depend on these; whoever changes them says so in the changelog."""
    assert epoch_order(0, 1, 6).tolist() == ORDER
    assert epoch_keys(0, 1, 2).tolist() == KEYS


def test_evaluation_takes_every_picture_once_and_fills_the_last_batch(cache: Cache) -> None:
    batches = list(evaluation_batches(cache.split("val"), 3))
    assert [batch["rows"].numpy().tolist() for batch in batches] == [[0, 1, 2], [3, 4, 5], [6, -1, -1]]
    last = batches[-1]
    assert (last["masks"][1:].numpy() == 255).all()
    assert (last["images"][1:].numpy() == 0).all()
    assert (last["masks"][0].numpy() == 6 % 3).all()
    assert rows_of(batches)[:7] == list(range(7))


def test_evaluation_without_a_rest_adds_no_batch(cache: Cache) -> None:
    assert [b["rows"].numpy().tolist() for b in evaluation_batches(cache.split("val"), 7)] == [[0, 1, 2, 3, 4, 5, 6]]


def test_fewer_pictures_than_one_batch_is_an_error(cache: Cache) -> None:
    with pytest.raises(ValueError, match=r"batch_size is 12, but the training split has 11 pictures.*lower"):
        training_batches(cache.split("train"), 12, 0, 1)


def test_shapes_are_static(cache: Cache) -> None:
    for chain in (training_batches(cache.split("train"), 4, 0, 1), evaluation_batches(cache.split("val"), 4)):
        assert all(spec.shape.is_fully_defined() for spec in chain.element_spec.values())


SHARE = """
import sys
from pathlib import Path
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from faceseg.inputs.augment import augment
from faceseg.inputs.pipeline import training_batches
from faceseg.params import Augment
from faceseg.store.shards import Cache
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
split = Cache.open(Path(sys.argv[1])).split("train")
params = Augment(flip=.5, rotate=10, scale=.1, shift=.1, brightness=.1, contrast=.1, saturation=.1, background=.5)
def change(batch):
    images, masks = tf.cast(batch["images"], tf.float32), tf.cast(batch["masks"], tf.int32)
    return augment(images, masks, batch["keys"], params, [(0, 1)], ["background", "left", "right"])[0]
on_all = tf.function(lambda batch: strategy.run(change, args=(batch,)))
alone = tf.function(change)
pairs = zip(strategy.experimental_distribute_dataset(training_batches(split, 4, 0, 1)),
            training_batches(split, 4, 0, 1), strict=True)
for shared, whole in pairs:
    parts = strategy.experimental_local_results(on_all(shared))
    assert [part.shape[0] for part in parts] == [2, 2]
    assert bool(tf.reduce_all(tf.concat(parts, 0) == alone(whole)))
print("shared")
"""


def test_two_devices_share_each_batch_and_change_pictures_as_one_does(cache: Cache, tmp_path: Path) -> None:
    """In a process of its own: logical devices are made before TensorFlow's first operation."""
    done = subprocess.run([sys.executable, "-c", SHARE, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip().endswith("shared"), done.stderr[-2000:]
