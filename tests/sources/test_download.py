"""download: a file comes whole and right, or a person reads why not, from a server that does what servers do."""

import hashlib
import shutil
from pathlib import Path

import pytest

from faceseg.files import NoRoomError
from faceseg.sources.download import Address, DownloadError, Patience, downloaded
from tests.sources.conftest import Site

CONTENT = b"".join(hashlib.sha256(bytes([n % 256, n // 256])).digest() for n in range(21_875))
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = Patience(attempts=3, wait_seconds=0)


@pytest.fixture
def served(site: Site) -> Site:
    site.files["a.tgz"] = CONTENT
    return site


def got(site: Site, folder: Path, sha256: str | None = SHA256, path: str = "a.tgz") -> bytes:
    """The file; nothing but an empty lock stays behind."""
    with downloaded(Address(site.url(path), path, sha256), folder, QUICK) as part:
        content = part.read_bytes()
    assert [file.suffix for file in folder.iterdir()] == [".lock"]
    return content


def assert_refused(site: Site, folder: Path, message: str, sha256: str | None = SHA256, path: str = "a.tgz") -> None:
    with (
        pytest.raises(DownloadError, match=message),
        downloaded(Address(site.url(path), path, sha256), folder, QUICK),
    ):
        raise AssertionError("the block ran without a file")


def test_one_request(served: Site, tmp_path: Path) -> None:
    assert got(served, tmp_path) == CONTENT
    assert served.asked == [("a.tgz", None)]


def test_a_cut_connection_is_gone_on_from_where_it_was_cut(served: Site, tmp_path: Path) -> None:
    served.cut_after = [300_000, 200_000]
    assert got(served, tmp_path) == CONTENT
    [first, second, third] = [asked for _, asked in served.asked]
    assert first is None
    # At most one piece of 64 KiB that had come is asked for again.
    start_of_second = int(str(second).removeprefix("bytes=").removesuffix("-"))
    assert 300_000 - 65_536 <= start_of_second <= 300_000
    assert third != second
    assert served.sent[1]["If-Range"].startswith('"')


def test_many_cuts_are_no_reason_to_give_up_while_something_comes(served: Site, tmp_path: Path) -> None:
    served.cut_after = [100_000] * 6
    assert got(served, tmp_path) == CONTENT
    assert len(served.asked) == 7


def test_a_full_disk_while_it_is_used_does_not_lose_it(served: Site, tmp_path: Path) -> None:
    address = Address(served.url("a.tgz"), "a.tgz", SHA256)
    with pytest.raises(NoRoomError), downloaded(address, tmp_path, QUICK):
        raise NoRoomError("no room on the disk for data/raw/dataset.zip")
    assert got(served, tmp_path) == CONTENT
    assert len(served.asked) == 1, "it was fetched once"


def test_too_little_room_is_said_before_it_comes(served: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=500_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with (
        pytest.raises(NoRoomError, match=r"the download needs about 700,000 bytes more, and 500,000 are free there"),
        downloaded(Address(served.url("a.tgz"), "a.tgz", SHA256), tmp_path, QUICK),
    ):
        raise AssertionError("the block ran without a file")
    assert not list(tmp_path.glob("*.part"))


def test_a_server_without_ranges_sends_all_again(served: Site, tmp_path: Path) -> None:
    served.ranges = False
    served.cut_after = [300_000]
    assert got(served, tmp_path) == CONTENT


def test_without_a_mark_of_the_version_nothing_is_gone_on_from(served: Site, tmp_path: Path) -> None:
    served.tags = False
    served.cut_after = [300_000]
    assert got(served, tmp_path) == CONTENT
    assert served.asked == [("a.tgz", None)] * 2


def test_a_file_that_changed_meanwhile_is_fetched_anew(served: Site, tmp_path: Path) -> None:
    address = Address(served.url("a.tgz"), "a.tgz", None)
    served.cut_after = [300_000] + [0] * 3
    with pytest.raises(DownloadError, match="tried 3 times"), downloaded(address, tmp_path, QUICK):
        pass
    served.files["a.tgz"] = CONTENT[::-1]
    assert got(served, tmp_path, None) == CONTENT[::-1]
    assert served.asked[-1][1] is not None


def test_what_has_come_is_kept_for_the_next_run(served: Site, tmp_path: Path) -> None:
    served.cut_after = [400_000] + [0] * 3
    assert_refused(
        served, tmp_path, r"a\.tgz could not be fetched \(.*\), tried 3 times in a row without a byte; look at the"
    )
    assert got(served, tmp_path) == CONTENT
    assert served.asked[-1][1] is not None


def test_a_whole_file_is_not_fetched_again_when_the_work_on_it_was_stopped(served: Site, tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        downloaded(Address(served.url("a.tgz"), "a.tgz", SHA256), tmp_path, QUICK),
    ):
        raise KeyboardInterrupt
    assert got(served, tmp_path) == CONTENT
    assert len(served.asked) == 1


def test_a_file_that_is_no_good_is_not_kept(served: Site, tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="no good"),
        downloaded(Address(served.url("a.tgz"), "a.tgz", SHA256), tmp_path, QUICK),
    ):
        raise ValueError("no good")
    assert not list(tmp_path.glob("*.part"))


def test_a_length_above_the_truth_is_a_cut_and_the_rest_is_found_to_be_nothing(served: Site, tmp_path: Path) -> None:
    served.claim = 1000
    assert got(served, tmp_path) == CONTENT
    assert [asked for _, asked in served.asked] == [None, "bytes=700000-"]


def test_a_length_above_the_truth_without_ranges_is_given_up(served: Site, tmp_path: Path) -> None:
    served.claim = 1000
    served.ranges = False
    assert_refused(served, tmp_path, r"could not be fetched \(.*1000 more expected.*without a byte", None)


def test_a_length_below_the_truth_is_found_by_the_checksum(served: Site, tmp_path: Path) -> None:
    served.claim = -1000
    assert_refused(
        served, tmp_path, f"checksum mismatch: the file has sha256 [0-9a-f]+, expected {SHA256}.*copy that you"
    )
    assert not list(tmp_path.glob("*.part"))


def test_another_range_than_asked_for_starts_afresh(served: Site, tmp_path: Path) -> None:
    served.cut_after = [300_000]
    served.wrong_start = True
    assert got(served, tmp_path) == CONTENT
    assert [asked is None for _, asked in served.asked] == [True, False, True]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again_after_the_time_that_it_says(served: Site, tmp_path: Path, status: int) -> None:
    served.statuses = [(status, {}), (status, {"Retry-After": "0"})]
    assert got(served, tmp_path) == CONTENT
    assert len(served.asked) == 3


@pytest.mark.parametrize("status", [429, 500])
def test_a_server_that_stays_busy_is_given_up(served: Site, tmp_path: Path, status: int) -> None:
    served.statuses = [(status, {})] * 9
    assert_refused(served, tmp_path, rf"could not be fetched \({status} .*tried 3 times in a row")
    assert len(served.asked) == 3


def test_an_address_without_a_file_is_given_up_at_once(served: Site, tmp_path: Path) -> None:
    assert_refused(served, tmp_path, r"b\.tgz could not be fetched \(404 .*look whether the address", path="b.tgz")
    assert len(served.asked) == 1


def test_nobody_listens(site: Site, tmp_path: Path) -> None:
    address = Address("http://127.0.0.1:9/a.tgz", "a.tgz", None)
    with pytest.raises(DownloadError, match="tried 3 times"), downloaded(address, tmp_path, QUICK):
        pass


def test_a_tarball_that_is_declared_as_compressed_on_the_way_stays_compressed(served: Site, tmp_path: Path) -> None:
    served.headers = {"Content-Encoding": "x-gzip"}
    assert got(served, tmp_path) == CONTENT


def test_waits_double_and_the_server_is_heard(served: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    served.statuses = [(500, {}), (500, {}), (429, {"Retry-After": "7"}), (503, {"Retry-After": "9999"})]
    patience = Patience(attempts=9, wait_seconds=1)
    with downloaded(Address(served.url("a.tgz"), "a.tgz", SHA256), tmp_path, patience):
        pass
    assert waited == [2, 4, 7, 120]
