"""A run's folder outside DVC's outs: the last two checkpoints with their hashes, the best weights, and the lock.

DVC deletes a stage's outs before it runs, so what a killed training continues from lies elsewhere:
``.faceseg/runs/<fingerprint>/``. The fingerprint covers data, parameters, code and surroundings, so a checkpoint of
anything else is never taken up. A checkpoint is one ``.npz`` of every variable in order, and one ``.json`` with its
hash and the loop's own state; the ``.json`` comes last, so one that is there belongs to arrays that are complete.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from faceseg.files import atomic_write, read_json, remove_unfinished, sealed, sha256, unsealed, write_json
from faceseg.running.locks import HeldError, held, is_held, take

KEPT = 2
LOCK = "lock"
IDENTITY = "identity.json"


class RunFolder:
    """The folder of one training, found again by what it trains; hold it as a context, which takes the lock."""

    def __init__(self, root: Path, identity: dict[str, Any]) -> None:
        """``root`` holds all runs; ``identity`` is everything that the trained bits depend on, as JSON values."""
        text = json.dumps(identity, sort_keys=True)
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()
        self.path = root / self.fingerprint[:16]
        self._identity = identity
        self._lock: BinaryIO | None = None

    def __enter__(self) -> "RunFolder":
        self._lock = take(self.path / LOCK, "this training")
        remove_unfinished(self.path)
        if not (self.path / IDENTITY).exists():
            write_json(self.path / IDENTITY, self._identity)
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def what_differs(self) -> list[str]:
        """Lines that say how the newest other run's identity differs from this one's.

        Empty without another run, and where this one has a checkpoint of its own to go on from.
        """
        others = [run.path for run in runs_in(self.path.parent) if run.path != self.path and run.epoch]
        if not others or self._saved():
            return []
        newest = max(others, key=lambda path: max(_saved(path)).stat().st_mtime)
        return list(differences(read_json(newest / IDENTITY), self._identity))

    def save(self, epoch: int, arrays: Sequence[np.ndarray], state: dict[str, Any]) -> None:
        """Keep the whole state after ``epoch``, and this and the one before only."""
        data = self.path / f"epoch-{epoch:05d}.npz"
        _write_arrays(data, arrays)
        write_json(data.with_suffix(".json"), sealed({"epoch": epoch, "sha256": sha256(data), "state": state}))
        self._prune(KEPT)

    def _prune(self, kept: int) -> None:
        """Remove all but the last ``kept`` checkpoints, and the best weights that none of these names."""
        for old in self._saved()[:-kept]:
            old.unlink()
            old.with_suffix(".npz").unlink(missing_ok=True)
        named = [read_json(path)["state"].get("best_weights") for path in self._saved()]
        best_kept = {best["file"] for best in named if best}
        for path in self.path.glob("best-*.npz"):
            if path.name not in best_kept:
                path.unlink()

    def latest(self) -> tuple[int, list[np.ndarray], dict[str, Any]] | None:
        """The newest whole checkpoint (epoch, arrays, state), or None; a damaged one is named and removed."""
        for path in reversed(self._saved()):
            try:
                record = unsealed(read_json(path))
                data = path.with_suffix(".npz")
                if sha256(data) != record["sha256"]:
                    raise ValueError("its hash is another than when it was written")
                best = record["state"].get("best_weights")
                if best and sha256(self.path / best["file"]) != best["sha256"]:
                    raise ValueError(f"the best weights that it names, {best['file']}, are damaged")
                return record["epoch"], _read_arrays(data), record["state"]
            except (ValueError, OSError, KeyError) as error:
                print(f"checkpoint {path} cannot be used ({error}); trying the one before", flush=True)
                # It must not be counted among the two that are kept.
                path.unlink()
        return None

    def save_best(self, epoch: int, arrays: Sequence[np.ndarray]) -> dict[str, str]:
        """Write the best weights so far; the answer goes into the state. :meth:`save` makes them count."""
        path = self.path / f"best-{epoch:05d}.npz"
        _write_arrays(path, arrays)
        return {"file": path.name, "sha256": sha256(path)}

    def load_best(self, record: dict[str, str]) -> list[np.ndarray]:
        return _read_arrays(self.path / record["file"])

    def end(self) -> None:
        """Keep the last checkpoint alone: the outputs are complete, but DVC has not taken them over yet.

        Were it killed before it has, the training would be lost; :func:`forget` comes once it has.
        """
        self._prune(1)

    def _saved(self) -> list[Path]:
        return _saved(self.path)


@dataclass(frozen=True)
class Run:
    """A run's folder: its last whole epoch (0: none), the bytes in it, and whether a process trains in it now."""

    path: Path
    epoch: int
    bytes: int
    running: bool


def runs_in(root: Path) -> list[Run]:
    """What trainings have left in ``root``, by name."""
    found = []
    for path in sorted(identity.parent for identity in root.glob(f"*/{IDENTITY}")):
        saved = _saved(path)
        sizes = [file.stat().st_size for file in path.iterdir()]
        found.append(Run(path, int(saved[-1].stem[-5:]) if saved else 0, sum(sizes), is_held(path / LOCK)))
    return found


def forget(root: Path, identity: dict[str, Any]) -> None:
    """Remove the run of a training whose outputs DVC has; where somebody trains the same now, it stays."""
    folder = RunFolder(root, identity)
    if folder.path.exists():
        remove_run(folder.path)


def remove_run(path: Path) -> bool:
    """Remove a run's folder; False: a process trains in it, so it stays."""
    try:
        with held(path / LOCK, "this training"):
            shutil.rmtree(path)
    except HeldError:
        return False
    return True


def _saved(path: Path) -> list[Path]:
    return sorted(path.glob("epoch-*.json"))


def differing(before: Any, now: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Each leaf at which two JSON values differ: its dotted key and both values, None where there is none."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from differing(before.get(key), now.get(key), f"{where}.{key}" if where else key)
    elif before != now:
        yield where, before, now


def differences(before: Any, now: Any) -> list[str]:
    """The same as lines ``key: before -> now``."""
    return [f"{key}: {old} -> {new}" for key, old, new in differing(before, now)]


def _write_arrays(path: Path, arrays: Sequence[np.ndarray]) -> None:
    with atomic_write(path) as file:
        np.savez(file, *arrays, allow_pickle=False)


def _read_arrays(path: Path) -> list[np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return [file[f"arr_{index}"] for index in range(len(file.files))]
