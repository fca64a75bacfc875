"""Archives and pictures that nobody vouches for: laws by hypothesis, and bytes broken at random.

What is read is what is there, or one of the documented errors comes; nothing else, and nothing is written elsewhere.
"""

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from faceseg.images.codec import BrokenImageError, OversizedImageError, check_image, decode_image, decode_mask
from faceseg.labels.decode import ForeignLabelError, painted_ids, source_ids
from faceseg.params import Synthetic
from faceseg.sources import catalog
from faceseg.sources.archive import Archive, ArchiveError
from faceseg.sources.fetch import SourceError, fetch
from faceseg.sources.tarball import read_tarball

FRONTAL, PARTS, FRAMES = (catalog.load(name) for name in ("fasseg-frontal", "celebamask-hq", "multiclass-face"))
DRAWN = Synthetic(train_clips=1, val_clips=1, frames=1, seed=0)
NAMES = st.text(st.sampled_from("aA./\\:éß+ \0"), max_size=8)
MEMBERS = st.lists(st.tuples(NAMES, st.binary(max_size=20)), max_size=6)
LAWS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def inside(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return parts[0] != "" and ".." not in parts


@pytest.mark.filterwarnings("ignore:Duplicate name")
@given(members=MEMBERS)
@LAWS
def test_a_zip_archive_is_read_as_it_was_written_or_refused(tmp_path: Path, members: list[tuple[str, bytes]]) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members:
            info = zipfile.ZipInfo("x")
            info.filename = name
            file.writestr(info, content)
    try:
        with Archive(path) as archive:
            read = {name: archive.read(name) for name in archive.names}
    except ArchiveError:
        return
    assert all(inside(name) for name in read)
    assert len({name.casefold() for name in read}) == len(read)
    assert read == {name: content for name, content in members if not name.endswith("/")}


@given(members=MEMBERS)
@LAWS
def test_a_tarball_is_read_as_it_was_written_or_refused(tmp_path: Path, members: list[tuple[str, bytes]]) -> None:
    path = tmp_path / "a.tgz"
    with tarfile.open(path, "w:gz") as file:
        for name, content in members:
            info = tarfile.TarInfo(name.replace("\0", ""))
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    try:
        read = list(read_tarball(path))
    except ArchiveError:
        return
    assert all(inside(name) for name, _ in read)
    assert len({name.casefold() for name, _ in read}) == len(read)
    assert {content for _, content in read} <= {content for _, content in members}


def hostile_archives() -> dict[str, Callable[[Path], None]]:
    def one(name: str, mode: int = stat.S_IFREG, twice: str = "") -> Callable[[Path], None]:
        def write(path: Path) -> None:
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("V2/Train_RGB/1.bmp", b"1")
                for member in (name, twice) if twice else (name,):
                    info = zipfile.ZipInfo(member)
                    info.create_system, info.external_attr = 3, (mode | 0o644) << 16
                    archive.writestr(info, b"../../outside")

        return write

    return {
        "absolute": one("/tmp/outside.bmp"),  # noqa: S108 - it is refused
        "through ..": one("V2/Train_RGB/../../../outside.bmp"),
        "link": one("V2/Train_RGB/2.bmp", stat.S_IFLNK),
        "twins": one("V2/Train_RGB/3.bmp", twice="V2/TRAIN_RGB/3.bmp"),
    }


@pytest.mark.parametrize("kind", sorted(hostile_archives()))
def test_a_hostile_archive_is_refused_by_name_and_nothing_is_written(tmp_path: Path, kind: str) -> None:
    (tmp_path / "root").mkdir()
    hostile_archives()[kind](tmp_path / "root/a.zip")
    with pytest.raises(SourceError, match=r"dataset\.source: .*a\.zip holds (the link )?'"):
        fetch(FRONTAL, "a.zip", tmp_path / "root", tmp_path / "root/out", DRAWN, 1)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.zip"]


def broken(content: bytes, count: int, seed: int) -> Iterable[bytes]:
    """So many versions of some bytes: some overwritten, a stretch cut out, copied or repeated, the end missing."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        data = bytearray(content)
        for _ in range(int(rng.integers(1, 4))):
            at = int(rng.integers(len(data) + 1))
            length = int(rng.integers(1, 9))
            match int(rng.integers(6)):
                case 0 | 1:
                    data[at : at + length] = rng.integers(0, 256, length, np.uint8).tobytes()
                case 2:
                    data[at : at + length] = bytes([int(rng.choice([0, 1, 127, 128, 255]))]) * length
                case 3:
                    del data[at : at + int(rng.integers(1, 60))]
                case 4:
                    data[at:at] = data[at : at + int(rng.integers(1, 60))]
                case 5:
                    del data[at:]
        yield bytes(data)


def zip_seed() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for n, method in enumerate((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)):
            archive.writestr(zipfile.ZipInfo(f"a/{n}é"), bytes(range(40)) * 3, method)
        archive.writestr(zipfile.ZipInfo("a/"), b"")
    return buffer.getvalue()


def tar_seed() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("a", "é" * 70, "b" * 150):
            info = tarfile.TarInfo(name)
            info.size = 700
            archive.addfile(info, io.BytesIO(bytes(700)))
    return buffer.getvalue()


def fuzz_zip(folder: Path, count: int) -> int:
    refused = 0
    for data in broken(zip_seed(), count, 1):
        (folder / "a.zip").write_bytes(data)
        try:
            with Archive(folder / "a.zip") as archive:
                for name in archive.names:
                    archive.read(name)
        except ArchiveError:
            refused += 1
    return refused


def fuzz_tar(folder: Path, count: int) -> int:
    """Half of the archives are broken before they are compressed, so that tarfile sees the breaks."""
    refused = 0
    plain = tar_seed()
    for n, data in enumerate((*broken(plain, count // 2, 2), *broken(gzip.compress(plain), count // 2, 3))):
        (folder / "a.tgz").write_bytes(gzip.compress(data, 1) if n < count // 2 else data)
        try:
            for _ in read_tarball(folder / "a.tgz"):
                pass
        except ArchiveError:
            refused += 1
    return refused


def picture_seeds() -> list[bytes]:
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (9, 7, 3), np.uint8))
    ids = Image.fromarray(rng.integers(0, 18, (9, 7), np.uint8))
    palette = ids.copy()
    palette.putpalette(list(range(256)) * 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    seeds = []
    for picture, kind, extra in (
        (rgb, "JPEG", {"exif": exif.tobytes()}),
        (rgb, "JPEG", {"progressive": True}),
        (rgb, "PNG", {"exif": exif.tobytes()}),
        (ids, "PNG", {}),
        (palette, "PNG", {"bits": 8}),
        (ids.point(lambda level: level % 2 * 255).convert("1"), "PNG", {}),
        (palette, "BMP", {}),
        (rgb, "BMP", {}),
        (rgb, "PPM", {}),
        (ids, "PPM", {}),
        (rgb, "WEBP", {"lossless": True}),
    ):
        buffer = io.BytesIO()
        picture.save(buffer, kind, **extra)
        seeds.append(buffer.getvalue())
    return seeds


def fuzz_pictures(count: int) -> int:
    refused = 0
    for seed, content in enumerate(picture_seeds()):
        for data in broken(content, count, seed):
            for read in (check_image, decode_image, lambda data: decode_image(data, 4), _ids):
                try:
                    read(data)
                except (BrokenImageError, OversizedImageError, ForeignLabelError):
                    refused += 1
    return refused


def _ids(data: bytes) -> None:
    """A mask in each of the encodings; its ids are classes of its description, whatever the file was."""
    mask = decode_mask(data)
    for dataset in (FRAMES, FRONTAL, PARTS):
        known = {source.id for source in dataset.classes}
        ids, pixels = painted_ids([("nose", mask)], dataset) if dataset is PARTS else source_ids(mask, dataset)
        assert {int(id_) for id_ in np.flatnonzero(pixels)} <= known
        assert ids.size == pixels.sum()


def test_broken_zip_archives_are_refused(tmp_path: Path) -> None:
    assert fuzz_zip(tmp_path, 600) > 300


def test_broken_tarballs_are_refused(tmp_path: Path) -> None:
    assert fuzz_tar(tmp_path, 400) > 150


def test_broken_pictures_are_refused() -> None:
    assert fuzz_pictures(150) > 1_500


@pytest.mark.slow
def test_many_broken_files_are_refused(tmp_path: Path) -> None:
    assert fuzz_zip(tmp_path, 6_000) > 3_000
    assert fuzz_tar(tmp_path, 5_000) > 2_000
    assert fuzz_pictures(500) > 5_000
