"""Room on the disk, asked for before the work where it can be known how much that needs."""

import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from faceseg.files import FULL, NoRoomError


@contextmanager
def room_for(what: str, needs: Mapping[Path, int]) -> Iterator[None]:
    """``require_room`` before the block begins, and name the need where a disk fills up within it all the same.

    Raises:
        NoRoomError: not enough is free (nothing was begun), or a disk became full.
    """
    require_room(what, needs)
    try:
        yield
    except (NoRoomError, OSError) as error:
        if isinstance(error, OSError):
            if error.errno not in FULL:
                raise
            error = NoRoomError(f"no room on the disk for {error.filename or ' and '.join(map(str, needs))}")
        raise NoRoomError(
            f"{error}. {what[0].upper()}{what[1:]} needs about {sum(needs.values()):,} bytes beside what was there; "
            "make room and run `dvc repro`: what was whole is kept"
        ) from error


def require_room(what: str, needs: Mapping[Path, int]) -> None:
    """Look whether the disks have room.

    Args:
        what: needs the room, as the subject of the message: ``the cache``.
        needs: bytes by the folder that they are written to, beside what lies there already. Estimates are low ones:
            work that would fit is never refused.

    Raises:
        NoRoomError: not enough is free.
    """
    by_disk: defaultdict[int, list[Path]] = defaultdict(list)
    for path in needs:
        by_disk[_existing(path).stat().st_dev].append(path)
    for paths in by_disk.values():
        need = sum(needs[path] for path in paths)
        free = shutil.disk_usage(_existing(paths[0])).free
        if free < need:
            raise NoRoomError(
                f"no room on the disk for {' and '.join(map(str, paths))}: {what} needs about {need:,} bytes more, and "
                f"{free:,} are free there; make room and run `dvc repro`"
            )


def still_to_write(out: Path, total: int) -> int:
    """Bytes that ``out`` will grow by when it comes to ``total`` and its files are written anew one by one."""
    there = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) if out.exists() else 0
    return max(0, total - there)


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())
