"""merged: sound pairs become palette PNGs and rows, every fault its reason, and the bytes are the same every time."""

import csv
import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faceseg.files import read_csv
from faceseg.images.codec import decode_mask
from faceseg.params import MergeParams
from faceseg.sources import catalog
from faceseg.store.merged import Merged, TooManyRejectedError, write_merged
from faceseg.store.packs import MissingInputError, PackReader

DATASET = catalog.load("multiclass-face")
FASSEG = Path(__file__).parents[2] / "../shared/data/fasseg-frontal.zip"
EXIF_ORIENTATION = 0x0112


def jpeg(width: int, height: int, orientation: int = 1) -> bytes:
    rng = np.random.default_rng(width * height)
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(buffer, "JPEG", exif=exif.tobytes())
    return buffer.getvalue()


def png(mask: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def source_mask(width: int, height: int) -> np.ndarray:
    return (np.arange(width * height).reshape(height, width) % 18).astype(np.uint8)


def sound(count: int, clip: str = "7") -> dict[str, bytes]:
    """Members of so many sound pairs of 30 x 20 pixels."""
    members = {}
    for n in range(count):
        members[f"All_data/train/image/{clip}_{n:02d}.jpg"] = jpeg(30, 20)
        members[f"All_data/train/seg/{clip}_{n:02d}.png"] = png(source_mask(30, 20))
    return members


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def merged(folder: Path, members: dict[str, bytes], max_rejected: float = 1.0, workers: int = 1) -> Merged:
    raw = archive(folder / "dataset.zip", members)
    return write_merged(raw, folder / "merged", DATASET, MergeParams(into="face8", max_rejected=max_rejected), workers)


def test_a_sound_pair(tmp_path: Path) -> None:
    made = merged(tmp_path, sound(1), max_rejected=0.0)
    [row] = read_csv(tmp_path / "merged/index.csv")
    with PackReader(tmp_path / "merged", "masks") as packs:
        content = packs.read("7", "train-7_00.png")
    assert list(row) == [
        "id", "clip", "split", "image", "width", "height", "image_sha256", "mask_sha256",
        "background", "skin", "eyebrows", "eyes", "nose", "mouth", "ears", "glasses", "ignored",
    ]  # fmt: skip
    # 600 pixels: ids 0 to 5 occur 34 times, the others 33 times.
    assert list(row.values()) == [
        "train-7_00", "7", "train", "All_data/train/image/7_00.jpg", "30", "20",
        hashlib.sha256(sound(1)["All_data/train/image/7_00.jpg"]).hexdigest(), hashlib.sha256(content).hexdigest(),
        str(34 + 3 * 33), str(34 + 2 * 33), "68", "68", "33", str(3 * 33), "66", "33", "0",
    ]  # fmt: skip
    picture = decode_mask(content)
    table = [0, 1, 2, 2, 3, 3, 4, 5, 5, 5, 0, 1, 1, 6, 6, 0, 7, 0]
    np.testing.assert_array_equal(np.asarray(picture), np.array(table)[source_mask(30, 20)])
    assert picture.convert("RGB").getpixel((6, 0)) == (250, 220, 60)  # the nose in the colour of its class
    assert (tmp_path / "merged/rejected.csv").read_text() == "id,reason\n"
    assert made.metrics() == {
        "dataset": "multiclass-face",
        "merge": "face8",
        "pictures": 1,
        "expected": 19535 + 2653,
        "clips": 1,
        "rejected": 0,
        "rejected_by_reason": {},
        "unlabelled": 0,
        "pixels": {"scored": 600, "ignored": 0},
        "classes": {
            "background": {"share": round(133 / 600, 6), "pictures": 1},
            "skin": {"share": round(100 / 600, 6), "pictures": 1},
            "eyebrows": {"share": round(68 / 600, 6), "pictures": 1},
            "eyes": {"share": round(68 / 600, 6), "pictures": 1},
            "nose": {"share": round(33 / 600, 6), "pictures": 1},
            "mouth": {"share": round(99 / 600, 6), "pictures": 1},
            "ears": {"share": round(66 / 600, 6), "pictures": 1},
            "glasses": {"share": round(33 / 600, 6), "pictures": 1},
        },
        "absent": [],
        "own_splits": {"train": 1},
    }


FAULTS = {
    "no mask": ({"image": jpeg(30, 20)}, "no mask: All_data/train/image/8_00.jpg has no mask beside it"),
    "no image": ({"seg": png(source_mask(30, 20))}, "no image: All_data/train/seg/8_00.png has no image beside it"),
    "other size": (
        {"image": jpeg(30, 20), "seg": png(source_mask(20, 30))},
        "other size: All_data/train/seg/8_00.png is 20 x 30, expected the 30 x 20 of its image, upright",
    ),
    "foreign labels": (
        {"image": jpeg(30, 20), "seg": png(np.full((20, 30), 18))},
        "foreign labels: All_data/train/seg/8_00.png: the mask holds the ids 18 (600 pixels), which are no class of "
        "multiclass-face; expected ids of 0 to 17 that its description names",
    ),
    "broken image": (
        {"image": jpeg(30, 20)[:-40], "seg": png(source_mask(30, 20))},
        "broken image: All_data/train/image/8_00.jpg: truncated or damaged JPEG (image file is truncated",
    ),
    "broken mask": (
        {"image": jpeg(30, 20), "seg": b"empty"},
        "broken mask: All_data/train/seg/8_00.png: not a readable picture of 5 bytes",
    ),
    "oversized image": (
        {"image": b"P6 9000 9000 255\n", "seg": png(source_mask(30, 20))},
        "oversized image: All_data/train/image/8_00.jpg: 9000 x 9000 pixels, expected at most 67108864 in all",
    ),
}


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_a_fault_is_a_rejection_with_its_reason(tmp_path: Path, kind: str) -> None:
    parts, reason = FAULTS[kind]
    files = {"image": "All_data/train/image/8_00.jpg", "seg": "All_data/train/seg/8_00.png"}
    made = merged(tmp_path, {**sound(2), **{files[part]: content for part, content in parts.items()}})
    [rejected] = read_csv(tmp_path / "merged/rejected.csv")
    assert rejected["id"] == "train-8_00"
    assert rejected["reason"].startswith(reason)
    assert [row["id"] for row in read_csv(tmp_path / "merged/index.csv")] == ["train-7_00", "train-7_01"]
    assert made.metrics()["rejected_by_reason"] == {kind: 1}
    assert made.metrics()["pictures"] == 2


def test_a_member_damaged_in_the_archive_is_a_rejection(tmp_path: Path) -> None:
    members = {**sound(1), "All_data/train/image/8_00.jpg": b"once upon a time", "All_data/train/seg/8_00.png": b""}
    path = archive(tmp_path / "dataset.zip", members)
    path.write_bytes(path.read_bytes().replace(b"once upon", b"onze upon"))
    write_merged(path, tmp_path / "merged", DATASET, MergeParams(into="face8", max_rejected=1.0), 1)
    [rejected] = read_csv(tmp_path / "merged/rejected.csv")
    assert rejected["reason"].startswith("broken image: All_data/train/image/8_00.jpg: ")
    assert "is damaged (Bad CRC-32" in rejected["reason"]


def test_sizes_are_compared_upright(tmp_path: Path) -> None:
    members = {
        "All_data/train/image/7_00.jpg": jpeg(20, 30, orientation=6),
        "All_data/train/seg/7_00.png": png(source_mask(30, 20)),
    }
    merged(tmp_path, members, max_rejected=0.0)
    [row] = read_csv(tmp_path / "merged/index.csv")
    assert (row["width"], row["height"]) == ("30", "20")


def test_too_many_rejections_fail_and_are_listed(tmp_path: Path) -> None:
    lonely = {f"All_data/val/image/9_{n:02d}.jpg": b"" for n in range(22)}
    with pytest.raises(
        TooManyRejectedError,
        match=r"22 of 30 pictures are rejected \(73.3%\), more than merge.max_rejected allows \(73.0%\); mend the "
        r"source, or raise merge.max_rejected:\n  test-9_00: no mask: All_data/val/image/9_00.jpg has no mask .*\n"
        r"(  test-9_\d\d: .*\n){19}  and 2 more in .*merged/rejected.csv$",
    ):
        merged(tmp_path, {**sound(8), **lonely}, max_rejected=0.73)
    assert len(list(read_csv(tmp_path / "merged/rejected.csv"))) == 22
    assert not (tmp_path / "merged/index.csv").exists()


def test_as_many_rejections_as_allowed(tmp_path: Path) -> None:
    assert merged(tmp_path, {**sound(3), "All_data/val/image/9_00.jpg": b""}, max_rejected=0.25).rejections


def test_a_failed_run_leaves_no_index_of_an_earlier_one(tmp_path: Path) -> None:
    merged(tmp_path, sound(1))
    with pytest.raises(TooManyRejectedError):
        merged(tmp_path, {"All_data/val/image/9_00.jpg": b""}, max_rejected=0.0)
    assert not (tmp_path / "merged/index.csv").exists()


def test_packs_of_an_earlier_run_go(tmp_path: Path) -> None:
    merged(tmp_path, {**sound(1, "7"), **sound(1, "11"), **sound(1, "12")})
    merged(tmp_path, sound(1, "7"))
    (tmp_path / "fresh").mkdir()
    merged(tmp_path / "fresh", sound(1, "7"))
    assert contents(tmp_path / "merged") == contents(tmp_path / "fresh/merged")


def test_a_pack_of_rejections_alone_is_not_written(tmp_path: Path) -> None:
    members = {"All_data/train/image/8_00.jpg": b"", "All_data/train/seg/8_00.png": b""}
    merged(tmp_path, members)
    assert sorted(contents(tmp_path / "merged")) == ["index.csv", "rejected.csv"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.usefixtures("many_processes")
def test_workers_do_not_change_a_byte(tmp_path: Path) -> None:
    members = {name: content for clip in range(12) for name, content in sound(2, str(clip)).items()}
    members["All_data/val/image/9_00.jpg"] = b""
    for workers in (1, 3):
        (tmp_path / str(workers)).mkdir()
        merged(tmp_path / str(workers), members, workers=workers)
    assert contents(tmp_path / "1/merged") == contents(tmp_path / "3/merged")


def test_a_stage_without_its_input(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"dataset\.zip is not there; `dvc repro` makes what is missing"):
        write_merged(tmp_path / "dataset.zip", tmp_path, DATASET, MergeParams(into="face8", max_rejected=1.0), 1)


@pytest.mark.skipif(not FASSEG.exists(), reason=f"{FASSEG} is not here")
def test_real_faces(tmp_path: Path) -> None:
    dataset = catalog.load("fasseg-frontal")
    made = write_merged(FASSEG, tmp_path, dataset, MergeParams(into="face6", max_rejected=0.0), 1)
    metrics = made.metrics()
    assert (metrics["pictures"], metrics["clips"], metrics["expected"]) == (70, 70, 70)
    with (tmp_path / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    splits = [row["split"] for row in rows]
    assert (splits.count("train"), splits.count("test")) == (20, 50)
    for row in rows:
        by_class = {name: int(row[name]) for name in dataset.merge("face6").classes}
        assert sum(by_class.values()) == int(row["width"]) * int(row["height"])
        assert all(by_class.values()), f"{row['id']} lacks a class"
