"""Tar archives of datasets, compressed by gzip, read from beginning to end, a member at a time; nothing is extracted.

Nobody vouches for them, so they are held to what zip archives are held to. Python's tarfile reads whatever length a
header claims, therefore it reads through a file that bounds what it can ask for.
"""

import gzip
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from faceseg.sources.archive import MAX_MEMBER_BYTES, ArchiveError, is_unsafe_path

# A black bitmap compresses a thousandfold; a whole archive of pictures does not.
_LARGE_BYTES = 1 << 30
_STEEP_RATIO = 200


def read_tarball(path: Path) -> Iterator[tuple[str, bytes]]:
    """The files of a .tgz, as they come: name and content.

    Raises:
        ArchiveError: not a whole .tgz; or a member with an absolute path or one through '..', a link, a device, a name
            that occurs twice (also in other capitals), or one that would unpack to more than a picture can hold; or
            all together unpack to far more than pictures do.
    """
    names: dict[str, str] = {}
    try:
        with gzip.open(path) as unpacked, tarfile.TarFile(fileobj=cast(Any, _Bounded(unpacked, path))) as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # tarfile would keep them all
                if member.isdir():
                    continue
                _refuse_harmful(path, member, names)
                content = archive.extractfile(member)
                assert content is not None, "a file has content"
                data = content.read()
                if len(data) != member.size:
                    raise ArchiveError(f"{member.name} in {path.name} is cut short; get it again from its source")
                yield member.name, data
    except ArchiveError:
        raise
    except MemoryError:  # says nothing about the file
        raise
    except Exception as error:  # tarfile raises whatever it stumbles on in bytes that are not what they seem
        raise ArchiveError(f"{path} is not a whole .tgz archive ({error}); get it again from its source") from error


def _refuse_harmful(path: Path, member: tarfile.TarInfo, names: dict[str, str]) -> None:
    name = member.name
    if is_unsafe_path(name):
        raise ArchiveError(f"{path} holds {name!r}; expected members with relative paths that do not lead outside")
    if member.issym() or member.islnk():
        raise ArchiveError(f"{path} holds the link {name!r}; expected files, so pack it with links followed")
    if not member.isreg():
        raise ArchiveError(f"{path} holds {name!r}, which is no file; expected files and folders")
    if member.size > MAX_MEMBER_BYTES:
        raise ArchiveError(f"{path} holds {name!r} of {member.size} bytes; expected at most {MAX_MEMBER_BYTES} bytes")
    folded = name.casefold()
    if folded in names:
        raise ArchiveError(
            f"{path} holds {names[folded]!r} and {name!r}; expected names that differ in more than capitals"
        )
    names[folded] = name


class _Bounded:
    """What gzip unpacks, as far as it is asked for in bearable pieces."""

    def __init__(self, file: gzip.GzipFile, path: Path) -> None:
        self._file = file
        self._path = path
        self._limit = max(_LARGE_BYTES, _STEEP_RATIO * path.stat().st_size)

    def read(self, count: int = -1) -> bytes:
        if count < 0 or count > MAX_MEMBER_BYTES:
            raise ArchiveError(f"{self._path} holds a header of {count} bytes; expected at most {MAX_MEMBER_BYTES}")
        self._bound(self._file.tell() + count)
        return self._file.read(count)

    def seek(self, offset: int, whence: int = 0) -> int:
        assert whence == 0, "tarfile seeks from the beginning"
        self._bound(offset)
        return self._file.seek(offset)

    def tell(self) -> int:
        return self._file.tell()

    def _bound(self, end: int) -> None:
        if end > self._limit:
            raise ArchiveError(
                f"{self._path} unpacks to more than {self._limit} bytes; expected, above {_LARGE_BYTES}, at most "
                f"{_STEEP_RATIO} times the packed size"
            )
