"""kaggle: its own library against a server on loopback, the token, and what is said without one."""

import base64
import hashlib
import io
import zipfile
from pathlib import Path

import pytest

from faceseg.params import Synthetic
from faceseg.sources import catalog
from faceseg.sources.catalog import PUBLISHED
from faceseg.sources.download import Patience
from faceseg.sources.fetch import SourceError, check_source, fetch
from tests.sources.conftest import Site

DATASET = catalog.load("multiclass-face")
ASK = "v1/datasets.DatasetApiService/DownloadDataset"
DRAWN = Synthetic(train_clips=1, val_clips=1, frames=1, seed=0)
QUICK = Patience(attempts=2, wait_seconds=0)


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(zipfile.ZipInfo("All_data/train/image/1_2.jpg"), hashlib.sha512(b"1").digest() * 3000)
        file.writestr(zipfile.ZipInfo("All_data/train/seg/1_2.png"), b"mask")
    return buffer.getvalue()


@pytest.fixture
def kaggle(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Site:
    """A stand-in for Kaggle that sends the askers on to the archive, as it does; and a token."""
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KAGGLE_API_ENDPOINT", site.url(""))
    monkeypatch.setenv("KAGGLE_API_TOKEN", "a-token")
    site.moves[ASK] = "bucket/archive.zip?signature=1"
    site.files["bucket/archive.zip"] = archive()
    return site


def fetched(root: Path) -> bytes:
    fetch(DATASET, PUBLISHED, root, root / "out", DRAWN, 1, QUICK)
    return (root / "out/dataset.zip").read_bytes()


def test_the_archive_comes_with_the_token(kaggle: Site, tmp_path: Path) -> None:
    assert fetched(tmp_path) == archive()
    assert kaggle.asked[0][0] == ASK
    assert kaggle.sent[0]["Authorization"] == "Bearer a-token"


def test_user_and_key_will_do(kaggle: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    monkeypatch.setenv("KAGGLE_USERNAME", "me")
    monkeypatch.setenv("KAGGLE_KEY", "secret")
    assert fetched(tmp_path) == archive()
    assert kaggle.sent[0]["Authorization"] == "Basic " + base64.b64encode(b"me:secret").decode()


def test_a_download_that_was_cut_goes_on_although_the_address_is_signed_anew(kaggle: Site, tmp_path: Path) -> None:
    kaggle.cut_after = [0, 100_000, 0, 0]  # the first is the one that the library follows to
    with pytest.raises(SourceError, match=r"archive\.zip\?signature=1 could not be fetched .*what has come is kept"):
        fetched(tmp_path)
    kaggle.moves[ASK] = "bucket/archive.zip?signature=2"
    assert fetched(tmp_path) == archive()
    assert str(kaggle.asked[-1][1]).startswith("bytes=")


def test_a_missing_token(kaggle: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    message = (
        r"multiclass-face lies on Kaggle, which asks for a token.*kaggle\.com/settings, .*export KAGGLE_API_TOKEN=.*"
        r"by hand from https://www\.kaggle\.com/datasets/ashish2001/multiclass-face-segmentation and set dataset"
    )
    with pytest.raises(SourceError, match=message):
        check_source(DATASET, PUBLISHED, tmp_path)
    with pytest.raises(SourceError, match=message):
        fetched(tmp_path)
    assert kaggle.asked == []


def test_a_missing_library(kaggle: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "kagglesdk", None)
    with pytest.raises(SourceError, match=r"library is not installed: pip install 'faceseg\[kaggle\]', or download it"):
        check_source(DATASET, PUBLISHED, tmp_path)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, r"Kaggle refuses ashish2001/.* make a new token on https://www\.kaggle\.com/settings, and accept"),
        (403, r"Kaggle refuses ashish2001/.* accept the dataset's terms on https://www\.kaggle\.com/datasets/ashish"),
        (404, r"Kaggle refuses ashish2001/.* look whether https://www\.kaggle\.com/datasets/ashish.* is still there"),
        (500, r"Kaggle refuses ashish2001/.* try again later"),
    ],
)
def test_a_refusal(kaggle: Site, tmp_path: Path, status: int, message: str) -> None:
    kaggle.statuses = [(status, {})]
    with pytest.raises(SourceError, match=message):
        fetched(tmp_path)


def test_nobody_listens(kaggle: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_API_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(SourceError, match=r"Kaggle cannot be reached .*look at the connection and run again"):
        fetched(tmp_path)


def test_something_that_is_no_archive(kaggle: Site, tmp_path: Path) -> None:
    kaggle.files["bucket/archive.zip"] = b"<html>log in</html>"
    with pytest.raises(ValueError, match="not a whole zip archive"):
        fetched(tmp_path)
    assert not list(tmp_path.glob(".faceseg/downloads/*.part"))
