"""Writes the cache: pictures and masks of each split as npy shards, filled in parallel, the manifest last.

The shards are laid out beforehand and every worker writes its own rows into them, one pack at a time, so that nothing
is gathered in memory and the bytes do not depend on how many workers there are.
"""

import os
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from faceseg.files import sha256, sync_folder, write_csv, write_json
from faceseg.labels.classes import IGNORED
from faceseg.progress import track
from faceseg.store.packs import pack_of
from faceseg.store.resized import ResizedReader, ResizedRow, read_index
from faceseg.store.shards import INDEX, MANIFEST, RowWriter, lay_out, shard_names, shard_rows
from faceseg.store.splits import SPLITS, leaks

_WRITING = ".writing"


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


@dataclass
class Counts:
    """Of one split, by class id, 255 included: (256,) int64 pixels, and (256,) int64 pictures that hold the class."""

    pixels: np.ndarray
    pictures: np.ndarray

    @classmethod
    def none(cls) -> "Counts":
        return cls(np.zeros(256, np.int64), np.zeros(256, np.int64))

    def add(self, pixels: np.ndarray) -> None:
        """Count one more mask, of which ``pixels`` are (256,) pixels by id."""
        self.pixels += pixels
        self.pictures += pixels > 0

    def join(self, other: "Counts") -> None:
        self.pixels += other.pixels
        self.pictures += other.pictures


@dataclass(frozen=True)
class Written:
    """What the stage reports: the manifest, and for ``write_metrics`` the counts of each split and the leaks."""

    manifest: dict[str, Any]
    counts: dict[str, Counts]
    leaks: list[str]

    @property
    def pictures(self) -> dict[str, int]:
        """Pictures by split."""
        return {split: facts["pictures"] for split, facts in self.manifest["splits"].items()}


def write_cache(
    resized: Path, out: Path, about: Description, split_of: dict[str, str], shard_size: int, workers: int | None
) -> Written:
    """Write ``out``: a folder for each split with its shards and index.csv, and cache.json last.

    Args:
        resized: folder of the resize stage.
        out: folder of the cache; what an earlier run left in it is removed.
        about: what the manifest says about every picture.
        split_of: split by clip, as ``splits.assign`` gives it; a clip that is not in it is left out.
        shard_size: pictures in a shard.
        workers: processes; None: one a core. They do not change a byte.

    Raises:
        MissingInputError: when an input is not there.
        ValueError: when a picture has another size, or a mask an id that is no class.
    """
    _clear(out)
    rows: dict[str, list[ResizedRow]] = {split: [] for split in SPLITS if split in split_of.values()}
    for row in read_index(resized):
        if row.clip in split_of:
            rows[split_of[row.clip]].append(row)
    for split, samples in rows.items():
        lay_out(out / _WRITING / split, len(samples), about.size, shard_size)
    counts = _fill(resized, out / _WRITING, rows, about, shard_size, workers)
    for split, samples in rows.items():
        write_csv(
            out / _WRITING / split / INDEX,
            ("row", "id", "clip", "width", "height"),
            ((n, sample.id, sample.clip, sample.width, sample.height) for n, sample in enumerate(samples)),
        )
    manifest = _manifest(rows, counts, _shard_facts(out / _WRITING, rows, shard_size, workers), about)
    for split in rows:
        (out / _WRITING / split).replace(out / split)
    (out / _WRITING).rmdir()
    sync_folder(out)
    write_json(out / MANIFEST, manifest)
    return Written(manifest, counts, leaks((sample.clip, split) for split in rows for sample in rows[split]))


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
    write_json(splits_json, {"sizes": sizes, "classes": shares, "leaks": len(written.leaks)})
    write_csv(classes_csv, ("split", "class", "share", "pictures"), rows)


def _clear(out: Path) -> None:
    """The manifest goes first: from here on, until the new one is there, the cache is not complete."""
    (out / MANIFEST).unlink(missing_ok=True)
    for name in (*SPLITS, _WRITING):
        if (out / name).exists():
            shutil.rmtree(out / name)


def _fill(
    resized: Path,
    folder: Path,
    rows: dict[str, list[ResizedRow]],
    about: Description,
    shard_size: int,
    workers: int | None,
) -> dict[str, Counts]:
    jobs: defaultdict[int, list[_Place]] = defaultdict(list)
    for split, samples in rows.items():
        for n, sample in enumerate(samples):
            jobs[pack_of(sample.clip)].append(_Place(sample, split, *divmod(n, shard_size)))
    parallel = joblib.Parallel(n_jobs=workers or joblib.cpu_count(), return_as="generator_unordered")
    done = parallel(
        joblib.delayed(_fill_rows)(resized, folder, places, about.size, len(about.classes))
        for _, places in sorted(jobs.items())
    )
    counts = {split: Counts.none() for split in rows}
    for of_pack in track(done, len(jobs), "cache, packs"):
        for split, some in of_pack.items():
            counts[split].join(some)
    return counts


def _fill_rows(resized: Path, folder: Path, places: Sequence[_Place], size: int, classes: int) -> dict[str, Counts]:
    """One worker's share: the samples of one pack, each into its own row."""
    counts: defaultdict[str, Counts] = defaultdict(Counts.none)
    with ResizedReader(resized) as reader, RowWriter() as writer:
        for place in places:
            image, mask = reader.read(place.sample)
            if image.shape != (size, size, 3) or mask.shape != (size, size):
                raise ValueError(
                    f"{place.sample.id} is {image.shape[1]} x {image.shape[0]} in {resized}, expected {size} x {size}; "
                    "resize.size has changed since, so run `dvc repro`"
                )
            pixels = np.bincount(mask.ravel(), minlength=256)
            foreign = np.flatnonzero(pixels[classes:IGNORED])
            if foreign.size:
                raise ValueError(
                    f"the mask of {place.sample.id} in {resized} holds the id {classes + foreign[0]}, expected 0 to "
                    f"{classes - 1} or {IGNORED}; merge.into has changed since, so run `dvc repro`"
                )
            writer.write(folder / place.split, place.shard, place.row, image, mask)
            counts[place.split].add(pixels)
    return dict(counts)


def _shard_facts(
    folder: Path, rows: dict[str, list[ResizedRow]], shard_size: int, workers: int | None
) -> dict[str, list[dict[str, Any]]]:
    """The manifest's entry of every shard of every split."""
    lengths = {split: shard_rows(len(samples), shard_size) for split, samples in rows.items()}
    paths = [folder / split / name for split in rows for n in range(len(lengths[split])) for name in shard_names(n)]
    digests = iter(joblib.Parallel(n_jobs=workers or joblib.cpu_count())(joblib.delayed(_seal)(p) for p in paths))
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
