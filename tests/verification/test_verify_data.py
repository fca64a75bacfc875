"""Verification: each planted fault is found and named, together with all the others, and sound data passes."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from faceseg.cli import app
from faceseg.params import Limit, SplitLists, SplitParams
from faceseg.sources import catalog
from faceseg.store.packs import MissingInputError
from faceseg.verification.data import verify_data
from faceseg.verification.findings import Report

ROOT = Path(__file__).parents[2]
DATA = ROOT / "../shared/data"
FASSEG = catalog.parse("fasseg-frontal", (catalog.DESCRIPTIONS / "fasseg-frontal.yaml").read_text())
DATASET = catalog.parse(
    "multiclass-face",
    (catalog.DESCRIPTIONS / "multiclass-face.yaml")
    .read_text()
    .replace("train: 19535", "train: 6")
    .replace("2653", "2"),
)
NO_LIMIT = Limit(train=None, val=None, test=None)
Files = dict[str, bytes]


def splits(by: str = "own", val: float = 0.0, test: float = 0.0, **lists: list[str]) -> SplitParams:
    named = SplitLists(**{"train": [], "val": [], "test": [], **lists})
    return SplitParams(by=by, val=val, test=test, seed=0, lists=named)


def image(seed: int, kind: str = "JPEG", orientation: int = 1, width: int = 60, height: int = 40) -> bytes:
    small = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(buffer, kind, exif=exif.tobytes())
    return buffer.getvalue()


def ids(width: int = 60, height: int = 40) -> np.ndarray:
    return (np.arange(width * height).reshape(height, width) % 18).astype(np.uint8)


def png(mask: np.ndarray, **settings: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG", **settings)
    return buffer.getvalue()


def name(part: str, picture: str, folder: str = "train") -> str:
    return f"All_data/{folder}/{part}/{picture}.{'jpg' if part == 'image' else 'png'}"


@pytest.fixture
def sound() -> Files:
    """Six pictures in train and two in test, of four clips."""
    files = {}
    for n, (clip, folder) in enumerate([("1", "train"), ("2", "train"), ("3", "train"), ("4", "val")]):
        for frame in range(2):
            files[name("image", f"{clip}_{frame}", folder)] = image(10 * n + frame)
            files[name("seg", f"{clip}_{frame}", folder)] = png(ids())
    return files


def archive(folder: Path, files: Files) -> Path:
    with zipfile.ZipFile(folder / "dataset.zip", "w") as written:
        for member, content in files.items():
            written.writestr(member, content)
    return folder / "dataset.zip"


def verified(folder: Path, files: Files, split: SplitParams | None = None, workers: int = 1) -> Report:
    raw = archive(folder, files)
    return verify_data(raw, DATASET, DATASET.merge("face8"), split or splits(), NO_LIMIT, workers)


def found(report: Report) -> set[tuple[str, str, str]]:
    return {(finding.severity, finding.kind, finding.where) for finding in report.findings}


def test_sound_data_pass(tmp_path: Path, sound: Files) -> None:
    report = verified(tmp_path, sound)
    assert report.findings == []
    assert report.passed(strict=True)
    assert (report.pictures, report.unlabelled, report.pixels) == (8, [], {})


def orange(files: Files) -> None:
    mask = ids()
    mask[:2, :5] = 99
    mask[5, 5] = 40
    files[name("seg", "1_0")] = png(mask)


TIFF_TURNED = b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"  # one tag, orientation 6
EXIF_TURNED = np.ascontiguousarray(np.rot90(ids()))
IMAGE, MASK = name("image", "1_0"), name("seg", "1_0")
FAULTS: dict[str, tuple[Callable[[Files], object], tuple[str, str, str], str]] = {
    "truncated": (
        lambda files: files.update({IMAGE: files[IMAGE][:-60]}), ("fault", "broken image", "train-1_0"), "truncated",
    ),
    "empty mask": (lambda files: files.update({MASK: b""}), ("fault", "broken mask", "train-1_0"), "0 bytes"),
    "a GIF": (
        lambda files: files.update({IMAGE: b"GIF89a\1\0\1\0"}), ("fault", "unexpected format", "train-1_0"), "is GIF;",
    ),
    "a page": (
        lambda files: files.update({IMAGE: b"<!DOCTYPE html>"}), ("fault", "unexpected format", "train-1_0"), "HTML",
    ),
    "a PNG named jpg": (
        lambda files: files.update({IMAGE: image(0, "PNG")}),
        ("note", "unexpected format", "train-1_0"), "is a PNG file; expected JPEG",
    ),
    "a bomb": (
        lambda files: files.update({IMAGE: b"P6 9000 9000 255\n"}),
        ("fault", "oversized image", "train-1_0"), "9000 x 9000 pixels",
    ),
    "other size": (
        lambda files: files.update({MASK: png(ids(40, 60))}), ("fault", "other size", "train-1_0"), "is 40 x 60",
    ),
    "image alone turned": (
        lambda files: files.update({IMAGE: image(0, orientation=6, width=40, height=60)}),
        ("note", "EXIF rotation of the image alone", "train-1_0"), "has the orientation 6",
    ),
    "mask alone turned": (
        lambda files: files.update({MASK: png(EXIF_TURNED, exif=TIFF_TURNED)}),
        ("note", "EXIF rotation of the mask alone", "train-1_0"), "has the orientation 6 and is turned",
    ),
    "foreign ids": (orange, ("fault", "foreign labels", "train-1_0"), "40 (1 pixels), 99 (10 pixels)"),
    "no image": (lambda files: files.pop(IMAGE), ("fault", "no image", "train-1_0"), "has no image beside it"),
    "no mask": (lambda files: files.pop(MASK), ("fault", "no mask", "train-1_0"), "has no mask beside it"),
    "two of an id": (
        lambda files: files.update({IMAGE.replace("All", "other/All"): image(99)}),
        ("fault", "several files", "train-1_0"), "have the same id",
    ),
    "duplicate": (
        lambda files: files.update({name("image", "4_0", "val"): files[IMAGE]}),
        ("fault", "duplicate across splits", "test-4_0"), "train-1_0 in train and test-4_0 in test are one file",
    ),
    "look-alike": (
        lambda files: files.update({name("image", "4_0", "val"): image(0, width=90, height=60),
                                    name("seg", "4_0", "val"): png(ids(90, 60))}),
        ("note", "near-duplicate across splits", "test-4_0"), "train-1_0 in train and test-4_0 in test look alike",
    ),
    "twice in a split": (
        lambda files: files.update({name("image", "2_0"): files[IMAGE]}),
        ("note", "duplicate within a split", "train-1_0"), "train-2_0 in train: the same file",
    ),
    "clip across": (
        lambda files: files.update({name("image", "1_7", "val"): image(70), name("seg", "1_7", "val"): png(ids())}),
        ("fault", "clip across splits", "1"), "1 pictures in test, 2 pictures in train; expected one split",
    ),
    "other count": (
        lambda files: [files.pop(name(part, "1_0")) for part in ("image", "seg")],
        ("fault", "other count", "train"), "5 pictures with a mask; expected 6",
    ),
    "no test": (
        lambda files: [files.pop(member) for member in list(files) if "/val/" in member],
        ("fault", "no split", "split"), "test split is empty: split.by is 'own'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_planted_fault_is_found_and_named(tmp_path: Path, sound: Files, fault: str) -> None:
    plant, expected, detail = FAULTS[fault]
    plant(sound)
    report = verified(tmp_path, sound)
    assert expected in found(report)
    assert any(detail in f.detail for f in report.findings if (f.severity, f.kind, f.where) == expected)
    assert report.passed(strict=False) == (expected[0] == "note")
    assert not report.passed(strict=True)


def test_nothing_stops_at_the_first(tmp_path: Path, sound: Files) -> None:
    files = {MASK: b"", IMAGE: b"", name("image", "2_0"): b"P6 9000 9000 255\n", name("seg", "3_0"): png(ids(2, 2))}
    report = verified(tmp_path, {**sound, **files})
    assert {
        ("fault", "broken image", "train-1_0"),
        ("fault", "broken mask", "train-1_0"),
        ("fault", "oversized image", "train-2_0"),
        ("fault", "other size", "train-3_0"),
    } <= found(report)


def test_pixels_without_a_class_are_counted_over_all_files(tmp_path: Path, sound: Files) -> None:
    orange(sound)
    sound[name("seg", "2_0")] = png(np.full((40, 60), 99, np.uint8))
    assert verified(tmp_path, sound).pixels == {"id 40": 1, "id 99": 10 + 2400}


def test_classes_that_never_occur_and_splits_without_one(tmp_path: Path, sound: Files) -> None:
    for member in [member for member in sound if "/seg/" in member]:
        mask = ids()
        mask[np.isin(mask, [16, 17] if "train/seg/1" in member else [16, 13, 14])] = 0
        sound[member] = png(mask)
    report = verified(tmp_path, sound)
    assert ("fault", "class that never occurs", "glasses") in found(report)
    assert ("note", "split without a class", "test") in found(report)
    assert ("note", "source class that never occurs", "head") not in found(report)
    assert [f.detail for f in report.findings if f.kind == "split without a class"] == ["it holds no ears"]


def test_a_class_that_train_lacks_is_a_fault_with_a_proposal(tmp_path: Path, sound: Files) -> None:
    for member in [member for member in sound if "train/seg/" in member]:
        sound[member] = png(np.where(ids() == 16, 0, ids()).astype(np.uint8))
    sound |= {name("image", "5_0", "val"): image(80), name("seg", "5_0", "val"): png(ids())}
    [fault] = [f for f in verified(tmp_path, sound).findings if f.kind == "no split"]
    assert fault.detail.startswith("train has no picture of glasses, which other splits have")
    assert "split.lists.train, for example [" in fault.detail


def test_a_class_that_train_cannot_be_given_is_a_fault(tmp_path: Path, sound: Files) -> None:
    for member in [member for member in sound if "train/seg/" in member]:
        sound[member] = png(np.where(ids() == 16, 0, ids()).astype(np.uint8))
    assert ("fault", "split without a class", "train") in found(verified(tmp_path, sound))


def test_a_harmful_archive_is_refused_by_name(tmp_path: Path, sound: Files) -> None:
    report = verified(tmp_path, {**sound, "../outside.png": b""})
    assert [(f.kind, f.where) for f in report.findings] == [("refused archive", "dataset.zip")]
    assert "'../outside.png'" in report.findings[0].detail
    report = verified(tmp_path, {"readme.txt": b""})
    assert [f.kind for f in report.findings] == ["another layout"]


def test_colours_far_from_every_class(tmp_path: Path) -> None:
    files = {}
    for n in range(1, 4):
        pixels = np.full((40, 60, 3), (255, 0, 0), np.uint8)
        pixels[:6] = np.repeat(np.array([source.colour for source in FASSEG.classes], np.uint8), 10, axis=0)
        pixels[10:12, :n] = (90, 90, 200)  # 2, 4 and 6 pixels of violet, 173 levels from the nearest, which is eyes
        if n == 3:
            pixels[20:22] = (90, 90, 200)
        files |= {f"V2/Train_RGB/{n}.bmp": image(n, "BMP"), f"V2/Train_Labels/{n}.bmp": png(pixels)}
    raw = archive(tmp_path, files)
    report = verify_data(raw, FASSEG, FASSEG.merge("face6"), splits(), NO_LIMIT, 1)
    strays = {f.where: f.detail for f in report.findings if f.kind == "stray colours"}
    assert strays["train-2"].startswith("4 pixels (0.17%) are more than 64 levels from every class")
    assert ("fault", "foreign labels", "train-3") in found(report)
    assert report.pixels == {"colours": 2 + 4 + 6 + 120}


def test_workers_do_not_change_the_report(tmp_path: Path, sound: Files) -> None:
    for plant, _, _ in list(FAULTS.values())[:8]:
        plant(sound)
    files = {f"{n}/{member}".replace("1_", f"1{n}_"): content for n in range(3) for member, content in sound.items()}
    assert verified(tmp_path, files, workers=1) == verified(tmp_path, files, workers=2)


def test_an_archive_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"dataset\.zip is not there; `dvc repro` makes"):
        verify_data(tmp_path / "dataset.zip", DATASET, DATASET.merge("face8"), splits(), NO_LIMIT, 1)


@pytest.fixture
def workspace(tmp_path: Path, sound: Files, monkeypatch: pytest.MonkeyPatch) -> Path:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["dataset"]["name"] = "synthetic-faces"
    params["split"] |= {"val": 0.0}
    params["compute"]["workers"] = 1
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    archive(tmp_path, sound)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_speaks_to_people_and_to_programs(workspace: Path, sound: Files) -> None:
    run = CliRunner().invoke(app, ["verify", "data", "--archive", "dataset.zip"])
    assert run.exit_code == 0, run.output
    assert "8 pictures with a mask, 0 without one as expected, 0 faults, 0 notes" in run.output

    orange(sound)
    archive(workspace, sound)
    run = CliRunner().invoke(app, ["verify", "data", "--archive", "dataset.zip"])
    assert run.exit_code == 1
    assert "fault: train-1_0: foreign labels: " in run.output
    run = CliRunner().invoke(app, ["verify", "data", "--archive", "dataset.zip", "--json"])
    assert run.exit_code == 1
    said = json.loads(run.stdout)
    assert (said["passed"], said["faults"], said["totals"]) == (False, 1, {"foreign labels": 1})
    assert said["pixels_without_class"] == {"id 40": 1, "id 99": 10}

    run = CliRunner().invoke(app, ["verify", "data"])
    assert run.exit_code == 1
    assert "data/raw/dataset.zip is not there" in run.stderr


def test_pictures_without_a_mask_are_named() -> None:
    report = Report("tiny", 5, ["test-1", "test-2", "test-3"], [], {})
    assert report.to_dict(strict=True)["without_mask_as_expected"] == ["test-1", "test-2", "test-3"]
    console = Console(width=200)
    with console.capture() as capture:
        report.show(console, 2)
    assert "without a mask, as expected: test-1, test-2 and 1 more\n" in capture.get()
    assert "tiny: 5 pictures with a mask, 3 without one as expected, 0 faults, 0 notes" in capture.get()


def test_notes_fail_when_asked_to(workspace: Path, sound: Files) -> None:
    sound[IMAGE] = image(0, "PNG")
    archive(workspace, sound)
    assert CliRunner().invoke(app, ["verify", "data", "--archive", "dataset.zip"]).exit_code == 0
    assert CliRunner().invoke(app, ["verify", "data", "--archive", "dataset.zip", "--strict"]).exit_code == 1


@pytest.mark.skipif(not (DATA / "fasseg-frontal.zip").exists(), reason="the real faces are not here")
def test_the_test_split_of_fasseg_frontal_holds_photographs_of_its_train_split() -> None:
    report = verify_data(DATA / "fasseg-frontal.zip", FASSEG, FASSEG.merge("face6"), splits(val=0.2), NO_LIMIT, 1)
    twice = {f.where for f in report.findings if f.kind == "duplicate across splits"}
    assert {"test-13", "test-17", "test-20", "test-23", "test-26", "test-44"} <= twice
    alike = [f.where for f in report.findings if f.kind == "near-duplicate across splits"]
    assert "test-3" in alike


@pytest.mark.skipif(not (DATA / "fasseg-multipose-sample.zip").exists(), reason="the real faces are not here")
def test_the_label_of_another_size_in_fasseg_multipose() -> None:
    dataset = catalog.parse("fasseg-multipose", (catalog.DESCRIPTIONS / "fasseg-multipose.yaml").read_text())
    raw = DATA / "fasseg-multipose-sample.zip"
    report = verify_data(raw, dataset, dataset.merge("face6"), splits(val=0.2), NO_LIMIT, 1)
    [wrong] = [f for f in report.findings if f.kind == "other size"]
    assert wrong.where == "test-personne15248+0+30"
    assert "is 373 x 512, expected the 366 x 512 of its image" in wrong.detail
    assert (report.pictures, len(report.unlabelled)) == (91, 14)
