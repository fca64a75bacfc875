"""The pictures at the training size: packs of lossless pairs that any viewer opens, written in parallel.

Pictures are lossless WebP at its fastest setting. Measured at 256 x 256 on one core: written in 1.8 ms and read in
1.1 ms at 79 kB; the quickest PNG takes 3.5 and 1.6 ms at 105 kB; a BMP 0.1 and 0.1 ms, but 197 kB, which DVC would
hash and keep. Masks are palette PNGs, in the colours of their classes.
"""

import hashlib
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from faceseg.files import read_csv, write_csv
from faceseg.images.codec import decode_image, decode_mask, encode_mask
from faceseg.images.geometry import content_box, resize_image, resize_mask
from faceseg.images.perceptual import difference_hash
from faceseg.labels.classes import IGNORED
from faceseg.params import ResizeParams
from faceseg.sources.archive import shared_archive
from faceseg.store.growing import Made, Wanted, write_packs
from faceseg.store.origins import as_facts, code_key, key_of, write_origins
from faceseg.store.packs import MissingInputError, PackReader, pack_of, remove_other_packs

STEM = "pack"
INDEX = "index.csv"

# What store.merged calls its packs and its index. Named again, because to import it would make whatever the merge
# needs, down to the dataset's description, a reason to resize anew.
_MASKS = "masks"
_MERGED_INDEX = "index.csv"

# In halves: a JPEG is decoded at the smallest scale that is still 3/2 of the training size, and the antialiasing filter
# does the rest. At one megapixel, 256 x 256: 3.8 ms instead of 7.4 in full, 0.3 grey levels away from the full filter
# on average; at twice the training size nothing is won with pictures of 4:3.
_SPARE = 3


@dataclass(frozen=True, slots=True)
class ResizedRow:
    """A picture of the index: the dataset's own split, and the native size in pixels, upright.

    ``content`` is the sha256 of the picture's file as it came, ``pair`` that of its two files as they lie in the pack,
    one after the other, ``perceptual`` its ``images.perceptual`` hash as 16 hex digits, and ``classes`` are the ids in
    its mask at the training size.
    """

    id: str
    clip: str
    split: str
    width: int
    height: int
    content: str
    pair: str
    perceptual: str
    classes: tuple[int, ...]


_COLUMNS = tuple(field.name for field in fields(ResizedRow))


@dataclass(frozen=True, slots=True)
class _Source:
    """What is read of a merged picture: its member in the archive, and its row of the merged index."""

    image: str
    id: str
    clip: str
    split: str
    width: int
    height: int
    image_sha256: str
    mask_sha256: str


@dataclass(frozen=True, slots=True)
class _Resizer:
    """The work on each picture, as ``write_packs`` asks for it."""

    raw: Path
    merged: Path
    params: ResizeParams

    def members(self, id_: str) -> tuple[str, str]:
        return _members(id_)

    def make(self, sources: Iterable[_Source]) -> Iterator[Made]:
        archive = shared_archive(self.raw)
        with PackReader(self.merged, _MASKS) as masks:
            for source in sources:
                yield _made(
                    archive.read(source.image), masks.read(source.clip, f"{source.id}.png"), source, self.params
                )


def write_resized(
    raw: Path, merged: Path, out: Path, params: ResizeParams, workers: int | None, origins: Path | None = None
) -> int:
    """Write every merged picture and its mask at the training size into the packs of ``out``, and index.csv last.

    Args:
        raw: the archive of the download stage.
        merged: folder of the merge stage.
        out: folder of the resize stage; packs that an earlier run left and this one does not name are removed.
        params: the section ``resize`` of params.yaml.
        workers: processes; None: one a core. They do not change a byte.
        origins: where it is recorded what the packs were made of; what an earlier build has made of the same is taken
            over from ``out``. None: everything is made anew.

    Returns:
        How many pictures were written.

    Raises:
        MissingInputError: when an input is not there.
        ValueError: when a mask has not the size that the index says.
    """
    if not raw.exists():
        raise MissingInputError(f"{raw} is not there")
    basis = key_of(code_key("images", "labels", "store"), params.model_dump_json())
    sources = _read_merged(merged / _MERGED_INDEX)
    wanted: defaultdict[int, list[Wanted[_Source]]] = defaultdict(list)
    for source in sources:
        key = key_of(basis, source.image_sha256, source.mask_sha256, f"{source.width} {source.height}")
        wanted[pack_of(source.clip)].append(Wanted(source.id, key, source))
    (out / INDEX).unlink(missing_ok=True)
    resizer = _Resizer(raw, merged, params)
    records = write_packs(out, STEM, wanted, resizer, workers, origins, "resize, packs")
    facts = {record.id: json.loads(record.facts) for record in records}
    rows = sorted((_resized_row(source, facts[source.id]) for source in sources), key=_order)
    remove_other_packs(out, STEM, wanted)
    write_csv(out / INDEX, _COLUMNS, map(_cells, rows))
    write_origins(origins, records)
    return len(rows)


def least_bytes(merged: Path, size: int) -> int:
    """What the pairs will take on the disk at least: half a byte a pixel; 1.2 to 1.7 were measured.

    Raises:
        MissingInputError: when the merged index is not there.
    """
    return len(_read_merged(merged / _MERGED_INDEX)) * size * size // 2


