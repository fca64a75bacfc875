"""One archive, whatever the source was: drawn, from the description's address, or a local zip or folder.

A source is checked before any work, and the archive takes its name only when it is complete and holds pictures of the
dataset.
"""

import hashlib
import math
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import requests

from faceseg.files import atomic_write, sha256, write_json
from faceseg.params import Synthetic
from faceseg.progress import track
from faceseg.sources.archive import BLOCK_BYTES, Archive, ArchiveError, write_archive
from faceseg.sources.catalog import PUBLISHED, Dataset, HttpsSource, KaggleSource
from faceseg.sources.pairing import matches, pair
from faceseg.sources.synthetic import generate

ARCHIVE = "dataset.zip"
ABOUT = "source.json"
_TIMEOUT_SECONDS = (10, 60)  # to connect, and of silence


class SourceError(ValueError):
    """The source is not there, is not what it should be, or cannot be fetched."""


@dataclass(frozen=True)
class Fetched:
    """What source.json says of the archive: its dataset, size and sha256, and how many members it holds."""

    dataset: str
    bytes: int
    sha256: str
    members: int


def check_source(dataset: Dataset, source: str, root: Path) -> None:
    """Find out, before any work and without a network, whether there is something to fetch.

    Args:
        source: ``dataset.source`` of params.yaml.
        root: what a relative source is relative to, the repository that the user sits in.

    Raises:
        SourceError: what is wrong with ``dataset.source``, and how to mend it.
    """
    if _is_published(source):
        if isinstance(dataset.source, KaggleSource):
            raise SourceError(
                f"dataset.source: {dataset.name} lies on Kaggle and is not fetched from there. Download it by hand "
                f"from https://www.kaggle.com/datasets/{dataset.source.slug} and set dataset.source to the zip file"
            )
        return
    if "://" in source:
        raise SourceError(
            f"dataset.source: got the address {source!r}, expected {PUBLISHED}, a .zip file or a folder. An address "
            "and its sha256 belong in a description, src/faceseg/datasets/<name>.yaml"
        )
    path = root / source
    try:
        if path.is_dir():
            pair(list(_folder_files(path)), dataset)
        elif path.is_file():
            with Archive(path) as archive:
                pair(archive.names, dataset)
        else:
            raise SourceError(
                f"there is no such file or folder; expected a .zip or a folder, relative to {root}, or {PUBLISHED} for "
                "what the description names"
            )
    except ArchiveError as error:
        raise SourceError(f"dataset.source: {error}") from None
    except ValueError as error:
        raise SourceError(f"dataset.source: {path}: {error}") from None


def fetch(dataset: Dataset, source: str, root: Path, out: Path, synthetic: Synthetic, workers: int | None) -> Fetched:
    """Write ``out``/dataset.zip and, last, ``out``/source.json.

    A local zip is copied as it is. A folder is packed, stored and sorted, without what the layout does not use. A
    checksum is that of the published dataset, so local sources, which may be a part of it, are not held to it.

    Args:
        source, root: as for ``check_source``.
        out: folder of the download stage.
        synthetic: what the generator draws, for a dataset that is drawn.
        workers: processes of the generator; None: one a core. They do not change a byte.

    Raises:
        SourceError: as ``check_source``; or the address cannot be reached, or its content has another checksum.
    """
    check_source(dataset, source, root)
    archive = out / ARCHIVE
    (out / ABOUT).unlink(missing_ok=True)
    with atomic_write(archive) as file:
        if not _is_published(source):
            path = root / source
            if path.is_dir():
                _pack_folder(path, dataset, file)
            else:
                _copy(path, file)
        elif isinstance(dataset.source, HttpsSource):
            _fetch_published(dataset, dataset.source, out, file)
        else:
            pictures = (synthetic.train_clips + synthetic.val_clips) * synthetic.frames
            write_archive(file, track(generate(synthetic, workers), 2 * pictures, "download, files drawn"))
        file.flush()
        members = _checked_members(Path(file.name), dataset)
    fetched = Fetched(dataset.name, archive.stat().st_size, sha256(archive), members)
    write_json(out / ABOUT, asdict(fetched))
    return fetched


