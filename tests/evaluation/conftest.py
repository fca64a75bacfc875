"""Staged test splits, and a network whose logits are the colours."""

from pathlib import Path

import keras
import numpy as np
import pytest

from tests.evaluation.staged import CLASSES, SIZE, Staged, stage


@pytest.fixture(params=["stretch", "pad"])
def staged(request: pytest.FixtureRequest, tmp_path: Path) -> Staged:
    return stage(tmp_path, request.param)


@pytest.fixture
def stretched(tmp_path: Path) -> Staged:
    return stage(tmp_path, "stretch")


@pytest.fixture(scope="session")
def network() -> keras.Model:
    """A 1 x 1 convolution whose logits are red, green and blue, and -1 for a class that never wins."""
    images = keras.Input((SIZE, SIZE, 3))
    layer = keras.layers.Conv2D(len(CLASSES), 1)
    model = keras.Model(images, layer(images))
    layer.set_weights([np.eye(3, 4, dtype=np.float32)[None, None], np.array([0, 0, 0, -1], np.float32)])
    return model
