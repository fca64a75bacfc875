"""The train stage's work: from a cache to a model, its description, its scores and its curves."""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np

from faceseg.files import aside_of, full_disk_named, sha256, sync_file, sync_folder, write_csv, write_json
from faceseg.models.build import build_model
from faceseg.params import ModelParams, TrainParams
from faceseg.running.room import require_room, room_for, still_to_write
from faceseg.store.shards import Cache
from faceseg.training import setup
from faceseg.training.checkpoint import KEPT, RunFolder, runs_in
from faceseg.training.initial import NO_MODEL, begin_from, initial_identity
from faceseg.training.loop import Epoch, Loop, Progress

CODE = ("inputs", "models", "objectives", "store", "training")
CURVES = ("epoch", "lr", "loss", "f1", "iou", "val_loss", "val_f1", "val_iou")


class Observer(Protocol):
    """Who hears of a training as it happens; the tracker is one."""

    def start(self, fingerprint: str) -> None:
        """Called once, before the first epoch, with the hash of everything that the trained bits depend on."""

    def epoch(self, epoch: Epoch) -> None:
        """Called as an epoch ends; after a resume, for the epochs before it first."""


@dataclass(frozen=True)
class Outputs:
    """Where a training writes: folders."""

    models: Path
    metrics: Path

    @property
    def weights(self) -> Path:
        return self.models / "model.weights.h5"

    @property
    def description(self) -> Path:
        return self.models / "model.json"

    @property
    def scores(self) -> Path:
        return self.metrics / "train.json"

    @property
    def curves(self) -> Path:
        return self.metrics / "plots" / "curves.csv"


@dataclass(frozen=True)
class Trained:
    """What a training made."""

    model_sha256: str
    parameters: int
    epochs: Sequence[Epoch]
    kept: Epoch


def train(
    cache_folder: Path,
    model_params: ModelParams,
    params: TrainParams,
    runs: Path,
    outputs: Outputs,
    observer: Observer,
    initial: Path | None,
) -> Trained:
    """Train from the last checkpoint of this very training, or from the start, and write the outputs.

    Args:
        cache_folder: what the cache stage made.
        runs: where checkpoints lie, outside DVC's outs.
        initial: folder of a trained model whose weights are taken over as far as they fit, or None.

    Raises:
        ValueError: the cache is missing or damaged, the model cannot be built, the loss is no number, or this training
            is already running in another process.
    """
    setup.prepare(params.seed, params.precision, params.deterministic)
    cache = Cache.open(cache_folder)
    identity = identity_of(cache_folder, model_params, params, initial)
    with RunFolder(runs, identity) as folder:
        observer.start(folder.fingerprint)
        strategy = setup.strategy()
        with strategy.scope():
            model = build_model(model_params, cache.size, len(cache.classes))
        if initial is not None:
            print(f"begins from {initial}: {begin_from(model, initial, model_params)}")
        _introduce(model, cache, folder, strategy.num_replicas_in_sync)
        loop = Loop(model, params, cache, folder, strategy)
        checkpoints = still_to_write(folder.path, loop.checkpoint_bytes(KEPT + 1))
        with room_for("this training", {folder.path: checkpoints, outputs.models: loop.weights_bytes}):
            progress = loop.run(_Recorder(outputs.curves, observer).epoch)
            trained = _write(model, model_params, cache, identity, progress, outputs)
        folder.end()
    return trained


class _Recorder:
    """Keeps the curves on disk whole after every epoch, and passes the epoch on."""

    def __init__(self, curves: Path, observer: Observer) -> None:
        self._curves = curves
        self._observer = observer
        self._rows: list[list[str]] = []

    def epoch(self, epoch: Epoch) -> None:
        self._rows.append([_cell(getattr(epoch, name)) for name in CURVES])
        write_csv(self._curves, CURVES, self._rows)
        self._observer.epoch(epoch)


def _introduce(model: keras.Model, cache: Cache, folder: RunFolder, devices: int) -> None:
    pictures = ", ".join(f"{len(cache.split(name))} {name}" for name in cache.splits)
    print(
        f"{model.name}: {model.count_params() / 1e6:.1f} million parameters; pictures: {pictures}; devices: {devices}"
    )
    others = [run for run in runs_in(folder.path.parent) if run.path != folder.path and not run.running]
    if others:
        print(
            f"{len(others)} other trainings have left {sum(run.bytes for run in others):,} bytes of checkpoints in "
            f"{folder.path.parent}; `faceseg clean` removes them"
        )
    differing = folder.what_differs()
    if differing:
        print("a checkpoint of another training is there and is left alone; it differs in:", *differing, sep="\n  ")


def identity_of(
    cache_folder: Path, model_params: ModelParams, params: TrainParams, initial: Path | None
) -> dict[str, Any]:
    """Everything that the trained bits depend on, as JSON values."""
    return {
        "data": sha256(cache_folder / "cache.json"),
        "code": {folder: _code_hash(Path(__file__).parents[1] / folder) for folder in CODE},
        # By its content, since a path may be one of this machine.
        "model": {**model_params.model_dump(), "init_from": initial_identity(initial)},
        "train": params.model_dump(),
        "surroundings": setup.surroundings(params.deterministic),
    }


def _code_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder).as_posix()} {sha256(path)}\n".encode())
    return digest.hexdigest()


def _write(
    model: keras.Model,
    model_params: ModelParams,
    cache: Cache,
    identity: dict[str, Any],
    progress: Progress,
    outputs: Outputs,
) -> Trained:
    """The outputs, model.json last: a description that is there means a model that is complete."""
    _write_weights(model, outputs.weights)
    kept = progress.epochs[progress.best_epoch - 1 if identity["train"]["keep"] == "best" else -1]
    scores = {name: getattr(kept, name) for name in CURVES[2:] if getattr(kept, name) is not None}
    write_json(outputs.scores, {"epochs": len(progress.epochs), "kept_epoch": kept.epoch, **scores})
    weights_sha256 = sha256(outputs.weights)
    description = {
        "architecture": model_params.architecture,
        "backbone": model_params.backbone,
        "params": {**model_params.model_dump(), "init_from": NO_MODEL},
        "classes": list(cache.classes),
        "colours": [list(colour) for colour in cache.colours],
        "mirror": [list(pair) for pair in cache.mirror],
        "input": {"shape": [None, cache.size, cache.size, 3], "dtype": "float32", "channels": "RGB", "range": [0, 255]},
        "output": {"shape": [None, cache.size, cache.size, len(cache.classes)], "dtype": "float32", "is": "logits"},
        "size": cache.size,
        "fit": cache.fit,
        "weights_sha256": weights_sha256,
        "made_from": identity,
    }
    write_json(outputs.description, description)
    return Trained(weights_sha256, model.count_params(), progress.epochs, kept)


def _write_weights(model: keras.Model, path: Path) -> None:
    """Keras writes under a name of its choosing only, so write beside and rename.

    Raises:
        NoRoomError: the disk is full.
    """
    aside = aside_of(path) / path.name
    path.parent.mkdir(parents=True, exist_ok=True)
    # Asked for first, because HDF5 answers a full disk with whatever it stumbles on next.
    require_room("the model", {path.parent: sum(np.asarray(weight).nbytes for weight in model.weights)})
    try:
        with full_disk_named(path, aside):
            aside.parent.mkdir()
            model.save_weights(aside)
            sync_file(aside)
        aside.replace(path)
    finally:
        shutil.rmtree(aside.parent, ignore_errors=True)
    sync_folder(path.parent)


def _cell(value: float | int | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.6g}"
