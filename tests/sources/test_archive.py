"""archive: members that are read back, archives made to do harm, and the same bytes on every run."""

import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from faceseg.sources import archive as archive_module
from faceseg.sources.archive import Archive, ArchiveError, shared_archive, write_archive


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_members_are_listed_without_folders_and_read(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"b/": b"", "b/2.txt": b"two", "a.txt": b"one"})
    with Archive(path) as archive:
        assert archive.names == ["a.txt", "b/2.txt"]
        assert archive.read("b/2.txt") == b"two"


def test_a_member_that_is_not_there(tmp_path: Path) -> None:
    with Archive(zipped(tmp_path / "a.zip", {"a": b""})) as archive, pytest.raises(ArchiveError, match="holds no 'b'"):
        archive.read("b")


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_archive(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"a\.zip is not a whole zip archive .*; get it again from its source"):
        Archive(path)


def test_a_truncated_archive(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a": bytes(range(256)) * 50})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ArchiveError, match="not a whole zip archive"):
        Archive(path)


@pytest.mark.parametrize("name", ["/etc/passwd", "../a", "a/../../b", "..\\a", "C:/a", "\\a"])
def test_a_path_that_leads_outside(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArchiveError, match="expected members with relative paths that do not lead outside"):
        Archive(zipped(tmp_path / "a.zip", {name: b""}))


def test_a_link(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(ArchiveError, match="holds the link 'link'; expected files"):
        Archive(tmp_path / "a.zip")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_occurs_twice(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", "1")
        archive.writestr("a", "2")
    with pytest.raises(ArchiveError, match="holds 'a' twice; expected each member once"):
        Archive(tmp_path / "a.zip")


@pytest.mark.parametrize("twin", ["images/A.jpg", "IMAGES/a.jpg"])
def test_names_that_differ_in_capitals_alone(tmp_path: Path, twin: str) -> None:
    path = zipped(tmp_path / "a.zip", {"images/a.jpg": b"1", twin: b"2"})
    with pytest.raises(ArchiveError, match=f"holds 'images/a.jpg' and '{twin}', which are one file where capitals do"):
        Archive(path)


def test_a_device(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("pipe")
    info.create_system = 3
    info.external_attr = (stat.S_IFIFO | 0o644) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, b"")
    with pytest.raises(ArchiveError, match="holds 'pipe', which is no file"):
        Archive(tmp_path / "a.zip")


def test_many_members_that_together_unpack_two_hundredfold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "a.zip", {f"{n}": bytes(1 << 20) for n in range(4)})
    Archive(path).close()
    monkeypatch.setattr(archive_module, "_VAST_BYTES", 1 << 21)
    with pytest.raises(ArchiveError, match=r"unpacks from \d+ to 4194304 bytes; expected, above 2097152, at most 200"):
        Archive(path)


def patched(path: Path, offset: int, content: bytes) -> Path:
    """The archive with bytes of its first directory entry replaced; offsets by APPNOTE.TXT 4.3.12."""
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + offset : entry + offset + len(content)] = content
    path.write_bytes(bytes(data))
    return path


def test_an_encrypted_member(tmp_path: Path) -> None:
    path = patched(zipped(tmp_path / "a.zip", {"a": b"1"}), 8, b"\x01\x00")
    with pytest.raises(ArchiveError, match="holds 'a' encrypted; expected an archive without a password"):
        Archive(path)


def test_an_unknown_compression(tmp_path: Path) -> None:
    path = patched(zipped(tmp_path / "a.zip", {"a": b"1"}), 10, struct.pack("<H", 9))
    with pytest.raises(ArchiveError, match="compression method 9; expected stored, deflate"):
        Archive(path)


def test_members_that_share_their_bytes(tmp_path: Path) -> None:
    """As the overlapping-files bomb does: two entries of the directory lead to one member."""
    path = zipped(tmp_path / "a.zip", {"a": bytes(1000), "b": bytes(1000)}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    second = data.rindex(b"PK\x01\x02")
    data[second + 42 : second + 46] = struct.pack("<I", 0)
    path.write_bytes(bytes(data))
    with pytest.raises(ArchiveError, match="shares its bytes with another member"):
        Archive(path)


def test_a_member_larger_than_any_picture(tmp_path: Path) -> None:
    path = patched(zipped(tmp_path / "a.zip", {"a": bytes(1000)}), 24, struct.pack("<I", 1 << 30))
    with pytest.raises(
        ArchiveError, match=r"'a', which unpacks from \d+ to 1073741824 bytes; expected at most 536870912"
    ):
        Archive(path)


def test_a_large_member_that_unpacks_two_hundredfold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "a.zip", {"a": bytes(1 << 20)})
    Archive(path).close()
    monkeypatch.setattr(archive_module, "_LARGE_BYTES", 1 << 19)
    with pytest.raises(ArchiveError, match="at most 200 times the packed size"):
        Archive(path)


def test_a_member_never_gives_more_than_its_directory_says(tmp_path: Path) -> None:
    path = patched(zipped(tmp_path / "a.zip", {"a": bytes(100_000)}), 24, struct.pack("<I", 10))
    with Archive(path) as archive, pytest.raises(ArchiveError, match=r"a in a\.zip is damaged"):
        archive.read("a")


def test_damaged_content(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a": b"precious"}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"precious", b"prexious"))
    with Archive(path) as archive, pytest.raises(ArchiveError, match=r"a in a\.zip is damaged \(Bad CRC-32"):
        archive.read("a")


def test_the_same_bytes_from_content_and_from_files(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"two")
    from_bytes, from_file = io.BytesIO(), io.BytesIO()
    assert write_archive(from_bytes, [("a", b"one"), ("b", b"two")]) == 2
    write_archive(from_file, [("a", b"one"), ("b", tmp_path / "b")])
    assert from_bytes.getvalue() == from_file.getvalue()
    with zipfile.ZipFile(from_bytes) as archive:
        infos = archive.infolist()
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
    assert {info.compress_type for info in infos} == {zipfile.ZIP_STORED}
    assert {info.external_attr >> 16 for info in infos} == {0o100644}


def test_what_is_written_can_be_opened(tmp_path: Path) -> None:
    with (tmp_path / "a.zip").open("wb") as file:
        write_archive(file, [("ä/1", b"one"), ("ö", b"")])
    with Archive(tmp_path / "a.zip") as archive:
        assert archive.names == ["ä/1", "ö"]
        assert archive.read("ä/1") == b"one"


def test_a_member_comes_once() -> None:
    with pytest.raises(ValueError, match="a comes twice, expected each member once"):
        write_archive(io.BytesIO(), [("a", b""), ("a", b"")])


def test_a_shared_archive_is_opened_anew_when_the_file_has_changed(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a": b"1"})
    first = shared_archive(path)
    assert shared_archive(path) is first
    (tmp_path / "b.zip").write_bytes(zipped(tmp_path / "c.zip", {"b": b"2"}).read_bytes())
    (tmp_path / "b.zip").replace(path)
    assert shared_archive(path).names == ["b"]
