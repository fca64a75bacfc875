"""One archive, whatever the source was: drawn, from the description's address, or a local zip or folder.

A source is checked before any work, and the archive takes its name only when it is complete and holds pictures of the
dataset.
"""

import hashlib
import math
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from faceseg.files import atomic_write, sha256, write_json
from faceseg.params import Synthetic
from faceseg.progress import track
from faceseg.running.room import require_room, room_for
from faceseg.sources.archive import BLOCK_BYTES, Archive, ArchiveError, write_archive
from faceseg.sources.catalog import PUBLISHED, Dataset
from faceseg.sources.download import Address, DownloadError, Patience, downloaded
from faceseg.sources.kaggle import KaggleError, check_kaggle, dataset_address
from faceseg.sources.members import MEMBERS, write_digests
from faceseg.sources.pairing import matches, pair, pair_archive
from faceseg.sources.schema import FilesSource, KaggleSource, ManualSource, SyntheticSource
from faceseg.sources.synthetic import generate
from faceseg.sources.tarball import read_tarball

ARCHIVE = "dataset.zip"
ABOUT = "source.json"
_DRAWN_BYTES = 30_000  # of a picture that is drawn and its label, at least; 100,000 on average were measured
PARTS = ".faceseg/downloads"  # under the repository: what has come of files that are not whole yet


class SourceError(ValueError):
    """The source is not there, is not what it should be, or cannot be fetched."""


@dataclass(frozen=True)
class Fetched:
    """What source.json says of the archive: its dataset, size and sha256, and how many members it holds.

    ``files``: of the files that it was made of, where these are several, the sha256 of each by its address.
    """

    dataset: str
    bytes: int
    sha256: str
    members: int
    files: dict[str, str] | None = None


def check_source(dataset: Dataset, source: str, root: Path) -> None:
    """Find out, before any work and without a network, whether there is something to fetch.

    Args:
        source: ``dataset.source`` of params.yaml.
        root: what a relative source is relative to, the repository that the user sits in.

    Raises:
        SourceError: what is wrong with ``dataset.source``, and how to mend it.
    """
    if _is_published(source):
        if isinstance(dataset.source, ManualSource):
            raise SourceError(f"dataset.source: {dataset.name} is not fetched by faceseg: {dataset.source.how}")
        if isinstance(dataset.source, KaggleSource):
            try:
                check_kaggle(dataset.source.slug)
            except KaggleError as error:
                raise SourceError(f"dataset.source: {dataset.name} lies on Kaggle, {error}") from None
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
                pair_archive(archive, dataset)
        else:
            raise SourceError(
                f"there is no such file or folder; expected a .zip or a folder, relative to {root}, or {PUBLISHED} for "
                "what the description names"
            )
    except ArchiveError as error:
        raise SourceError(f"dataset.source: {error}") from None
    except ValueError as error:
        raise SourceError(f"dataset.source: {path}: {error}") from None


def fetch(
    dataset: Dataset,
    source: str,
    root: Path,
    out: Path,
    synthetic: Synthetic,
    workers: int | None,
    patience: Patience = Patience(),  # noqa: B008 - a frozen value
) -> Fetched:
    """Write ``out``/dataset.zip, ``out``/members.csv and, last, ``out``/source.json.

    A local zip is copied as it is. A folder is packed, stored and sorted, without what the layout does not use. A
    checksum is that of the published dataset, so local sources, which may be a part of it, are not held to it.

    Args:
        source, root: as for ``check_source``.
        out: folder of the download stage.
        synthetic: what the generator draws, for a dataset that is drawn.
        workers: processes of the generator; None: one a core. They do not change a byte.
        patience: with a network that gives nothing.

    Raises:
        SourceError: as ``check_source``; or the address cannot be reached, or its content has another checksum.
    """
    check_source(dataset, source, root)
    with room_for("the dataset", {out: _least_bytes(dataset, source, root, synthetic)}):
        return _fetch(dataset, source, root, out, synthetic, workers, patience)


