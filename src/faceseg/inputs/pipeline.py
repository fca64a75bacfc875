"""Two straight tf.data chains over memory-mapped shards, one for training and one for evaluation.

Whole batches are gathered by row from the shards, which measured faster than one file per picture and shuffles the
whole split instead of a window. One thread gathers, ahead of the device by a few batches: the order is a function of
(seed, epoch) and of nothing else. The chains start from rows and not from a Python generator, because TensorFlow's
generator dataset changes the allocator of the whole process, after which every training step has its memory mapped in
anew (measured: 3,057 page faults a step instead of 351).
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from faceseg.inputs.augment import IGNORED
from faceseg.inputs.sampling import draw_rows
from faceseg.store.shards import Split

AHEAD = 4  # batches gathered while the device computes
FILLING = -1  # the row of a picture that only fills the last batch
# Philox's counter tells streams of one (seed, epoch) apart.
ORDER_STREAM, KEY_STREAM, START_STREAM = 0, 1, 2

Gather = Callable[[np.ndarray], Sequence[np.ndarray]]


def training_batches(
    split: Split, batch_size: int, seed: int, epoch: int, shares: np.ndarray | None = None
) -> tf.data.Dataset:
    """One epoch of full batches in an order drawn from (seed, epoch).

    The pictures that do not fill a last batch are left out: another part of the data each epoch. ``shares`` float64
    (n,), of :func:`faceseg.inputs.sampling.repeat_shares`, lets some pictures come more often and others less; the
    epoch keeps its length, and a picture that comes twice is changed in two ways. None: every picture once.

    Returns:
        A dataset of ``images`` uint8 (B, S, S, 3), ``masks`` uint8 (B, S, S) with 255 for pixels that are not scored,
        and ``keys`` int32 (B, 2), each picture's key for :func:`faceseg.inputs.augment.augment`.

    Raises:
        ValueError: the split has fewer pictures than one batch.
    """
    steps = len(split) // batch_size
    if steps == 0:
        raise ValueError(
            f"train.batch_size is {batch_size}, but the training split has {len(split)} pictures, less than one "
            "batch; lower train.batch_size or take more pictures"
        )
    order = epoch_order(seed, epoch, len(split))
    keys = epoch_keys(seed, epoch, len(split))

    if shares is None:

        def gather(rows: np.ndarray) -> Sequence[np.ndarray]:
            return split.images_at(rows), split.masks_at(rows), keys[rows]

    else:
        start = float(_draws(seed, epoch, START_STREAM, 1)[0] >> np.uint64(11)) / 2**53
        drawn = draw_rows(shares, start)

        def gather(rows: np.ndarray) -> Sequence[np.ndarray]:
            return split.images_at(drawn[rows]), split.masks_at(drawn[rows]), keys[rows]

    return _chain(order[: steps * batch_size].reshape(steps, batch_size), gather, split, "keys", (2,))


def evaluation_batches(split: Split, batch_size: int) -> tf.data.Dataset:
    """Every picture exactly once, in the order of its row, in batches of one static shape.

    The last batch is filled up with black pictures whose masks are all 255 and whose row is -1, so that no score and
    no loss sees them.

    Returns:
        A dataset of ``images`` uint8 (B, S, S, 3), ``masks`` uint8 (B, S, S) and ``rows`` int32 (B,).
    """

    rows = np.arange(-(-len(split) // batch_size) * batch_size)
    rows[len(split) :] = FILLING

    def gather(rows: np.ndarray) -> Sequence[np.ndarray]:
        real = rows[rows != FILLING]
        filling = len(rows) - len(real)
        images, masks = split.images_at(real), split.masks_at(real)
        return _fill(images, filling, 0), _fill(masks, filling, IGNORED), rows.astype(np.int32)

    return _chain(rows.reshape(-1, batch_size), gather, split, "rows", ())


def epoch_order(seed: int, epoch: int, pictures: int) -> np.ndarray:
    """The rows 0..pictures - 1, int64 (pictures,), in an order drawn from (seed, epoch)."""
    return np.argsort(_draws(seed, epoch, ORDER_STREAM, pictures), kind="stable")


def epoch_keys(seed: int, epoch: int, pictures: int) -> np.ndarray:
    """One key a row, int32 (pictures, 2); a row's key depends on (seed, epoch, row) alone, not on ``pictures``."""
    return _draws(seed, epoch, KEY_STREAM, pictures).astype("<u8").view("<i4").reshape(-1, 2).astype(np.int32)


def _draws(seed: int, epoch: int, stream: int, count: int) -> np.ndarray:
    """uint64 (count,). Raw draws: NumPy keeps a bit generator's stream for good, but not its distributions."""
    key = np.array([seed, epoch], dtype=np.uint64)
    counter = np.array([0, 0, 0, stream], dtype=np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(count)


def _fill(values: np.ndarray, filling: int, value: int) -> np.ndarray:
    """Append ``filling`` entries of ``value`` to the first axis."""
    if not filling:
        return values
    return np.pad(values, [(0, filling)] + [(0, 0)] * (values.ndim - 1), constant_values=value)


def _chain(rows: np.ndarray, gather: Gather, split: Split, third: str, shape: tuple[int, ...]) -> tf.data.Dataset:
    """Batches with static shapes from ``rows`` (steps, B); ``third`` is an int32 entry, of ``shape`` for a picture."""
    batch_size = rows.shape[1]
    shapes = {"images": (split.size, split.size, 3), "masks": (split.size, split.size), third: shape}

    def load(rows_of_batch: tf.Tensor) -> dict[str, tf.Tensor]:
        parts = tf.numpy_function(gather, [rows_of_batch], [tf.uint8, tf.uint8, tf.int32])
        return {
            key: tf.ensure_shape(part, (batch_size, *rest))
            for part, (key, rest) in zip(parts, shapes.items(), strict=True)
        }

    options = tf.data.Options()
    # A batch is divided among devices; the data must not be divided a second time, by files.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    options.deterministic = True
    # Nothing here can be tuned, and the end of an epoch may wait for the tuner's thread, about as long as it took.
    options.autotune.enabled = False
    return tf.data.Dataset.from_tensor_slices(rows).map(load).prefetch(AHEAD).with_options(options)
