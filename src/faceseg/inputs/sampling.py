"""Pictures with rare classes more often: repeat-factor sampling, drawn anew from (seed, epoch) each time."""

import numpy as np

from faceseg.store.shards import Split

ROWS_AT_ONCE = 256


def repeat_shares(split: Split, classes: int, threshold: float | None) -> np.ndarray | None:
    """How often each picture comes in an epoch, on average: float64 (n,) with mean 1; None without a threshold.

    Gupta et al., LVIS (CVPR 2019), section 4.1: a class in the part f of the pictures has max(1, sqrt(threshold / f)),
    a picture has the largest of its classes; here the whole is scaled so that an epoch keeps its length. All masks are
    read once.

    Raises:
        ValueError: a mask holds a class outside 0..classes - 1 that is not 255.
    """
    if threshold is None:
        return None
    holds = _classes_of_pictures(split, classes)
    parts = np.maximum(holds.mean(axis=0), 1 / len(split))
    repeats = np.maximum(1.0, np.sqrt(threshold / parts))
    of_picture = np.where(holds, repeats, 1.0).max(axis=1)
    return of_picture / of_picture.mean()


def draw_rows(shares: np.ndarray, start: float) -> np.ndarray:
    """Rows int64 (n,), ascending: each as often as its share, rounded down or up.

    Systematic sampling: a comb of n teeth one apart, ``start`` in [0, 1) from 0, laid along the shares end to end.
    """
    teeth = np.arange(len(shares)) + start
    rows = np.searchsorted(np.cumsum(shares), teeth, side="right")
    return np.minimum(rows, len(shares) - 1)


def _classes_of_pictures(split: Split, classes: int) -> np.ndarray:
    """Which classes each picture holds, bool (n, K)."""
    holds = np.zeros((len(split), 256), bool)
    for first in range(0, len(split), ROWS_AT_ONCE):
        rows = np.arange(first, min(first + ROWS_AT_ONCE, len(split)))
        for row, mask in zip(rows, split.masks_at(rows), strict=True):
            holds[row] = np.bincount(mask.ravel(), minlength=256) > 0
    foreign = np.flatnonzero(holds[:, classes:255].any(axis=0))
    if foreign.size:
        raise ValueError(f"a mask of {split.folder} holds the id {classes + foreign[0]}, expected 0 to {classes - 1}")
    return holds[:, :classes]
