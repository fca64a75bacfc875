"""Writes the cache: pictures and masks of each split as npy shards, filled in parallel, the manifest last.

The shards are laid out beforehand and every worker writes its own rows into them, one pack at a time, so that nothing
is gathered in memory and the bytes do not depend on how many workers there are.
"""

import json
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from faceseg.files import sha256, write_csv, write_json
from faceseg.labels.classes import IGNORED
from faceseg.progress import track
from faceseg.running.workers import processes
from faceseg.store.duplicates import Duplicates, Placed, across_splits
from faceseg.store.origins import Origin, as_facts, code_key, key_of, read_origins, seal_of, write_origins
from faceseg.store.packs import pack_of
from faceseg.store.resized import ResizedReader, ResizedRow, read_index
from faceseg.store.shards import (
    INDEX,
    MANIFEST,
    WRITING,
    RowReader,
    RowWriter,
    begin,
    change_places,
    lay_out,
    shard_names,
    shard_rows,
)
from faceseg.store.splits import SPLITS, leaks

_SHOWN = 50  # pairs that the metrics name
_PLACE = re.compile(rf"({'|'.join(SPLITS)})/(\d{{1,9}})/(\d{{1,9}})")


@dataclass(frozen=True)
class Description:
    """What the manifest says about every picture: ``size`` and ``fit`` of the resize stage, the merge's classes."""

    dataset: str
    size: int
    fit: str
    classes: Sequence[str]
    colours: Sequence[tuple[int, int, int]]
    mirror: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one picture goes: row ``row`` of shard ``shard`` of its split."""

    sample: ResizedRow
    split: str
    shard: int
    row: int

    def __str__(self) -> str:
        return f"{self.split}/{self.shard}/{self.row}"


@dataclass(frozen=True, slots=True)
class _Work:
    """What every worker is told: input, output, side and classes, and the hash of what every row depends on."""

    resized: Path
    out: Path
    size: int
    classes: int
    basis: str


@dataclass(frozen=True, slots=True)
class _Made:
    """A row, the pixels of each id in its mask as ``facts``, and the seal of both."""

    facts: str
    seal: str
    pair: tuple[np.ndarray, np.ndarray]


@dataclass
class Counts:
    """Of one split, by id, 255 included: (256,) int64 pixels, and (256,) int64 pictures that hold it."""

    pixels: np.ndarray
    pictures: np.ndarray

    @classmethod
    def none(cls) -> "Counts":
        return cls(np.zeros(256, np.int64), np.zeros(256, np.int64))

    def add(self, pixels: Mapping[str, int]) -> None:
        """Count one more mask, with so many ``pixels`` of each id that it has."""
        for id_, number in pixels.items():
            self.pixels[int(id_)] += number
            self.pictures[int(id_)] += 1

    def join(self, other: "Counts") -> None:
        self.pixels += other.pixels
        self.pictures += other.pictures


@dataclass(frozen=True)
class Written:
    """What the stage reports: the manifest, and for ``write_metrics`` the counts of each split and the leak audit.

    ``clips``: those in two splits. ``duplicates``: pictures that are in two splits.
    """

    manifest: dict[str, Any]
    counts: dict[str, Counts]
    clips: list[str]
    duplicates: Duplicates

    @property
    def leaks(self) -> list[str]:
        """Clips and files that are in two splits, as sentences."""
        return [*(f"the clip {clip} is in two splits" for clip in self.clips), *map(str, self.duplicates.exact)]

    @property
    def absent(self) -> dict[str, list[str]]:
        """The classes that no picture of a split holds, by split."""
        pixels = {split: facts["pixels"] for split, facts in self.manifest["splits"].items()}
        return {split: [name for name in by_class if not by_class[name]] for split, by_class in pixels.items()}

    @property
    def pictures(self) -> dict[str, int]:
        """Pictures by split."""
        return {split: facts["pictures"] for split, facts in self.manifest["splits"].items()}


def write_cache(
    resized: Path,
    out: Path,
    about: Description,
    split_of: dict[str, str],
    shard_size: int,
    workers: int | None,
    origins: Path | None = None,
) -> Written:
    """Write ``out``: a folder for each split with its shards and index.csv, and cache.json last.

    Args:
        resized: folder of the resize stage.
        out: folder of the cache; what an earlier run left in it is removed.
        about: what the manifest says about every picture.
        split_of: split by clip, as ``splits.assign`` gives it; a clip that is not in it is left out.
        shard_size: pictures in a shard.
        workers: processes; None: one a core. They do not change a byte.
        origins: where it is recorded what the rows were made of; rows that an earlier build has made of the same are
            taken over from ``out``. None: everything is made anew.

    Raises:
        MissingInputError: when an input is not there.
        ValueError: when a picture has another size, or a mask an id that is no class.
    """
    begin(out)
    rows: dict[str, list[ResizedRow]] = {split: [] for split in SPLITS if split in split_of.values()}
    for row in read_index(resized):
        if row.clip in split_of:
            rows[split_of[row.clip]].append(row)
    for split, samples in rows.items():
        lay_out(out / WRITING / split, len(samples), about.size, shard_size)
    basis = key_of(code_key("images", "labels", "store"), f"{about.size} {len(about.classes)}")
    work = _Work(resized, out, about.size, len(about.classes), basis)
    counts, records = _fill(work, rows, shard_size, workers, read_origins(origins))
    for split, samples in rows.items():
        write_csv(
            out / WRITING / split / INDEX,
            ("row", "id", "clip", "width", "height"),
            ((n, sample.id, sample.clip, sample.width, sample.height) for n, sample in enumerate(samples)),
        )
    manifest = _manifest(rows, counts, _shard_facts(out / WRITING, rows, shard_size, workers), about)
    change_places(out, rows)
    write_origins(origins, records)
    write_json(out / MANIFEST, manifest)
    placed = [(sample, split) for split in rows for sample in rows[split]]
    return Written(
        manifest,
        counts,
        leaks((sample.clip, split) for sample, split in placed),
        across_splits([Placed(s.id, split, s.content, int(s.perceptual, 16)) for s, split in placed]),
    )


def write_metrics(written: Written, splits_json: Path, classes_csv: Path) -> None:
    """Sizes, the share of each class of the scored pixels, and leaks; and the same shares as rows for a plot."""
    sizes: dict[str, dict[str, int]] = {}
    shares: dict[str, dict[str, float]] = {}
    rows = []
    for split, facts in written.manifest["splits"].items():
        sizes[split] = {"pictures": facts["pictures"], "clips": facts["clips"]}
        scored = max(1, sum(facts["pixels"].values()))
        shares[split] = {name: round(pixels / scored, 6) for name, pixels in facts["pixels"].items()}
        pictures = written.counts[split].pictures
        rows += [(split, name, share, int(pictures[n])) for n, (name, share) in enumerate(shares[split].items())]
    duplicates = written.duplicates
    audit = {
        "leaks": len(written.leaks),
        "leaking": written.leaks[:_SHOWN],
        "near_duplicates": len(duplicates.near),
        "alike": [str(pair) for pair in duplicates.near[:_SHOWN]],
        "not_compared": duplicates.skipped,
    }
    write_json(splits_json, {"sizes": sizes, "classes": shares, "absent": written.absent, **audit})
    write_csv(classes_csv, ("split", "class", "share", "pictures"), rows)


def _fill(
    work: _Work,
    rows: dict[str, list[ResizedRow]],
    shard_size: int,
    workers: int | None,
    earlier: Mapping[str, Origin],
) -> tuple[dict[str, Counts], list[Origin]]:
    jobs: defaultdict[int, list[_Place]] = defaultdict(list)
    for split, samples in rows.items():
        for n, sample in enumerate(samples):
            jobs[pack_of(sample.clip)].append(_Place(sample, split, *divmod(n, shard_size)))
    parallel = processes(workers, return_as="generator_unordered")
    done = parallel(
        joblib.delayed(_fill_rows)(
            work, places, {p.sample.id: earlier[p.sample.id] for p in places if p.sample.id in earlier}
        )
        for _, places in sorted(jobs.items())
    )
    counts = {split: Counts.none() for split in rows}
    records: list[Origin] = []
    for of_pack, some_records in track(done, len(jobs), "cache, packs"):
        records += some_records
        for split, some in of_pack.items():
            counts[split].join(some)
    return counts, records


def _fill_rows(
    work: _Work, places: Sequence[_Place], earlier: Mapping[str, Origin]
) -> tuple[dict[str, Counts], list[Origin]]:
    """One worker's share: the samples of one pack, each into its own row."""
    counts: defaultdict[str, Counts] = defaultdict(Counts.none)
    records = []
    with ResizedReader(work.resized) as reader, RowReader(work.out, work.size) as old, RowWriter() as writer:
        for place in places:
            files = reader.contents(place.sample)
            key = key_of(work.basis, *files)
            made = _taken(old, earlier.get(place.sample.id), key) or _made(files, place.sample, work)
            writer.write(work.out / WRITING / place.split, place.shard, place.row, *made.pair)
            counts[place.split].add(json.loads(made.facts))
            records.append(Origin(place.sample.id, key, made.seal, made.facts, str(place)))
    return dict(counts), records


