"""The cache: every pixel in its row, the same bytes at any worker count, the manifest last."""

import csv
import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from faceseg.params import ResizeParams
from faceseg.store.cached import Description, write_cache, write_metrics
from faceseg.store.packs import MissingInputError
from faceseg.store.resized import ResizedReader, read_index, write_resized
from faceseg.store.shards import Cache

ABOUT = Description(
    dataset="tiny",
    size=16,
    fit="stretch",
    classes=("background", "skin", "eyes"),
    colours=((0, 0, 0), (255, 0, 0), (0, 255, 0)),
    mirror=((1, 2),),
)
SPLIT_OF = {"clip0": "train", "clip1": "val", "clip2": "train", "clip4": "test"}  # the limit left clip3 out


@pytest.fixture
def resized(tiny):
    params = ResizeParams(size=16, fit="stretch", mask_filter="nearest")
    write_resized(tiny.raw, tiny.merged, tiny.root / "resized", params, 1)
    return tiny.root / "resized"


def cache(resized, out="cache", about=ABOUT, split_of=SPLIT_OF, shard_size=3, workers=1):
    folder = resized.parent / out
    return folder, write_cache(resized, folder, about, split_of, shard_size, workers)


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_every_picture_lies_in_its_row(resized):
    folder, _ = cache(resized)
    opened = Cache.open(folder)
    assert opened.splits == ("train", "val", "test")
    rows = {row.id: row for row in read_index(resized)}
    found = []
    with ResizedReader(resized) as reader:
        for name in opened.splits:
            split = opened.split(name)
            for n, sample_id in enumerate(split.ids):
                image, mask = reader.read(rows[sample_id])
                assert np.array_equal(split.images_at(np.array([n]))[0], image)
                assert np.array_equal(split.masks_at(np.array([n]))[0], mask)
                assert tuple(split.sizes[n]) == (rows[sample_id].width, rows[sample_id].height)
                assert SPLIT_OF[split.clips[n]] == name
                found.append(sample_id)
    assert sorted(found) == sorted(row.id for row in rows.values() if row.clip != "clip3")


def test_the_files_are_what_np_save_writes(resized, tmp_path):
    folder, _ = cache(resized)
    whole = np.load(folder / "train" / "images-00000.npy", allow_pickle=False)
    np.save(tmp_path / "saved.npy", whole)
    assert (tmp_path / "saved.npy").read_bytes() == (folder / "train" / "images-00000.npy").read_bytes()


def test_the_manifest_says_what_is_there(resized):
    folder, written = cache(resized)
    manifest = json.loads((folder / "cache.json").read_text())
    assert manifest == written.manifest
    assert {key: manifest[key] for key in ("dataset", "size", "fit", "classes", "mirror")} == {
        "dataset": "tiny",
        "size": 16,
        "fit": "stretch",
        "classes": ["background", "skin", "eyes"],
        "mirror": [[1, 2]],
    }
    train = manifest["splits"]["train"]
    assert (train["pictures"], train["clips"]) == (4, 2)
    assert [shard["rows"] for shard in train["shards"]] == [3, 1]
    for shard in train["shards"]:
        for kind in ("images", "masks"):
            content = (folder / "train" / shard[kind]).read_bytes()
            assert hashlib.sha256(content).hexdigest() == shard[f"{kind}_sha256"]
    masks = np.concatenate([np.load(folder / "train" / shard["masks"]) for shard in train["shards"]])
    assert train["pixels"] == {
        "background": int((masks == 0).sum()),
        "skin": int((masks == 1).sum()),
        "eyes": int((masks == 2).sum()),
    }


