"""The reader: rows across shards in any order, and what is said when a file is not what the manifest says."""

import json
import pickle

import numpy as np
import pytest

from faceseg.files import write_csv, write_json
from faceseg.store.packs import MissingInputError
from faceseg.store.shard_writer import RowWriter, Shard, lay_out
from faceseg.store.shards import Cache

ROWS = (4, 4, 2)


@pytest.fixture
def folder(tmp_path):
    """Ten pictures of 4 x 4 in shards of 4, 4 and 2; picture n is all n, its mask all 10 + n."""
    for number, count in enumerate(ROWS):
        lay_out(tmp_path, Shard("train", number), count, 4)
    with RowWriter(tmp_path) as writer:
        for n in (7, 0, 9, 3, 1, 2, 8, 6, 5, 4):  # the order is of no importance
            image, mask = np.full((4, 4, 3), n, np.uint8), np.full((4, 4), 10 + n, np.uint8)
            writer.write(Shard("train", n // 4), n % 4, image, mask)
    rows = [(n, f"id{n}", f"clip{n // 2}", 100 + n, 50) for n in range(10)]
    write_csv(tmp_path / "train" / "index.csv", ("row", "id", "clip", "width", "height"), rows)
    shards = [
        {"images": f"images-{n:05d}.npy", "masks": f"masks-{n:05d}.npy", "rows": rows} for n, rows in enumerate(ROWS)
    ]
    write_json(
        tmp_path / "cache.json",
        {
            "dataset": "tiny",
            "size": 4,
            "fit": "pad",
            "classes": ["a", "b"],
            "colours": [[0, 0, 0], [1, 2, 3]],
            "mirror": [[0, 1]],
            "splits": {"train": {"pictures": 10, "clips": 5, "pixels": {"a": 160, "b": 0}, "shards": shards}},
        },
    )
    return tmp_path


def test_the_manifest_is_read(folder):
    cache = Cache.open(folder)
    assert (cache.dataset, cache.size, cache.fit) == ("tiny", 4, "pad")
    assert cache.classes == ("a", "b")
    assert cache.colours == ((0, 0, 0), (1, 2, 3))
    assert cache.mirror == ((0, 1),)
    assert cache.splits == ("train",)


def test_the_index_is_read(folder):
    split = Cache.open(folder).split("train")
    assert len(split) == 10
    assert split.ids[:2] == ["id0", "id1"]
    assert split.clips[:3] == ["clip0", "clip0", "clip1"]
    assert split.sizes.tolist()[3] == [103, 50]
    assert split.pixels == {"a": 160, "b": 0}


def test_rows_are_gathered_across_shards_in_any_order(folder):
    split = Cache.open(folder).split("train")
    rows = np.array([9, 0, 4, 3, 9, 8, 1])
    images, masks = split.images_at(rows), split.masks_at(rows)
    assert images.shape == (7, 4, 4, 3)
    assert masks.shape == (7, 4, 4)
    assert images.dtype == masks.dtype == np.uint8
    assert (images == rows[:, None, None, None]).all()
    assert (masks == 10 + rows[:, None, None]).all()
    assert split.images_at(np.array([], np.int64)).shape == (0, 4, 4, 3)


@pytest.mark.parametrize("row", [-1, 10])
def test_rows_that_are_not_there_are_refused(folder, row):
    with pytest.raises(IndexError, match=f"got rows {row} to {row} of .*train, expected 0 to 9"):
        Cache.open(folder).split("train").images_at(np.array([row]))


def test_a_split_travels_without_its_pixels(folder):
    split = Cache.open(folder).split("train")
    split.images_at(np.arange(10))
    sent = pickle.dumps(split)
    assert len(sent) < 4000
    assert (pickle.loads(sent).masks_at(np.array([5])) == 15).all()  # noqa: S301 - our own bytes, as joblib sends them


def test_a_missing_split_is_named(folder):
    with pytest.raises(ValueError, match=r"has no split 'val', only train; set split.val above 0"):
        Cache.open(folder).split("val")


def test_a_missing_file_is_named_with_the_cure(folder):
    split = Cache.open(folder).split("train")
    (folder / "train" / "images-00001.npy").unlink()
    with pytest.raises(MissingInputError, match=r"images-00001.npy is not there; `dvc repro` .*`dvc checkout`"):
        split.images_at(np.array([5]))
    (folder / "train" / "index.csv").unlink()
    with pytest.raises(MissingInputError, match=r"index.csv is not there; `dvc repro`"):
        Cache.open(folder).split("train")
    (folder / "cache.json").unlink()
    with pytest.raises(MissingInputError, match=r"cache.json is not there, so the cache is not complete; `dvc repro`"):
        Cache.open(folder)


def test_a_file_that_is_not_what_the_manifest_says_is_named(folder):
    split = Cache.open(folder).split("train")
    np.save(folder / "train" / "masks-00002.npy", np.zeros((3, 4, 4), np.uint8))
    with pytest.raises(MissingInputError, match=r"masks-00002.npy holds \(3, 4, 4\) uint8, expected \(2, 4, 4\) uint8"):
        split.masks_at(np.array([9]))
    (folder / "train" / "masks-00001.npy").write_bytes(b"no array")
    with pytest.raises(MissingInputError, match=r"masks-00001.npy is not a whole .npy file"):
        split.masks_at(np.array([5]))
    manifest = json.loads((folder / "cache.json").read_text())
    manifest["splits"]["train"]["pictures"] = 11
    write_json(folder / "cache.json", manifest)
    with pytest.raises(MissingInputError, match=r"index.csv has 10 rows, its shards 10 and cache.json says 11"):
        Cache.open(folder).split("train")
