"""One pair of files under the lens: everything that is wrong with it, not only what comes first."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from faceseg.images.codec import (
    BrokenImageError,
    Look,
    OversizedImageError,
    decode_mask,
    look_at,
    orientation_of,
)
from faceseg.images.perceptual import difference_hash
from faceseg.labels.classes import IGNORED
from faceseg.labels.decode import pixels_by_id
from faceseg.labels.merge import lookup_table, merge_pixels
from faceseg.sources.archive import ArchiveError, shared_archive
from faceseg.sources.catalog import Dataset, Merge
from faceseg.sources.pairing import Sample
from faceseg.sources.schema import IndexMasks, RgbMasks
from faceseg.store.pairs import Members, RejectedError, masks_of, sound_mask
from faceseg.verification.findings import Finding

_ENDINGS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".webp": "WEBP",
    ".ppm": "PPM", ".pgm": "PPM", ".pbm": "PPM", ".pnm": "PPM",
}  # fmt: skip
# What else comes under the name of a picture, by its first bytes.
_OTHERS = (
    (b"GIF8", "GIF"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"%PDF", "PDF"), (b"PK\3\4", "zip"),
    (b"<", "HTML, XML or SVG"), (b"version https://git-lfs", "a Git LFS pointer"),
)  # fmt: skip


@dataclass
class Examined:
    """What was seen of one pair; ``classes`` and ``pixels`` are empty when the pair is not sound.

    Attributes:
        content: sha256 of the image's file, ``""`` when it cannot be read.
        perceptual: ``difference_hash`` of the image, None when it cannot be decoded.
        classes: target ids in its mask.
        source_ids: ids of the description's classes in its mask.
        foreign: pixels without a class, by what they hold.
    """

    sample: Sample
    content: str = ""
    perceptual: int | None = None
    classes: tuple[int, ...] = ()
    source_ids: tuple[int, ...] = ()
    foreign: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def say(self, severity: str, kind: str, detail: str) -> None:
        self.findings.append(Finding("fault" if severity == "fault" else "note", kind, self.sample.id, detail))


def examine(raw: Path, dataset: Dataset, merge: Merge, samples: Sequence[Sample]) -> list[Examined]:
    """Look at pairs of the archive ``raw``, one after the other."""
    return [_examine(Members(shared_archive(raw)), dataset, merge, sample) for sample in samples]


def _examine(members: Members, dataset: Dataset, merge: Merge, sample: Sample) -> Examined:
    seen = Examined(sample)
    image = _look(members, sample.image, "image", seen)
    if image is not None:
        seen.content = hashlib.sha256(members.read(sample.image)).hexdigest()
        seen.perceptual = difference_hash(image.pixels)
    masks = [mask for member in masks_of(sample) if (mask := _mask(members, member, image, dataset, seen)) is not None]
    for mask in masks:
        _count_foreign(mask, dataset, seen)
    if image is None or len(masks) < len(masks_of(sample)):
        return seen
    try:
        _, pixels = sound_mask(members, sample, dataset)
    except RejectedError as fault:
        seen.say("fault", fault.kind, fault.detail)
        return seen
    seen.source_ids = tuple(np.flatnonzero(pixels).tolist())
    merged = merge_pixels(pixels, lookup_table(merge))
    seen.classes = tuple(id_ for id_ in np.flatnonzero(merged).tolist() if id_ != IGNORED)
    return seen


def _look(members: Members, member: str, part: str, seen: Examined) -> Look | None:
    try:
        content = members.read(member)
        look = look_at(content)
    except OversizedImageError as error:
        seen.say("fault", f"oversized {part}", f"{member}: {error}")
        return None
    except (BrokenImageError, ArchiveError) as error:
        seen.say("fault", *_named(members, member, part, error))
        return None
    expected = _ENDINGS.get(PurePosixPath(member).suffix.lower())
    if expected != look.format:
        seen.say("note", "unexpected format", f"{member} is a {look.format} file; expected {expected or 'an ending'}")
    return look


def _named(members: Members, member: str, part: str, error: Exception) -> tuple[str, str]:
    """Kind and detail for a file that does not decode: a known format that is not read, or a broken file."""
    if isinstance(error, BrokenImageError):
        head = members.read(member)[:64].lstrip()
        for start, name in _OTHERS:
            if head.startswith(start):
                return "unexpected format", f"{member} is {name}; expected a picture: {error}"
    return f"broken {part}", f"{member}: {error}"


def _mask(members: Members, member: str, image: Look | None, dataset: Dataset, seen: Examined) -> Image.Image | None:
    look = _look(members, member, "mask", seen)
    if look is None:
        return None
    if image is not None and image.orientation != 1 and orientation_of(members.read(member)) == 1:
        seen.say(
            "note",
            "EXIF rotation of the image alone",
            f"{seen.sample.image} has the orientation {image.orientation}, {member} has none; it is taken as upright",
        )
    if image is not None and look.orientation != 1 and image.orientation == 1:
        seen.say(
            "note",
            "EXIF rotation of the mask alone",
            f"{member} has the orientation {look.orientation} and is turned, {seen.sample.image} has none",
        )
    return decode_mask(members.read(member))


def _count_foreign(mask: Image.Image, dataset: Dataset, seen: Examined) -> None:
    """Pixels that have no class, by id; of colours, those farther from every class than the tolerance."""
    encoding = dataset.masks
    if isinstance(encoding, IndexMasks) and mask.mode in ("P", "L"):
        pixels = pixels_by_id(np.asarray(mask))
        known = {*(source.id for source in dataset.classes), *encoding.ignored}
        for id_ in np.flatnonzero(pixels).tolist():
            if id_ not in known:
                seen.foreign[f"id {id_}"] += int(pixels[id_])
    elif isinstance(encoding, RgbMasks):
        strays = _strays(mask, dataset, encoding)
        if strays:
            seen.foreign["colours"] += strays
            share = strays / (mask.width * mask.height)
            if share <= encoding.max_strays:
                seen.say(
                    "note",
                    "stray colours",
                    f"{strays} pixels ({share:.2%}) are more than {encoding.tolerance} levels from every class; the "
                    f"description allows {encoding.max_strays:.2%}",
                )


def _strays(mask: Image.Image, dataset: Dataset, encoding: RgbMasks) -> int:
    """Pixels farther than the tolerance from the colour of every class (Euclidean, in RGB levels)."""
    counts = mask.convert("RGB").getcolors(mask.width * mask.height) or []
    colours = np.array([colour for _, colour in counts], np.int64).reshape(-1, 1, 3)
    classes = np.array([source.colour for source in dataset.classes], np.int64)
    nearest = ((colours - classes) ** 2).sum(axis=-1).min(axis=-1)
    numbers = np.array([number for number, _ in counts], np.int64)
    return int(numbers[nearest > encoding.tolerance**2].sum())
