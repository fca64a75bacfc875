"""Which members of an archive belong together: an image, its mask, their id, clip and split, by the description."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from faceseg.sources.catalog import Dataset, OwnSplit

# An id names members of packs and pictures of a report: letters and digits of any script, and what paths leave alone.
_SAFE_ID = re.compile(r"[\w+][\w+. -]{0,199}")


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture and its mask; ``split`` is the dataset's own, ``image`` and ``mask`` are members of the archive."""

    id: str
    clip: str
    split: str
    image: str
    mask: str


@dataclass(frozen=True, slots=True)
class Orphan:
    """A member that is no half of a pair; ``kind`` is what is wrong in a word or two, ``detail`` names the member."""

    id: str
    kind: str
    detail: str


@dataclass(frozen=True)
class Pairing:
    """All by id: pairs, faults, and the ids of images that the description expects to have no mask."""

    samples: list[Sample]
    orphans: list[Orphan]
    unlabelled: list[str]


@dataclass(frozen=True, slots=True)
class Match:
    """A member that the layout uses.

    ``path``: the part of its name that the layout speaks of, without the folders around it. ``values``: what the
    templates of the layout may use.
    """

    name: str
    path: str
    role: Literal["image", "mask"]
    split: OwnSplit
    values: dict[str, str]


def matches(names: Iterable[str], dataset: Dataset) -> Iterator[Match]:
    """The members that the layout uses, in the order of ``names``; hidden ones and ``__MACOSX`` are passed over.

    A pattern may begin in any folder, so that an archive with or without folders around the dataset will do.
    """
    patterns: list[tuple[Literal["image", "mask"], OwnSplit, re.Pattern[str]]] = []
    for split, layout in dataset.layout.splits.items():
        patterns.append(("image", split, re.compile(f"(?:.*/)?(?P<_path>{layout.image})")))
        patterns.append(("mask", split, re.compile(f"(?:.*/)?(?P<_path>{layout.mask})")))
    for name in names:
        if any(part.startswith(".") or part == "__MACOSX" for part in name.split("/")):
            continue
        for role, split, pattern in patterns:
            if match := pattern.fullmatch(name):
                values = {"split": split, **{key: value or "" for key, value in match.groupdict().items()}}
                yield Match(name, values.pop("_path"), role, split, values)
                break


def pair(names: Sequence[str], dataset: Dataset) -> Pairing:
    """Pair the members of an archive.

    Args:
        names: of all members; those that the layout does not use are passed over.

    Raises:
        ValueError: when the layout uses none of them, so that the archive is of another dataset.
    """
    images: defaultdict[str, list[Match]] = defaultdict(list)
    masks: defaultdict[str, list[Match]] = defaultdict(list)
    for match in matches(names, dataset):
        (images if match.role == "image" else masks)[dataset.layout.id.format(**match.values)].append(match)
    ids = sorted({*images, *masks})
    if not ids:
        raise ValueError(_nothing_matches(names, dataset))
    pairing = Pairing([], [], [])
    for id_ in ids:
        fault = _fault(id_, images[id_], masks[id_])
        if fault is not None:
            pairing.orphans.append(Orphan(id_, *fault))
            continue
        image = images[id_][0]
        if masks[id_]:
            clip = dataset.layout.clip.format(**image.values)
            pairing.samples.append(Sample(id_, clip, image.split, image.name, masks[id_][0].name))
        elif dataset.layout.splits[image.split].unlabelled:
            pairing.unlabelled.append(id_)
        else:
            pairing.orphans.append(Orphan(id_, "no mask", f"{image.name} has no mask beside it"))
    return pairing


def _fault(id_: str, images: list[Match], masks: list[Match]) -> tuple[str, str] | None:
    """What keeps the members of an id from being a pair, but for a missing mask: a kind and a detail."""
    if len(images) > 1 or len(masks) > 1:
        several = images if len(images) > 1 else masks
        return "several files", f"{' and '.join(match.name for match in several)} have the same id; expected one"
    if not images:
        return "no image", f"{masks[0].name} has no image beside it"
    if not _SAFE_ID.fullmatch(id_):
        return "unsafe name", f"{images[0].name} cannot name a file; expected letters, digits and ' +-._' in it"
    return None


def _nothing_matches(names: Sequence[str], dataset: Dataset) -> str:
    expected = next(iter(dataset.layout.splits.values())).image
    shown = f"such as {', '.join(repr(name) for name in names[:3])}" if names else "(it is empty)"
    return (
        f"none of its {len(names)} files {shown} is laid out as {dataset.name} is; expected images that match "
        f"{expected!r}. Set dataset.source to another one, or dataset.name to the dataset that it is"
    )
