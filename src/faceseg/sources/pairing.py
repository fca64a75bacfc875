"""Which members of an archive belong together: an image, its mask, their id, clip and split, by the description."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from faceseg.sources.archive import Archive
from faceseg.sources.catalog import Dataset
from faceseg.sources.schema import OwnSplit, PartsMasks, SplitLists

# An id names members of packs and pictures of a report: letters and digits of any script, and what paths leave alone.
_SAFE_ID = re.compile(r"[\w+][\w+. -]{0,199}")


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture and its mask; ``split`` is the dataset's own, ``image`` and ``mask`` are members of the archive.

    ``parts``: where a mask comes as one picture a class, (class, member) in the order in which they are laid over one
    another, and ``mask`` is the first of these members.
    """

    id: str
    clip: str
    split: str
    image: str
    mask: str
    parts: tuple[tuple[str, str], ...] = ()


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
    templates of the layout may use. A list says which picture belongs to which split.
    """

    name: str
    path: str
    role: Literal["image", "mask", "list"]
    split: OwnSplit
    values: dict[str, str]


def matches(names: Iterable[str], dataset: Dataset) -> Iterator[Match]:
    """The members that the layout uses, in the order of ``names``; hidden ones and ``__MACOSX`` are passed over.

    A pattern may begin in any folder, so that an archive with or without folders around the dataset will do.
    """
    patterns: list[tuple[Literal["image", "mask", "list"], OwnSplit, re.Pattern[str]]] = []
    for split, layout in dataset.layout.splits.items():
        patterns.append(("image", split, re.compile(f"(?:.*/)?(?P<_path>{layout.image})")))
        patterns.append(("mask", split, re.compile(f"(?:.*/)?(?P<_path>{layout.mask})")))
    for split, file in ({} if dataset.layout.lists is None else dataset.layout.lists.files).items():
        patterns.append(("list", split, re.compile(f"(?:.*/)?(?P<_path>{file})")))
    for name in names:
        if any(part.startswith(".") or part == "__MACOSX" for part in name.split("/")):
            continue
        for role, split, pattern in patterns:
            if match := pattern.fullmatch(name):
                values = {"split": split, **{key: value or "" for key, value in match.groupdict().items()}}
                yield Match(name, values.pop("_path"), role, split, values)
                break


def pair_archive(archive: Archive, dataset: Dataset) -> Pairing:
    """Pair the members of an archive, each in the split that the dataset's lists say, where it has lists.

    Raises:
        ValueError: as ``pair``; or a list is not there, or is no list.
    """
    lists = dataset.layout.lists
    if lists is None:
        return pair(archive.names, dataset)
    files: dict[OwnSplit, str] = {}
    for match in matches(archive.names, dataset):
        if match.role == "list" and files.setdefault(match.split, match.name) != match.name:
            raise ValueError(f"{files[match.split]} and {match.name} both list its {match.split} split; expected one")
    missing = [pattern for split, pattern in lists.files.items() if split not in files]
    if missing:
        raise ValueError(
            f"the list {missing[0]!r} of {dataset.name} is not there; expected it beside the images, so put it there"
        )
    return pair(archive.names, dataset, _listed({split: archive.read(name) for split, name in files.items()}, lists))


def pair(names: Sequence[str], dataset: Dataset, listed: Mapping[str, OwnSplit] | None = None) -> Pairing:
    """Pair the members of an archive.

    Args:
        names: of all members; those that the layout does not use are passed over.
        listed: the split of each id that the dataset's lists name; None: every picture is of its pattern's split.

    Raises:
        ValueError: when the layout uses none of them, so that the archive is of another dataset.
    """
    images: defaultdict[str, list[Match]] = defaultdict(list)
    masks: defaultdict[str, list[Match]] = defaultdict(list)
    for match in matches(names, dataset):
        if match.role != "list":
            (images if match.role == "image" else masks)[dataset.layout.id.format(**match.values)].append(match)
    ids = sorted({*images, *masks, *(listed or {})})
    if not images and not masks:
        raise ValueError(_nothing_matches(names, dataset))
    pairing = Pairing([], [], [])
    for id_ in ids:
        fault = _fault(id_, images[id_], masks[id_], dataset)
        if fault is not None:
            pairing.orphans.append(Orphan(id_, *fault))
            continue
        image = images[id_][0]
        if masks[id_] and listed is not None and id_ not in listed:
            pairing.orphans.append(Orphan(id_, "no split", f"{image.name} has a mask, but no list names it"))
        elif masks[id_]:
            split = image.split if listed is None else listed[id_]
            clip = dataset.layout.clip.format(**image.values)
            parts = _parts(masks[id_], dataset)
            mask = parts[0][1] if parts else masks[id_][0].name
            pairing.samples.append(Sample(id_, clip, split, image.name, mask, parts))
        elif dataset.layout.splits[image.split].unlabelled and id_ not in (listed or {}):
            pairing.unlabelled.append(id_)
        else:
            pairing.orphans.append(Orphan(id_, "no mask", f"{image.name} has no mask beside it"))
    return pairing


def _listed(contents: Mapping[OwnSplit, bytes], lists: SplitLists) -> dict[str, OwnSplit]:
    """The split of each id that the lists name."""
    line = re.compile(lists.line)
    found: dict[str, OwnSplit] = {}
    for split, content in contents.items():
        for number, text in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
            if not text.strip():
                continue
            match = line.fullmatch(text.strip())
            if match is None:
                raise ValueError(f"line {number} of the {split} list is {text[:80]!r}; expected {lists.line!r}")
            id_ = lists.id.format(**match.groupdict())
            if found.setdefault(id_, split) != split:
                raise ValueError(f"{id_} is in the lists of {found[id_]} and of {split}; expected it in one")
    return found


def _parts(found: Sequence[Match], dataset: Dataset) -> tuple[tuple[str, str], ...]:
    """The part masks of a picture in the order of painting; none where masks are single pictures."""
    if not isinstance(dataset.masks, PartsMasks):
        return ()
    members = {match.values["part"]: match.name for match in found}
    return tuple((part, members[part]) for part in dataset.masks.paint if part in members)


def _fault(id_: str, images: list[Match], masks: list[Match], dataset: Dataset) -> tuple[str, str] | None:
    """What keeps the members of an id from being a pair, but for a missing mask: a kind and a detail."""
    by_part: dict[str, list[Match]] = {}
    for match in masks:
        by_part.setdefault(match.values.get("part", "") if isinstance(dataset.masks, PartsMasks) else "", []).append(
            match
        )
    for several in (images, *by_part.values()):
        if len(several) > 1:
            return "several files", f"{' and '.join(match.name for match in several)} have the same id; expected one"
    if not images:
        if not masks:
            return "no image", "a list names it, but it has no image"
        return "no image", f"{masks[0].name} has no image beside it"
    if isinstance(dataset.masks, PartsMasks):
        foreign = sorted({*by_part} - {*dataset.masks.paint})
        if foreign:
            name = by_part[foreign[0]][0].name
            return "foreign labels", f"{name} is the part {foreign[0]!r}, which is no class of {dataset.name}"
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