def _taken(old: RowReader, origin: Origin | None, key: str) -> _Made | None:
    """The row that an earlier build has made of the same, if it is as it was written."""
    place = _PLACE.fullmatch(origin.place) if origin is not None and origin.key == key else None
    if origin is None or place is None:
        return None
    pair = old.read(place[1], int(place[2]), int(place[3]))
    if pair is None or seal_of(origin.facts, *(part.data for part in pair)) != origin.seal:
        return None
    return _Made(origin.facts, origin.seal, pair)


def _made(files: tuple[bytes, bytes], sample: ResizedRow, work: _Work) -> _Made:
    size, classes = work.size, work.classes
    image, mask = ResizedReader.decode(*files)
    if image.shape != (size, size, 3) or mask.shape != (size, size):
        raise ValueError(
            f"{sample.id} is {image.shape[1]} x {image.shape[0]} in {work.resized}, expected {size} x {size}; "
            "resize.size has changed since, so run `dvc repro`"
        )
    pixels = np.bincount(mask.ravel(), minlength=256)
    foreign = np.flatnonzero(pixels[classes:IGNORED])
    if foreign.size:
        raise ValueError(
            f"the mask of {sample.id} in {work.resized} holds the id {classes + foreign[0]}, expected 0 to "
            f"{classes - 1} or {IGNORED}; merge.into has changed since, so run `dvc repro`"
        )
    facts = as_facts({str(id_): int(pixels[id_]) for id_ in np.flatnonzero(pixels)})
    pair = np.ascontiguousarray(image), np.ascontiguousarray(mask)
    return _Made(facts, seal_of(facts, *(part.data for part in pair)), pair)


