"""Packs: zip files that hold the pictures of a stage, few and large, the same bytes on every run.

A sample's pack is a hash of its clip over a fixed number of packs, so that a new picture changes its own pack alone
and DVC stores only that one anew. Members are stored, not deflated: PNGs hold no air, and a reader can map them.
"""

import hashlib
import re
import zipfile
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from faceseg.files import atomic_write

PACKS = 32  # part of the format: another number moves every sample to another pack
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_PLAIN_FILE = 0o100644 << 16


class MissingInputError(ValueError):
    """A stage's input is not there; the message names it and the command that makes it or brings it back."""

    def __str__(self) -> str:
        # Not built in __init__: an exception that comes from another process is made anew from its arguments.
        return f"{super().__str__()}; `dvc repro` makes what is missing, and `dvc checkout` brings back what was made"


def pack_of(clip: str) -> int:
    """The number of the pack that holds every sample of ``clip``, 0 to ``PACKS`` - 1, from sha256 of its name."""
    return int.from_bytes(hashlib.sha256(clip.encode()).digest()[:8], "big") % PACKS


def pack_path(folder: Path, stem: str, number: int) -> Path:
    """Where pack ``number`` of ``stem`` lies, for example ``data/merged/masks-00007.zip``."""
    return folder / f"{stem}-{number:05d}.zip"


def remove_other_packs(folder: Path, stem: str, numbers: Collection[int]) -> None:
    """Delete the packs of ``stem`` in ``folder`` whose number is not in ``numbers``: an earlier run left them."""
    pattern = re.compile(rf"{re.escape(stem)}-(\d{{5}})\.zip")
    for path in sorted(folder.glob(f"{stem}-*.zip")):
        match = pattern.fullmatch(path.name)
        if match and int(match[1]) not in numbers:
            path.unlink()


class PackWriter:
    """Writes one pack, member by member; the file appears under its name when the ``with`` block ends well.

    Members lie in the order in which they are added, so callers add them sorted by sample id. Nothing is held in
    memory but the names.
    """

    def __init__(self, folder: Path, stem: str, number: int) -> None:
        """``number``: of the pack, as ``pack_of`` gives it."""
        self.path = pack_path(folder, stem, number)
        self._stack = ExitStack()

    def __enter__(self) -> "PackWriter":
        file = self._stack.enter_context(atomic_write(self.path))
        self._zip = self._stack.enter_context(zipfile.ZipFile(file, "w", zipfile.ZIP_STORED))
        self._names: set[str] = set()
        return self

    def add(self, member: str, content: bytes) -> None:
        """Append one member.

        Raises:
            ValueError: when the pack already holds a member of this name.
        """
        if member in self._names:
            raise ValueError(f"{self.path.name} already holds {member!r}; two samples have the same id, expected one")
        self._names.add(member)
        info = zipfile.ZipInfo(member, _FIXED_DATE)
        info.create_system = _UNIX  # zipfile writes another one on Windows
        info.external_attr = _PLAIN_FILE
        self._zip.writestr(info, content)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._stack.__exit__(kind, error, trace)


class PackReader:
    """Reads members of the packs of one folder; each pack is opened once per process and kept open.

    A reader may be sent to another process: it opens its own files there.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        self.folder = folder
        self.stem = stem
        self._open: dict[int, zipfile.ZipFile] = {}

    def read(self, clip: str, member: str) -> bytes:
        """The content of ``member``, which belongs to a sample of ``clip``; its checksum is verified.

        Raises:
            MissingInputError: when the pack is not there or is broken, or does not hold the member.
        """
        return self.read_from(pack_of(clip), member)

    def read_from(self, number: int, member: str) -> bytes:
        """As ``read``, by the number of the pack."""
        pack = self._pack(number)
        try:
            return pack.read(member)
        except KeyError:
            raise MissingInputError(f"{pack.filename} does not hold {member!r}, which its index names") from None
        except zipfile.BadZipFile as error:
            raise MissingInputError(f"{pack.filename} is damaged at {member!r} ({error})") from None

    def members(self, number: int) -> list[str]:
        """The members of a pack by name, in their order; raises as ``read`` does."""
        return self._pack(number).namelist()

    def _pack(self, number: int) -> zipfile.ZipFile:
        if number not in self._open:
            path = pack_path(self.folder, self.stem, number)
            try:
                self._open[number] = zipfile.ZipFile(path)
            except FileNotFoundError:
                raise MissingInputError(f"{path} is not there") from None
            except zipfile.BadZipFile as error:
                raise MissingInputError(f"{path} is not a readable zip file ({error})") from None
        return self._open[number]

    def close(self) -> None:
        """Close every pack; a later ``read`` opens it anew."""
        while self._open:
            self._open.popitem()[1].close()

    def __enter__(self) -> "PackReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "stem": self.stem, "_open": {}}
