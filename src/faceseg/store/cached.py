"""Writes the cache: pictures and masks of each split as npy shards, filled in parallel, the manifest last.

The shards are laid out beforehand and every worker writes its own rows into them, one pack at a time, so that nothing
is gathered in memory and the bytes do not depend on how many workers there are.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from faceseg.files import write_csv, write_json
from faceseg.store.cached_rows import Place, Work, fill, plan, stays
from faceseg.store.duplicates import Duplicates, Placed, across_splits
from faceseg.store.origins import Origin, code_key, key_of, read_origins, sound, write_origins
from faceseg.store.resized import ResizedRow, read_index
from faceseg.store.shard_writer import WRITING, Shard, begin, change_places, shard_digests, shards_of
from faceseg.store.shards import INDEX, MANIFEST, shard_names
from faceseg.store.splits import SPLITS, leaks

_SHOWN = 50  # pairs that the metrics name


@dataclass(frozen=True)
class Description:
    """What the manifest says about every picture: ``size`` and ``fit`` of the resize stage, the merge's classes."""

    dataset: str
    size: int
    fit: str
    classes: Sequence[str]
    colours: Sequence[tuple[int, int, int]]
    mirror: Sequence[tuple[int, int]]


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
    basis = key_of(code_key("images", "labels", "store"), f"{about.size} {len(about.classes)}")
    records = read_origins(origins)
    old = shard_digests(out, shards_of(out), workers) if records else {}
    earlier = sound(records, {shard.name: " ".join(digests) for shard, digests in old.items()})
    shards = plan(rows, shard_size, basis, earlier)
    kept = {shard for shard, places in shards.items() if shard in old and stays(out, shard, places)}
    changed = {shard: places for shard, places in shards.items() if shard not in kept}
    facts = fill(Work(resized, out, about.size, len(about.classes)), changed, workers)
    digests = {**{shard: old[shard] for shard in kept}, **shard_digests(out / WRITING, changed, workers)}
    for split, samples in rows.items():
        write_csv(
            out / WRITING / split / INDEX,
            ("row", "id", "clip", "width", "height"),
            ((n, sample.id, sample.clip, sample.width, sample.height) for n, sample in enumerate(samples)),
        )
    change_places(out, rows, kept)
    records = list(_records(shards, facts, digests))
    write_origins(origins, records)
    counts = _counts(rows, shards, records)
    manifest = _manifest(rows, counts, _shard_facts(shards, digests), about)
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


def _records(
    shards: Mapping[Shard, Sequence[Place]], facts: Mapping[str, str], digests: Mapping[Shard, tuple[str, str]]
) -> Iterator[Origin]:
    """What every row was made of."""
    for shard, places in shards.items():
        for place in places:
            id_ = place.sample.id
            of_row = place.known.facts if place.known is not None else facts[id_]
            yield Origin.sealed(id_, place.key, of_row, shard.name, str(place.row), " ".join(digests[shard]))


def _counts(rows: Iterable[str], shards: Mapping[Shard, object], records: Iterable[Origin]) -> dict[str, Counts]:
    """Pixels and pictures of each class, by split."""
    split_of = {shard.name: shard.split for shard in shards}
    counts = {split: Counts.none() for split in rows}
    for record in records:
        counts[split_of[record.file]].add(json.loads(record.facts))
    return counts


def _shard_facts(
    shards: Mapping[Shard, Sequence[Place]], digests: Mapping[Shard, tuple[str, str]]
) -> dict[str, list[dict[str, Any]]]:
    """The manifest's entry of every shard, by split."""
    facts: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for shard, places in shards.items():
        (images, masks), (images_sha256, masks_sha256) = shard_names(shard.number), digests[shard]
        entry = {"images": images, "masks": masks, "rows": len(places)}
        facts[shard.split].append({**entry, "images_sha256": images_sha256, "masks_sha256": masks_sha256})
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
