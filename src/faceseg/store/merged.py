"""The masks in their target classes at native size, faults set aside: packs of palette PNGs, written in parallel.

Every image is decoded here once, at the lowest cost, so that no later stage meets a broken one. A pack is one task, and
a worker holds one picture at a time. What an earlier build has made of the same is taken over: whole packs are left
alone, and nothing of what they were made of is read.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from faceseg.files import write_csv
from faceseg.images.codec import encode_mask
from faceseg.labels.classes import IGNORED, palette
from faceseg.labels.merge import lookup_table, merge_ids, merge_pixels
from faceseg.params import MergeParams
from faceseg.sources.archive import Archive, shared_archive
from faceseg.sources.catalog import Dataset, Merge
from faceseg.sources.members import MEMBERS, read_digests
from faceseg.sources.pairing import Pairing, Sample, matches, pair_archive
from faceseg.store.growing import Made, Wanted, write_packs
from faceseg.store.origins import Origin, as_facts, code_key, key_of, write_origins
from faceseg.store.packs import MissingInputError, pack_of, remove_other_packs
from faceseg.store.pairs import RejectedError, masks_of, sound_mask

STEM = "masks"
INDEX = "index.csv"
REJECTED = "rejected.csv"
UNLABELLED = "unlabelled.csv"  # where there are any
_COLUMNS = ("id", "clip", "split", "image", "width", "height", "image_sha256", "mask_sha256")  # then the classes
_SHOWN = 20  # rejections that a message lists


class TooManyRejectedError(ValueError):
    """A larger part of the pictures is faulty than ``merge.max_rejected`` allows."""


@dataclass(frozen=True, slots=True)
class MergedRow:
    """A picture of the index: its own split, its member of the archive, its upright size in pixels, and its classes.

    ``image_sha256`` is of the picture's file as it came, ``mask_sha256`` of the merged mask's. ``pixels``: of each
    target class by id, then of what is not scored.
    """

    id: str
    clip: str
    split: str
    image: str
    width: int
    height: int
    image_sha256: str
    mask_sha256: str
    pixels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rejection:
    """A picture that takes no further part; ``kind`` is what is wrong in a word or two."""

    id: str
    kind: str
    detail: str

    @property
    def reason(self) -> str:
        return f"{self.kind}: {self.detail}"


@dataclass(frozen=True)
class Merged:
    """What the stage made: rows and rejections by id, and the ids of images that are expected to have no mask."""

    dataset: Dataset
    merge: Merge
    rows: list[MergedRow]
    rejections: list[Rejection]
    unlabelled: list[str]

    def metrics(self) -> dict[str, Any]:
        """Counts for metrics/data.json; ``share`` is of the scored pixels."""
        pixels = np.array([row.pixels for row in self.rows], np.int64).reshape(-1, len(self.merge.classes) + 1)
        totals = pixels.sum(axis=0).tolist()
        pictures = (pixels > 0).sum(axis=0).tolist()
        scored = sum(totals[:-1])
        expected = self.dataset.expected
        return {
            "dataset": self.dataset.name,
            "merge": self.merge.name,
            "pictures": len(self.rows),
            "expected": None if expected is None else sum(expected.values()),
            "clips": len({row.clip for row in self.rows}),
            "rejected": len(self.rejections),
            "rejected_by_reason": dict(Counter(rejection.kind for rejection in self.rejections)),
            "unlabelled": len(self.unlabelled),
            "pixels": {"scored": scored, "ignored": totals[-1]},
            "classes": {
                name: {"share": round(totals[n] / max(1, scored), 6), "pictures": pictures[n]}
                for n, name in enumerate(self.merge.classes)
            },
            "absent": [name for n, name in enumerate(self.merge.classes) if not pictures[n]],
            "own_splits": dict(sorted(Counter(row.split for row in self.rows).items())),
        }

    def named(self) -> list[str]:
        """Lines that name what was rejected, with the reason, and what has no label, each up to ``_SHOWN``."""
        lines = [f"rejected {rejection.id}: {rejection.reason}" for rejection in self.rejections[:_SHOWN]]
        if len(self.rejections) > _SHOWN:
            lines.append(f"rejected: {len(self.rejections) - _SHOWN} more in {REJECTED}")
        if self.unlabelled:
            more = f" and {len(self.unlabelled) - _SHOWN} more in {UNLABELLED}" if len(self.unlabelled) > _SHOWN else ""
            lines.append(f"without a label, as expected: {', '.join(self.unlabelled[:_SHOWN])}{more}")
        return lines


@dataclass(frozen=True, slots=True)
class _Merger:
    """The work on each pair, as ``write_packs`` asks for it."""

    raw: Path
    dataset: Dataset
    merge: Merge

    def members(self, id_: str) -> list[str]:
        return [f"{id_}.png"]

    def make(self, sources: Iterable[Sample]) -> Iterator[Made]:
        archive = shared_archive(self.raw)
        for sample in sources:
            yield _made(archive, sample, self.dataset, self.merge)


def write_merged(
    raw: Path, out: Path, dataset: Dataset, params: MergeParams, workers: int | None, origins: Path | None = None
) -> Merged:
    """Write the masks of every sound pair into the packs of ``out``, rejected.csv, unlabelled.csv, and index.csv last.

    Args:
        raw: the archive of the download stage.
        out: folder of the merge stage; packs that an earlier run left and this one does not name are removed.
        dataset: the description.
        params: the section ``merge`` of params.yaml.
        workers: processes; None: one a core. They do not change a byte.
        origins: where it is recorded what the packs were made of; what an earlier build has made of the same is taken
            over from ``out``. None: everything is made anew.

    Raises:
        MissingInputError: when the archive is not there.
        TooManyRejectedError: when more than ``max_rejected`` of the pictures are faulty; rejected.csv is there.
        ValueError: no merge of this name, or an archive that is damaged or of another dataset.
    """
    if not raw.exists():
        raise MissingInputError(f"{raw} is not there")
    merge = dataset.merge(params.into)
    with Archive(raw) as archive:
        pairing = pair_archive(archive, dataset)
        digests = read_digests(archive, raw.with_name(MEMBERS))
    (out / INDEX).unlink(missing_ok=True)
    basis = _basis(dataset, merge)
    wanted: defaultdict[int, list[Wanted[Sample]]] = defaultdict(list)
    for sample in pairing.samples:
        wanted[pack_of(sample.clip)].append(Wanted(sample.id, _key(basis, sample, digests), sample))
    merger = _Merger(raw, dataset, merge)
    records = write_packs(out, STEM, wanted, merger, workers, origins, "merge, packs")
    rows, rejections = _outcome(pairing, records, digests)
    remove_other_packs(out, STEM, {pack_of(row.clip) for row in rows})
    write_csv(out / REJECTED, ("id", "reason"), ((fault.id, fault.reason) for fault in rejections))
    if pairing.unlabelled:
        write_csv(out / UNLABELLED, ("id",), ((id_,) for id_ in pairing.unlabelled))
    else:
        (out / UNLABELLED).unlink(missing_ok=True)
    _refuse_too_many(rejections, pairing, params.max_rejected, out / REJECTED)
    of_row = attrgetter(*_COLUMNS)
    write_csv(
        out / INDEX,
        (*_COLUMNS, *merge.classes, "ignored"),
        ((*of_row(row), *row.pixels) for row in rows),
    )
    write_origins(origins, records)
    return Merged(dataset, merge, rows, rejections, pairing.unlabelled)


def least_bytes(raw: Path, dataset: Dataset) -> int:
    """What the masks will take on the disk at least: a palette alone has most of a kilobyte.

    Beyond that the size of the packed masks that come is the only hint, and four times more than was ever needed.

    Raises:
        MissingInputError: when the archive is not there.
    """
    if not raw.exists():
        raise MissingInputError(f"{raw} is not there")
    with Archive(raw) as archive:
        masks = [match.name for match in matches(archive.names, dataset) if match.role == "mask"]
        return sum(archive.packed_bytes[name] for name in masks) // 4


def _refuse_too_many(rejections: Sequence[Rejection], pairing: Pairing, max_rejected: float, path: Path) -> None:
    pictures = len(pairing.samples) + len(pairing.orphans)
    if len(rejections) <= max_rejected * pictures:
        return
    lines = [f"  {rejection.id}: {rejection.reason}" for rejection in rejections[:_SHOWN]]
    if len(rejections) > _SHOWN:
        lines.append(f"  and {len(rejections) - _SHOWN} more in {path}")
    raise TooManyRejectedError(
        "\n".join(
            [
                f"{len(rejections)} of {pictures} pictures are rejected ({len(rejections) / pictures:.1%}), more than "
                f"merge.max_rejected allows ({max_rejected:.1%}); mend the source, or raise merge.max_rejected:",
                *lines,
            ]
        )
    )


def _basis(dataset: Dataset, merge: Merge) -> str:
    """The hash of all that every mask depends on: the code, the encoding of the masks, and the merge."""
    classes = [source.model_dump_json() for source in dataset.classes]
    code = code_key("images", "labels", "sources", "store")
    return key_of(code, dataset.name, dataset.masks.model_dump_json(), repr(merge), *classes)


def _key(basis: str, sample: Sample, digests: Mapping[str, str]) -> str:
    """The hash of all that the pair's mask depends on; empty, so that nothing is taken over, if a member is damaged."""
    contents = [digests[member] for member in (sample.image, *masks_of(sample))]
    if not all(contents):
        return ""
    # Names too: a rejection tells them.
    return key_of(basis, *(name for name, _ in sample.parts), sample.image, *masks_of(sample), *contents)


