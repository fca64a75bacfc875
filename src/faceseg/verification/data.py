"""A dataset as a whole: every pair examined in parallel, then what only shows between pictures, clips and splits."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import joblib

from faceseg.params import Limit, SplitParams
from faceseg.progress import track
from faceseg.sources.archive import Archive, ArchiveError
from faceseg.sources.catalog import Dataset, Merge
from faceseg.sources.pairing import Pairing, Sample, pair_archive
from faceseg.store.duplicates import Placed, across_splits
from faceseg.store.packs import MissingInputError
from faceseg.store.splits import assign
from faceseg.verification.findings import Finding, Report, Severity
from faceseg.verification.pictures import Examined, examine

_CHUNK = 16  # pairs in one task


@dataclass(frozen=True, slots=True)
class _Row:
    """What the splits ask of a picture."""

    clip: str
    split: str
    classes: tuple[int, ...]


def verify_data(
    raw: Path, dataset: Dataset, merge: Merge, split: SplitParams, limit: Limit, workers: int | None
) -> Report:
    """Everything that is wrong with an archive as ``dataset``; it never stops at the first.

    Args:
        raw: the archive of the download stage.
        dataset: the description.
        merge: one of its merges.
        split: the section ``split`` of params.yaml.
        limit: the section ``dataset.limit``.
        workers: processes; None: one a core. They do not change the report.

    Raises:
        MissingInputError: when the archive is not there.
    """
    if not raw.exists():
        raise MissingInputError(f"{raw} is not there")
    try:
        with Archive(raw) as archive:
            pairing = pair_archive(archive, dataset)
    except ArchiveError as error:
        return Report(dataset.name, 0, [], [Finding("fault", "refused archive", raw.name, str(error))], {})
    except ValueError as error:
        return Report(dataset.name, 0, [], [Finding("fault", "another layout", raw.name, str(error))], {})
    examined = _examine_all(raw, dataset, merge, pairing.samples, workers)
    findings = [Finding("fault", orphan.kind, orphan.id, orphan.detail) for orphan in pairing.orphans]
    findings += [finding for seen in examined for finding in seen.findings]
    findings += _unlike_expected(pairing, dataset)
    findings += _never(examined, dataset, merge)
    findings += _between_splits(examined, merge, split, limit)
    foreign: Counter[str] = sum((seen.foreign for seen in examined), Counter())
    return Report(
        dataset.name, len(pairing.samples), pairing.unlabelled, sorted(findings), dict(sorted(foreign.items()))
    )


def _examine_all(
    raw: Path, dataset: Dataset, merge: Merge, samples: Sequence[Sample], workers: int | None
) -> list[Examined]:
    chunks = [samples[first : first + _CHUNK] for first in range(0, len(samples), _CHUNK)]
    parallel = joblib.Parallel(n_jobs=workers or joblib.cpu_count(), return_as="generator_unordered")
    done = parallel(joblib.delayed(examine)(raw, dataset, merge, chunk) for chunk in chunks)
    examined = [seen for some in track(done, len(chunks), f"verify, groups of {_CHUNK} pictures") for seen in some]
    return sorted(examined, key=lambda seen: seen.sample.id)


def _unlike_expected(pairing: Pairing, dataset: Dataset) -> Iterator[Finding]:
    """Splits of which the archive holds another number of pairs than the description says."""
    found = Counter(sample.split for sample in pairing.samples)
    for split, expected in (dataset.expected or {}).items():
        if found[split] != expected:
            yield Finding(
                "fault",
                "other count",
                split,
                f"{found[split]} pictures with a mask; expected {expected}, as the description of {dataset.name} says",
            )


def _never(examined: Sequence[Examined], dataset: Dataset, merge: Merge) -> Iterator[Finding]:
    """Classes that no picture holds: of the merge, so that they cannot be learnt; of the source, to be looked at."""
    targets = {id_ for seen in examined for id_ in seen.classes}
    sources = {id_ for seen in examined for id_ in seen.source_ids}
    for n, name in enumerate(merge.classes):
        if n not in targets:
            yield Finding("fault", "class that never occurs", name, f"no picture holds it; {merge.name} names it")
    for source in dataset.classes:
        if source.id not in sources and source.name not in merge.classes:
            yield Finding("note", "source class that never occurs", source.name, f"no mask holds the id {source.id}")


def _between_splits(examined: Sequence[Examined], merge: Merge, params: SplitParams, limit: Limit) -> Iterator[Finding]:
    """Clips, files and look-alikes in two splits, splits without a class, and splits that cannot be made."""
    sound = [seen for seen in examined if seen.classes]
    if not sound:
        yield Finding("fault", "no picture", "all splits", "not one pair is sound")
        return
    parted = _parted(sound, params)
    yield from parted
    if parted:
        split_of = None
    else:
        try:
            rows = [_Row(seen.sample.clip, seen.sample.split, seen.classes) for seen in sound]
            split_of = assign(rows, params, limit, merge.classes)
        except ValueError as error:
            split_of = None
            yield Finding("fault", "no split", "split", str(error))
    # Without splits of ours the dataset's own are looked at.
    placed = [
        (seen, split)
        for seen in sound
        if (split := (seen.sample.split or "train") if split_of is None else split_of.get(seen.sample.clip))
    ]
    yield from _lookalikes(placed)
    held: defaultdict[str, set[int]] = defaultdict(set)
    for seen, split in placed:
        held[split] |= set(seen.classes)
    everywhere = set().union(*held.values())
    for split, classes in sorted(held.items()):
        for id_ in sorted(everywhere - classes):
            severity: Severity = "fault" if split == "train" else "note"
            yield Finding(severity, "split without a class", split, f"it holds no {merge.classes[id_]}")


def _parted(examined: Sequence[Examined], params: SplitParams) -> list[Finding]:
    """Clips that the dataset's own splits part, where these are asked for and no list says otherwise."""
    if params.by != "own":
        return []
    listed = {*params.lists.train, *params.lists.val, *params.lists.test}
    splits: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for seen in examined:
        splits[seen.sample.clip][seen.sample.split or "train"] += 1
    return [
        Finding(
            "fault",
            "clip across splits",
            clip,
            f"{', '.join(f'{number} pictures in {split}' for split, number in sorted(counts.items()))}; expected one "
            "split, so set split.by to 'clip' or name the clip in split.lists",
        )
        for clip, counts in sorted(splits.items())
        if len(counts) > 1 and clip not in listed
    ]


def _lookalikes(placed: Sequence[tuple[Examined, str]]) -> Iterator[Finding]:
    pictures = [
        Placed(seen.sample.id, split, seen.content, seen.perceptual)
        for seen, split in placed
        if seen.perceptual is not None
    ]
    duplicates = across_splits(pictures)
    for pair in duplicates.exact:
        yield Finding("fault", "duplicate across splits", pair.second[1], str(pair))
    for pair in duplicates.near:
        yield Finding("note", "near-duplicate across splits", pair.second[1], str(pair))
    if duplicates.skipped:
        yield Finding(
            "note", "not compared", "all splits", f"{duplicates.skipped} pictures look like thousands of others"
        )
    files: defaultdict[str, list[Placed]] = defaultdict(list)
    for picture in pictures:
        files[picture.content].append(picture)
    for group in files.values():
        if len(group) > 1 and len({picture.split for picture in group}) == 1:
            names = ", ".join(picture.id for picture in group[1:])
            yield Finding(
                "note", "duplicate within a split", group[0].id, f"{names} in {group[0].split}: the same file"
            )
