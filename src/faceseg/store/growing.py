"""Packs that grow: what an earlier build has made of the same is taken over, byte for byte, and the rest is made.

A pack whose pictures are all the same is hashed and left alone; of one that has gained or lost some the others are
copied. A pack is one task of a worker, which holds one picture at a time.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import joblib

from faceseg.files import sha256
from faceseg.progress import track
from faceseg.running.workers import processes
from faceseg.store.origins import Origin, file_digests, read_origins, sound, write_origins
from faceseg.store.packs import PackReader, PackWriter, pack_path

PICTURES_A_PROCESS = 64  # about as many are made in the time in which a process starts
NOTE_SECONDS = 15.0  # between two notes of what has been made

Source = TypeVar("Source")
Consumed = TypeVar("Consumed", contravariant=True)


@dataclass(frozen=True, slots=True)
class Wanted(Generic[Source]):
    """A picture that a pack shall hold; ``key``: of what it is made of, empty where that is not known."""

    id: str
    key: str
    source: Source


@dataclass(frozen=True, slots=True)
class Made:
    """What was made of a picture: the contents of its members, none where it was rejected, and what is recorded."""

    facts: str
    contents: Sequence[bytes]


class Maker(Protocol[Consumed]):
    """The work of a stage; it is sent to other processes."""

    def members(self, id_: str) -> Sequence[str]:
        """The names of the members of a picture, as many as it has contents."""
        ...

    def make(self, sources: Iterable[Consumed]) -> Iterator[Made]:
        """One result for each source, when it is asked for."""
        ...


@dataclass(frozen=True, slots=True)
class _Pack:
    folder: Path
    stem: str
    number: int

    @property
    def path(self) -> Path:
        return pack_path(self.folder, self.stem, self.number)


def write_packs(
    folder: Path,
    stem: str,
    wanted: Mapping[int, Sequence[Wanted[Source]]],
    maker: Maker[Source],
    workers: int | None,
    origins: Path | None,
    label: str,
) -> list[Origin]:
    """Write the packs of ``stem`` by number, each with its pictures in the order of their ids.

    Args:
        origins: the records of the build that left what is in ``folder``; None: everything is made anew.
        label: of the progress that is shown.

    Returns:
        a record for every picture.
    """
    earlier = _earlier(folder, stem, wanted, workers, origins)
    done: list[Origin] = []
    jobs = []
    reused = 0
    for number, items in sorted(wanted.items()):
        pack, items = _Pack(folder, stem, number), sorted(items, key=lambda item: item.id)
        known = {i.id: earlier[i.id] for i in items if i.id in earlier and _is_same(earlier[i.id], i, pack.path.name)}
        reused += len(known)
        if len(known) == len(items) and _is_whole(pack, known, maker):
            done += known.values()
        else:
            jobs.append(joblib.delayed(_write_pack)(pack, items, known, maker))
    to_make = sum(map(len, wanted.values())) - reused
    parallel = processes(worth_starting(workers, to_make), return_as="generator_unordered")
    noted = time.monotonic()
    for records in track(parallel(jobs), len(jobs), label):
        done += records
        if origins is not None and time.monotonic() - noted >= NOTE_SECONDS:
            # Killed from here on, it leaves the next run less to do.
            write_origins(origins, {**earlier, **{record.id: record for record in done}}.values())
            noted = time.monotonic()
    return done


def worth_starting(workers: int | None, pictures: int) -> int:
    """How many processes are worth their start where so many pictures are to be made; ``workers`` None: one a core."""
    return min(workers or joblib.cpu_count(), 1 + pictures // PICTURES_A_PROCESS)


def _earlier(
    folder: Path, stem: str, numbers: Iterable[int], workers: int | None, origins: Path | None
) -> dict[str, Origin]:
    records = read_origins(origins)
    names = [pack_path(folder, stem, number).name for number in numbers] if records else []
    return sound(records, file_digests(folder, names, workers))


def _is_same(origin: Origin, item: Wanted[Source], pack: str) -> bool:
    return bool(item.key) and origin.key == item.key and origin.file in ("", pack)


def _is_whole(pack: _Pack, known: Mapping[str, Origin], maker: Maker[Source]) -> bool:
    """Whether a pack, whose bytes are those that were written, holds the ``known`` pictures and no others."""
    members = [member for id_, origin in known.items() if origin.file for member in maker.members(id_)]
    if not members:
        return False
    with PackReader(pack.folder, pack.stem) as reader:
        return reader.members(pack.number) == members


def _write_pack(
    pack: _Pack, items: Sequence[Wanted[Source]], known: Mapping[str, Origin], maker: Maker[Source]
) -> list[Origin]:
    """One worker's share: a pack with all of its ``items``, of which the ``known`` lie in the pack that is there."""
    made = maker.make(item.source for item in items if item.id not in known)
    results: list[tuple[Wanted[Source], str, bool]] = []
    with PackReader(pack.folder, pack.stem) as old, PackWriter(pack.folder, pack.stem, pack.number) as writer:
        for item in items:
            origin, members = known.get(item.id), maker.members(item.id)
            if origin is None:
                result = next(made)
            else:
                contents = [old.read_from(pack.number, member) for member in members] if origin.file else []
                result = Made(origin.facts, contents)
            if result.contents:
                for member, content in zip(members, result.contents, strict=True):
                    writer.add(member, content)
            results.append((item, result.facts, bool(result.contents)))
    digest = sha256(pack.path)
    return [
        Origin.sealed(item.id, item.key, facts, file=pack.path.name, digest=digest)
        if lies_here
        else Origin.sealed(item.id, item.key, facts)
        for item, facts, lies_here in results
    ]
