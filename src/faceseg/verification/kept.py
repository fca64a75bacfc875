"""What trainings keep beside DVC's outputs, under .faceseg: checkpoints with their hashes, and journals."""

import fcntl
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from faceseg.files import read_json, sha256, unsealed
from faceseg.verification.rot import Rot, rm

RUNS, JOURNALS = ".faceseg/runs", ".faceseg/journal"


def kept_faults(root: Path) -> tuple[list[Rot], list[Path]]:
    """Faults of checkpoints and journals, and every file that was looked at.

    The folder of a training that runs now is left alone: what it writes is half there.
    """
    faults: list[Rot] = []
    read: list[Path] = []
    for folder in sorted(path for path in (root / RUNS).glob("*") if path.is_dir()):
        if not _is_held(folder / "lock"):
            read += [path for path in folder.iterdir() if path.name != "lock"]
            faults += _run_faults(root, folder)
    for path in sorted((root / JOURNALS).glob("*.jsonl")):
        read.append(path)
        faults += _journal_faults(root, path)
    return faults, read


def _is_held(lock: Path) -> bool:
    if not lock.exists():
        return False
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _run_faults(root: Path, folder: Path) -> Iterator[Rot]:
    """Each checkpoint is arrays and, beside them, a record with their hash; training goes on from the one before."""
    where = folder.relative_to(root).as_posix()
    named = {"lock", "identity.json"}
    all_records = True
    for record in sorted(folder.glob("epoch-*.json")):
        arrays = record.with_suffix(".npz")
        named |= {record.name, arrays.name}
        both = rm(f"{where}/{record.name}", f"{where}/{arrays.name}")
        try:
            values = unsealed(read_json(record))
            expected, best = values["sha256"], values["state"].get("best_weights")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            all_records = False
            yield Rot(f"{where}/{record.name}", f"is not as it was written ({error})", both)
            continue
        yield from _array_fault(folder, where, arrays.name, expected, both)
        if best:
            named.add(best["file"])
            mend = rm(f"{where}/{record.name}", f"{where}/{arrays.name}", f"{where}/{best['file']}")
            yield from _array_fault(folder, where, best["file"], best["sha256"], mend)
    yield from _identity_fault(folder, where)
    for path in sorted(folder.iterdir()):
        # A record that cannot be read may name best weights.
        if all_records and path.name not in named:
            yield Rot(f"{where}/{path.name}", "is left over: no checkpoint names it", rm(f"{where}/{path.name}"))


def _array_fault(folder: Path, where: str, name: str, expected: str, mend: str) -> Iterator[Rot]:
    if not (folder / name).is_file():
        yield Rot(f"{where}/{name}", "is not there, and a checkpoint names it", mend)
    elif sha256(folder / name) != expected:
        yield Rot(f"{where}/{name}", "is not the file that its checkpoint describes", mend)


def _identity_fault(folder: Path, where: str) -> Iterator[Rot]:
    """The folder has its name from what the training depends on."""
    path = folder / "identity.json"
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
