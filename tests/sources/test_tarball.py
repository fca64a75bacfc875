"""tarball: members as they come, and archives made to do harm, named and refused."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from faceseg.sources import tarball
from faceseg.sources.archive import ArchiveError
from faceseg.sources.tarball import read_tarball


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    info.type = kind
    info.linkname = "target" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
    return info, content


def tarred(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return path


def test_members_as_they_come(tmp_path: Path) -> None:
    path = tarred(
        tmp_path / "a.tgz", member("b/"), member("b", kind=tarfile.DIRTYPE), member("b/2 +", b"two"), member("a", b"1")
    )
    assert list(read_tarball(path)) == [("b/", b""), ("b/2 +", b"two"), ("a", b"1")]


@pytest.mark.parametrize("name", ["/etc/passwd", "../a", "a/../../b", "C:/a"])
def test_a_path_that_leads_outside(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArchiveError, match="expected members with relative paths that do not lead outside"):
        list(read_tarball(tarred(tmp_path / "a.tgz", member(name, b"1"))))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(ArchiveError, match="holds the link 'a'; expected files"):
        list(read_tarball(tarred(tmp_path / "a.tgz", member("a", kind=kind))))


@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_a_device(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(ArchiveError, match="holds 'a', which is no file"):
        list(read_tarball(tarred(tmp_path / "a.tgz", member("a", kind=kind))))


@pytest.mark.parametrize("twin", ["a/B", "A/b", "a/b"])
def test_a_name_that_occurs_twice(tmp_path: Path, twin: str) -> None:
    with pytest.raises(ArchiveError, match=f"holds 'a/b' and '{twin}'; expected names that differ in more"):
        list(read_tarball(tarred(tmp_path / "a.tgz", member("a/b"), member(twin))))


def test_a_member_larger_than_any_picture(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a")
    info.size = 1 << 34
    (tmp_path / "a.tgz").write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT)))
    with pytest.raises(ArchiveError, match="holds 'a' of 17179869184 bytes; expected at most 536870912"):
        list(read_tarball(tmp_path / "a.tgz"))


def test_a_header_that_is_longer_than_any_picture(tmp_path: Path) -> None:
    """tarfile reads the extended header of a member as long as it claims to be, before it hands out anything."""
    info = tarfile.TarInfo("a")
    info.type = tarfile.XHDTYPE
    info.size = 1 << 34
    (tmp_path / "a.tgz").write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT)))
    with pytest.raises(ArchiveError, match=r"holds a header of \d+ bytes; expected at most 536870912"):
        list(read_tarball(tmp_path / "a.tgz"))


def test_an_archive_that_unpacks_two_hundredfold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tarred(tmp_path / "a.tgz", *(member(f"{n}", bytes(1 << 20)) for n in range(4)))
    assert len(list(read_tarball(path))) == 4
    monkeypatch.setattr(tarball, "_LARGE_BYTES", 1 << 20)
    with pytest.raises(
        ArchiveError, match=r"unpacks to more than \d+ bytes; expected, above 1048576, at most 200 times"
    ):
        list(read_tarball(path))


def test_what_is_cut_short(tmp_path: Path) -> None:
    path = tarred(tmp_path / "a.tgz", member("a", bytes(range(256)) * 999))
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ArchiveError, match=r"is not a whole \.tgz archive .*; get it again from its source"):
        list(read_tarball(path))


def test_what_is_no_tarball(tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(b"<html>")
    with pytest.raises(ArchiveError, match=r"is not a whole \.tgz archive"):
        list(read_tarball(tmp_path / "a.tgz"))
