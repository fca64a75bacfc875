"""What each result of a stage was made of, so that the next build takes over what did not change and makes the rest.

A record has the key of a result, a hash of all that it depends on (the content of its inputs, parameters, code), and a
seal, which binds it to the bytes of the file that the result lies in. A file whose records have their seals is as it
was written, whoever left it and whatever became of the build that did: a killed one, or one half overwritten, only
leaves less to take over.
"""

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import PIL

from faceseg.files import sha256, write_csv

_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Origin:
    """One result: ``facts`` is what is recorded of it beside its bytes, which lie in ``file``, in its ``row`` if any.

    ``file`` is empty where the result has no bytes: a picture that was rejected.
    """

    id: str
    key: str
    facts: str
    file: str
    row: str
    seal: str

    @classmethod
    def sealed(cls, id_: str, key: str, facts: str, file: str = "", row: str = "", digest: str = "") -> "Origin":
        """The record with its seal; ``digest``: of the bytes of the file."""
        return cls(id_, key, facts, file, row, key_of(id_, key, facts, file, row, digest))

    def holds(self, digest: str) -> bool:
        """Whether the record is as it was written, and its file too, which has this ``digest`` now."""
        return self == Origin.sealed(self.id, self.key, self.facts, self.file, self.row, digest)


def key_of(*parts: str | bytes) -> str:
    """The hex digest of what a result depends on; parts never run into each other."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "big"))
        digest.update(content)
    return digest.hexdigest()


def as_facts(values: Mapping[str, Any]) -> str:
    """The one way in which facts are written, so that they can be sealed."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def code_key(*folders: str) -> str:
    """A hash of the code in ``folders`` of the package, and of the libraries that make pixels.

    Whole folders, as in dvc.yaml: what is left out by mistake would be taken over after it changed.
    """
    parts = [f"Pillow {PIL.__version__}", f"NumPy {np.__version__}"]
    for folder in sorted(folders):
        for path in sorted((_PACKAGE / folder).rglob("*.py")):
            parts += [path.relative_to(_PACKAGE).as_posix(), path.read_text(encoding="utf-8")]
    return key_of(*parts)


def read_origins(path: Path | None) -> list[Origin]:
    """The records; none when the file is not there or is no whole file of records: then all is made anew."""
    names = [field.name for field in fields(Origin)]
    try:
        with (path or Path()).open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        return [Origin(*row) for row in rows] if header == names else []
    except (OSError, ValueError, TypeError, csv.Error):  # what is no text, has no header, or rows of another length
        return []


def write_origins(path: Path | None, origins: Iterable[Origin]) -> None:
    """Write the records by id; without a path nothing is recorded."""
    if path is not None:
        names = [field.name for field in fields(Origin)]
        write_csv(path, names, map(attrgetter(*names), sorted(origins, key=attrgetter("id"))))


def sound(origins: Iterable[Origin], digests: Mapping[str, str]) -> dict[str, Origin]:
    """The records by id that are true of the files that are there, whose digests are given by name."""
    return {o.id: o for o in origins if (not o.file or o.file in digests) and o.holds(digests.get(o.file, ""))}


def file_digests(folder: Path, names: Iterable[str], workers: int | None) -> dict[str, str]:
    """The sha256 of the files of ``folder`` that are there, by name; in threads, which hashing does not hold up."""
    there = [name for name in dict.fromkeys(names) if (folder / name).is_file()]
    parallel = joblib.Parallel(n_jobs=workers or joblib.cpu_count(), prefer="threads")
    return dict(zip(there, parallel(joblib.delayed(sha256)(folder / name) for name in there), strict=True))