def _fetch(
    dataset: Dataset,
    source: str,
    root: Path,
    out: Path,
    synthetic: Synthetic,
    workers: int | None,
    patience: Patience,
) -> Fetched:
    archive = out / ARCHIVE
    (out / ABOUT).unlink(missing_ok=True)
    files: dict[str, str] | None = None
    with atomic_write(archive) as file:
        if not _is_published(source):
            path = root / source
            if path.is_dir():
                _pack_folder(path, dataset, file)
            else:
                _copy(path, file)
        elif not isinstance(dataset.source, SyntheticSource):
            files = _fetch_published(dataset, root / PARTS, file, patience)
        else:
            pictures = (synthetic.train_clips + synthetic.val_clips) * synthetic.frames
            write_archive(file, track(generate(synthetic, workers), 2 * pictures, "download, files drawn"))
        file.flush()
        members = _checked_members(Path(file.name), dataset)
    with Archive(archive) as whole:
        write_digests(whole, out / MEMBERS)
    fetched = Fetched(dataset.name, archive.stat().st_size, sha256(archive), members, files)
    write_json(out / ABOUT, {name: value for name, value in asdict(fetched).items() if value is not None})
    return fetched


def _least_bytes(dataset: Dataset, source: str, root: Path, synthetic: Synthetic) -> int:
    """What the archive will take on the disk at least; 0 for an address, which says it when it is asked."""
    if not _is_published(source):
        path = root / source
        if not path.is_dir():
            return path.stat().st_size
        files = _folder_files(path)
        return sum(files[match.name].stat().st_size for match in matches(files, dataset))
    if isinstance(dataset.source, SyntheticSource):
        return (synthetic.train_clips + synthetic.val_clips) * synthetic.frames * _DRAWN_BYTES
    return 0


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
        pair_archive(archive, dataset)
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


def _fetch_published(dataset: Dataset, parts: Path, file: BinaryIO, patience: Patience) -> dict[str, str] | None:
    """The archive from where the description says; of several files the sha256 of each by its address."""
    source: Any = dataset.source
    try:
        if isinstance(source, FilesSource):
            return _fetch_files(dataset, source, parts, file, patience)
        if isinstance(source, KaggleSource):
            address = dataset_address(source.slug)
            content = source.sha256
        else:
            whole = source.sha256 if source.checks == "archive" else None
            address = Address(source.url, source.url, whole)
            content = source.sha256 if source.checks == "content" else None
        with downloaded(address, parts, patience) as part:
            require_room("the dataset", {Path(file.name).parent: part.stat().st_size})
            if content is None:
                _copy(part, file)
            else:
                _pack_content(part, address.key, content, dataset, file)
    except (DownloadError, KaggleError) as error:
        raise SourceError(str(error)) from error
    return None


def _pack_content(part: Path, url: str, expected: str, dataset: Dataset, file: BinaryIO) -> None:
    """What the layout uses of an archive, packed anew: where only the content is known, not how it is packed."""
    with Archive(part) as archive:
        came = content_sha256(archive, dataset)
        if came != expected:
            raise SourceError(
                f"{url}: checksum mismatch: the content has sha256 {came}, expected {expected} by the "
                f"description of {dataset.name}. Try again; if it stays so, the file has changed at its source: set "
                "dataset.source to a copy that you trust"
            )
        paths = {match.path: match.name for match in matches(archive.names, dataset)}
        write_archive(file, ((path, archive.read(name)) for path, name in sorted(paths.items())))


def _fetch_files(
    dataset: Dataset, source: FilesSource, parts: Path, file: BinaryIO, patience: Patience
) -> dict[str, str]:
    """Several files, one archive: a tarball becomes members while it is read, and only what the layout uses is kept."""
    sums: dict[str, str] = {}

    def members() -> Iterator[tuple[str, bytes | Path]]:
        for published in source.files:
            address = Address(published.url, published.url, published.sha256)
            with downloaded(address, parts, patience) as part:
                sums[published.url] = published.sha256 or sha256(part)
                if published.sha256 is None:
                    print(
                        f"download: nobody has published a checksum of {published.url}; what came has sha256 "
                        f"{sums[published.url]}",
                        file=sys.stderr,
                    )
                if published.unpack is None:
                    found: Iterator[tuple[str, bytes | Path]] = iter([(_file_name(published.url), part)])
                else:
                    found = track(read_tarball(part), None, "download, files packed")
                for name, content in found:
                    for match in matches([name], dataset):
                        yield match.path, content

    try:
        write_archive(file, members())
    except DownloadError:
        raise
    except ValueError as error:
        raise SourceError(f"{dataset.name}: {error}") from None
    return sums


def _file_name(url: str) -> str:
    return re.split(r"[?#]", url)[0].rsplit("/", 1)[-1]
