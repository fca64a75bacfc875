"""The descriptions that come with faceseg: each loads, and says what its data is."""

from pathlib import Path

import pytest

from faceseg.params import FolderParams
from faceseg.sources import catalog
from faceseg.sources.archive import Archive
from faceseg.sources.catalog import DescriptionError, distinct_colours
from faceseg.sources.fetch import content_sha256
from faceseg.sources.pairing import pair

FASSEG = Path(__file__).parents[2] / "../shared/data/fasseg-frontal.zip"
TABLE = FolderParams(masks="index", tolerance=0, max_strays=0, classes={"background": 0, "nose": 7})


def load(name: str) -> catalog.Dataset:
    return catalog.load(name, TABLE)


@pytest.mark.parametrize("name", catalog.names())
def test_every_description_loads(name: str) -> None:
    dataset = load(name)
    for merge in dataset.merges:
        targets = dataset.merge(merge)
        assert len(targets.classes) == len(set(targets.colours)) == len(targets.members)


def test_the_names() -> None:
    assert catalog.names() == [
        "celebamask-hq", "fasseg-frontal", "fasseg-multipose", "folder", "lfw-parts", "multiclass-face",
        "synthetic-faces",
    ]  # fmt: skip


def test_the_merges() -> None:
    assert {name: sorted(load(name).merges) for name in catalog.names()} == {
        "celebamask-hq": ["eyes-lips", "face8", "parts19"],
        "fasseg-frontal": ["face6"],
        "fasseg-multipose": ["face6"],
        "folder": ["identity"],
        "lfw-parts": ["hair-skin-background"],
        "multiclass-face": ["face8"],
        "synthetic-faces": ["face8"],
    }


def test_every_face8_has_the_same_classes() -> None:
    merges = [dataset.merge("face8") for dataset in map(load, catalog.names()) if "face8" in dataset.merges]
    assert len({merge.classes for merge in merges}) == 1
    assert len(merges) == 3


def test_the_folder_takes_its_classes_from_the_table() -> None:
    merge = load("folder").merge("identity")
    assert merge.classes == ("background", "nose")
    assert merge.members == ((0,), (7,))
    assert merge.colours[0] == (0, 0, 0)
    with pytest.raises(DescriptionError, match=r"its classes are in dataset\.folder of params\.yaml"):
        catalog.load("folder")


def test_colours_of_a_table_are_distinct_and_the_same_every_time() -> None:
    colours = distinct_colours(255)
    assert len({tuple(colour) for colour in colours}) == 255
    # Hues 0, 0.618 and 0.236 at saturation 3/4: the least level is 1/4, 13 of 51 steps; the others by hand as well.
    assert colours[:4] == [[0, 0, 0], [255, 65, 65], [65, 120, 255], [175, 255, 65]]
    assert {level for colour in colours for level in colour} <= set(range(256))


def test_the_generated_faces_are_labelled_as_the_real_ones() -> None:
    synthetic, real = catalog.load("synthetic-faces"), catalog.load("multiclass-face")
    assert synthetic.classes == real.classes
    assert synthetic.merges == real.merges
    assert synthetic.layout == real.layout
    assert synthetic.colours == real.colours


@pytest.mark.parametrize("name", ["synthetic-faces", "multiclass-face"])
def test_the_layout_of_frames(name: str) -> None:
    members = [
        f"All_data/{split}/{part}" for split in ("train", "val") for part in ("image/0001_02.jpg", "seg/0001_02.png")
    ]
    samples = pair(members, catalog.load(name)).samples
    assert [(sample.id, sample.clip, sample.split) for sample in samples] == [
        ("test-0001_02", "0001", "test"),
        ("train-0001_02", "0001", "train"),
    ]


@pytest.mark.skipif(not FASSEG.exists(), reason=f"{FASSEG} is not here")
def test_the_real_frontal_faces_pair_up_and_have_the_checksum_of_their_description() -> None:
    dataset = catalog.load("fasseg-frontal")
    with Archive(FASSEG) as archive:
        pairing = pair(archive.names, dataset)
        assert content_sha256(archive, dataset) == dataset.source.sha256
    assert not pairing.orphans
    splits = [sample.split for sample in pairing.samples]
    assert {split: splits.count(split) for split in ("train", "test")} == dataset.expected == {"train": 20, "test": 50}
    assert len({sample.clip for sample in pairing.samples}) == 70
