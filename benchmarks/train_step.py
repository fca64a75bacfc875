"""Pictures a second of one training step: our architectures beside segmentation-models' own on the same encoder.

Forward, losses, backward and AdamW on one batch of random pictures, on this machine:

    python benchmarks/train_step.py --backbones resnet18 resnet50 --precisions float32 mixed_bfloat16

The peers: for pspnet, segmentation-models' PSPNet, at 240 pixels because 48 must divide its side; for deeplabv3plus,
which segmentation-models does not have, its U-Net. Since sides differ, the ratio is one of pixels a second. Each runs
with its own library's losses. Rounds alternate between the two, so that other load on the machine meets both; the
figures are medians.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from faceseg.models.backbones import segmentation_models
from faceseg.models.build import build_model
from faceseg.objectives.losses import build_loss
from faceseg.params import read_params

CLASSES = 8
PEERS = {"pspnet": ("PSPNet", 240), "deeplabv3plus": ("Unet", None)}
Step = Callable[[], tf.Tensor]


def training_step(model: keras.Model, loss_of: Callable[[Any, Any], Any], batch: int, size: int) -> Step:
    """A compiled training step on one batch of random pictures; ``loss_of`` takes outputs and integer masks."""
    images = tf.random.uniform((batch, size, size, 3), 0, 255)
    masks = tf.random.uniform((batch, size, size), 0, CLASSES, tf.int32)
    optimizer = keras.optimizers.AdamW(1e-3, weight_decay=1e-4)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = loss_of(model(images, training=True), masks)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    return step


def ours(architecture: str, backbone: str, batch: int, size: int) -> Step:
    """faceseg's step."""
    params = read_params()
    chosen = params.model.model_copy(update={"architecture": architecture, "backbone": backbone})
    return training_step(build_model(chosen, size, CLASSES), build_loss(params.train.loss, CLASSES), batch, size)


def theirs(architecture: str, backbone: str, batch: int, size: int) -> Step:
    """segmentation-models' step, with its losses on probabilities and one-hot masks."""
    kind = getattr(segmentation_models, PEERS[architecture][0])
    model = kind(backbone, input_shape=(size, size, 3), classes=CLASSES, activation="softmax", encoder_weights=None)
    terms = [
        segmentation_models.losses.CategoricalCELoss(),
        segmentation_models.losses.DiceLoss(),
        segmentation_models.losses.JaccardLoss(),
    ]

    def loss_of(probabilities: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
        probabilities = tf.cast(probabilities, tf.float32)
        truth = tf.one_hot(masks, CLASSES)
        return tf.add_n([term(truth, probabilities) for term in terms])

    return training_step(model, loss_of, batch, size)


def seconds(steps: list[Step], rounds: int) -> list[float]:
    """The median time of each step, after two that are not counted."""
    times: list[list[float]] = [[] for _ in steps]
    for _ in range(2 + rounds):
        for index, step in enumerate(steps):
            start = time.perf_counter()
            step().numpy()
            times[index].append(time.perf_counter() - start)
    return [float(np.median(values[2:])) for values in times]


def main() -> None:
    """Measure what the command line names, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", nargs="+", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--backbones", nargs="+", default=["resnet18"])
    parser.add_argument("--precisions", nargs="+", default=["float32", "mixed_bfloat16"])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    print("| architecture | encoder | precision | pictures/s | peer | its pictures/s | pixels/s, ours : peer |")
    print("|---|---|---|---|---|---|---|")
    for backbone in options.backbones:
        for architecture in options.architectures:
            for precision in options.precisions:
                keras.backend.clear_session()
                keras.mixed_precision.set_dtype_policy(precision)
                peer, size = PEERS[architecture]
                size = size or options.size
                steps = [
                    ours(architecture, backbone, options.batch, options.size),
                    theirs(architecture, backbone, options.batch, size),
                ]
                rates = [options.batch / value for value in seconds(steps, options.rounds)]
                ratio = rates[0] * options.size**2 / (rates[1] * size**2)
                print(
                    f"| {architecture} | {backbone} | {precision} | {rates[0]:.1f} | {peer} at {size} | {rates[1]:.1f} "
                    f"| {ratio:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
