"""A run's folder outside DVC's outs: the last two checkpoints with their hashes, the best weights, and the lock.

DVC deletes a stage's outs before it runs, so what a killed training continues from lies elsewhere:
``.faceseg/runs/<fingerprint>/``. The fingerprint covers data, parameters, code and surroundings, so a checkpoint of
anything else is never taken up. A checkpoint is one ``.npz`` of every variable in order, and one ``.json`` with its
hash and the loop's own state; the ``.json`` comes last, so one that is there belongs to arrays that are complete.
"""

import fcntl
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from faceseg.files import atomic_write, read_json, sealed, sha256, unsealed, write_json

KEPT = 2


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
        self.path.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        if not (self.path / "identity.json").exists():
            write_json(self.path / "identity.json", self._identity)
        return self

    def __exit__(self, *_: object) -> None:
        # The kernel frees the lock with the file, also when the process dies.
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _take_lock(self) -> None:
        lock = (self.path / "lock").open("a+b")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().decode() or "another process"
            lock.close()
            raise ValueError(
                f"this training is already running: {holder} holds {self.path}. "
                "Wait for it, or end that process; its state is saved at every epoch's end."
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        lock.flush()
        self._lock = lock

    def what_differs(self) -> list[str]:
        """Lines that say how the newest other run's identity differs from this one's; empty without another run."""
        others = [path for path in self.path.parent.glob("*/identity.json") if path.parent != self.path]
        if not others:
            return []
        newest = max(others, key=lambda path: path.stat().st_mtime)
        return list(differences(read_json(newest), self._identity))

    def save(self, epoch: int, arrays: Sequence[np.ndarray], state: dict[str, Any]) -> None:
        """Keep the whole state after ``epoch``, and this and the one before only."""
        data = self.path / f"epoch-{epoch:05d}.npz"
        _write_arrays(data, arrays)
        write_json(data.with_suffix(".json"), sealed({"epoch": epoch, "sha256": sha256(data), "state": state}))
        for old in self._saved()[:-KEPT]:
            old.unlink()
            old.with_suffix(".npz").unlink(missing_ok=True)
        named = [read_json(path)["state"].get("best_weights") for path in self._saved()]
        kept = {best["file"] for best in named if best}
        for path in self.path.glob("best-*.npz"):
            if path.name not in kept:
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

    def remove(self) -> None:
        """Forget the run: its stage has ended well and its outputs are complete."""
        shutil.rmtree(self.path)

    def _saved(self) -> list[Path]:
        return sorted(self.path.glob("epoch-*.json"))


def differences(before: Any, now: Any, where: str = "") -> list[str]:
    """Each leaf at which two JSON values differ, as ``key: before -> now``."""
    if isinstance(before, dict) and isinstance(now, dict):
        lines = []
        for key in sorted(before.keys() | now.keys()):
            lines += differences(before.get(key), now.get(key), f"{where}.{key}" if where else key)
        return lines
    return [] if before == now else [f"{where}: {before} -> {now}"]


def _write_arrays(path: Path, arrays: Sequence[np.ndarray]) -> None:
    with atomic_write(path) as file:
        np.savez(file, *arrays, allow_pickle=False)


def _read_arrays(path: Path) -> list[np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return [file[f"arr_{index}"] for index in range(len(file.files))]