def _outcome(
    pairing: Pairing, records: Sequence[Origin], digests: Mapping[str, str]
) -> tuple[list[MergedRow], list[Rejection]]:
    """What became of every picture, by id."""
    rows: list[MergedRow] = []
    rejections = [Rejection(orphan.id, orphan.kind, orphan.detail) for orphan in pairing.orphans]
    samples = {sample.id: sample for sample in pairing.samples}
    for record in records:
        facts, sample = json.loads(record.facts), samples[record.id]
        if "rejected" in facts:
            rejections.append(Rejection(sample.id, *facts["rejected"]))
            continue
        width, height = facts["size"]
        files = digests[sample.image], facts["mask"]
        pixels = tuple(facts["pixels"])
        rows.append(MergedRow(sample.id, sample.clip, sample.split, sample.image, width, height, *files, pixels))
    rows.sort(key=attrgetter("id"))
    rejections.sort(key=attrgetter("id"))
    return rows, rejections


def _made(archive: Archive, sample: Sample, dataset: Dataset, merge: Merge) -> Made:
    """The mask in its target classes, or why there is none."""
    try:
        ids, pixels = sound_mask(archive, sample, dataset)
    except RejectedError as fault:
        return Made(as_facts({"rejected": [fault.kind, fault.detail]}), [])
    content = encode_mask(merge_ids(ids, lookup_table(merge)), palette(merge.colours))
    merged = merge_pixels(pixels, lookup_table(merge))
    by_class = [*merged[: len(merge.classes)].tolist(), int(merged[IGNORED])]
    mask = hashlib.sha256(content).hexdigest()
    return Made(as_facts({"size": [ids.shape[1], ids.shape[0]], "pixels": by_class, "mask": mask}), [content])
