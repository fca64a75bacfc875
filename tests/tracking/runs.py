"""What tests of the tracker share: epochs, evaluations, and what an MLflow store says of a run."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import requests

from faceseg.evaluation.compare import Measured
from faceseg.files import write_bytes, write_json
from faceseg.tracking import Evaluated, Tracker
from tests.evaluation.clips import draw, measured, write_measured

DATASETS = [
    {
        "name": "faces-train",
        "context": "train",
        "digest": "d1",
        "uri": "data/cache/train",
        "profile": {"pictures": 9},
    }
]


@dataclass(frozen=True)
class Epoch:
    epoch: int
    lr: float
    loss: float
    f1: float
    iou: float
    val_loss: float | None
    val_f1: float | None
    val_iou: float | None
    val_class_iou: dict[str, float]
    seconds: float
    images_per_second: float


def epoch(number: int, *, val: bool = True) -> Epoch:
    value = number / 10
    scores = (value, value, value) if val else (None, None, None)
    return Epoch(number, 0.1, value, value, value, *scores, {"nose": value} if val else {}, 2.0, 8.0)


def new_tracker(root: Path, **tags: str) -> Tracker:
    return Tracker(root, {"train.seed": 0}, {"dvc.exp": "workspace", **tags}, DATASETS)


def train(root: Path, model: str, epochs: int = 2, fingerprint: str = "f" * 64) -> Tracker:
    """A whole training of ``epochs`` that made ``model``, as the train stage tells it."""
    curves = root / "metrics" / "plots" / "curves.csv"
    write_bytes(curves, f"curves of {model}".encode())
    with new_tracker(root) as tracker:
        tracker.start(fingerprint)
        for number in range(1, epochs + 1):
            tracker.epoch(epoch(number))
        tracker.trained(model, {"curves.csv": curves})
    return tracker


def evaluate(root: Path, model: str, side: Measured, miou: float = 0.5, **tags: str) -> None:
    """The evaluation of ``model``, as the evaluate stage tells it."""
    write_measured(root, side)
    write_bytes(root / "models" / "model.weights.h5", model.encode())
    write_json(root / "models" / "model.json", {"weights_sha256": model})
    files = {"evaluation/clips.csv": "metrics/clips.csv", "evaluation/confusion.csv": "metrics/plots/confusion.csv"}
    tracker = Tracker(root, {}, {})
    assert tracker.find(model)
    tracker.evaluated(
        Evaluated(
            metrics={"test.miou": miou},
            files={shown: root / path for shown, path in files.items()},
            weights=root / "models" / "model.weights.h5",
            description=root / "models" / "model.json",
            dataset="faces",
            flip=False,
            scales=[1.0],
            tags=tags,
        )
    )


def sides(effect: float, clips: int = 24) -> tuple[Measured, Measured]:
    """Two models on the same clips; ``effect`` on the second's log odds of errors, below 0: better."""
    counts = draw(np.random.default_rng(7), clips, (effect,) * 5)
    return measured(counts[:, 0]), measured(counts[:, 1])


class Told:
    """What an MLflow store says."""

    def __init__(self, uri: str, experiment: str = "faceseg") -> None:
        import mlflow

        self.client = mlflow.MlflowClient(uri)
        self._experiment = experiment

    def runs(self) -> list[Any]:
        experiment = self.client.get_experiment_by_name(self._experiment)
        if experiment is None:
            return []
        return list(self.client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"]))

    def run(self) -> Any:
        (run,) = self.runs()
        return run

    def history(self, run_id: str, key: str) -> list[tuple[int, float]]:
        return [(metric.step, metric.value) for metric in self.client.get_metric_history(run_id, key)]

    def artifacts(self, run_id: str, folder: str | None = None) -> list[str]:
        """Every file of a run."""
        paths: list[str] = []
        for entry in self.client.list_artifacts(run_id, folder):
            paths += self.artifacts(run_id, entry.path) if entry.is_dir else [entry.path]
        return sorted(paths)

    def versions(self, name: str = "faceseg-faces") -> list[Any]:
        found = self.client.search_model_versions(f"name = '{name}'")
        return sorted(found, key=lambda one: int(one.version))

    def aliases(self, name: str = "faceseg-faces") -> dict[str, str]:
        return {alias: str(version) for alias, version in self.client.get_registered_model(name).aliases.items()}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A real ``mlflow server`` on loopback that can be killed and started again at the same address."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.uri = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--backend-store-uri", f"sqlite:///{self._folder / 'server.db'}", "--workers", "1"]
        command += ["--artifacts-destination", str(self._folder / "artifacts")]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        # Its background jobs are for language models, a dozen processes.
        kept |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=kept,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait()

    def _wait(self) -> None:
        assert self._process is not None
        for _ in range(600):
            assert self._process.poll() is None, (self._folder / "server.log").read_text()
            try:
                if requests.get(f"{self.uri}/health", timeout=5).ok:
                    return
            except requests.RequestException:
                time.sleep(0.5)
        raise AssertionError((self._folder / "server.log").read_text())

    def start_again(self) -> None:
        """Start it where it was killed; where it was not, it goes on."""
        if self._process is None:
            self.start()

    def kill(self) -> None:
        """SIGKILL to the server and the workers that it started."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
