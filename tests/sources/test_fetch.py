"""fetch: one archive from every kind of source, and a clear word about each source that will not do."""

import hashlib
import http.server
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faceseg.params import Synthetic
from faceseg.sources import catalog
from faceseg.sources.archive import Archive
from faceseg.sources.catalog import PUBLISHED, Dataset, HttpsSource
from faceseg.sources.fetch import SourceError, check_source, content_sha256, fetch

FRONTAL = catalog.load("fasseg-frontal")
DRAWN = Synthetic(train_clips=2, val_clips=1, frames=2, seed=3)
FILES = {
    "V2/Train_RGB/1.bmp": b"an image",
    "V2/Train_Labels/1.bmp": b"its mask",
    "V2/Test_RGB/1.bmp": b"another image",
    "V2/Test_Labels/1.bmp": b"another mask",
}
# What `sha256sum` writes about the four files, sorted by path, through sha256sum.
LINES = "".join(f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in sorted(FILES.items()))
CONTENT_SHA256 = hashlib.sha256(LINES.encode()).hexdigest()


def zipped(path: Path, root: str = "", extra: dict[str, bytes] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**FILES, **(extra or {})}.items():
            archive.writestr(root + name, content)
    return path


def unpacked(folder: Path) -> Path:
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def checked_archive(dataset: Dataset, source: str, root: Path) -> bytes:
    """The archive that comes of a source; source.json agrees with it, and nothing else is left."""
    out = root / "out"
    about = fetch(dataset, source, root, out, DRAWN, 1)
    content = (out / "dataset.zip").read_bytes()
    assert sorted(path.name for path in out.iterdir()) == ["dataset.zip", "members.csv", "source.json"]
    with Archive(out / "dataset.zip") as archive:
        assert json.loads((out / "source.json").read_text()) == {
            "dataset": dataset.name,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "members": len(archive.names),
        }
    assert about.bytes == len(content)
    return content


def assert_refused(dataset: Dataset, source: str, root: Path, message: str) -> None:
    """Both the check and the work say so, and no archive is left."""
    with pytest.raises(SourceError, match=message):
        check_source(dataset, source, root)
    with pytest.raises(SourceError, match=message):
        fetch(dataset, source, root, root / "out", DRAWN, 1)
    assert not (root / "out" / "dataset.zip").exists()


def test_a_local_zip_is_copied(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", "any/folder/", {"README": b"stays"})
    assert checked_archive(FRONTAL, "a.zip", tmp_path) == path.read_bytes()
    assert checked_archive(FRONTAL, str(path), tmp_path) == path.read_bytes()


def test_a_folder_is_packed_without_what_is_not_of_the_dataset(tmp_path: Path) -> None:
    folder = unpacked(tmp_path / "faces")
    (folder / "V2/Train_RGB/.1.bmp").write_bytes(b"hidden")
    (folder / "notes.txt").write_bytes(b"mine")
    content = checked_archive(FRONTAL, "faces", tmp_path)
    with zipfile.ZipFile(tmp_path / "out/dataset.zip") as archive:
        assert {info.filename: archive.read(info) for info in archive.infolist()} == FILES
        assert archive.namelist() == sorted(FILES)
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    (tmp_path / "deeper").mkdir()
    folder.rename(tmp_path / "deeper/faces")
    assert checked_archive(FRONTAL, "deeper", tmp_path) == content


def test_the_folder_itself_may_be_part_of_the_layout(tmp_path: Path) -> None:
    unpacked(tmp_path)
    assert checked_archive(FRONTAL, "V2", tmp_path) == checked_archive(FRONTAL, ".", tmp_path)


def test_a_drawn_dataset(tmp_path: Path) -> None:
    dataset = catalog.load("synthetic-faces")
    content = checked_archive(dataset, PUBLISHED, tmp_path)
    with Archive(tmp_path / "out/dataset.zip") as archive:
        assert len(archive.names) == 2 * (2 + 1) * 2
        assert archive.names[0].startswith("All_data/train/image/")
    assert checked_archive(dataset, "data/published/", tmp_path) == content


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    assert_refused(
        FRONTAL, "faces.zip", tmp_path, r"dataset.source: .*/faces.zip: there is no such file or folder; expected a "
    )


@pytest.mark.parametrize("url", ["https://a.org/b.zip", "http://a.org/b.zip", "s3://a/b"])
def test_an_address_belongs_in_a_description(tmp_path: Path, url: str) -> None:
    assert_refused(
        FRONTAL, url, tmp_path, f"got the address '{url}', expected data/published, .* belong in a description"
    )


def test_what_lies_on_kaggle(tmp_path: Path) -> None:
    assert_refused(
        catalog.load("multiclass-face"),
        PUBLISHED,
        tmp_path,
        "by hand from https://www.kaggle.com/datasets/ashish2001/multiclass-face-segmentation and set dataset.source",
    )


@pytest.mark.parametrize("name", ["empty.zip", "empty"])
def test_an_empty_source(tmp_path: Path, name: str) -> None:
    if name.endswith(".zip"):
        zipfile.ZipFile(tmp_path / name, "w").close()
    else:
        (tmp_path / name).mkdir()
    assert_refused(
        FRONTAL, name, tmp_path, r"dataset.source: .*none of its 0 files \(it is empty\) is laid out as fasseg-fron"
    )


def test_a_file_that_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "faces.zip").write_bytes(zipped(tmp_path / "whole.zip").read_bytes()[:-30])
    assert_refused(FRONTAL, "faces.zip", tmp_path, r"dataset.source: .*faces.zip is not a whole zip archive")


