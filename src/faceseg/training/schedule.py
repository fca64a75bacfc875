"""The learning rate at every step, after a warm-up: constant, falling along a curve, or lowered on a plateau.

Plain Python with a small state of its own, so that a checkpoint holds all of it.
"""

import math
from typing import Any

from faceseg.params import Schedule as ScheduleParams


class Schedule:
    """The rate as a function of the progress and, for ``plateau``, of the validation losses seen so far."""

    def __init__(self, params: ScheduleParams, learning_rate: float, epochs: int, steps: int) -> None:
        """``steps``: of one epoch."""
        self._params = params
        self._learning_rate = learning_rate
        self._epochs = epochs
        self._steps = steps
        self._factor = 1.0
        self._best: float | None = None
        self._waited = 0

    def rate(self, progress: float) -> float:
        """The rate for a step.

        Args:
            progress: epochs done by the end of this step, 0 < progress <= epochs; fractions are steps.
        """
        warmup = self._params.warmup_epochs
        if progress < warmup:
            return self._learning_rate * self._factor * progress / warmup
        done = min((progress - warmup) / max(self._epochs - warmup, 1e-9), 1.0)
        final = self._params.final_fraction
        if self._params.name == "cosine":
            # Loshchilov and Hutter, SGDR (2017), equation 5, without restarts; the last step has the final rate.
            return self._learning_rate * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done)))
        if self._params.name == "polynomial":
            # Keras' PolynomialDecay; DeepLab's and PSPNet's trainings have a power of 0.9 and end at 0.
            return self._learning_rate * (final + (1 - final) * (1 - done) ** self._params.power)
        if self._params.name == "inverse_time":
            # Keras' InverseTimeDecay, the `decay` of its old optimizers: the first step after the warm-up is step 0.
            steps = max((progress - warmup) * self._steps - 1, 0)
            return self._learning_rate / (1 + self._params.decay * steps)
        return self._learning_rate * self._factor

    def end_epoch(self, val_loss: float | None) -> None:
        """Count an epoch; ``plateau`` lowers the rate once ``patience`` epochs brought no lower validation loss."""
        if self._params.name != "plateau":
            return
        if val_loss is None:
            raise ValueError(
                "train.schedule.name is 'plateau', which follows the validation loss, but there is no "
                "validation split; set split.val above 0, or the schedule to 'cosine' or 'constant'"
            )
        if self._best is None or val_loss < self._best:
            self._best, self._waited = val_loss, 0
            return
        self._waited += 1
        if self._waited >= self._params.patience:
            self._factor *= self._params.factor
            self._waited = 0

    def state(self) -> dict[str, Any]:
        return {"factor": self._factor, "best": self._best, "waited": self._waited}

    def restore(self, state: dict[str, Any]) -> None:
        self._factor, self._best, self._waited = state["factor"], state["best"], state["waited"]
