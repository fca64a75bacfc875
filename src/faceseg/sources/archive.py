"""Zip archives of datasets: reading those that nobody vouches for, and writing ours, the same bytes on every run.

Nothing is ever extracted to disk. The directory of an archive is checked when it is opened; Python 3.11's own module
accepts members that share their bytes, sizes of any kind and paths that lead elsewhere.
"""

import stat
import zipfile
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

BLOCK_BYTES = 1 << 20
FIXED_DATE = (1980, 1, 1, 0, 0, 0)
MAX_MEMBER_BYTES = 1 << 29  # a picture of the largest size that is decoded takes 200 MB as a bitmap
# A black bitmap deflates a thousandfold, so a ratio alone says little; large and steep together is no picture.
_LARGE_BYTES = 1 << 26
_STEEP_RATIO = 200
_VAST_BYTES = 1 << 30  # of all members together
_LOCAL_HEADER_BYTES = 30
_UNIX = 3
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


class ArchiveError(ValueError):
    """An archive that is damaged, or made to do harm."""


class Archive:
    """A zip archive, open for reading, whose directory has been checked.

    Raises:
        ArchiveError: not a zip file; or a member with an absolute path or one through '..', a link or device, a name
            that occurs twice (also in other capitals), an encrypted member, an unknown compression, members that share
            their bytes, or a member that would unpack to more than a picture can hold, or all to far more than pictures
            do.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (FileNotFoundError, PermissionError, IsADirectoryError, MemoryError):  # say nothing about its content
            raise
        except Exception as error:  # zipfile raises whatever it stumbles on in a directory that is not what it seems
            raise ArchiveError(f"{path} is not a whole zip archive ({error}); get it again from its source") from None
        try:
            infos = self._zip.infolist()
            for info in infos:
                _refuse_harmful(path, info)
            _refuse_twins(path, infos)
            _refuse_bomb(path, infos)
            _refuse_overlaps(path, infos, self._zip.start_dir)
        except ArchiveError:
            self._zip.close()
            raise
        self.names = sorted(info.filename for info in infos if not info.is_dir())
        self.packed_bytes = {info.filename: info.compress_size for info in infos}

    def read(self, member: str) -> bytes:
        """The content of a member; never longer than the directory says.

        Raises:
            ArchiveError: no such member, or its content is damaged.
        """
        try:
            return self._zip.read(member)
        except KeyError:
            raise ArchiveError(f"{self.path} holds no {member!r}; `dvc repro` makes its index anew") from None
        except MemoryError:  # says nothing about the file
            raise
        except Exception as error:  # as above, and whatever a decompressor stumbles on
            raise ArchiveError(f"{member} in {self.path.name} is damaged ({error})") from error

    def checks(self, member: str) -> tuple[int, int]:
        """Length and CRC-32 of a member's content, as the directory says; ``read`` holds the content to both."""
        info = self._zip.getinfo(member)
        return info.file_size, info.CRC

    def close(self) -> None:
        self._zip.close()

    def __enter__(self) -> "Archive":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_unsafe_path(name: str) -> bool:
    """Whether a member's name is no relative path that stays inside."""
    parts = name.replace("\\", "/").split("/")
    return not name or parts[0] == "" or ".." in parts or (len(parts[0]) > 1 and parts[0][1] == ":") or "\0" in name


def shared_archive(path: Path) -> Archive:
    """The archive, opened once per process and anew when the file has changed: a large directory takes a while."""
    return _opened(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _opened(path: Path, changed_ns: int) -> Archive:
    return Archive(path)


def write_archive(file: BinaryIO, members: Iterable[tuple[str, bytes | Path]]) -> int:
    """Write members, stored and with a fixed date, in the order in which they come: the same order, the same bytes.

    Args:
        file: open for writing, at its beginning.
        members: name, and content or the file that holds it, which is copied in blocks.

    Returns:
        How many members were written.

    Raises:
        ValueError: when a name comes twice.
    """
    written: set[str] = set()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members:
            if name in written:
                raise ValueError(f"{name} comes twice, expected each member once")
            written.add(name)
            info = zipfile.ZipInfo(name, FIXED_DATE)
            info.create_system = _UNIX
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            if isinstance(content, Path):
                with content.open("rb") as source, archive.open(info, "w") as target:
                    while block := source.read(BLOCK_BYTES):
                        target.write(block)
            else:
                archive.writestr(info, content)
    return len(written)


def _refuse_harmful(path: Path, info: zipfile.ZipInfo) -> None:
    name = info.orig_filename
    if is_unsafe_path(name):
        raise ArchiveError(f"{path} holds {name!r}; expected members with relative paths that do not lead outside")
    if info.create_system == _UNIX and stat.S_ISLNK(info.external_attr >> 16):
        raise ArchiveError(f"{path} holds the link {name!r}; expected files, so pack it with links followed")
    kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == _UNIX else 0
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ArchiveError(f"{path} holds {name!r}, which is no file; expected files and folders")
    if info.flag_bits & 0x1:
        raise ArchiveError(f"{path} holds {name!r} encrypted; expected an archive without a password")
    if info.compress_type not in _METHODS:
        raise ArchiveError(
            f"{path} holds {name!r} in the compression method {info.compress_type}; expected stored, deflate, bzip2 or "
            "lzma, so pack the archive anew"
        )
    steep = info.file_size > _LARGE_BYTES and info.file_size > _STEEP_RATIO * info.compress_size
    if info.file_size > MAX_MEMBER_BYTES or steep:
        raise ArchiveError(
            f"{path} holds {name!r}, which unpacks from {info.compress_size} to {info.file_size} bytes; expected "
            f"at most {MAX_MEMBER_BYTES} bytes, and above {_LARGE_BYTES} at most {_STEEP_RATIO} times the packed size"
        )


def _refuse_twins(path: Path, infos: list[zipfile.ZipInfo]) -> None:
    seen: dict[str, str] = {}
    for info in infos:
        folded = info.filename.casefold()
        if folded not in seen:
            seen[folded] = info.filename
            continue
        twin = seen[folded]
        if twin == info.filename:
            raise ArchiveError(f"{path} holds {info.filename!r} twice; expected each member once")
        raise ArchiveError(
            f"{path} holds {twin!r} and {info.filename!r}, which are one file where capitals do not count; expected "
            "names that differ in more"
        )


def _refuse_bomb(path: Path, infos: list[zipfile.ZipInfo]) -> None:
    packed, unpacked = sum(info.compress_size for info in infos), sum(info.file_size for info in infos)
    if unpacked > _VAST_BYTES and unpacked > _STEEP_RATIO * packed:
        raise ArchiveError(
            f"{path} unpacks from {packed} to {unpacked} bytes; expected, above {_VAST_BYTES}, at most {_STEEP_RATIO} "
            "times the packed size"
        )


def _refuse_overlaps(path: Path, infos: list[zipfile.ZipInfo], directory: int) -> None:
    """No byte belongs to two members: the way to make a small archive unpack without end."""
    ordered = sorted(infos, key=lambda info: info.header_offset)
    nexts = [info.header_offset for info in ordered[1:]] + [directory]
    for info, limit in zip(ordered, nexts, strict=False):
        name_bytes = len(info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437", "replace"))
        if info.header_offset + _LOCAL_HEADER_BYTES + name_bytes + info.compress_size > limit:
            raise ArchiveError(
                f"{path} holds {info.filename!r}, which shares its bytes with another member; expected members one "
                "after the other, so get the archive again from its source"
            )
