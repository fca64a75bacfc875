"""What each member of an archive holds, as a sha256: the later stages know by it what changed, without reading it."""

import csv
import hashlib
from pathlib import Path

from faceseg.files import read_csv, write_csv
from faceseg.sources.archive import Archive, ArchiveError

MEMBERS = "members.csv"  # beside the archive
_COLUMNS = ("member", "bytes", "crc32", "sha256")


def write_digests(archive: Archive, path: Path) -> None:
    """Read every member once and write the sha256 of its content; empty for one that is damaged."""
    write_csv(path, _COLUMNS, ((name, *archive.checks(name), _digest(archive, name)) for name in archive.names))


def read_digests(archive: Archive, path: Path) -> dict[str, str]:
    """The sha256 of every member's content by its name; empty for one that is damaged.

    What the file at ``path`` does not say of a member of the same length and CRC-32 is found by reading the member.
    """
    known = _recorded(path)
    digests = {}
    for name in archive.names:
        bytes_, crc32 = archive.checks(name)
        recorded = known.get((name, str(bytes_), str(crc32)))
        digests[name] = _digest(archive, name) if recorded is None else recorded
    return digests


def _recorded(path: Path) -> dict[tuple[str, str, str], str]:
    try:
        rows = list(read_csv(path))
    except (OSError, UnicodeDecodeError, csv.Error):
        return {}
    if any(tuple(row) != _COLUMNS or None in row.values() for row in rows):
        return {}
    return {(row["member"], row["bytes"], row["crc32"]): row["sha256"] for row in rows}


def _digest(archive: Archive, name: str) -> str:
    try:
        return hashlib.sha256(archive.read(name)).hexdigest()
    except ArchiveError:
        return ""
