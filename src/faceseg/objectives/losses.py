"""Cross-entropy, Dice and Jaccard on logits and integer masks, as one weighted sum over the global batch.

All three follow from one vector of sums (per class: intersection, prediction, truth; then cross-entropy and pixels).
Summing that vector over the replicas makes several devices compute the very function that one computes.
"""

from collections.abc import Callable

import tensorflow as tf

from faceseg.params import LossWeights

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def build_loss(weights: LossWeights, classes: int) -> Loss:
    """The weighted sum of the terms, as a function of logits and masks.

    The function takes logits (B, H, W, K), of any floating dtype, and masks (B, H, W) of integers 0 to K - 1, or 255:
    not scored, which counts in no term. It gives a float32 scalar:

    * cross-entropy: the mean of -log p(truth) over the scored pixels, in nats;
    * Dice: 1 - 2 I / (P + T), Jaccard: 1 - I / (P + T - I), each the mean over the classes that are in the masks, with
      I, P and T a class's sums of p * truth, p and truth over the scored pixels of the whole batch (Milletari et al.,
      V-Net, 2016; Rahman and Wang, 2016). segmentation-models' losses with ``per_image=False`` do the same, but also
      count a class that is not in the batch, as a constant near 1 that has hardly a gradient. Here such a class is left
      out: a wrong prediction of it already lowers the I of the class that was there. So no smoothing is needed either.

    Without a scored pixel the value and the gradients are 0. Within ``strategy.run`` the sums are those of the global
    batch and the value is divided by the number of replicas, so that values and gradients, summed over the replicas,
    are those of one device that sees the whole batch.

    Raises:
        ValueError: when called, for logits of another number of channels.
    """

    def loss(logits: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
        if logits.shape[-1] != classes:
            raise ValueError(f"logits of shape {tuple(logits.shape)}: expected {classes} channels, one for each class")
        intersection, prediction, truth, entropy, pixels = _global_sums(logits, masks, classes)
        present = tf.cast(truth > 0, tf.float32)
        dice = 2 * intersection / tf.where(truth > 0, prediction + truth, 1)
        jaccard = intersection / tf.where(truth > 0, prediction + truth - intersection, 1)
        total = (
            weights.cross_entropy * tf.math.divide_no_nan(entropy, pixels)
            + weights.dice * _mean_over(present, 1 - dice)
            + weights.jaccard * _mean_over(present, 1 - jaccard)
        )
        return total / tf.distribute.get_replica_context().num_replicas_in_sync

    return loss


def _global_sums(logits: tf.Tensor, masks: tf.Tensor, classes: int) -> list[tf.Tensor]:
    """Intersection, prediction and truth (K,), cross-entropy () and scored pixels (), over all replicas."""
    # One row a pixel: float32, whatever came, because sums over a batch need its digits.
    logits = tf.cast(tf.reshape(logits, (-1, classes)), tf.float32)
    # 255 has no column among the classes, so its row is all zeros.
    truth = tf.one_hot(tf.cast(tf.reshape(masks, (-1,)), tf.int32), classes)
    log_p = tf.nn.log_softmax(logits)
    p = tf.exp(log_p) * tf.reduce_sum(truth, axis=1, keepdims=True)
    per_class = [tf.reduce_sum(values, axis=0) for values in (truth * p, p, truth)]
    entropy = -tf.reduce_sum(truth * log_p)
    sums = tf.concat([*per_class, [entropy, tf.reduce_sum(per_class[2])]], axis=0)
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync > 1:
        sums = context.all_reduce(tf.distribute.ReduceOp.SUM, sums)
    intersection, prediction, truth_sum, scalars = tf.split(sums, [classes, classes, classes, 2])
    return [intersection, prediction, truth_sum, scalars[0], scalars[1]]


def _mean_over(present: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """The mean of ``values`` (K,) where ``present`` (K,) is 1; 0 where it is nowhere."""
    return tf.math.divide_no_nan(tf.reduce_sum(present * values), tf.reduce_sum(present))
