"""What trainings keep beside DVC's outputs, under .faceseg: checkpoints with their hashes, and journals."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from faceseg.files import read_json, sha256, unsealed
from faceseg.running.locks import is_held
from faceseg.training.checkpoint import IDENTITY, LOCK
from faceseg.verification.rot import Rot, rm

RUNS, JOURNALS = ".faceseg/runs", ".faceseg/journal"


def kept_faults(root: Path) -> tuple[list[Rot], list[Path]]:
    """Faults of checkpoints and journals, and every file that was looked at.

    The folder of a training that runs now is left alone: what it writes is half there.
    """
    faults: list[Rot] = []
    read: list[Path] = []
    for folder in sorted(path for path in (root / RUNS).glob("*") if path.is_dir()):
        if not is_held(folder / LOCK):
            read += [path for path in folder.iterdir() if path.name != LOCK]
            faults += _run_faults(root, folder)
    for path in sorted((root / JOURNALS).glob("*.jsonl")):
        copies = sorted(path.with_suffix(".files").glob("*"))
        read += [path, *copies]
        faults += [*_journal_faults(root, path), *_copy_faults(root, copies)]
    return faults, read


@dataclass(frozen=True)
class _Record:
    """The record of a checkpoint: the hashes of its arrays and of the best weights so far, by their names."""

    name: str
    arrays: dict[str, str]
    wrong: str | None = None

    @classmethod
    def read(cls, path: Path) -> "_Record":
        try:
            values = unsealed(read_json(path))
            best = values["state"].get("best_weights")
            arrays = {path.with_suffix(".npz").name: values["sha256"]}
            return cls(path.name, arrays | ({best["file"]: best["sha256"]} if best else {}))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return cls(path.name, {}, f"is not as it was written ({error})")


def _run_faults(root: Path, folder: Path) -> Iterator[Rot]:
    """Each checkpoint is arrays and, beside them, a record with their hashes; training goes on from the one before."""
    where = folder.relative_to(root).as_posix()
    records = [_Record.read(path) for path in sorted(folder.glob("epoch-*.json"))]
    files = {path.name for path in folder.iterdir()} - {LOCK, IDENTITY, *(record.name for record in records)}
    for record in records:
        others = {name for other in records if other is not record for name in other.arrays}
        named = record.arrays.keys() if record.wrong is None else files
        mend = rm(*(f"{where}/{name}" for name in sorted({record.name} | (named - others))))
        if record.wrong:
            yield Rot(f"{where}/{record.name}", record.wrong, mend)
        for name, expected in record.arrays.items():
            if name not in files:
                yield Rot(f"{where}/{name}", "is not there, and a checkpoint names it", mend)
            elif sha256(folder / name) != expected:
                yield Rot(f"{where}/{name}", "is not the file that its checkpoint describes", mend)
    yield from _identity_fault(folder, where)
    if all(record.wrong is None for record in records):  # one that cannot be read may name what is there
        for name in sorted(files.difference(*(record.arrays for record in records))):
            yield Rot(f"{where}/{name}", "is left over: no checkpoint names it", rm(f"{where}/{name}"))


def _identity_fault(folder: Path, where: str) -> Iterator[Rot]:
    """The folder has its name from what the training depends on."""
    path = folder / IDENTITY
    try:
        text = json.dumps(read_json(path), sort_keys=True)
    except (OSError, ValueError):
        text = ""
    if hashlib.sha256(text.encode()).hexdigest()[:16] != folder.name:
        wrong = "is not there" if not path.exists() else "is not what its folder is named by"
        yield Rot(f"{where}/{path.name}", f"{wrong}; the next start of this training writes it", f"rm -rf {where}")


def _journal_faults(root: Path, path: Path) -> Iterator[Rot]:
    """Lines that are torn or not as they were written; their numbers cannot be brought back."""
    name = path.relative_to(root).as_posix()
    content = path.read_bytes()
    whole = content.rpartition(b"\n")[0]
    for number, line in enumerate(whole.split(b"\n"), start=1):
        try:
            unsealed(json.loads(line))["kind"]
        except (ValueError, KeyError, TypeError) as error:
            yield Rot(name, f"line {number} is not as it was written ({error})", f"mv {name} {name}.damaged")
            return
    if not content.endswith(b"\n"):
        length = len(whole) + 1 if whole else 0
        yield Rot(name, "its last line is torn, as a kill leaves it", f"truncate -s {length} {name}")


def _copy_faults(root: Path, copies: list[Path]) -> Iterator[Rot]:
    """Files that wait beside a journal until MLflow has them; their names begin with their hash."""
    for path in copies:
        name = path.relative_to(root).as_posix()
        if sha256(path)[:16] != path.name[:16]:
            yield Rot(name, "is not what its name says; MLflow will be without it", rm(name))
