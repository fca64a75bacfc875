"""Losses on logits and integer masks, as one weighted sum over the global batch.

All but Lovasz follow from one vector of sums (per class: intersection, prediction, truth; then the terms of single
pixels). Summing that vector over the replicas makes several devices compute the very function that one computes.
"""

import functools
import operator
from collections.abc import Callable, Sequence

import tensorflow as tf

from faceseg.objectives.lovasz import lovasz_softmax
from faceseg.params import LossParams

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def build_loss(params: LossParams, classes: int, class_weights: Sequence[float] | None = None) -> Loss:
    """The weighted sum of the terms, as a function of logits and masks.

    The function takes logits (B, H, W, K), of any floating dtype, and masks (B, H, W) of integers 0 to K - 1, or 255:
    not scored, which counts in no term. It gives a float32 scalar. With p the probability of a pixel's true class:

    * cross-entropy: the mean of -log p over the scored pixels, in nats;
    * focal: the mean of -(1 - p)^focal_gamma log p (Lin et al., Focal Loss for Dense Object Detection, 2017);
    * Dice: 1 - 2 I / (P + T), Jaccard: 1 - I / (P + T - I), each the mean over the classes that are in the masks, with
      I, P and T a class's sums of p * truth, p and truth over the scored pixels of the whole batch (Milletari et al.,
      V-Net, 2016; Rahman and Wang, 2016). segmentation-models' losses with ``per_image=False`` do the same, but also
      count a class that is not in the batch, as a constant near 1 that has hardly a gradient. Here such a class is left
      out: a wrong prediction of it already lowers the I of the class that was there. So no smoothing is needed either;
    * Tversky: 1 - I / (I + tversky_alpha (P - I) + tversky_beta (T - I)), its mean as Dice's (Salehi et al., 2017):
      alpha weighs false positives, beta false negatives; Dice is 0.5 and 0.5, Jaccard 1 and 1;
    * Lovasz: see :func:`faceseg.objectives.lovasz.lovasz_softmax`.

    Without a scored pixel the value and the gradients are 0. Within ``strategy.run`` the sums are those of the global
    batch and the value is divided by the number of replicas, so that values and gradients, summed over the replicas,
    are those of one device that sees the whole batch.

    Args:
        params: the terms' weights, and what shapes them.
        classes: K.
        class_weights: (K,), of the pixels by true class in cross-entropy and focal, whose means become weighted ones;
            None: all the same. The other terms already give every class the same say.

    Raises:
        ValueError: when called, for logits of another number of channels.
    """
    pixel_weights = None if class_weights is None else tf.constant(class_weights, tf.float32)

    def loss(logits: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
        if logits.shape[-1] != classes:
            raise ValueError(f"logits of shape {tuple(logits.shape)}: expected {classes} channels, one for each class")
        # One row a pixel: float32, whatever came, because sums over a batch need its digits.
        logits = tf.cast(tf.reshape(logits, (-1, classes)), tf.float32)
        # 255 has no column among the classes, so its row is all zeros.
        truth = tf.one_hot(tf.cast(tf.reshape(masks, (-1,)), tf.int32), classes)
        log_p = tf.nn.log_softmax(logits)
        per_class, pixel_terms = _global_sums(log_p, truth, params, pixel_weights)
        terms = pixel_terms + _region_terms(per_class, params)
        if params.lovasz:
            terms.append(params.lovasz * lovasz_softmax(tf.exp(log_p), truth))
        total = functools.reduce(operator.add, terms)
        return total / tf.distribute.get_replica_context().num_replicas_in_sync

    return loss


def _region_terms(per_class: Sequence[tf.Tensor], params: LossParams) -> list[tf.Tensor]:
    """Dice, Jaccard and Tversky by their weights, each (), from intersection, prediction and truth of classes (K,)."""
    intersection, prediction, truth = per_class
    present = tf.cast(truth > 0, tf.float32)
    dice = 2 * intersection / tf.where(truth > 0, prediction + truth, 1)
    jaccard = intersection / tf.where(truth > 0, prediction + truth - intersection, 1)
    terms = [params.dice * _mean_over(present, 1 - dice), params.jaccard * _mean_over(present, 1 - jaccard)]
    if params.tversky:
        wrong = params.tversky_alpha * (prediction - intersection) + params.tversky_beta * (truth - intersection)
        # Nothing right and nothing that counts as wrong: 0 / 0, which is no match.
        tversky = tf.math.divide_no_nan(intersection, intersection + wrong)
        terms.append(params.tversky * _mean_over(present, 1 - tversky))
    return terms


def _global_sums(
    log_p: tf.Tensor, truth: tf.Tensor, params: LossParams, pixel_weights: tf.Tensor | None
) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """Intersection, prediction and truth (K,), and the weighted terms of single pixels (), over all replicas."""
    classes = truth.shape[-1]
    p = tf.exp(log_p) * tf.reduce_sum(truth, axis=1, keepdims=True)
    per_class = [tf.reduce_sum(values, axis=0) for values in (truth * p, p, truth)]
    weighted = truth if pixel_weights is None else truth * pixel_weights
    scalars = [-tf.reduce_sum(weighted * log_p)]
    if params.focal:
        # A power of 0 has no slope; a pixel that is certain and right has p = 1.
        far = tf.maximum(1 - tf.exp(log_p), 1e-7) ** params.focal_gamma
        scalars.append(-tf.reduce_sum(weighted * far * log_p))
    scalars.append(tf.reduce_sum(per_class[2]) if pixel_weights is None else tf.reduce_sum(weighted))
    sums = tf.concat([*per_class, scalars], axis=0)
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync > 1:
        sums = context.all_reduce(tf.distribute.ReduceOp.SUM, sums)
    *sums_per_class, totals = tf.split(sums, [classes, classes, classes, len(scalars)])
    terms = [params.cross_entropy * tf.math.divide_no_nan(totals[0], totals[-1])]
    if params.focal:
        terms.append(params.focal * tf.math.divide_no_nan(totals[1], totals[-1]))
    return sums_per_class, terms


def _mean_over(present: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """The mean of ``values`` (K,) where ``present`` (K,) is 1; 0 where it is nowhere."""
    return tf.math.divide_no_nan(tf.reduce_sum(present * values), tf.reduce_sum(present))
