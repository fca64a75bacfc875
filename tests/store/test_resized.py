"""The resize stage's packs: pixels, bytes, and what is said when an input is missing."""

import hashlib
import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from faceseg.images.codec import decode_image
from faceseg.images.geometry import content_box, resize_mask
from faceseg.images.perceptual import difference_hash
from faceseg.params import ResizeParams
from faceseg.store import merged, resized
from faceseg.store.packs import MissingInputError, PackReader, pack_of
from faceseg.store.resized import ResizedReader, read_index, write_resized


def resize(tiny, out="resized", workers=1, size=16, fit="stretch", mask_filter="nearest"):
    params = ResizeParams(size=size, fit=fit, mask_filter=mask_filter)
    folder = tiny.root / out
    assert write_resized(tiny.raw, tiny.merged, folder, params, workers) == 9
    return folder


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_the_names_of_the_merge_stage_are_its_own():
    assert (resized._MASKS, resized._MERGED_INDEX) == (merged.STEM, merged.INDEX)


def test_the_index_names_every_picture_by_clip_and_id(tiny):
    rows = read_index(resize(tiny))
    assert [row.id for row in rows] == tiny.ids
    assert (rows[0].clip, rows[0].split, rows[0].width, rows[0].height) == ("clip0", "train", 30, 40)
    assert rows[8].split == "test"
    with zipfile.ZipFile(tiny.raw) as archive:
        content = archive.read("set/clip0_0.jpg")
    assert rows[0].content == hashlib.sha256(content).hexdigest()
    assert int(rows[0].perceptual, 16) == difference_hash(decode_image(content, at_least=24))
    assert (rows[0].classes, rows[1].classes) == ((0, 1), (0, 1, 2))


def test_an_index_of_an_earlier_version_is_named(tiny):
    folder = resize(tiny)
    (folder / "index.csv").write_text("id,clip,split,width,height\nclip0_0,clip0,train,30,40\n")
    with pytest.raises(
        MissingInputError, match=r"index.csv is of an earlier version, without a column 'content'; `dvc"
    ):
        read_index(folder)


@pytest.mark.parametrize("fit", ["stretch", "pad"])
@pytest.mark.parametrize("mask_filter", ["nearest", "majority"])
def test_masks_are_the_merged_masks_resized(tiny, fit, mask_filter):
    folder = resize(tiny, fit=fit, mask_filter=mask_filter)
    with ResizedReader(folder) as reader, PackReader(tiny.merged, "masks") as masks:
        for row in read_index(folder):
            native = np.asarray(Image.open(io.BytesIO(masks.read(row.clip, f"{row.id}.png"))))
            _, mask = reader.read(row)
            assert np.array_equal(mask, resize_mask(native, 16, fit, mask_filter))


def test_pictures_are_the_originals_resized(tiny):
    folder = resize(tiny, fit="pad")
    row = read_index(folder)[1]
    with zipfile.ZipFile(tiny.raw) as archive:
        original = Image.open(io.BytesIO(archive.read(f"set/{row.id}.jpg"))).convert("RGB")
    left, top, right, bottom = content_box(40, 30, 16, "pad")
    oracle = np.asarray(original.resize((right - left, bottom - top), Image.Resampling.BILINEAR)).astype(int)
    with ResizedReader(folder) as reader:
        image, _ = reader.read(row)
    assert image.shape == (16, 16, 3)
    assert np.abs(image[top:bottom, left:right] - oracle).mean() < 2


def test_a_viewer_sees_the_picture_and_the_colours_of_the_classes(tiny):
    folder = resize(tiny)
    with PackReader(folder, "pack") as packs:
        with Image.open(io.BytesIO(packs.read("clip0", "clip0_0.mask.png"))) as mask:
            assert mask.mode == "P"
            assert mask.getpalette()[:9] == [0, 0, 0, 255, 0, 0, 0, 255, 0]
        with Image.open(io.BytesIO(packs.read("clip0", "clip0_0.image.webp"))) as image:
            assert image.size == (16, 16)


def test_pictures_are_kept_without_loss():
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    with Image.open(io.BytesIO(resized._encode_image(pixels))) as picture:
        assert np.array_equal(np.asarray(picture), pixels)


@pytest.mark.usefixtures("many_processes")
def test_one_worker_and_two_write_the_same_bytes(tiny):
    assert digests(resize(tiny, "one", workers=1)) == digests(resize(tiny, "two", workers=2))


def test_what_an_earlier_run_left_is_removed(tiny):
    fresh = digests(resize(tiny, "fresh"))
    old = tiny.root / "old"
    old.mkdir()
    unused = next(n for n in range(32) if n not in {pack_of(f"clip{c}") for c in range(5)})
    (old / f"pack-{unused:05d}.zip").write_bytes(b"old")
    assert digests(resize(tiny, "old")) == fresh


def test_the_index_is_not_there_when_the_stage_fails(tiny):
    folder = resize(tiny)
    next(tiny.merged.glob("masks-*.zip")).unlink()
    with pytest.raises(MissingInputError, match=r"masks-\d{5}.zip is not there; `dvc repro`"):
        resize(tiny)
    assert not (folder / "index.csv").exists()


def test_missing_inputs_are_named_with_the_cure(tiny):
    params = ResizeParams(size=16, fit="stretch", mask_filter="nearest")
    with pytest.raises(MissingInputError, match=r"nowhere.zip is not there; `dvc repro` .*`dvc checkout`"):
        write_resized(tiny.root / "nowhere.zip", tiny.merged, tiny.root / "out", params, 1)
    with pytest.raises(MissingInputError, match=r"nowhere.index.csv is not there; `dvc repro` .*`dvc checkout`"):
        write_resized(tiny.raw, tiny.root / "nowhere", tiny.root / "out", params, 1)
    with pytest.raises(MissingInputError, match=r"nowhere.index.csv is not there; `dvc repro` .*`dvc checkout`"):
        read_index(tiny.root / "nowhere")


def test_a_mask_of_another_size_than_its_index_is_refused(tiny):
    index = tiny.merged / "index.csv"
    index.write_text(index.read_text().replace("clip0_0.jpg,30,40", "clip0_0.jpg,31,40"))
    with pytest.raises(ValueError, match="the mask of clip0_0 is 30 x 40, expected the 31 x 40 of its index"):
        resize(tiny)


def test_pictures_lie_upright(tiny):
    straight = resize(tiny, "straight")
    upright = Image.open(io.BytesIO(tiny.contents()["set/clip0_0.jpg"]))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    buffer = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(buffer, "JPEG", quality=95, exif=exif)
    tiny.replace_picture("clip0_0", buffer.getvalue())
    turned = resize(tiny, "turned")
    row = read_index(turned)[0]
    with ResizedReader(straight) as before, ResizedReader(turned) as after:
        difference = before.read(row)[0].astype(int) - after.read(row)[0]
    assert np.abs(difference).mean() < 4
