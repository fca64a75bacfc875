"""One pair of an archive, from its files to the source ids of its mask, or to what is wrong with it."""

from collections.abc import Callable
from typing import Protocol, TypeVar

import numpy as np

from faceseg.images.codec import BrokenImageError, OversizedImageError, check_image, decode_mask
from faceseg.labels.decode import ForeignLabelError, painted_ids, source_ids
from faceseg.sources.archive import Archive, ArchiveError
from faceseg.sources.catalog import Dataset
from faceseg.sources.pairing import Sample
from faceseg.sources.schema import PartsMasks

Decoded = TypeVar("Decoded")


class RejectedError(ValueError):
    """What is wrong with one pair: ``kind`` in a word or two, ``detail`` with the member and what was expected."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = detail


class Reader(Protocol):
    """What hands out the members of an archive."""

    def read(self, member: str) -> bytes: ...


def masks_of(sample: Sample) -> list[str]:
    """The members that make up the mask of a pair."""
    return [member for _, member in sample.parts] or [sample.mask]


class Members:
    """The members of one pair: each is read once."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._contents: dict[str, bytes] = {}

    def read(self, member: str) -> bytes:
        """As ``Archive.read``."""
        if member not in self._contents:
            self._contents[member] = self._archive.read(member)
        return self._contents[member]


def sound_mask(archive: Reader, sample: Sample, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The source ids of a pair that has no fault, (h, w) uint8, and (256,) pixels by id.

    Raises:
        RejectedError: with what is wrong.
    """
    size = _decoded("image", archive, sample.image, check_image)
    scale = dataset.masks.scale if isinstance(dataset.masks, PartsMasks) else 1
    members = masks_of(sample)
    masks = [_decoded("mask", archive, member, decode_mask) for member in members]
    for member, mask in zip(members, masks, strict=True):
        if (mask.width * scale, mask.height * scale) != size:
            of = "the" if scale == 1 else f"1/{scale} of the"
            raise RejectedError(
                "other size",
                f"{member} is {mask.width} x {mask.height}, expected {of} {size[0]} x {size[1]} of its image, upright",
            )
    try:
        if sample.parts:
            return painted_ids([(part, mask) for (part, _), mask in zip(sample.parts, masks, strict=True)], dataset)
        return source_ids(masks[0], dataset)
    except ForeignLabelError as error:
        raise RejectedError("foreign labels", f"{sample.mask}: {error}") from error


def _decoded(part: str, archive: Reader, member: str, decode: Callable[[bytes], Decoded]) -> Decoded:
    try:
        return decode(archive.read(member))
    except OversizedImageError as error:
        raise RejectedError(f"oversized {part}", f"{member}: {error}") from error
    except (BrokenImageError, ArchiveError) as error:
        raise RejectedError(f"broken {part}", f"{member}: {error}") from error
