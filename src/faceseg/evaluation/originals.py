"""The test pictures as they came, and their merged masks, both upright and at native size, read one at a time."""

from pathlib import Path
from types import TracebackType

import numpy as np

from faceseg.files import read_csv
from faceseg.images.codec import decode_image, decode_mask
from faceseg.sources.archive import Archive
from faceseg.store.packs import MissingInputError, PackReader


class Originals:
    """Reads out of the archive of the download stage and the packs of the merge stage; a context that closes them."""

    def __init__(self, raw: Path, merged: Path) -> None:
        """
        Args:
            raw: the archive.
            merged: the folder of the merge stage.

        Raises:
            MissingInputError: the archive or the index of the merge stage is not there.
        """
        try:
            self._members = {row["id"]: (row["clip"], row["image"]) for row in read_csv(merged / "index.csv")}
            self._archive = Archive(raw)
        except FileNotFoundError as error:
            raise MissingInputError(f"{error.filename} is not there") from None
        self._packs = PackReader(merged, "masks")

    def mask(self, sample: str, size: tuple[int, int]) -> np.ndarray:
        """The merged mask of a sample, (height, width) uint8, classes 0..K - 1, 255: not scored.

        Args:
            sample: its id.
            size: (width, height) that the cache says.

        Raises:
            ValueError: the sample or its mask is not there, or has another size.
        """
        clip, _ = self._find(sample)
        picture = decode_mask(self._packs.read(clip, f"{sample}.png"))
        if picture.size != size:
            raise ValueError(
                f"the merged mask of {sample} is {picture.size[0]} x {picture.size[1]}, but the cache says "
                f"{size[0]} x {size[1]}; they are not of one run, so run `dvc repro`"
            )
        return np.asarray(picture)

    def image(self, sample: str, at_least: int) -> np.ndarray:
        """The picture of a sample, upright, (h, w, 3) uint8 RGB; a JPEG shrunk to no side below ``at_least``."""
        _, member = self._find(sample)
        return decode_image(self._archive.read(member), at_least)

    def _find(self, sample: str) -> tuple[str, str]:
        if sample not in self._members:
            raise MissingInputError(f"{sample} is in the cache but not in the merged index")
        return self._members[sample]

    def __enter__(self) -> "Originals":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._archive.close()
        self._packs.close()
