"""The Lovasz-softmax loss: a convex surrogate of 1 - IoU that counts pixels, not probabilities."""

import tensorflow as tf


def lovasz_softmax(p: tf.Tensor, truth: tf.Tensor) -> tf.Tensor:
    """The mean over the classes that are in the masks of the Lovasz extension of the Jaccard loss, float32 ().

    Berman et al., The Lovasz-Softmax Loss, CVPR 2018, equations 8 and 9, with ``classes="present"`` and over the whole
    batch: a class's errors |truth - p|, sorted from the largest, times what each adds to 1 - IoU.

    It costs a sort of all pixels for every class. Within ``strategy.run`` the errors of all replicas are brought
    together, because a sort does not add up: each device then holds and sorts the global batch's errors, so this term
    gains no speed from more devices.

    Args:
        p: probabilities (N, K), float32.
        truth: one-hot (N, K), float32; a row of zeros is a pixel that is not scored.
    """
    # A pixel that is not scored has no error, so it comes last and adds nothing.
    errors = tf.abs(truth - p) * tf.reduce_sum(truth, axis=1, keepdims=True)
    errors, truth = (tf.transpose(_of_all_replicas(values)) for values in (errors, truth))
    order = tf.argsort(tf.stop_gradient(errors), axis=1, direction="DESCENDING", stable=True)
    errors, truth = (tf.gather(values, order, batch_dims=1) for values in (errors, truth))
    losses = tf.reduce_sum(errors * _jaccard_steps(truth), axis=1)
    present = tf.cast(tf.reduce_any(truth > 0, axis=1), tf.float32)
    return tf.math.divide_no_nan(tf.reduce_sum(present * losses), tf.reduce_sum(present))


def _jaccard_steps(truth: tf.Tensor) -> tf.Tensor:
    """What each pixel in turn adds to the Jaccard loss: (K, N), from the truth (K, N) in the order of the errors."""
    total = tf.reduce_sum(truth, axis=1, keepdims=True)
    intersection = total - tf.cumsum(truth, axis=1)
    union = total + tf.cumsum(1 - truth, axis=1)
    jaccard = 1 - tf.math.divide_no_nan(intersection, union)
    return tf.stop_gradient(jaccard - tf.pad(jaccard[:, :-1], [[0, 0], [1, 0]]))


def _of_all_replicas(values: tf.Tensor) -> tf.Tensor:
    """(N, K) of this replica to (replicas * N, K) of all, in the replicas' order.

    A sum of tensors in which each replica fills its own place: its gradient is the sum over the replicas, as that of
    the other losses' sums is.
    """
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    if replicas == 1:
        return values
    place = tf.one_hot(context.replica_id_in_sync_group, replicas)[:, None, None]
    together = context.all_reduce(tf.distribute.ReduceOp.SUM, place * values[None])
    return tf.reshape(together, (-1, values.shape[-1]))
