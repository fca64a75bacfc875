"""Which clip is trained on, which is validated with, which is tested: no clip is ever on two sides.

The split of a clip is a function of (seed, clip) alone, from sha256 and not from a shuffled list, so that new data
never moves old data from one split to another.
"""

import difflib
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

from faceseg.params import Limit, SplitParams

SPLITS = ("train", "val", "test")


class Sample(Protocol):
    """What is asked of a row of an index."""

    @property
    def clip(self) -> str: ...

    @property
    def split(self) -> str: ...


def fraction(seed: int, clip: str) -> float:
    """The place of a clip in [0, 1), evenly spread: the first 53 bits of sha256("seed/clip")."""
    digest = hashlib.sha256(f"{seed}/{clip}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def assign(samples: Sequence[Sample], params: SplitParams, limit: Limit, names: Sequence[str] = ()) -> dict[str, str]:
    """The split of every clip that takes part.

    ``params.lists`` come first. Then, with ``by: own``, the dataset's own test clips stay its test; where it has a
    validation split of its own, that stays as well, and where it has none, a part ``val`` of the other clips is
    carved from train. With ``by: clip`` its own splits are not looked at: ``test`` and then ``val`` of the clips are
    taken. Last, ``limit`` takes whole clips of each split in the order of their hash, up to the first that would
    exceed it, so that a larger limit holds what a smaller one held.

    Args:
        samples: rows with ``clip`` and ``split`` (the dataset's own: train, val, test, or empty), and, where they are
            known, ``classes`` (the ids in the mask).
        params: the section ``split`` of params.yaml.
        limit: pictures of each split at most; None: all.
        names: of the classes by id, for messages; a class without one is named by its id.

    Returns:
        split by clip, clips sorted; a clip that the limit leaves out is not in it. ``val`` has no clip when
        ``params.val`` is 0 and nothing else names one.

    Raises:
        ValueError: when ``lists`` name a group that is not there, when the dataset's own splits part a clip, or when
            a split comes out empty or, before ``limit``, train without a class that another split can spare a clip of.
            The last two propose lists that mend it.
    """
    pictures = Counter(sample.clip for sample in samples)
    if not pictures:
        raise ValueError("got no pictures to split; look into rejected.csv of the merge stage for the reasons")
    listed = _listed(params, pictures)
    own = _own_splits(samples, listed) if params.by == "own" else {}
    has_own_val = "val" in own.values()
    by_clip = {}
    for clip in sorted(pictures):
        if clip in listed:
            by_clip[clip] = listed[clip]
        elif params.by == "own":
            by_clip[clip] = _from_own(own[clip], 0.0 if has_own_val else params.val, fraction(params.seed, clip))
        else:
            by_clip[clip] = _from_fraction(params, fraction(params.seed, clip))
    classes = _classes_by_clip(samples)
    _refuse_empty(by_clip, classes, params)
    _refuse_lost_classes(by_clip, classes, params, names)
    return _limited(by_clip, pictures, params.seed, limit)


def leaks(placed: Iterable[tuple[str, str]]) -> list[str]:
    """The clips that occur in more than one split, sorted; ``placed`` are the (clip, split) of pictures as written."""
    first: dict[str, str] = {}
    return sorted({clip for clip, split in placed if first.setdefault(clip, split) != split})


def _from_own(own: str, val: float, place: float) -> str:
    if own != "train":
        return own
    return "val" if place < val else "train"


def _from_fraction(params: SplitParams, place: float) -> str:
    if place < params.test:
        return "test"
    return "val" if place < params.test + params.val else "train"


def _listed(params: SplitParams, pictures: Counter[str]) -> dict[str, str]:
    """Split by group, for the groups that are named outright."""
    listed = {group: split for split in SPLITS for group in getattr(params.lists, split)}
    for group, split in listed.items():
        if group not in pictures:
            known = sorted(pictures)
            near = difflib.get_close_matches(group, known, n=3) or known[:3]
            raise ValueError(
                f"split.lists.{split} names {group!r}, which is no group of this dataset; "
                f"near it: {', '.join(near)} ({len(known)} groups in all)"
            )
    return listed


def _own_splits(samples: Sequence[Sample], listed: dict[str, str]) -> dict[str, str]:
    """The dataset's own split of each clip that is not listed; a picture without one counts as train."""
    own: dict[str, str] = {}
    for sample in samples:
        split = sample.split or "train"
        if split not in SPLITS:
            raise ValueError(f"the index gives {sample.clip!r} the split {split!r}, expected one of {SPLITS} or none")
        if own.setdefault(sample.clip, split) != split and sample.clip not in listed:
            raise ValueError(
                f"the dataset's own splits part the clip {sample.clip!r}: it has pictures in {own[sample.clip]} and in "
                f"{split}; set split.by to 'clip', or name this clip in one of split.lists"
            )
    return own


def _classes_by_clip(samples: Sequence[Sample]) -> dict[str, set[int]]:
    classes: dict[str, set[int]] = {}
    for sample in samples:
        classes.setdefault(sample.clip, set()).update(getattr(sample, "classes", ()))
    return classes


def _refuse_empty(by_clip: dict[str, str], classes: dict[str, set[int]], params: SplitParams) -> None:
    """A split that is asked for has a clip; the message names clips that would do."""
    counts = Counter(by_clip.values())
    for split in SPLITS:
        if counts[split] or (split == "val" and params.val == 0):
            continue
        # Train gives to the others; an empty train takes from the fuller of them.
        donor = "train" if counts["train"] else counts.most_common(1)[0][0]
        if split == "test" and params.by == "own":
            why = "split.by is 'own', and this dataset has no test split of its own; set split.by to 'clip'"
        elif split == "test" and params.test == 0:
            why = "split.by is 'clip' and split.test is 0; set split.test above 0"
        else:
            part = {"train": 1 - params.val - params.test, "val": params.val, "test": params.test}[split]
            why = f"of {counts[donor]} {donor} clips none fell into its part of {part:g}; try another split.seed"
        clips = [clip for clip, where in by_clip.items() if where == donor]
        proposed = _spared(_in_order(clips, params.seed), classes)[: min(10, max(1, len(clips) // 6))]
        raise ValueError(
            f"the {split} split is empty: {why}, or name clips in split.lists.{split}, for example "
            f"[{', '.join(proposed)}]"
        )


def _refuse_lost_classes(
    by_clip: dict[str, str], classes: dict[str, set[int]], params: SplitParams, names: Sequence[str]
) -> None:
    """Train has every class that another split has; the message names clips that would bring them.

    Where no split can spare one (one clip alone holds the class, the last of its split), metrics/splits.json says so.
    """
    trained = set().union(*(classes[clip] for clip, split in by_clip.items() if split == "train"))
    lost = set().union(*(classes[clip] for clip in by_clip)) - trained
    if not lost:
        return
    named = ", ".join(names[id_] if id_ < len(names) else str(id_) for id_ in sorted(lost))
    left = Counter(by_clip.values())
    candidates = _in_order([clip for clip, split in by_clip.items() if split != "train"], params.seed)
    proposed: list[str] = []
    while lost:
        # A clip that is the last of its split stays; of the others the one with the most of what is missing.
        movable = [clip for clip in candidates if left[by_clip[clip]] > 1 and classes[clip] & lost]
        if not movable:
            break
        best = max(movable, key=lambda clip: len(classes[clip] & lost))
        proposed.append(best)
        candidates.remove(best)
        left[by_clip[best]] -= 1
        lost -= classes[best]
    if proposed:
        raise ValueError(
            f"train has no picture of {named}, which other splits have, so they cannot be learnt: name clips that hold "
            f"them in split.lists.train, for example [{', '.join([*params.lists.train, *proposed])}]"
        )


def _in_order(clips: Sequence[str], seed: int) -> list[str]:
    return sorted(clips, key=lambda clip: (fraction(seed, clip), clip))


def _spared(clips: Sequence[str], classes: dict[str, set[int]]) -> list[str]:
    """Those of ``clips`` that can go, in order, while the others still hold every class; all, where none can."""
    holders = Counter(id_ for clip in clips for id_ in classes[clip])
    spared: list[str] = []
    for clip in clips:
        if len(spared) + 1 < len(clips) and all(holders[id_] > 1 for id_ in classes[clip]):
            spared.append(clip)
            holders.subtract(classes[clip])
    return spared or list(clips)


def _limited(by_clip: dict[str, str], pictures: Counter[str], seed: int, limit: Limit) -> dict[str, str]:
    # A hash of its own: places within a split are not spread over [0, 1), and must not favour what borders on another.
    order = sorted(by_clip, key=lambda clip: (fraction(seed, f"limit/{clip}"), clip))
    kept: dict[str, str] = {}
    for split in SPLITS:
        clips = [clip for clip in order if by_clip[clip] == split]
        most = getattr(limit, split)
        total = 0
        for clip in clips:
            total += pictures[clip]
            if most is not None and total > most:
                break
            kept[clip] = split
        if clips and split not in kept.values():
            raise ValueError(
                f"the {split} split is empty: dataset.limit.{split} is {most}, and the first clip alone has "
                f"{pictures[clips[0]]} pictures; clips are taken whole, so set the limit to at least that"
            )
    return dict(sorted(kept.items()))