def _shard_facts(
    folder: Path, rows: dict[str, list[ResizedRow]], shard_size: int, workers: int | None
) -> dict[str, list[dict[str, Any]]]:
    """The manifest's entry of every shard of every split."""
    lengths = {split: shard_rows(len(samples), shard_size) for split, samples in rows.items()}
    paths = [folder / split / name for split in rows for n in range(len(lengths[split])) for name in shard_names(n)]
    digests = iter(processes(workers)(joblib.delayed(_seal)(p) for p in paths))
    facts: dict[str, list[dict[str, Any]]] = {}
    for split in rows:
        facts[split] = []
        for number, length in enumerate(lengths[split]):
            images, masks = shard_names(number)
            shard = {"images": images, "masks": masks, "rows": length}
            facts[split].append({**shard, "images_sha256": next(digests), "masks_sha256": next(digests)})
    return facts


def _manifest(
    rows: dict[str, list[ResizedRow]],
    counts: dict[str, Counts],
    shards: dict[str, list[dict[str, Any]]],
    about: Description,
) -> dict[str, Any]:
    splits = {
        split: {
            "pictures": len(samples),
            "clips": len({sample.clip for sample in samples}),
            "pixels": {name: int(counts[split].pixels[n]) for n, name in enumerate(about.classes)},
            "shards": shards[split],
        }
        for split, samples in rows.items()
    }
    return {
        "dataset": about.dataset,
        "size": about.size,
        "fit": about.fit,
        "classes": list(about.classes),
        "colours": [list(colour) for colour in about.colours],
        "mirror": [list(pair) for pair in about.mirror],
        "splits": splits,
    }


def _seal(path: Path) -> str:
    """The digest of a shard whose bytes are on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return sha256(path)
