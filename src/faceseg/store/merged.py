"""The masks in their target classes at native size, faults set aside: packs of palette PNGs, written in parallel.

Every image is decoded here once, at the lowest cost, so that no later stage meets a broken one. A pack is one task, and
a worker holds one picture at a time.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from faceseg.files import write_csv
from faceseg.images.codec import encode_mask
from faceseg.labels.classes import IGNORED, palette
from faceseg.labels.merge import lookup_table, merge_ids, merge_pixels
from faceseg.params import MergeParams
from faceseg.progress import track
from faceseg.running.workers import processes
from faceseg.sources.archive import Archive, shared_archive
from faceseg.sources.catalog import Dataset, Merge
from faceseg.sources.pairing import Pairing, Sample, matches, pair_archive
from faceseg.store.origins import EarlierPack, Origin, as_facts, code_key, key_of, read_origins, seal_of, write_origins
from faceseg.store.packs import MissingInputError, PackWriter, pack_of, remove_other_packs
from faceseg.store.pairs import Members, RejectedError, sound_mask

STEM = "masks"
INDEX = "index.csv"
REJECTED = "rejected.csv"
UNLABELLED = "unlabelled.csv"  # where there are any
_SHOWN = 20  # rejections that a message lists


class TooManyRejectedError(ValueError):
    """A larger part of the pictures is faulty than ``merge.max_rejected`` allows."""


@dataclass(frozen=True, slots=True)
class MergedRow:
    """A picture of the index: its own split, its member of the archive, its upright size in pixels, and its classes.

    ``pixels``: of each target class by id, then of what is not scored.
    """

    id: str
    clip: str
    split: str
    image: str
    width: int
    height: int
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
class _Work:
    """What every worker is told: input, output, the description, and the hash of what every mask depends on."""

    raw: Path
    out: Path
    dataset: Dataset
    merge: Merge
    basis: str


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
    jobs: defaultdict[int, list[Sample]] = defaultdict(list)
    for sample in pairing.samples:
        jobs[pack_of(sample.clip)].append(sample)
    earlier = read_origins(origins)
    work = _Work(raw, out, dataset, merge, _basis(dataset, merge))
    (out / INDEX).unlink(missing_ok=True)
    parallel = processes(workers, return_as="generator_unordered")
    done = parallel(
        joblib.delayed(_write_pack)(work, number, samples, {s.id: earlier[s.id] for s in samples if s.id in earlier})
        for number, samples in sorted(jobs.items())
    )
    rows: list[MergedRow] = []
    rejections = [Rejection(orphan.id, orphan.kind, orphan.detail) for orphan in pairing.orphans]
    records: list[Origin] = []
    for some_rows, some_rejections, some_records in track(done, len(jobs), "merge, packs"):
        rows += some_rows
        rejections += some_rejections
        records += some_records
    rows.sort(key=lambda row: row.id)
    rejections.sort(key=lambda rejection: rejection.id)
    remove_other_packs(out, STEM, {pack_of(row.clip) for row in rows})
    write_csv(out / REJECTED, ("id", "reason"), ((fault.id, fault.reason) for fault in rejections))
    if pairing.unlabelled:
        write_csv(out / UNLABELLED, ("id",), ((id_,) for id_ in pairing.unlabelled))
    else:
        (out / UNLABELLED).unlink(missing_ok=True)
    _refuse_too_many(rejections, pairing, params.max_rejected, out / REJECTED)
    write_csv(
        out / INDEX,
        ("id", "clip", "split", "image", "width", "height", *merge.classes, "ignored"),
        ((row.id, row.clip, row.split, row.image, row.width, row.height, *row.pixels) for row in rows),
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


def _write_pack(
    work: _Work, number: int, samples: Sequence[Sample], earlier: Mapping[str, Origin]
) -> tuple[list[MergedRow], list[Rejection], list[Origin]]:
    """One worker's share: the samples of one pack, which come sorted by id; what is known of the same is taken over."""
    archive = shared_archive(work.raw)
    rows: list[MergedRow] = []
    rejections: list[Rejection] = []
    records: list[Origin] = []
    with EarlierPack(work.out, STEM, number, earlier) as old, PackWriter(work.out, STEM, number) as pack:
        for sample in samples:
            members = Members(archive)
            key = members.key(work.basis, sample)
            # What was rejected has no member in the pack, only its reason in the record.
            taken = old.take(sample.id, key, [f"{sample.id}.png"]) or old.take(sample.id, key, [])
            origin, contents = taken or _made(members, sample, work, key)
            records.append(origin)
            facts = json.loads(origin.facts)
            if "rejected" in facts:
                rejections.append(Rejection(sample.id, *facts["rejected"]))
                continue
            pack.add(f"{sample.id}.png", contents[0])
            width, height = facts["size"]
            pixels = tuple(facts["pixels"])
            rows.append(MergedRow(sample.id, sample.clip, sample.split, sample.image, width, height, pixels))
    return rows, rejections, records


def _made(members: Members, sample: Sample, work: _Work, key: str) -> tuple[Origin, list[bytes]]:
    """The mask in its target classes, or why there is none, and the record of it."""
    contents: list[bytes] = []
    try:
        ids, pixels = sound_mask(members, sample, work.dataset)
        contents.append(encode_mask(merge_ids(ids, lookup_table(work.merge)), palette(work.merge.colours)))
        merged = merge_pixels(pixels, lookup_table(work.merge))
        by_class = [*merged[: len(work.merge.classes)].tolist(), int(merged[IGNORED])]
        facts = as_facts({"size": [ids.shape[1], ids.shape[0]], "pixels": by_class})
    except RejectedError as fault:
        facts = as_facts({"rejected": [fault.kind, fault.detail]})
    return Origin(sample.id, key, seal_of(facts, *contents), facts, ""), contents