def read_index(folder: Path) -> list[ResizedRow]:
    """The rows of a resized folder, by clip and then id.

    Raises:
        MissingInputError: when the index is not there.
    """
    try:
        return sorted(map(_row, read_csv(folder / INDEX)), key=_order)
    except FileNotFoundError:
        raise MissingInputError(f"{folder / INDEX} is not there") from None
    except KeyError as error:
        raise MissingInputError(f"{folder / INDEX} is of an earlier version, without a column {error}") from None


class ResizedReader:
    """Reads pairs from the packs of a resized folder."""

    def __init__(self, folder: Path) -> None:
        self._packs = PackReader(folder, STEM)

    def read(self, row: ResizedRow) -> tuple[np.ndarray, np.ndarray]:
        """The picture, (S, S, 3) uint8 RGB, and its mask, (S, S) uint8 class ids, 255: not scored."""
        return self.decode(*self.contents(row))

    def contents(self, row: ResizedRow) -> tuple[bytes, bytes]:
        """The files of the pair, as they lie in the pack."""
        image, mask = (self._packs.read(row.clip, member) for member in _members(row.id))
        return image, mask

    @staticmethod
    def decode(image: bytes, mask: bytes) -> tuple[np.ndarray, np.ndarray]:
        """``read`` of what ``contents`` gives."""
        return decode_image(image), np.asarray(decode_mask(mask))

    def __enter__(self) -> "ResizedReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._packs.close()


def _members(sample_id: str) -> tuple[str, str]:
    return f"{sample_id}.image.webp", f"{sample_id}.mask.png"


def _order(row: ResizedRow) -> tuple[str, str]:
    return row.clip, row.id


def _row(values: Mapping[str, str]) -> ResizedRow:
    return ResizedRow(
        id=values["id"],
        clip=values["clip"],
        split=values["split"],
        width=int(values["width"]),
        height=int(values["height"]),
        content=values["content"],
        pair=values["pair"],
        perceptual=values["perceptual"],
        classes=tuple(map(int, values["classes"].split())),
    )


def _cells(row: ResizedRow) -> tuple[object, ...]:
    return (*attrgetter(*_COLUMNS[:-1])(row), " ".join(map(str, row.classes)))


def _read_merged(index: Path) -> list[_Source]:
    try:
        return [
            _Source(
                image=row["image"],
                id=row["id"],
                clip=row["clip"],
                split=row["split"],
                width=int(row["width"]),
                height=int(row["height"]),
                image_sha256=row["image_sha256"],
                mask_sha256=row["mask_sha256"],
            )
            for row in read_csv(index)
        ]
    except FileNotFoundError:
        raise MissingInputError(f"{index} is not there") from None
    except KeyError as error:
        raise MissingInputError(f"{index} is of an earlier version, without a column {error}") from None


def _resized_row(source: _Source, facts: Mapping[str, Any]) -> ResizedRow:
    return ResizedRow(
        id=source.id,
        clip=source.clip,
        split=source.split,
        width=source.width,
        height=source.height,
        content=source.image_sha256,
        pair=facts["pair"],
        perceptual=facts["perceptual"],
        classes=tuple(facts["classes"]),
    )


def _made(content: bytes, mask: bytes, source: _Source, params: ResizeParams) -> Made:
    """The pair at the training size."""
    _refuse_other("picture", content, source.image_sha256, source)
    _refuse_other("merged mask", mask, source.mask_sha256, source)
    picture = _decoded_image(content, source, params)
    resized = _resized_mask(mask, source, params)
    size = (source.width, source.height)
    pair = [_encode_image(resize_image(picture, params.size, params.fit, size)), encode_mask(*resized)]
    facts = {
        "pair": pair_digest(*pair),
        "perceptual": f"{difference_hash(picture):016x}",
        "classes": [id_ for id_ in np.unique(resized[0]).tolist() if id_ != IGNORED],
    }
    return Made(as_facts(facts), pair)


def pair_digest(image: bytes, mask: bytes) -> str:
    """``ResizedRow.pair`` of two files."""
    digest = hashlib.sha256(image)
    digest.update(mask)
    return digest.hexdigest()


def _refuse_other(part: str, content: bytes, expected: str, source: _Source) -> None:
    """What was made of a picture is recorded under the digests of its index, so they have to be true."""
    came = hashlib.sha256(content).hexdigest()
    if came != expected:
        raise ValueError(
            f"the {part} of {source.id} has the sha256 {came}, expected the {expected} of the merged index; they are "
            "not of one run, so run `dvc repro`"
        )


def _decoded_image(content: bytes, source: _Source, params: ResizeParams) -> np.ndarray:
    left, top, right, bottom = content_box(source.width, source.height, params.size, params.fit)
    return decode_image(content, at_least=_SPARE * min(right - left, bottom - top) // 2)


def _resized_mask(content: bytes, source: _Source, params: ResizeParams) -> tuple[np.ndarray, bytes]:
    """The mask at the training size, and the palette of the PNG that came."""
    picture = decode_mask(content)
    if picture.size != (source.width, source.height):
        raise ValueError(
            f"the mask of {source.id} is {picture.width} x {picture.height}, expected the {source.width} x "
            f"{source.height} of its index; the packs and the index are not of one run, so run `dvc repro`"
        )
    mask = resize_mask(np.asarray(picture), params.size, params.fit, params.mask_filter)
    return mask, bytes(picture.getpalette() or ())


def _encode_image(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "WEBP", lossless=True, quality=0, method=0)
    return buffer.getvalue()
