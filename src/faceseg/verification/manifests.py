"""What the manifests of the stages say of their own files: the witness where DVC has no record."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from faceseg.files import read_json, sha256
from faceseg.sources.archive import Archive, ArchiveError
from faceseg.sources.fetch import ABOUT, ARCHIVE
from faceseg.store.shards import MANIFEST

WEIGHTS, DESCRIPTION = "model.weights.h5", "model.json"


def manifest_faults(folder: Path) -> Iterator[tuple[str, str]]:
    """Names and faults of files in an output's folder, as far as checksums beside or inside them tell.

    ``source.json`` speaks for the archive, ``cache.json`` for the shards, ``model.json`` for the weights, and each pack
    for itself: a zip file has a checksum for every member.
    """
    for manifest, expected in ((ABOUT, _archive), (MANIFEST, _shards), (DESCRIPTION, _weights)):
        if not (folder / manifest).is_file():
            continue
        try:
            files = expected(read_json(folder / manifest))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            yield manifest, f"cannot be read ({type(error).__name__}: {error})"
            continue
        for name, digest in files.items():
            if not (folder / name).is_file():
                yield name, "is not there"
            elif sha256(folder / name) != digest:
                yield name, f"is not the file that {manifest} describes"
    yield from _pack_faults(folder)


def _archive(about: Mapping[str, Any]) -> dict[str, str]:
    return {ARCHIVE: about["sha256"]}


def _weights(description: Mapping[str, Any]) -> dict[str, str]:
    return {WEIGHTS: description["weights_sha256"]}


def _shards(manifest: Mapping[str, Any]) -> dict[str, str]:
    return {
        f"{split}/{shard[kind]}": shard[f"{kind}_sha256"]
        for split, facts in manifest["splits"].items()
        for shard in facts["shards"]
        for kind in ("images", "masks")
    }


def _pack_faults(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.glob("*-?????.zip")):
        try:
            with Archive(path) as archive:
                for name in archive.names:
                    archive.read(name)
        except ArchiveError as error:
            yield path.name, f"is damaged ({error})"
