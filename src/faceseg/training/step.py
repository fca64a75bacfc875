"""One training step and one validation step as compiled functions, for one device or several.

``strategy.run`` over a ``tf.function`` is the same code for one device, several GPUs and several machines. Cached
pixels come in as uint8; casting and augmentation happen here, inside the graph.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from faceseg.inputs.augment import augment, background_of
from faceseg.models.build import logits_of_each
from faceseg.objectives.losses import build_loss
from faceseg.objectives.metrics import confusion_matrix
from faceseg.params import TrainParams

Step = Callable[[dict[str, tf.Tensor]], tuple[tf.Tensor, tf.Tensor]]
Gradients = list[tf.Tensor]
Part = Callable[[dict[str, tf.Tensor]], tuple[tf.Tensor, tf.Tensor, Gradients]]


def build_optimizer(params: TrainParams) -> keras.Optimizer:
    """The optimizer by name; under float16 with dynamic loss scaling.

    Loss scaling (Micikevicius et al., Mixed Precision Training, 2018): small float16 gradients would vanish, so the
    loss is multiplied by a scale that halves, and the step is skipped, whenever a gradient overflows.
    """
    chosen = params.optimizer
    optimizer: keras.Optimizer
    if chosen.name == "sgd":
        optimizer = keras.optimizers.SGD(
            params.learning_rate,
            momentum=chosen.momentum,
            nesterov=chosen.nesterov,
            weight_decay=chosen.weight_decay or None,
        )
    elif chosen.name == "adam":
        optimizer = keras.optimizers.Adam(params.learning_rate, chosen.beta_1, chosen.beta_2)
    else:
        optimizer = keras.optimizers.AdamW(
            params.learning_rate, chosen.weight_decay, beta_1=chosen.beta_1, beta_2=chosen.beta_2
        )
    if params.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def build_training_step(
    model: keras.Model,
    optimizer: keras.Optimizer,
    params: TrainParams,
    classes: Sequence[str],
    mirror: Sequence[tuple[int, int]],
    strategy: tf.distribute.Strategy,
    class_weights: Sequence[float] | None,
) -> Step:
    """A function from a batch to its (loss float32 (), confusion int64 (K, K)); each call moves the weights once.

    The batch: ``images`` uint8 (B, S, S, 3), ``masks`` uint8 (B, S, S), ``keys`` int32 (B, 2). The confusion is that of
    the augmented pictures, with the weights as they were before the step. With ``accumulate`` parts, one after the
    other, the loss and the gradients are the means over the parts: each part's own Dice, Jaccard, Tversky and Lovasz,
    and its own batch statistics. The networks of an ensemble learn each from its own loss, as if it were alone; the
    loss that comes back is their mean, the confusion that of the mean of their logits.

    Raises:
        ValueError: ``classes``, the names by id, have no background, and it is to be repainted.
    """
    loss_of = build_loss(params.loss, len(classes), class_weights)
    each = logits_of_each(model)
    if params.augment.background > 0:
        background_of(classes)

    def part(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        images, masks = augment(
            tf.cast(batch["images"], tf.float32),
            tf.cast(batch["masks"], tf.int32),
            batch["keys"],
            params.augment,
            mirror,
            classes,
        )
        with tf.GradientTape() as tape:
            logits = each(images, training=True)
            loss = tf.add_n([loss_of(of_one, masks) for of_one in logits])
            scaled = optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, model.trainable_variables)
        predictions = tf.argmax(tf.add_n(logits), axis=-1, output_type=tf.int32)
        return loss / len(logits), confusion_matrix(masks, predictions, len(classes)), gradients

    def on_replica(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        loss, confusion, gradients = _mean_over_parts(part, batch, params.accumulate)
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            gradients = _skip_together(gradients)
        if params.clip_norm is not None:
            gradients = _clip(gradients, params.clip_norm, _scale_of(optimizer))
        optimizer.apply(gradients, model.trainable_variables)
        return loss, confusion

    return _on_all(strategy, on_replica)


def build_validation_step(
    model: keras.Model, params: TrainParams, strategy: tf.distribute.Strategy, class_weights: Sequence[float] | None
) -> Step:
    """A function from a batch to (loss float32 (), confusion int64 (K, K)), without augmentation or dropout."""
    classes = model.output_shape[-1]
    loss_of = build_loss(params.loss, classes, class_weights)

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


def _mean_over_parts(part: Part, batch: dict[str, tf.Tensor], parts: int) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
    """Work through the batch in equal parts: mean loss, summed confusion, mean gradients."""
    if parts == 1:
        return part(batch)
    pieces = {key: tf.split(values, parts) for key, values in batch.items()}
    loss, confusion, gradients = part({key: values[0] for key, values in pieces.items()})
    for index in range(1, parts):
        # A part begins when the one before has its gradients, or the activations of all would be held at once.
        with tf.control_dependencies(gradients):
            piece = {key: tf.identity(values[index]) for key, values in pieces.items()}
        more_loss, more_confusion, more_gradients = part(piece)
        loss, confusion = loss + more_loss, confusion + more_confusion
        gradients = [one + other for one, other in zip(gradients, more_gradients, strict=True)]
    return loss / parts, confusion, [gradient / parts for gradient in gradients]


def _clip(gradients: Gradients, longest: float, scale: Any) -> Gradients:
    """Shorten the gradient of the global batch, as one vector, to ``longest`` (Pascanu et al., 2013).

    Keras' own ``global_clipnorm`` would measure each replica's share before they are summed.
    """
    context = tf.distribute.get_replica_context()
    whole = gradients
    if context.num_replicas_in_sync > 1:
        whole = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
    length = tf.linalg.global_norm(whole) / scale
    return [gradient * (longest / tf.maximum(length, longest)) for gradient in gradients]


def _scale_of(optimizer: keras.Optimizer) -> Any:
    """What the optimizer will divide the gradients by."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return tf.convert_to_tensor(optimizer.dynamic_scale)
    return 1.0


def _skip_together(gradients: Gradients) -> Gradients:
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
