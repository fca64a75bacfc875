"""Random choices of the generator: a Philox stream keyed by what is drawn, never by when or where it is drawn.

Only ``Generator.random`` and ``Generator.integers`` are used, and trigonometry is rounded to a grid, so that a
picture's bytes do not depend on the processor's own mathematics.
"""

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

TRAIN, VAL = 0, 1
SPLITS = ("train", "val")
# What a stream is for; the number goes into its key, so that one more draw here moves nothing there.
PERSON, SCENE, FRAME, SCHEDULE = 1, 2, 3, 4

GRID = 1e4


class Draws:
    """A stream of choices for one purpose, from (seed, purpose, split, numbers)."""

    def __init__(self, seed: int, purpose: int, split: int, *numbers: int) -> None:
        key = np.random.SeedSequence([seed, purpose, split, *numbers])
        self.generator = np.random.Generator(np.random.Philox(key))

    def uniform(self, low: float, high: float) -> float:
        """A float in [low, high)."""
        return low + (high - low) * float(self.generator.random())

    def middling(self, low: float, high: float) -> float:
        """A float in [low, high) that is more often near the middle: the mean of two draws."""
        return (self.uniform(low, high) + self.uniform(low, high)) / 2

    def chance(self, probability: float) -> bool:
        return float(self.generator.random()) < probability

    def below(self, count: int) -> int:
        """An integer in 0..count-1."""
        return min(count - 1, int(float(self.generator.random()) * count))

    def choice(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def weighted(self, options: Sequence[tuple[T, float]]) -> T:
        """One of the options, each with its own weight (the weights need not add to 1)."""
        left = self.uniform(0, sum(weight for _, weight in options))
        for option, weight in options:
            left -= weight
            if left < 0:
                return option
        return options[-1][0]

    def uniforms(self, count: int, low: float, high: float) -> np.ndarray:
        """float64 (count,) in [low, high)."""
        return low + (high - low) * self.generator.random(count)

    def grain(self, shape: tuple[int, ...]) -> np.ndarray:
        """int16 of the shape in -255..255, triangular around 0: the sum of two uniform bytes less 255."""
        first = self.generator.integers(0, 256, size=shape, dtype=np.uint8)
        second = self.generator.integers(0, 256, size=shape, dtype=np.uint8)
        return first.astype(np.int16) + second.astype(np.int16) - 255


def one_in(seed: int, split: int, clip: int, count: int, trait: int) -> bool:
    """Whether this clip is the one among its ``count`` neighbours that has a rare trait.

    A clip's answer never depends on how many clips are made, and small sets have their share all the same.
    """
    block, place = clip // count, clip % count
    return place == Draws(seed, SCHEDULE, split, block, count, trait).below(count)


def sine(degrees: float) -> float:
    """The sine, rounded to 1e-4."""
    return round(math.sin(math.radians(degrees)) * GRID) / GRID


def cosine(degrees: float) -> float:
    """The cosine, rounded to 1e-4."""
    return round(math.cos(math.radians(degrees)) * GRID) / GRID
