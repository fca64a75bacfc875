"""The rows of a cache: where each picture goes, and its pixels there, taken over from an earlier build or made.

Shards whose rows are all the same stay as they are, and rows that have moved are copied; the others are made in
parallel, one pack a task.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import joblib
import numpy as np

from faceseg.labels.classes import IGNORED
from faceseg.progress import track
from faceseg.running.workers import processes
from faceseg.store.growing import worth_starting
from faceseg.store.origins import Origin, as_facts, key_of
from faceseg.store.packs import pack_of
from faceseg.store.resized import ResizedReader, ResizedRow, pair_digest
from faceseg.store.shard_writer import WRITING, RowWriter, Run, Shard, copy_rows, holds_rows, lay_out


@dataclass(frozen=True, slots=True)
class Place:
    """Where one picture goes; ``key``: of what its row is made of; ``known``: the record of the same, if any."""

    sample: ResizedRow
    shard: Shard
    row: int
    key: str
    known: Origin | None


@dataclass(frozen=True, slots=True)
class Work:
    """What every worker is told: input, output, side and classes."""

    resized: Path
    out: Path
    size: int
    classes: int


def plan(
    rows: Mapping[str, Sequence[ResizedRow]], shard_size: int, basis: str, earlier: Mapping[str, Origin]
) -> dict[Shard, list[Place]]:
    """Every picture in its row, by shard."""
    shards: defaultdict[Shard, list[Place]] = defaultdict(list)
    for split, samples in rows.items():
        for n, sample in enumerate(samples):
            number, row = divmod(n, shard_size)
            key, known = key_of(basis, sample.pair), earlier.get(sample.id)
            same = known if known is not None and known.key == key else None
            shard = Shard(split, number)
            shards[shard].append(Place(sample, shard, row, key, same))
    return dict(shards)


def stays(out: Path, shard: Shard, places: Sequence[Place]) -> bool:
    """Whether a shard of the earlier build, whose bytes are those that were written, holds these rows and no others."""
    same = (p.known is not None and (p.known.file, p.known.row) == (shard.name, str(p.row)) for p in places)
    return all(same) and holds_rows(out, shard, len(places))


def fill(work: Work, shards: Mapping[Shard, Sequence[Place]], workers: int | None) -> dict[str, str]:
    """Fill shards that are not there yet, with rows of the earlier build where it has them; the facts of the others."""
    writing = work.out / WRITING
    for shard, places in shards.items():
        lay_out(writing, shard, len(places), work.size)
    threads = joblib.Parallel(n_jobs=workers or joblib.cpu_count(), prefer="threads")
    threads(joblib.delayed(copy_rows)(work.out, writing, shard, _runs(places)) for shard, places in shards.items())
    jobs: defaultdict[int, list[Place]] = defaultdict(list)
    for places in shards.values():
        for place in places:
            if place.known is None:
                jobs[pack_of(place.sample.clip)].append(place)
    to_make = sum(map(len, jobs.values()))
    parallel = processes(worth_starting(workers, to_make), return_as="generator_unordered")
    done = parallel(joblib.delayed(_fill_rows)(work, places) for _, places in sorted(jobs.items()))
    return {id_: facts for some in track(done, len(jobs), "cache, packs") for id_, facts in some.items()}


def _runs(places: Iterable[Place]) -> list[Run]:
    """The rows of the earlier build that can be copied, together where they follow one another in both."""
    runs: list[Run] = []
    for place in places:
        if place.known is None:
            continue
        split, number = place.known.file.split("/")
        source, row = Shard(split, int(number)), int(place.known.row)
        last = runs[-1] if runs else None
        if last and (source, row, place.row) == (last.source, last.source_first + last.rows, last.first + last.rows):
            runs[-1] = replace(last, rows=last.rows + 1)
        else:
            runs.append(Run(source, row, place.row, 1))
    return runs


def _fill_rows(work: Work, places: Sequence[Place]) -> dict[str, str]:
    """One worker's share: samples of one pack, each into its own row; the pixels of each id of every mask, as facts."""
    facts = {}
    with ResizedReader(work.resized) as reader, RowWriter(work.out / WRITING) as writer:
        for place in places:
            image, mask, facts[place.sample.id] = _made(reader.contents(place.sample), place.sample, work)
            writer.write(place.shard, place.row, image, mask)
    return facts


def _made(files: tuple[bytes, bytes], sample: ResizedRow, work: Work) -> tuple[np.ndarray, np.ndarray, str]:
    size, classes = work.size, work.classes
    if pair_digest(*files) != sample.pair:
        raise ValueError(
            f"the files of {sample.id} in {work.resized} are not those of its index; they are not of one run, so run "
            "`dvc repro`"
        )
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
    return image, mask, as_facts({str(id_): int(pixels[id_]) for id_ in np.flatnonzero(pixels)})
