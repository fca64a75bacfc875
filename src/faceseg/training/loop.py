"""The training loop: epochs of steps, whole-split scores after each, and its whole state saved at every epoch's end.

Keras' own ``fit`` is not used: its resume loses schedule, shuffle order and dropout seeds, its metrics are averages
over batches, and it fails on several machines. Order and augmentation are functions of (seed, epoch, picture), so
nothing of them needs to be saved.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from faceseg.inputs.pipeline import evaluation_batches, training_batches
from faceseg.inputs.sampling import repeat_shares
from faceseg.objectives.balance import class_weights
from faceseg.objectives.metrics import Scores
from faceseg.params import TrainParams
from faceseg.progress import track
from faceseg.running.parent import parent
from faceseg.store.shards import Cache
from faceseg.training.averages import Averages
from faceseg.training.checkpoint import RunFolder
from faceseg.training.schedule import Schedule
from faceseg.training.step import build_optimizer, build_training_step, build_validation_step, variables_of


@dataclass(frozen=True)
class Epoch:
    """What one epoch showed. Scores come from a confusion matrix over the whole split; val_ is None without one."""

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


@dataclass
class Progress:
    """The part of the loop's state that is not in variables; JSON values only."""

    epochs: list[Epoch]
    best: float | None = None
    best_epoch: int = 0
    waited: int = 0
    best_weights: dict[str, str] | None = None


class Loop:
    """One training of one model on one cache; :meth:`run` goes from the last checkpoint, or the start, to the end."""

    def __init__(
        self, model: keras.Model, params: TrainParams, cache: Cache, folder: RunFolder, strategy: tf.distribute.Strategy
    ) -> None:
        """The model must have been built under ``strategy.scope()``."""
        self._train_split = cache.split("train")
        self._val_split = cache.split("val") if "val" in cache.splits else None
        for split in (self._train_split, self._val_split):
            if split is not None:
                split.open_shards()
        _check_batch_size(params.batch_size, len(self._train_split), strategy.num_replicas_in_sync)
        self._model, self._params, self._cache, self._folder, self._strategy = model, params, cache, folder, strategy
        with strategy.scope():
            self._optimizer = build_optimizer(params)
            self._optimizer.build(model.trainable_variables)
        self._averages = None if params.average_decay is None else Averages(model, params.average_decay)
        steps = len(self._train_split) // params.batch_size
        self._schedule = Schedule(params.schedule, params.learning_rate, params.epochs, steps)
        weights = class_weights(params.class_weights, cache.classes, self._train_split.pixels)
        self._train_step = build_training_step(
            model, self._optimizer, params, cache.classes, cache.mirror, strategy, weights
        )
        self._val_step = build_validation_step(model, params, strategy, weights)
        self._shares = repeat_shares(self._train_split, len(cache.classes), params.repeat_rare_below)
        self._progress = Progress(epochs=[])

    @property
    def weights_bytes(self) -> int:
        """Bytes of the model's weights."""
        return sum(np.asarray(variable).nbytes for variable in self._model.weights)

    def checkpoint_bytes(self, checkpoints: int) -> int:
        """Bytes that so many checkpoints (fewer in a shorter training), with the best weights once, take at least."""
        state = sum(np.asarray(variable).nbytes for variable in self._variables())
        best = self.weights_bytes if self._params.keep == "best" else 0
        return min(checkpoints, self._params.epochs) * state + best

    def run(self, observe: Callable[[Epoch], None]) -> Progress:
        """Train; ``observe`` hears of every epoch as it ends, those of before a resume first.

        Returns what happened; the model then has the weights that ``train.keep`` names.

        Raises:
            ValueError: the loss stopped being a number, the validation split has nothing to score, or the dvc process
                that began this training is gone.
        """
        self._resume()
        for epoch in self._progress.epochs:
            observe(epoch)
        while len(self._progress.epochs) < self._params.epochs and not self._out_of_patience():
            parent().check()
            observe(self._epoch(len(self._progress.epochs) + 1))
        parent().check()
        if self._averages is not None:
            self._averages.hand_over()
        if self._params.keep == "best" and self._progress.best_weights:
            for variable, value in zip(
                self._model.weights, self._folder.load_best(self._progress.best_weights), strict=True
            ):
                variable.assign(value)
        return self._progress

    def _epoch(self, number: int) -> Epoch:
        began = time.perf_counter()
        self._seed_dropout(number)
        batches = training_batches(self._train_split, self._params.batch_size, self._params.seed, number, self._shares)
        steps = len(self._train_split) // self._params.batch_size
        loss, matrix, lr = self._train(batches, steps, number)
        if not math.isfinite(loss):
            raise ValueError(
                f"the loss became {loss} in epoch {number}; lower train.learning_rate "
                f"(now {self._params.learning_rate}), raise train.schedule.warmup_epochs, "
                "or set train.precision to float32"
            )
        trained = time.perf_counter() - began
        scores = Scores.from_confusion(matrix, self._cache.classes)
        with self._averages.in_place() if self._averages is not None else nullcontext():
            epoch = self._judge(number, lr, loss, scores, began, steps * self._params.batch_size / trained)
        self._save(epoch)
        _show(epoch)
        return epoch

    def _judge(self, number: int, lr: float, loss: float, scores: Scores, began: float, speed: float) -> Epoch:
        """Score the weights that would be kept, and keep them where they are the best so far."""
        val_loss, val_scores = self._validate()
        epoch = Epoch(
            epoch=number,
            lr=lr,
            loss=loss,
            f1=scores.mf1,
            iou=scores.miou,
            val_loss=val_loss,
            val_f1=val_scores.mf1 if val_scores else None,
            val_iou=val_scores.miou if val_scores else None,
            val_class_iou=_present(val_scores) if val_scores else {},
            seconds=time.perf_counter() - began,
            images_per_second=speed,
        )
        self._compare(epoch)
        return epoch

    def _train(self, batches: tf.data.Dataset, steps: int, number: int) -> tuple[float, np.ndarray, float]:
        """All steps of an epoch: mean loss, confusion matrix, and the rate of the last step."""
        rate, losses, matrices = 0.0, [], []
        label = f"epoch {number} of {self._params.epochs}"
        for index, batch in enumerate(track(self._distribute(batches), steps, label)):
            rate = self._schedule.rate(number - 1 + (index + 1) / steps)
            self._optimizer.learning_rate.assign(rate)
            loss, matrix = self._train_step(batch)
            if self._averages is not None:
                self._averages.update()
            # Tensors, not numbers: fetching a value here would make a GPU wait after every step.
            losses.append(loss)
            matrices.append(matrix)
        return float(np.mean(_numpy(losses), dtype=np.float64)), np.sum(_numpy(matrices), axis=0), rate

    def _validate(self) -> tuple[float | None, Scores | None]:
        """The loss, weighted by the pictures of each batch, and the scores over the whole split; None without one."""
        split = self._val_split
        if split is None:
            return None, None
        losses, matrices, pictures = [], [], []
        size = self._params.batch_size
        for index, batch in enumerate(self._distribute(evaluation_batches(split, size))):
            loss, matrix = self._val_step(batch)
            losses.append(loss)
            matrices.append(matrix)
            pictures.append(min(size, len(split) - index * size))
        if not np.sum(_numpy(matrices)):
            raise ValueError(
                "the validation split has no scored pixel: all its masks are 255; look at them in data/resized, or "
                "take other clips by split.seed or split.lists"
            )
        loss = float(np.average(_numpy(losses).astype(np.float64), weights=pictures))
        return loss, Scores.from_confusion(np.sum(_numpy(matrices), axis=0), self._cache.classes)

    def _compare(self, epoch: Epoch) -> None:
        """Set the epoch beside the best one, by the monitored curve."""
        progress = self._progress
        progress.epochs.append(epoch)
        self._schedule.end_epoch(epoch.val_loss)
        progress.waited += 1
        value = getattr(epoch, self._params.monitor)
        if value is None:
            progress.best_epoch = epoch.epoch
        elif progress.best is None or _better(self._params.monitor, value, progress.best):
            progress.best, progress.best_epoch, progress.waited = value, epoch.epoch, 0
            if self._params.keep == "best":
                weights = [np.asarray(variable) for variable in self._model.weights]
                progress.best_weights = self._folder.save_best(epoch.epoch, weights)

    def _save(self, epoch: Epoch) -> None:
        """Save everything: from here a killed run goes on as if nothing had been."""
        arrays = [np.asarray(variable) for variable in self._variables()]
        self._folder.save(epoch.epoch, arrays, {**asdict(self._progress), "schedule": self._schedule.state()})

    def _variables(self) -> list[Any]:
        averages = self._averages.variables if self._averages is not None else []
        return [*variables_of(self._model, self._optimizer), *averages]

    def _resume(self) -> None:
        saved = self._folder.latest()
        if saved is None:
            return
        number, arrays, state = saved
        for variable, value in zip(self._variables(), arrays, strict=True):
            variable.assign(value)
        self._schedule.restore(state.pop("schedule"))
        self._progress = Progress(**{**state, "epochs": [Epoch(**epoch) for epoch in state["epochs"]]})
        print(f"continuing after epoch {number} of {self._params.epochs}", flush=True)

    def _out_of_patience(self) -> bool:
        patience = self._params.early_stopping.patience
        return patience is not None and self._progress.waited >= patience

    def _seed_dropout(self, number: int) -> None:
        """Set every seed generator from (seed, epoch): weights files do not hold them."""
        weights = {id(variable) for variable in self._model.weights}
        generators = [variable for variable in self._model.variables if id(variable) not in weights]
        for index, variable in enumerate(generators):
            key = np.random.SeedSequence([self._params.seed, number, index]).generate_state(2)
            variable.assign(key.astype(variable.dtype))

    def _distribute(self, batches: tf.data.Dataset) -> Any:
        if self._strategy.num_replicas_in_sync == 1:
            return batches
        return self._strategy.experimental_distribute_dataset(batches)


