"""Pictures that occur in two splits: the same file, or one that looks the same, found without comparing all with all.

Near-duplicates by multi-index hashing (Norouzi, Punjani, Fleet: Fast search in Hamming space, CVPR 2012): of two hashes
that differ in at most 3 of 64 bits, one of four parts of 16 bits is the same in both. So only hashes that share a part
are compared.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

# Of 70 photographs shrunk to 2/3 and saved as JPEG of quality 70, all are within 3 bits of the original; of 400
# generated faces of different clips the nearest two are 9 bits apart.
NEAR_BITS = 3
_PARTS = 4
_PART_BITS = 16
_MOST = 2048  # hashes of one bucket that are compared with each other; the rest are counted
_BLOCK = 256


@dataclass(frozen=True, slots=True)
class Placed:
    """A picture: ``content`` is the sha256 of its file, ``perceptual`` its ``images.perceptual.difference_hash``."""

    id: str
    split: str
    content: str
    perceptual: int


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """Two pictures in different splits, the earlier one first; ``bits``: in how many their hashes differ."""

    kind: Literal["duplicate", "near-duplicate"]
    first: tuple[str, str]
    second: tuple[str, str]
    bits: int

    def __str__(self) -> str:
        (split, id_), (other_split, other) = self.first, self.second
        same = "are one file" if self.kind == "duplicate" else f"look alike ({self.bits} bits apart)"
        return f"{id_} in {split} and {other} in {other_split} {same}"


@dataclass(frozen=True)
class Duplicates:
    """``exact`` and ``near`` pairs, sorted; a picture is the second of at most one exact pair.

    ``near`` names one pair for two hashes, whatever number of pictures have them. ``skipped``: hashes that were not
    compared with all that share a part with them, because too many do (thousands of pictures of one colour, say).
    """

    exact: list[Pair]
    near: list[Pair]
    skipped: int


def across_splits(pictures: Sequence[Placed]) -> Duplicates:
    """The pairs of pictures in different splits that are the same file, or differ in at most ``NEAR_BITS`` bits."""
    exact = _exact(pictures)
    near, skipped = _near(pictures)
    return Duplicates(sorted(exact), sorted(near), skipped)


def _exact(pictures: Sequence[Placed]) -> list[Pair]:
    """Each file that occurs in two splits: every further picture of it, with one of another split."""
    same: defaultdict[str, list[Placed]] = defaultdict(list)
    for picture in pictures:
        same[picture.content].append(picture)
    pairs = []
    for group in same.values():
        group.sort(key=_order)
        for n, picture in enumerate(group):
            partner = next((other for other in group[:n] if other.split != picture.split), None)
            if partner is not None:
                pairs.append(Pair("duplicate", (partner.split, partner.id), (picture.split, picture.id), 0))
    return pairs


def _near(pictures: Sequence[Placed]) -> tuple[list[Pair], int]:
    alike: defaultdict[int, list[Placed]] = defaultdict(list)
    for picture in sorted(pictures, key=_order):
        alike[picture.perceptual].append(picture)
    pairs = [pair for group in alike.values() if (pair := _closest(group, group, 0)) is not None]
    hashes = np.array(sorted(alike), np.uint64)
    lone = np.array([_lone_split(alike[int(hash_)]) for hash_ in hashes], np.int8)
    found: set[tuple[int, int]] = set()
    skipped = 0
    for part in range(_PARTS):
        values = (hashes >> np.uint64(part * _PART_BITS)) & np.uint64((1 << _PART_BITS) - 1)
        order = np.argsort(values, kind="stable")
        starts = np.flatnonzero(np.diff(values[order], prepend=np.uint64(1 << _PART_BITS)))
        for bucket in np.split(order, starts[1:]):
            skipped += max(0, len(bucket) - _MOST)
            found |= _within(hashes[bucket[:_MOST]], lone[bucket[:_MOST]])
    for one, other in sorted(found):
        pair = _closest(alike[one], alike[other], (one ^ other).bit_count())
        if pair is not None:
            pairs.append(pair)
    return pairs, skipped


def _within(hashes: np.ndarray, lone: np.ndarray) -> set[tuple[int, int]]:
    """The pairs of (n,) uint64 distinct hashes that differ in at most ``NEAR_BITS`` bits, smaller first.

    ``lone``: the split of the pictures of each hash, -1 where they are of several; pairs within one are left out.
    """
    found = set()
    for first in range(0, len(hashes) - 1, _BLOCK):
        block = slice(first, first + _BLOCK)
        near = np.bitwise_count(hashes[block, None] ^ hashes[None, first:]) <= NEAR_BITS
        near &= (lone[block, None] != lone[None, first:]) | (lone[None, first:] < 0)
        for n, m in np.argwhere(near):
            if n < m:
                one, other = int(hashes[first + n]), int(hashes[first + m])
                found.add((min(one, other), max(one, other)))
    return found


def _lone_split(group: Sequence[Placed]) -> int:
    splits = {picture.split for picture in group}
    return _RANK[group[0].split] if len(splits) == 1 else -1


def _closest(some: Sequence[Placed], others: Sequence[Placed], bits: int) -> Pair | None:
    """The first pair of the two groups, each in order, that lies in two splits and is not one file."""
    firsts: dict[str, Placed] = {}
    for picture in some:
        firsts.setdefault(picture.split, picture)
    for one in firsts.values():
        for other in others:
            if other.split != one.split and other.content != one.content:
                earlier, later = sorted((one, other), key=_order)
                return Pair("near-duplicate", (earlier.split, earlier.id), (later.split, later.id), bits)
    return None


_RANK = {"train": 0, "val": 1, "test": 2}


def _order(picture: Placed) -> tuple[int, str]:
    return _RANK[picture.split], picture.id
