"""pairing: images and masks of one id, what is left over, and archives of something else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceseg.sources import catalog
from faceseg.sources.pairing import Orphan, Sample, pair

FRONTAL = catalog.load("fasseg-frontal")
FRAMES = catalog.load("multiclass-face")
ROOT = "FASSEG-repository-7817f33"


@pytest.mark.parametrize("root", ["", f"{ROOT}/", "a/b/"])
def test_pairs_in_any_folder(root: str) -> None:
    names = [
        f"{root}V2/{name}" for name in ("Train_RGB/1.bmp", "Train_Labels/1.bmp", "Test_RGB/1.bmp", "Test_Labels/1.bmp")
    ]
    pairing = pair([f"{root}README.md", *names], FRONTAL)
    assert pairing.samples == [
        Sample("test-1", "test-1", "test", names[2], names[3]),
        Sample("train-1", "train-1", "train", names[0], names[1]),
    ]
    assert not pairing.orphans
    assert not pairing.unlabelled


def test_a_folder_name_is_matched_whole() -> None:
    with pytest.raises(ValueError, match="none of its 1 files"):
        pair(["oldV2/Train_RGB/1.bmp"], FRONTAL)


def test_frames_belong_to_their_clip() -> None:
    frames = [f"All_data/train/{part}_{frame}" for frame in ("00", "01") for part in ("image/7_a", "seg/7_a")]
    names = [f"{name}.{'jpg' if 'image' in name else 'png'}" for name in frames]
    assert [(sample.id, sample.clip) for sample in pair(names, FRAMES).samples] == [
        ("train-7_a_00", "7_a"),
        ("train-7_a_01", "7_a"),
    ]


def test_halves_are_set_aside() -> None:
    pairing = pair(["V2/Train_RGB/1.bmp", "V2/Train_Labels/2.bmp", "V2/Test_RGB/2.bmp"], FRONTAL)
    assert not pairing.samples
    assert pairing.orphans == [
        Orphan("test-2", "no mask", "V2/Test_RGB/2.bmp has no mask beside it"),
        Orphan("train-1", "no mask", "V2/Train_RGB/1.bmp has no mask beside it"),
        Orphan("train-2", "no image", "V2/Train_Labels/2.bmp has no image beside it"),
    ]


def test_images_that_are_expected_to_have_no_mask_are_counted_apart() -> None:
    splits = FRONTAL.layout.splits
    layout = FRONTAL.layout.model_copy(
        update={"splits": {**splits, "test": splits["test"].model_copy(update={"unlabelled": True})}}
    )
    names = ["V2/Train_RGB/1.bmp", "V2/Test_RGB/2.bmp", "V2/Test_Labels/3.bmp"]
    pairing = pair(names, FRONTAL.model_copy(update={"layout": layout}))
    assert pairing.unlabelled == ["test-2"]
    assert [(orphan.id, orphan.kind) for orphan in pairing.orphans] == [("test-3", "no image"), ("train-1", "no mask")]


def test_two_files_of_one_id_are_not_guessed_between() -> None:
    names = ["All_data/val/image/1_2.jpg", "All_data/val/image/1_2.png", "All_data/val/seg/1_2.png"]
    assert pair(names, FRAMES).orphans == [
        Orphan("test-1_2", "several files", f"{names[0]} and {names[1]} have the same id; expected one")
    ]


def test_a_name_that_no_file_should_have() -> None:
    names = ["All_data/val/image/a\nb_2.jpg", "All_data/val/seg/a\nb_2.png"]
    pairing = pair(names, FRAMES)
    assert [(orphan.kind, orphan.detail) for orphan in pairing.orphans] == [
        ("unsafe name", f"{names[0]} cannot name a file; expected letters, digits and ' +-._' in it")
    ]


@pytest.mark.parametrize(
    "name", ["__MACOSX/V2/Train_RGB/1.bmp", ".git/V2/Train_RGB/1.bmp", "V2/.trash/V2/Train_RGB/1.bmp"]
)
def test_hidden_members_are_passed_over(name: str) -> None:
    pairing = pair([name, "V2/Train_RGB/1.bmp", "V2/Train_Labels/1.bmp"], FRONTAL)
    assert [sample.image for sample in pairing.samples] == ["V2/Train_RGB/1.bmp"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], r"none of its 0 files \(it is empty\) is laid out as fasseg-frontal is; expected images that match"),
        (["x/1.jpg"], r"none of its 1 files such as 'x/1.jpg' is laid out .* Set dataset.source to another one"),
    ],
)  # fmt: skip
def test_an_archive_of_something_else(names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pair(names, FRONTAL)


@given(st.sets(st.integers(0, 9)), st.sets(st.integers(0, 9)), st.randoms())
def test_nothing_is_lost_in_any_order(images: set[int], masks: set[int], random: object) -> None:
    names = (
        [f"V2/Test_RGB/{n}.bmp" for n in images] + [f"V2/Test_Labels/{n}.bmp" for n in masks] + ["V2/Test_RGB/99.bmp"]
    )
    random.shuffle(names)  # type: ignore[attr-defined]
    pairing = pair(names, FRONTAL)
    assert [sample.id for sample in pairing.samples] == sorted(f"test-{n}" for n in images & masks)
    assert [orphan.id for orphan in pairing.orphans] == sorted(f"test-{n}" for n in images ^ masks | {99})