def content_sha256(archive: Archive, dataset: Dataset) -> str:
    """The checksum of what a dataset consists of, however it was packed.

    The sha256 of lines ``<sha256 of content>  <path>`` (as sha256sum writes them) for the members that the layout
    uses, sorted by path, without the folders around them.
    """
    paths = {match.path: match.name for match in matches(archive.names, dataset)}
    digest = hashlib.sha256()
    for path, name in sorted(paths.items()):
        digest.update(f"{hashlib.sha256(archive.read(name)).hexdigest()}  {path}\n".encode())
    return digest.hexdigest()


def _is_published(source: str) -> bool:
    return PurePosixPath(source) == PurePosixPath(PUBLISHED)


def _checked_members(path: Path, dataset: Dataset) -> int:
    """How many members the archive has, having seen that they are those of the dataset."""
    with Archive(path) as archive:
        pair(archive.names, dataset)
        return len(archive.names)


def _folder_files(folder: Path) -> dict[str, Path]:
    """The files of a folder, by their path from the folder's own name on, sorted; hidden ones are passed over.

    Raises:
        SourceError: for a link, which could lead anywhere.
    """
    found: dict[str, Path] = {}
    open_folders = [folder]
    while open_folders:
        with os.scandir(open_folders.pop()) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_symlink():
                    raise SourceError(
                        f"holds the link {entry.path}; expected files, so put the file itself in its place"
                    )
                if entry.is_dir(follow_symlinks=False):
                    open_folders.append(Path(entry.path))
                else:
                    path = Path(entry.path)
                    found[(folder.resolve().name / path.relative_to(folder)).as_posix()] = path
    return dict(sorted(found.items()))


def _pack_folder(folder: Path, dataset: Dataset, file: BinaryIO) -> None:
    files = _folder_files(folder)
    members: dict[str, Path] = {}
    for match in matches(files, dataset):
        if match.path in members:
            raise SourceError(
                f"dataset.source: {files[match.name]} and {members[match.path]} are both {match.path} of "
                f"{dataset.name}; expected one, so set dataset.source to one of the folders"
            )
        members[match.path] = files[match.name]
    write_archive(file, track(sorted(members.items()), len(members), "download, files packed"))


def _copy(path: Path, file: BinaryIO) -> None:
    blocks = math.ceil(path.stat().st_size / BLOCK_BYTES)
    with path.open("rb") as source:
        for block in track(iter(lambda: source.read(BLOCK_BYTES), b""), blocks, "download, MiB copied"):
            file.write(block)


def _fetch_published(dataset: Dataset, source: HttpsSource, out: Path, file: BinaryIO) -> None:
    """The archive as it is, or, where only its content is known, what the layout uses of it, packed anew."""
    if source.checks == "archive":
        digest = hashlib.sha256()
        for block in _blocks(source.url):
            digest.update(block)
            file.write(block)
        _compare(source, digest.hexdigest(), dataset)
        return
    with tempfile.NamedTemporaryFile(dir=out, prefix=".download-", suffix=".zip") as whole:
        whole.writelines(_blocks(source.url))
        whole.flush()
        with Archive(Path(whole.name)) as archive:
            _compare(source, content_sha256(archive, dataset), dataset)
            paths = {match.path: match.name for match in matches(archive.names, dataset)}
            write_archive(file, ((path, archive.read(name)) for path, name in sorted(paths.items())))


def _compare(source: HttpsSource, came: str, dataset: Dataset) -> None:
    if came != source.sha256:
        raise SourceError(
            f"{source.url}: checksum mismatch: the {source.checks} has sha256 {came}, expected {source.sha256} by the "
            f"description of {dataset.name}. Try again; if it stays so, the file has changed at its source: set "
            "dataset.source to a copy that you trust"
        )


def _blocks(url: str) -> Iterator[bytes]:
    """The content at an address, in blocks."""
    print(f"download: {url}", file=sys.stderr, flush=True)
    try:
        with requests.get(url, stream=True, timeout=_TIMEOUT_SECONDS) as response:
            response.raise_for_status()
            blocks: Iterable[bytes] = response.iter_content(BLOCK_BYTES)
            length = response.headers.get("Content-Length")
            total = None if length is None else math.ceil(int(length) / BLOCK_BYTES)
            yield from track(blocks, total, "download, MiB")
    except requests.RequestException as error:
        raise SourceError(
            f"{url} could not be fetched ({error}); look at the connection and run again, or download it by hand and "
            "set dataset.source to the file"
        ) from error
