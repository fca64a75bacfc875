"""The pictures at the training size: packs of lossless pairs that any viewer opens, written in parallel.

Pictures are lossless WebP at its fastest setting. Measured at 256 x 256 on one core: written in 1.8 ms and read in
1.1 ms at 79 kB; the quickest PNG takes 3.5 and 1.6 ms at 105 kB; a BMP 0.1 and 0.1 ms, but 197 kB, which DVC would
hash and keep. Masks are palette PNGs, in the colours of their classes.
"""

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import joblib
import numpy as np
from PIL import Image

from faceseg.files import read_csv, write_csv
from faceseg.images.codec import decode_image, decode_mask, encode_mask
from faceseg.images.geometry import content_box, resize_image, resize_mask
from faceseg.params import ResizeParams
from faceseg.progress import track
from faceseg.sources.archive import shared_archive
from faceseg.store.packs import MissingInputError, PackReader, PackWriter, pack_of, remove_other_packs

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
    """A picture of the index: the dataset's own split, and the native size in pixels, upright."""

    id: str
    clip: str
    split: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class _Source:
    """What is read of a merged picture: its member in the archive, and its row of the index."""

    image: str
    row: ResizedRow


def write_resized(raw: Path, merged: Path, out: Path, params: ResizeParams, workers: int | None) -> int:
    """Write every merged picture and its mask at the training size into the packs of ``out``, and index.csv last.

    Args:
        raw: the archive of the download stage.
        merged: folder of the merge stage.
        out: folder of the resize stage; packs that an earlier run left and this one does not name are removed.
        params: the section ``resize`` of params.yaml.
        workers: processes; None: one a core. They do not change a byte.

    Returns:
        How many pictures were written.

    Raises:
        MissingInputError: when an input is not there.
        ValueError: when a mask has not the size that the index says.
    """
    if not raw.exists():
        raise MissingInputError(f"{raw} is not there")
    jobs: defaultdict[int, list[_Source]] = defaultdict(list)
    for source in _read_merged(merged / _MERGED_INDEX):
        jobs[pack_of(source.row.clip)].append(source)
    (out / INDEX).unlink(missing_ok=True)
    parallel = joblib.Parallel(n_jobs=workers or joblib.cpu_count(), return_as="generator_unordered")
    done = parallel(
        joblib.delayed(_write_pack)(raw, merged, out, params, number, sources)
        for number, sources in sorted(jobs.items())
    )
    pictures = sum(track(done, len(jobs), "resize, packs"))
    remove_other_packs(out, STEM, jobs)
    rows = sorted((source.row for sources in jobs.values() for source in sources), key=_order)
    write_csv(out / INDEX, [field.name for field in fields(ResizedRow)], map(astuple, rows))
    return pictures


def read_index(folder: Path) -> list[ResizedRow]:
    """The rows of a resized folder, by clip and then id.

    Raises:
        MissingInputError: when the index is not there.
    """
    try:
        return sorted(map(_row, read_csv(folder / INDEX)), key=_order)
    except FileNotFoundError:
        raise MissingInputError(f"{folder / INDEX} is not there") from None


class ResizedReader:
    """Reads pairs from the packs of a resized folder."""

    def __init__(self, folder: Path) -> None:
        self._packs = PackReader(folder, STEM)

    def read(self, row: ResizedRow) -> tuple[np.ndarray, np.ndarray]:
        """The picture, (S, S, 3) uint8 RGB, and its mask, (S, S) uint8 class ids, 255: not scored."""
        image, mask = (self._packs.read(row.clip, member) for member in _members(row.id))
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
    return ResizedRow(values["id"], values["clip"], values["split"], int(values["width"]), int(values["height"]))


def _read_merged(index: Path) -> list[_Source]:
    try:
        return [_Source(values["image"], _row(values)) for values in read_csv(index)]
    except FileNotFoundError:
        raise MissingInputError(f"{index} is not there") from None


def _write_pack(
    raw: Path, merged: Path, out: Path, params: ResizeParams, number: int, sources: Sequence[_Source]
) -> int:
    """One worker's share: the samples of one pack, sorted by id."""
    archive = shared_archive(raw)
    with PackReader(merged, _MASKS) as masks, PackWriter(out, STEM, number) as pack:
        for source in sorted(sources, key=lambda source: source.row.id):
            image_member, mask_member = _members(source.row.id)
            pack.add(image_member, _encode_image(_resized_image(archive.read(source.image), source, params)))
            pack.add(mask_member, _resized_mask(masks.read(source.row.clip, f"{source.row.id}.png"), source, params))
    return len(sources)


def _resized_image(content: bytes, source: _Source, params: ResizeParams) -> np.ndarray:
    row = source.row
    left, top, right, bottom = content_box(row.width, row.height, params.size, params.fit)
    picture = decode_image(content, at_least=_SPARE * min(right - left, bottom - top) // 2)
    return resize_image(picture, params.size, params.fit, (row.width, row.height))


def _resized_mask(content: bytes, source: _Source, params: ResizeParams) -> bytes:
    """The PNG of the mask at the training size, in the palette of the PNG that came."""
    picture = decode_mask(content)
    width, height = source.row.width, source.row.height
    if picture.size != (width, height):
        raise ValueError(
            f"the mask of {source.row.id} is {picture.width} x {picture.height}, expected the {width} x {height} of "
            "its index; the packs and the index are not of one run, so run `dvc repro`"
        )
    mask = resize_mask(np.asarray(picture), params.size, params.fit, params.mask_filter)
    return encode_mask(mask, bytes(picture.getpalette() or ()))


def _encode_image(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "WEBP", lossless=True, quality=0, method=0)
    return buffer.getvalue()
