"""What each result of a stage was made of, so that the next build takes over what did not change and makes the rest.

A record has the key of a result, a hash of all that it depends on (the content of its inputs, parameters, code), and
its seal, a hash of the result. Bytes with the right seal are what the work would make, whoever left them and whatever
became of the build that did: a killed one, or one half overwritten, only leaves less to take over.
"""

import csv
import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from faceseg.files import read_csv, write_csv
from faceseg.store.packs import pack_path

_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Origin:
    """One result: ``facts`` is what is recorded of it beside its bytes, ``place`` where they lie, if not in a pack."""

    id: str
    key: str
    seal: str
    facts: str
    place: str


def key_of(*parts: str | bytes) -> str:
    """The hex digest of what a result depends on; parts never run into each other."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "big"))
        digest.update(content)
    return digest.hexdigest()


def seal_of(facts: str, *contents: bytes | memoryview) -> str:
    """The hex digest of a result: its facts and its bytes."""
    digest = hashlib.sha256()
    for content in (facts.encode(), *contents):
        digest.update(memoryview(content).nbytes.to_bytes(8, "big"))
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


def read_origins(path: Path | None) -> dict[str, Origin]:
    """The records by id; none when the file is not there or is no whole file of records: then all is made anew."""
    names = [field.name for field in fields(Origin)]
    try:
        rows = list(read_csv(path)) if path is not None else []
        if any(list(row) != names or None in row.values() for row in rows):
            return {}
        return {row["id"]: Origin(*row.values()) for row in rows}
    except (OSError, UnicodeDecodeError, csv.Error):
        return {}


def write_origins(path: Path | None, origins: Iterable[Origin]) -> None:
    """Write the records by id; without a path nothing is recorded."""
    if path is not None:
        rows = sorted(map(astuple, origins))
        write_csv(path, [field.name for field in fields(Origin)], rows)


class EarlierPack:
    """The pack of an earlier build, of which members are taken over; a context that closes it."""

    def __init__(self, folder: Path, stem: str, number: int, origins: Mapping[str, Origin]) -> None:
        self._origins = origins
        self._zip: zipfile.ZipFile | None = None
        try:
            self._zip = zipfile.ZipFile(pack_path(folder, stem, number))
        except Exception:  # whatever zipfile stumbles on in a damaged pack: it is made anew, and nothing is lost
            self._origins = {}

    def take(self, sample_id: str, key: str, members: Sequence[str]) -> tuple[Origin, list[bytes]] | None:
        """The record and the bytes of what was made of the same, if they are as they were written; else None."""
        origin = self._origins.get(sample_id)
        if origin is None or not key or origin.key != key or self._zip is None:
            return None
        try:
            contents = [self._zip.read(member) for member in members]
        except Exception:  # as above
            return None
        return (origin, contents) if seal_of(origin.facts, *contents) == origin.seal else None

    def __enter__(self) -> "EarlierPack":
        return self

    def __exit__(self, *_: object) -> None:
        if self._zip is not None:
            self._zip.close()
