"""Whether what the stages, DVC and trainings have written is still what they wrote, byte for byte.

The first witness is DVC's record: every byte of every output counts in dvc.lock. DVC's own word is not taken for it: it
knows a file by its date and restores a damaged object of its cache silently. Where there is no record, the manifests
that the stages write last speak for what they name. Each fault comes with the command that mends it.
"""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from faceseg.files import BLOCK_BYTES
from faceseg.progress import track
from faceseg.verification import ledger
from faceseg.verification.against_record import Books, files_in, output_faults, restored_lock, shown
from faceseg.verification.kept import kept_faults
from faceseg.verification.ledger import LOCK, LedgerError, Output
from faceseg.verification.manifests import manifest_faults
from faceseg.verification.rot import Rot, chain, rm

# The outputs with a manifest, and their stages.
FOLDERS = {
    "data/raw": "download",
    "data/merged": "merge",
    "data/resized": "resize",
    "data/cache": "cache",
    "models": "train",
}


@dataclass(frozen=True)
class Verified:
    """How much was read, and what of it is not as it was written."""

    files: int
    bytes: int
    faults: list[Rot]

    @property
    def passed(self) -> bool:
        return not self.faults

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "passed": self.passed}

    def show(self, console: Console) -> None:
        """A table of the faults, then the commands that mend them, each once, ready to be copied."""
        if self.faults:
            table = Table("file", "what is wrong")
            for fault in self.faults:
                table.add_row(fault.path, fault.wrong)
            console.print(table)
            console.print("These commands mend it, in this order:", highlight=False)
            for command in dict.fromkeys(fault.mend for fault in self.faults):
                console.print(f"  {command}", soft_wrap=True, highlight=False, markup=False)
        count = f"{self.files} files, {self.bytes / 1e6:.0f} MB: "
        said = "all as they were written" if self.passed else f"{len(self.faults)} not as they were written"
        console.print(count + said, soft_wrap=True, highlight=False)


def verify_artefacts(root: Path, workers: int | None) -> Verified:
    """Read all that DVC and the stages keep in the repository at ``root``, and report what is not as it was written.

    Args:
        workers: threads that read; None: one a core. They do not change the report.
    """
    cache = ledger.cache_folder(root)
    faults: list[Rot] = []
    outputs: list[Output] = []
    try:
        outputs = ledger.recorded_outputs(root)
    except LedgerError as error:
        faults.append(Rot(LOCK, str(error), restored_lock(root, "dvc repro")))
    objects, strays = ledger.objects(cache)
    of_outputs = [path for output in outputs for path in files_in(root / output.path)]
    digests = _digests([*dict.fromkeys([*of_outputs, *objects])], workers)
    whole = {md5: digests[path] == md5.removesuffix(".dir") for path, md5 in objects.items()}
    books = Books(root, cache, digests, whole)
    for output in outputs:
        faults += output_faults(books, output)
    recorded = {output.path for output in outputs}
    for folder in sorted(FOLDERS.keys() - recorded):
        faults += _unrecorded_faults(root, folder)
    faults += books.other_faults()
    faults += [_removable(root, path, "is left over from a DVC that was killed") for path in strays]
    faults += [_removable(root, path, "is not what its name says") for path in ledger.damaged_runs(cache)]
    kept, read = kept_faults(root)
    sizes = [path.stat().st_size for path in [*digests, *read]]
    return Verified(len(sizes), sum(sizes), [*dict.fromkeys([*faults, *kept])])


def _unrecorded_faults(root: Path, folder: str) -> Iterator[Rot]:
    """Of what a stage has made without DVC."""
    if (root / folder).is_dir():
        for name, wrong in manifest_faults(root / folder):
            path = f"{folder}/{name}"
            yield Rot(path, wrong, chain(rm(path), f"dvc repro {FOLDERS[folder]}"))


def _removable(root: Path, path: Path, wrong: str) -> Rot:
    return Rot(shown(root, path), wrong, rm(shown(root, path)))


def _digests(paths: list[Path], workers: int | None) -> dict[Path, str]:
    # Threads, because hashing and reading release the interpreter.
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        return dict(zip(paths, track(pool.map(_md5, paths), len(paths), "verify, files"), strict=True))


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
    except OSError:  # as a disk answers that has lost the block: the file is not whole
        return ""
    return digest.hexdigest()