def test_the_metrics_leave_out_what_is_not_scored(resized, tmp_path):
    folder, written = cache(resized)
    write_metrics(written, tmp_path / "splits.json", tmp_path / "classes.csv")
    metrics = json.loads((tmp_path / "splits.json").read_text())
    assert metrics["sizes"] == {
        "train": {"clips": 2, "pictures": 4},
        "val": {"clips": 1, "pictures": 2},
        "test": {"clips": 1, "pictures": 1},
    }
    assert (metrics["leaks"], metrics["leaking"], metrics["not_compared"]) == (0, [], 0)
    assert metrics["absent"] == {"train": [], "val": [], "test": ["eyes"]}
    mask = np.load(folder / "test" / "masks-00000.npy")
    scored = mask[mask != 255]
    assert scored.size < mask.size
    assert metrics["classes"]["test"]["skin"] == pytest.approx((scored == 1).mean(), abs=1e-6)
    assert sum(metrics["classes"]["test"].values()) == pytest.approx(1, abs=1e-5)
    with (tmp_path / "classes.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    assert [row["class"] for row in rows] == ["background", "skin", "eyes"]
    assert [row["share"] for row in rows] == [str(metrics["classes"]["test"][row["class"]]) for row in rows]


def test_the_pictures_that_hold_a_class_are_counted(resized, tmp_path):
    _, written = cache(resized)
    write_metrics(written, tmp_path / "splits.json", tmp_path / "classes.csv")
    with (tmp_path / "classes.csv").open() as file:
        pictures = {row["class"]: row["pictures"] for row in csv.DictReader(file) if row["split"] == "train"}
    # Of the four pictures of clips 0 and 2 the odd ones have eyes.
    assert pictures == {"background": "4", "skin": "4", "eyes": "2"}


@pytest.mark.usefixtures("many_processes")
def test_one_worker_and_two_write_the_same_cache(resized):
    one, _ = cache(resized, "one", workers=1)
    two, _ = cache(resized, "two", workers=2)
    assert digests(one) == digests(two)


WHOLE_WAY = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from faceseg.params import ResizeParams
from faceseg.store.cached import Description, write_cache
from faceseg.store.resized import write_resized

root = Path(sys.argv[1])
for mask_filter in ("nearest", "majority"):
    params = ResizeParams(size=16, fit="pad", mask_filter=mask_filter)
    write_resized(root / "raw" / "dataset.zip", root / "merged", root / f"plain-{mask_filter}", params, 1)
    about = Description("tiny", 16, "pad", ("a", "b", "c"), ((0, 0, 0),) * 3, ())
    split_of = {"clip0": "train", "clip4": "test"}
    write_cache(root / f"plain-{mask_filter}", root / f"plain-{mask_filter}-cache", about, split_of, 8, 1)
"""


def test_numpy_without_the_cpu_s_features_writes_the_same_bytes(tiny):
    from numpy._core._multiarray_umath import __cpu_baseline__, __cpu_dispatch__, __cpu_features__

    on = [name for name in __cpu_dispatch__ if __cpu_features__.get(name) and name not in __cpu_baseline__]
    source = str(__import__("faceseg").__path__[0]).rpartition("/")[0]
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(on)}
    subprocess.run([sys.executable, "-c", WHOLE_WAY, str(tiny.root), source], env=environment, check=True)
    for mask_filter in ("nearest", "majority"):
        params = ResizeParams(size=16, fit="pad", mask_filter=mask_filter)
        here = tiny.root / f"here-{mask_filter}"
        write_resized(tiny.raw, tiny.merged, here, params, 1)
        about = Description("tiny", 16, "pad", ("a", "b", "c"), ((0, 0, 0),) * 3, ())
        write_cache(here, tiny.root / f"{here.name}-cache", about, {"clip0": "train", "clip4": "test"}, 8, 1)
        assert digests(here) == digests(tiny.root / f"plain-{mask_filter}")
        assert digests(tiny.root / f"{here.name}-cache") == digests(tiny.root / f"plain-{mask_filter}-cache")


def test_what_an_earlier_run_left_is_removed(resized):
    fresh, _ = cache(resized, "fresh")
    cache(resized, "again", split_of={f"clip{n}": "train" for n in range(5)}, shard_size=2)
    again, _ = cache(resized, "again")
    assert digests(again) == digests(fresh)


def test_a_run_that_fails_leaves_no_manifest(resized):
    folder, _ = cache(resized)
    next(resized.glob("pack-*.zip")).unlink()
    everything = {f"clip{n}": "train" for n in range(5)}
    with pytest.raises(MissingInputError, match=r"pack-\d{5}.zip is not there; `dvc repro`"):
        cache(resized, split_of=everything)
    with pytest.raises(MissingInputError, match=r"cache.json is not there, so the cache is not complete; `dvc repro`"):
        Cache.open(folder)


def test_pictures_of_another_size_are_refused(resized):
    about = Description("tiny", 32, "stretch", ABOUT.classes, ABOUT.colours, ())
    with pytest.raises(ValueError, match=r"clip\d_\d is 16 x 16 in .*, expected 32 x 32; resize.size has changed"):
        cache(resized, about=about)


def test_ids_that_are_no_class_are_refused(resized):
    about = Description("tiny", 16, "stretch", ("background", "skin"), ABOUT.colours[:2], ())
    with pytest.raises(ValueError, match=r"the mask of clip\d_\d in .* holds the id 2, expected 0 to 1 or 255"):
        cache(resized, about=about)


def test_files_in_two_splits_are_leaks_that_are_named(tiny, tmp_path):
    tiny.replace_picture("clip4_8", tiny.contents()["set/clip0_0.jpg"])
    params = ResizeParams(size=16, fit="stretch", mask_filter="nearest")
    write_resized(tiny.raw, tiny.merged, tmp_path / "resized", params, 1)
    _, written = cache(tmp_path / "resized")
    write_metrics(written, tmp_path / "splits.json", tmp_path / "classes.csv")
    metrics = json.loads((tmp_path / "splits.json").read_text())
    assert metrics["leaks"] == 1
    assert metrics["leaking"] == ["clip0_0 in train and clip4_8 in test are one file"]
    # The fixture's pictures are ramps that differ in blue alone.
    assert metrics["near_duplicates"] == len(metrics["alike"]) > 0
