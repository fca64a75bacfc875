"""The digests of an archive's members: as sha256sum gives them, and believed only of the archive that they are of."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from faceseg.files import read_csv
from faceseg.sources.archive import Archive
from faceseg.sources.members import read_digests, write_digests

FILES = {"b/ä +1.png": b"one", "a.png": b"two", "empty.png": b""}
DIGESTS = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}


def archived(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def written(tmp_path: Path) -> Path:
    with Archive(archived(tmp_path / "dataset.zip", FILES)) as archive:
        write_digests(archive, tmp_path / "members.csv")
    return tmp_path / "members.csv"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_digests_are_of_the_content_however_it_is_packed(tmp_path: Path, method: int) -> None:
    with Archive(archived(tmp_path / "dataset.zip", FILES, method)) as archive:
        write_digests(archive, tmp_path / "members.csv")
    rows = list(read_csv(tmp_path / "members.csv"))
    assert {row["member"]: row["sha256"] for row in rows} == DIGESTS
    assert [int(row["bytes"]) for row in rows] == [len(FILES[row["member"]]) for row in rows]


def test_what_is_recorded_is_not_read_again(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Archive(written.with_name("dataset.zip")) as archive:
        monkeypatch.setattr(Archive, "read", lambda _, member: pytest.fail(f"{member} is read"))
        assert read_digests(archive, written) == DIGESTS


def test_a_record_of_another_content_is_not_believed(written: Path) -> None:
    changed = {**FILES, "a.png": b"tow"}  # of the same length
    with Archive(archived(written.with_name("dataset.zip"), changed)) as archive:
        digests = read_digests(archive, written)
    assert digests == {**DIGESTS, "a.png": hashlib.sha256(b"tow").hexdigest()}


@pytest.mark.parametrize(
    "content", [None, b"", b"member,sha256\n", b"\xff\xfe\x00", b"member,bytes,crc32,sha256\na.png,3\n"]
)
def test_without_a_whole_record_members_are_read(written: Path, content: bytes | None) -> None:
    written.unlink()
    if content is not None:
        written.write_bytes(content)
    with Archive(written.with_name("dataset.zip")) as archive:
        assert read_digests(archive, written) == DIGESTS


def test_a_damaged_member_has_no_digest(written: Path) -> None:
    path = written.with_name("dataset.zip")
    path.write_bytes(path.read_bytes().replace(b"two", b"twx"))
    with Archive(path) as archive:
        write_digests(archive, written)
        assert read_digests(archive, written) == {**DIGESTS, "a.png": ""}