def test_another_dataset(tmp_path: Path) -> None:
    zipped(tmp_path / "faces.zip")
    assert_refused(
        catalog.load("multiclass-face"), "faces.zip", tmp_path, "laid out as multiclass-face is.*or dataset.name to"
    )


def test_a_link_in_a_folder(tmp_path: Path) -> None:
    folder = unpacked(tmp_path / "faces")
    (folder / "V2/Train_RGB/2.bmp").symlink_to(folder / "V2/Train_RGB/1.bmp")
    assert_refused(FRONTAL, "faces", tmp_path, r"holds the link .*V2/Train_RGB/2.bmp; expected files")


def test_two_copies_in_a_folder(tmp_path: Path) -> None:
    unpacked(tmp_path / "faces/old")
    unpacked(tmp_path / "faces/new")
    with pytest.raises(SourceError, match=r"are both V2/Test_Labels/1.bmp of fasseg-frontal; expected one, so set"):
        fetch(FRONTAL, "faces", tmp_path, tmp_path / "out", DRAWN, 1)
    assert not list((tmp_path / "out").iterdir())


def test_the_checksum_of_content_does_not_see_the_packing(tmp_path: Path) -> None:
    for path in (zipped(tmp_path / "a.zip"), zipped(tmp_path / "b.zip", "root-1/", {"V1/1.bmp": b"more"})):
        with Archive(path) as archive:
            assert content_sha256(archive, FRONTAL) == CONTENT_SHA256


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Addresses of the files in tmp_path/served."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield lambda name: f"http://127.0.0.1:{server.server_port}/{name}"
        server.shutdown()


def published(url: str, checks: str, sha256: str) -> Dataset:
    """A description with this address; only https passes its validation, so it is put together past it."""
    source = HttpsSource.model_construct(kind="https", url=url, checks=checks, sha256=sha256)
    return FRONTAL.model_copy(update={"source": source})


def test_an_archive_from_its_address(tmp_path: Path, served: Callable[[str], str]) -> None:
    path = zipped(tmp_path / "served/a.zip", "root-1/")
    dataset = published(served("a.zip"), "archive", hashlib.sha256(path.read_bytes()).hexdigest())
    assert checked_archive(dataset, PUBLISHED, tmp_path) == path.read_bytes()


def test_content_from_its_address_gives_one_archive_however_it_is_packed(
    tmp_path: Path, served: Callable[[str], str]
) -> None:
    zipped(tmp_path / "served/a.zip", "root-1/", {"V1/1.bmp": b"not of this dataset"})
    zipped(tmp_path / "served/b.zip", "root-2/")
    first = checked_archive(published(served("a.zip"), "content", CONTENT_SHA256), PUBLISHED, tmp_path)
    assert checked_archive(published(served("b.zip"), "content", CONTENT_SHA256), PUBLISHED, tmp_path) == first
    unpacked(tmp_path / "faces")
    assert checked_archive(FRONTAL, "faces", tmp_path) == first


@pytest.mark.parametrize("checks", ["archive", "content"])
def test_another_checksum(tmp_path: Path, served: Callable[[str], str], checks: str) -> None:
    zipped(tmp_path / "served/a.zip")
    dataset = published(served("a.zip"), checks, "0" * 64)
    message = r"a.zip: checksum mismatch: the (file|content) has sha256 [0-9a-f]{64}, expected 0{64}"
    with pytest.raises(SourceError, match=message):
        fetch(dataset, PUBLISHED, tmp_path, tmp_path / "out", DRAWN, 1)
    assert not list((tmp_path / "out").iterdir())


def test_an_address_without_a_file(tmp_path: Path, served: Callable[[str], str]) -> None:
    dataset = published(served("nothing.zip"), "archive", "0" * 64)
    with pytest.raises(SourceError, match=r"nothing.zip could not be fetched \(404 .*look whether the address is"):
        fetch(dataset, PUBLISHED, tmp_path, tmp_path / "out", DRAWN, 1)
    assert not list((tmp_path / "out").iterdir())


def test_a_failed_run_takes_the_old_description_of_the_archive_along(tmp_path: Path) -> None:
    zipped(tmp_path / "a.zip")
    checked_archive(FRONTAL, "a.zip", tmp_path)
    unpacked(tmp_path / "faces/old")
    unpacked(tmp_path / "faces/new")
    with pytest.raises(SourceError):
        fetch(FRONTAL, "faces", tmp_path, tmp_path / "out", DRAWN, 1)
    assert not (tmp_path / "out/source.json").exists()
