"""The descriptions that come with faceseg: each loads, and says what its data is."""

from pathlib import Path

import pytest

from faceseg.sources import catalog
from faceseg.sources.archive import Archive
from faceseg.sources.fetch import content_sha256
from faceseg.sources.pairing import pair

FASSEG = Path(__file__).parents[2] / "../shared/data/fasseg-frontal.zip"


@pytest.mark.parametrize("name", catalog.names())
def test_every_description_loads(name: str) -> None:
    dataset = catalog.load(name)
    for merge in dataset.merges:
        targets = dataset.merge(merge)
        assert len(targets.classes) == len(set(targets.colours)) == len(targets.members)


def test_the_names() -> None:
    assert {"synthetic-faces", "fasseg-frontal", "multiclass-face"} <= set(catalog.names())


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
