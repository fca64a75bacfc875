"""A tiny set as the download and merge stages leave it: an archive of pictures, packs of masks, an index."""

import hashlib
import io
import zipfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faceseg.files import write_csv
from faceseg.store.packs import PackWriter, pack_of

PALETTE = [0, 0, 0, 255, 0, 0, 0, 255, 0] + [128] * 3 * 253  # black, red, green


@dataclass
class TinySet:
    """Nine pictures of 40 x 30 and 30 x 40 in five clips; class 1 is a box, class 2 a dot in the odd ones."""

    root: Path
    ids: list[str]

    @property
    def raw(self) -> Path:
        return self.root / "raw" / "dataset.zip"

    @property
    def merged(self) -> Path:
        return self.root / "merged"

    def replace_picture(self, sample_id: str, content: bytes) -> None:
        """Put another file in the place of a picture; the merged index knows of it."""
        members = self.contents()
        name = f"set/{sample_id}.jpg"
        index = self.merged / "index.csv"
        index.write_text(index.read_text().replace(f"{sha256(members[name])}", sha256(content), 1))
        with zipfile.ZipFile(self.raw, "w") as archive:
            for member, data in (members | {name: content}).items():
                archive.writestr(member, data)

    def contents(self) -> dict[str, bytes]:
        """The pictures as they came, by member."""
        with zipfile.ZipFile(self.raw) as archive:
            return {name: archive.read(name) for name in archive.namelist()}


def encoded(picture: Image.Image, format: str, **settings: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **settings)
    return buffer.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _mask(number: int, width: int, height: int) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[5:20, 5 + number : 20 + number] = 1
    if number % 2:
        mask[8:14, 8:14] = 2
    mask[:, :2] = 255
    return mask


def _image(number: int, width: int, height: int) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 5, y * 5, (x + y + 20 * number) % 256], axis=-1).astype(np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def many_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few pictures are worth as many processes as there are workers."""
    monkeypatch.setattr("faceseg.store.growing.PICTURES_A_PROCESS", 1)


@pytest.fixture
def tiny(tmp_path: Path) -> TinySet:
    (tmp_path / "raw").mkdir()
    rows = []
    packs: defaultdict[int, list[tuple[str, bytes]]] = defaultdict(list)
    with zipfile.ZipFile(tmp_path / "raw" / "dataset.zip", "w") as archive:
        for number in range(9):
            clip = f"clip{number // 2}"
            sample_id = f"{clip}_{number}"
            width, height = (40, 30) if number % 2 else (30, 40)
            member = f"set/{sample_id}.jpg"
            picture = encoded(_image(number, width, height), "JPEG", quality=90)
            archive.writestr(member, picture)
            palette_mask = Image.fromarray(_mask(number, width, height), "P")
            palette_mask.putpalette(PALETTE)
            mask = encoded(palette_mask, "PNG")
            packs[pack_of(clip)].append((f"{sample_id}.png", mask))
            split = "test" if number == 8 else "train"
            rows.append((sample_id, clip, split, member, width, height, sha256(picture), sha256(mask), 0, 0, 0, 0))
    for pack_number, members in packs.items():
        with PackWriter(tmp_path / "merged", "masks", pack_number) as pack:
            for member, content in members:
                pack.add(member, content)
    digests = ("image_sha256", "mask_sha256")
    header = ("id", "clip", "split", "image", "width", "height", *digests, "background", "skin", "eyes", "ignored")
    write_csv(tmp_path / "merged" / "index.csv", header, rows)
    return TinySet(tmp_path, [row[0] for row in rows])