def _check_batch_size(batch_size: int, pictures: int, replicas: int) -> None:
    if batch_size > pictures:
        raise ValueError(
            f"train.batch_size is {batch_size}, but the train split has {pictures} pictures; lower train.batch_size"
        )
    if batch_size % replicas:
        raise ValueError(
            f"train.batch_size is {batch_size}, which {replicas} devices cannot share evenly; "
            f"make it a multiple of {replicas}"
        )


def _better(curve: str, value: float, best: float) -> bool:
    """A loss is better when it is lower, a score when it is higher."""
    return value < best if curve.endswith("loss") else value > best


def _show(epoch: Epoch) -> None:
    line = f"  lr {epoch.lr:.3g}, loss {epoch.loss:.4f}, f1 {epoch.f1:.3f}, iou {epoch.iou:.3f}"
    if epoch.val_iou is not None:
        line += f" | val_loss {epoch.val_loss:.4f}, val_f1 {epoch.val_f1:.3f}, val_iou {epoch.val_iou:.3f}"
    print(f"{line} | {epoch.images_per_second:.1f} pictures/s", flush=True)


def _numpy(tensors: Sequence[tf.Tensor]) -> np.ndarray:
    return np.stack([tensor.numpy() for tensor in tensors])


def _present(scores: Scores) -> dict[str, float]:
    """IoU of the classes that occur; a class that is absent has none."""
    return {name: float(values["iou"]) for name, values in scores.to_dict()["per_class"].items()}
