"""Each architecture once and each loss once learns eight pictures by heart: at least 0.95 mIoU at 96 pixels."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from faceseg.models.build import ARCHITECTURES, build_model
from faceseg.objectives.losses import build_loss
from faceseg.objectives.metrics import Scores, confusion_matrix
from faceseg.params import LossParams, read_params

SHIPPED = read_params(Path(__file__).parents[1] / "params.yaml")
SIZE, PICTURES, CLASSES = 96, 8, 4
NAMES = ("background", "head", "eyes", "mouth")
TERMS = ("cross_entropy", "dice", "jaccard", "focal", "tversky", "lovasz")

pytestmark = pytest.mark.slow


def drawn_faces() -> tuple[np.ndarray, np.ndarray]:
    """Pictures (8, 96, 96, 3) float32, 0..255, and masks (8, 96, 96): ellipses in noise, 255 along one border."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIZE, :SIZE]
    masks = np.zeros((PICTURES, SIZE, SIZE), np.int32)
    for mask in masks:
        cx, cy, r = rng.uniform(40, 56), rng.uniform(40, 56), rng.uniform(28, 36)
        parts = ((0, 0, 0.8, 1, 1), (-0.32, -0.25, 0.2, 0.16, 2), (0.32, -0.25, 0.2, 0.16, 2), (0, 0.45, 0.36, 0.16, 3))
        for dx, dy, width, height, label in parts:
            mask[((x - cx - dx * r) / (width * r)) ** 2 + ((y - cy - dy * r) / (height * r)) ** 2 < 1] = label
        mask[:, -4:] = 255
    colours = np.array([[90, 110, 150], [200, 150, 120], [240, 240, 240], [170, 50, 60]], np.float32)
    images = colours[np.where(masks == 255, 0, masks)] + rng.normal(0, 20, (PICTURES, SIZE, SIZE, 3))
    return np.clip(images, 0, 255).astype(np.float32), masks


def overfit(model: keras.Model, loss_params: LossParams, most_steps: int, learning_rate: float) -> float:
    """Train on all eight until their mIoU, predicted as at evaluation, reaches 0.95; the last mIoU."""
    images, masks = drawn_faces()
    loss_of = build_loss(loss_params, CLASSES)
    optimizer = keras.optimizers.Adam(learning_rate)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step() -> None:
        with tf.GradientTape() as tape:
            loss = loss_of(model(images, training=True), masks)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

    miou = 0.0
    for number in range(1, most_steps + 1):
        step()
        if number % 20 == 0:
            predicted = tf.argmax(model(images, training=False), axis=-1, output_type=tf.int32)
            miou = Scores.from_confusion(confusion_matrix(masks, predicted, CLASSES).numpy(), NAMES).miou
            if miou >= 0.95:
                break
    return miou


def losses(**terms: Any) -> LossParams:
    return SHIPPED.train.loss.model_copy(update={**dict.fromkeys(TERMS, 0.0), **terms})


def small_model() -> keras.Model:
    """Three convolutions: enough for the task, and quick, since here it is the loss that is tried."""
    values = images = keras.Input((SIZE, SIZE, 3))
    values = keras.layers.Rescaling(1 / 255)(values)
    for _ in range(2):
        values = keras.layers.Conv2D(16, 5, padding="same", use_bias=False)(values)
        values = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.8)(values))
    return keras.Model(images, keras.layers.Conv2D(CLASSES, 3, padding="same")(values))


# FCN has no batch normalisation after its encoder, so VGG-16, which has none either, takes a smaller rate.
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_each_architecture(architecture: str) -> None:
    backbone, rate = ("vgg16", 3e-4) if architecture == "fcn" else ("resnet18", 2e-3)
    params = SHIPPED.model.model_copy(update={"architecture": architecture, "backbone": backbone})
    keras.utils.set_random_seed(0)
    model = build_model(params, SIZE, CLASSES)
    assert overfit(model, losses(cross_entropy=1.0, dice=1.0), 300, rate) >= 0.95


@pytest.mark.parametrize("term", TERMS)
def test_each_loss(term: str) -> None:
    keras.utils.set_random_seed(0)
    assert overfit(small_model(), losses(**{term: 1.0}), 400, 1e-2) >= 0.95
