"""Confusion counts of clips: a model of how two networks err, and a repository that holds what they measured."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from faceseg.evaluation.compare import Measured
from faceseg.files import write_csv

NAMES = ("background", "skin", "hair", "mouth", "eyes")
SHARES = np.array([0.6, 0.25, 0.1, 0.04, 0.01])


def draw(generator: np.random.Generator, clips: int, effect: Sequence[float] = (0.0,) * 5) -> np.ndarray:
    """(clips, 2, 5, 5) int64: what base and head counted in each clip.

    A clip's difficulty is common to both, and each errs by chance beside it. The last class is in 7 of 10 clips.
    ``effect`` is added to the log odds of head's errors, class by class.
    """
    area = generator.gamma(8, 1 / 8, (clips, 5)) * SHARES * 20_000
    area[:, -1] *= generator.random(clips) < 0.7
    pixels = area.astype(np.int64)
    difficulty = generator.normal(0, 0.5, (clips, 1)) - 2.0
    counts = np.zeros((clips, 2, 5, 5), np.int64)
    for side, added in enumerate((np.zeros(5), np.asarray(effect))):
        odds = np.exp(difficulty + generator.normal(0, 0.4, (clips, 5)) + added)
        wrong = generator.binomial(pixels, odds / (1 + odds))
        for k in range(5):
            others = np.where(np.arange(5) == k, 0, SHARES)
            counts[:, side, k] = generator.multinomial(wrong[:, k], others / others.sum())
            counts[:, side, k, k] = pixels[:, k] - wrong[:, k]
    return counts


def measured(counts: np.ndarray, names: Sequence[str] = NAMES) -> Measured:
    """(clips, K, K) as a side of a comparison."""
    return Measured(tuple(names), {f"clip{n:04}": matrix for n, matrix in enumerate(counts)})


def write_measured(root: Path, side: Measured) -> None:
    """metrics/clips.csv and metrics/plots/confusion.csv, in evaluate's form."""
    names = side.classes
    total = sum(side.clips.values(), np.zeros((len(names), len(names)), np.int64))
    pairs = [(a, p) for a in range(len(names)) for p in range(len(names))]
    write_csv(
        root / "metrics" / "plots" / "confusion.csv",
        ("actual", "predicted", "pixels"),
        [(names[a], names[p], int(total[a, p])) for a, p in pairs],
    )
    write_csv(
        root / "metrics" / "clips.csv",
        ("clip", "actual", "predicted", "pixels"),
        [
            (clip, names[a], names[p], int(matrix[a, p]))
            for clip, matrix in side.clips.items()
            for a, p in pairs
            if matrix[a, p]
        ],
    )


class Measurements:
    """A git repository of measurements, one commit each."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        who = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", *who, *arguments], cwd=self.root, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def write(self, side: Measured, params: Mapping[str, Any], model: str) -> None:
        """Put a measurement into the workspace."""
        write_measured(self.root, side)
        (self.root / "params.yaml").write_text(yaml.safe_dump(dict(params)))
        outs = [{"path": "models", "md5": model}, {"path": "metrics/train.json", "md5": model}]
        (self.root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"train": {"outs": outs}}}))

    def commit(self, name: str) -> str:
        """Commit the workspace under a tag; returns the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", name)
        self.git("tag", name)
        return self.git("rev-parse", "HEAD")
