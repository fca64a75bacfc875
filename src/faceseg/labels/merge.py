"""From source ids to target classes, for every pixel of every mask, through one table of 256 entries.

A table has no order of replacement to get wrong, reaches every class, and commutes with nearest-neighbour shrinking.
"""

import numpy as np

from faceseg.labels.classes import IGNORED
from faceseg.sources.catalog import Merge


def lookup_table(merge: Merge) -> np.ndarray:
    """(256,) uint8: the target id of each source id; 255 for ids that no target class has."""
    table = np.full(256, IGNORED, np.uint8)
    for target, members in enumerate(merge.members):
        table[list(members)] = target
    return table


def merge_ids(ids: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Target ids, of the shape of ``ids``, uint8; ``table`` as ``lookup_table`` gives it."""
    return np.take(table, ids)


def merge_pixels(pixels: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Pixels by target id from pixels by source id, both (256,) int64."""
    merged = np.zeros(256, np.int64)
    np.add.at(merged, table, pixels)
    return merged
