"""Two devices compute what one would: the same weights after the same steps."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]

# TensorFlow takes logical devices only before its first operation, so each run is a process of its own.
SCRIPT = """
import json, sys
from pathlib import Path
import tensorflow as tf
devices, folder = int(sys.argv[1]), Path(sys.argv[2])
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
import numpy as np
from faceseg.models.blocks import batch_norm
from faceseg.models.build import JOINT, MEAN, networks
from faceseg.store.shards import Cache
from faceseg.training.checkpoint import RunFolder
from faceseg.training.loop import Loop
from tests.training.blocks import train_params, write_cache

cache = write_cache(folder / f"cache{devices}")
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]) if devices == 2 else tf.distribute.get_strategy()
keras.utils.set_random_seed(1)
changes = json.loads(sys.argv[3])

def network(name, filters):
    images = keras.Input((16, 16, 3))
    values = keras.layers.Rescaling(1 / 255)(images)
    values = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(values)
    values = keras.layers.ReLU()(batch_norm()(values))
    return keras.Model(images, keras.layers.Conv2D(3, 1)(values), name=name)

with strategy.scope():
    model = network("one", 8)
    if changes.pop("ensemble", False):
        images, second = keras.Input((16, 16, 3)), network("other", 4)
        mean = keras.layers.Average(name=MEAN)([model(images), second(images)])
        model = keras.Model(images, mean, name=f"one{JOINT}other")
        assert len(networks(model)) == 2
with RunFolder(folder / f"runs{devices}", {}) as run:
    progress = Loop(model, train_params(epochs=3, **changes), Cache.open(cache), run, strategy).run(lambda _: None)
np.savez(folder / f"weights{devices}.npz", *[np.asarray(value) for value in model.weights])
print(json.dumps([[epoch.loss, epoch.iou, epoch.val_loss, epoch.val_iou] for epoch in progress.epochs]))
"""


def run(devices: int, folder: Path, changes: dict[str, Any]) -> list[list[float]]:
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(devices), str(folder), json.dumps(changes)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# A length of 0.05 is below every gradient's here, so that a norm over half of the batch would show.
ALL = {"average_decay": 0.9, "clip_norm": 0.05, "class_weights": "inverse", "optimizer": {"name": "sgd"}}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param({"ensemble": True, "clip_norm": 0.05}, marks=pytest.mark.slow),
        pytest.param({**ALL, "loss": {"focal": 1.0, "lovasz": 1.0}}, marks=pytest.mark.slow),
    ],
    ids=["default", "ensemble", "all"],
)
def test_two_devices_train_as_one(tmp_path: Path, changes: dict[str, Any]) -> None:
    one, two = run(1, tmp_path, changes), run(2, tmp_path, changes)
    np.testing.assert_allclose(two, one, rtol=2e-4, atol=2e-4)
    with np.load(tmp_path / "weights1.npz") as first, np.load(tmp_path / "weights2.npz") as second:
        for name in first.files:
            np.testing.assert_allclose(second[name], first[name], rtol=2e-3, atol=2e-4)
