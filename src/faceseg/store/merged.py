"""The masks in their target classes at native size, faults set aside: packs of palette PNGs, written in parallel.

Every image is decoded here once, at the lowest cost, so that no later stage meets a broken one. A pack is one task, and
a worker holds one picture at a time.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import joblib
import numpy as np

from faceseg.files import write_csv
from faceseg.images.codec import BrokenImageError, OversizedImageError, check_image, decode_mask, encode_mask
from faceseg.labels.classes import IGNORED, palette
from faceseg.labels.decode import ForeignLabelError, painted_ids, source_ids
from faceseg.labels.merge import lookup_table, merge_ids, merge_pixels
from faceseg.params import MergeParams
from faceseg.progress import track
from faceseg.sources.archive import Archive, ArchiveError, shared_archive
from faceseg.sources.catalog import Dataset, Merge
from faceseg.sources.pairing import Pairing, Sample, pair_archive
from faceseg.sources.schema import PartsMasks
from faceseg.store.packs import MissingInputError, PackWriter, pack_of, remove_other_packs

STEM = "masks"
INDEX = "index.csv"
REJECTED = "rejected.csv"
UNLABELLED = "unlabelled.csv"  # where there are any
_SHOWN = 20  # rejections that a message lists

Decoded = TypeVar("Decoded")


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


def write_merged(raw: Path, out: Path, dataset: Dataset, params: MergeParams, workers: int | None) -> Merged:
    """Write the masks of every sound pair into the packs of ``out``, rejected.csv, unlabelled.csv, and index.csv last.

    Args:
        raw: the archive of the download stage.
        out: folder of the merge stage; packs that an earlier run left and this one does not name are removed.
        dataset: the description.
        params: the section ``merge`` of params.yaml.
        workers: processes; None: one a core. They do not change a byte.

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
    (out / INDEX).unlink(missing_ok=True)
    parallel = joblib.Parallel(n_jobs=workers or joblib.cpu_count(), return_as="generator_unordered")
    done = parallel(
        joblib.delayed(_write_pack)(raw, out, dataset, merge, number, samples)
        for number, samples in sorted(jobs.items())
    )
    rows: list[MergedRow] = []
    rejections = [Rejection(orphan.id, orphan.kind, orphan.detail) for orphan in pairing.orphans]
    for some_rows, some_rejections in track(done, len(jobs), "merge, packs"):
        rows += some_rows
        rejections += some_rejections
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
    return Merged(dataset, merge, rows, rejections, pairing.unlabelled)


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


class _Rejected(Exception):  # noqa: N818 - a way out of the work on one picture, no error of the stage
    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = detail


def _write_pack(
    raw: Path, out: Path, dataset: Dataset, merge: Merge, number: int, samples: Sequence[Sample]
) -> tuple[list[MergedRow], list[Rejection]]:
    """One worker's share: the samples of one pack, which come sorted by id."""
    archive = shared_archive(raw)
    table, colours = lookup_table(merge), palette(merge.colours)
    rows: list[MergedRow] = []
    rejections: list[Rejection] = []
    with PackWriter(out, STEM, number) as pack:
        for sample in samples:
            try:
                ids, pixels = _sound_mask(archive, sample, dataset)
            except _Rejected as fault:
                rejections.append(Rejection(sample.id, fault.kind, fault.detail))
                continue
            pack.add(f"{sample.id}.png", encode_mask(merge_ids(ids, table), colours))
            merged = merge_pixels(pixels, table)
            by_class = (*merged[: len(merge.classes)].tolist(), int(merged[IGNORED]))
            height, width = ids.shape
            rows.append(MergedRow(sample.id, sample.clip, sample.split, sample.image, width, height, by_class))
    return rows, rejections


def _sound_mask(archive: Archive, sample: Sample, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The source ids of a pair that has no fault, (h, w) uint8, and (256,) pixels by id."""
    size = _decoded("image", archive, sample.image, check_image)
    scale = dataset.masks.scale if isinstance(dataset.masks, PartsMasks) else 1
    members = [member for _, member in sample.parts] or [sample.mask]
    masks = [_decoded("mask", archive, member, decode_mask) for member in members]
    for member, mask in zip(members, masks, strict=True):
        if (mask.width * scale, mask.height * scale) != size:
            of = "the" if scale == 1 else f"1/{scale} of the"
            raise _Rejected(
                "other size",
                f"{member} is {mask.width} x {mask.height}, expected {of} {size[0]} x {size[1]} of its image, upright",
            )
    try:
        if sample.parts:
            return painted_ids([(part, mask) for (part, _), mask in zip(sample.parts, masks, strict=True)], dataset)
        return source_ids(masks[0], dataset)
    except ForeignLabelError as error:
        raise _Rejected("foreign labels", f"{sample.mask}: {error}") from error


def _decoded(part: str, archive: Archive, member: str, decode: Callable[[bytes], Decoded]) -> Decoded:
    try:
        return decode(archive.read(member))
    except OversizedImageError as error:
        raise _Rejected(f"oversized {part}", f"{member}: {error}") from error
    except (BrokenImageError, ArchiveError) as error:
        raise _Rejected(f"broken {part}", f"{member}: {error}") from error
