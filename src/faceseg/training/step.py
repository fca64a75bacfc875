"""One training step and one validation step as compiled functions, for one device or several.

``strategy.run`` over a ``tf.function`` is the same code for one device, several GPUs and several machines. Cached
pixels come in as uint8; casting and augmentation happen here, inside the graph.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from faceseg.inputs.augment import augment
from faceseg.objectives.losses import build_loss
from faceseg.objectives.metrics import confusion_matrix
from faceseg.params import TrainParams

Step = Callable[[dict[str, tf.Tensor]], tuple[tf.Tensor, tf.Tensor]]


def build_optimizer(params: TrainParams) -> keras.Optimizer:
    """The optimizer by name; under float16 with dynamic loss scaling.

    Loss scaling (Micikevicius et al., Mixed Precision Training, 2018): small float16 gradients would vanish, so the
    loss is multiplied by a scale that halves, and the step is skipped, whenever a gradient overflows.
    """
    optimizer: keras.Optimizer
    if params.optimizer.name == "sgd":
        optimizer = keras.optimizers.SGD(
            params.learning_rate,
            momentum=params.optimizer.momentum,
            nesterov=params.optimizer.nesterov,
            weight_decay=params.optimizer.weight_decay or None,
        )
    else:
        optimizer = keras.optimizers.AdamW(params.learning_rate, weight_decay=params.optimizer.weight_decay)
    if params.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def build_training_step(
    model: keras.Model,
    optimizer: keras.Optimizer,
    params: TrainParams,
    mirror: Sequence[tuple[int, int]],
    strategy: tf.distribute.Strategy,
) -> Step:
    """A function from a batch to its (loss float32 (), confusion int64 (K, K)); each call moves the weights.

    The batch: ``images`` uint8 (B, S, S, 3), ``masks`` uint8 (B, S, S), ``keys`` int32 (B, 2). The confusion is that of
    the augmented pictures, with the weights as they were before the step.
    """
    classes = model.output_shape[-1]
    loss_of = build_loss(params.loss, classes)

    def on_replica(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        images, masks = augment(
            tf.cast(batch["images"], tf.float32),
            tf.cast(batch["masks"], tf.int32),
            batch["keys"],
            params.augment,
            mirror,
            classes,
        )
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = loss_of(logits, masks)
            scaled = optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, model.trainable_variables)
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            gradients = _skip_together(gradients)
        optimizer.apply(gradients, model.trainable_variables)
        return loss, confusion_matrix(masks, tf.argmax(logits, axis=-1, output_type=tf.int32), classes)

    return _on_all(strategy, on_replica)


def build_validation_step(model: keras.Model, params: TrainParams, strategy: tf.distribute.Strategy) -> Step:
    """A function from a batch to (loss float32 (), confusion int64 (K, K)), without augmentation or dropout."""
    classes = model.output_shape[-1]
    loss_of = build_loss(params.loss, classes)

    def on_replica(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        masks = tf.cast(batch["masks"], tf.int32)
        logits = model(tf.cast(batch["images"], tf.float32), training=False)
        predictions = tf.argmax(logits, axis=-1, output_type=tf.int32)
        return loss_of(logits, masks), confusion_matrix(masks, predictions, classes)

    return _on_all(strategy, on_replica)


def _on_all(strategy: tf.distribute.Strategy, on_replica: Step) -> Step:
    """Run on every replica and add up: the losses are already divided by the number of replicas."""

    @tf.function
    def step(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        loss, confusion = strategy.run(on_replica, args=(batch,))
        return (
            strategy.reduce(tf.distribute.ReduceOp.SUM, loss, axis=None),
            strategy.reduce(tf.distribute.ReduceOp.SUM, confusion, axis=None),
        )

    return step


def _skip_together(gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    """Make an overflow on one replica one on all: each decides by itself to skip the step, and they must agree."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return gradients
    finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients])
    overflows = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.cast(tf.logical_not(finite), tf.float32))
    return [tf.where(overflows > 0, tf.constant(float("inf"), gradient.dtype), gradient) for gradient in gradients]


def variables_of(model: keras.Model, optimizer: keras.Optimizer) -> list[Any]:
    """Every variable that a step reads or writes, in a fixed order."""
    return [*model.variables, *optimizer.variables]
