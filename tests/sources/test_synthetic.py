"""The embedded dataset: what its pictures and labels hold, and that they are the same bytes wherever they are drawn."""

import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image, ImageOps

from faceseg.params import Synthetic
from faceseg.sources.synthetic import generate
from faceseg.sources.synthetic.camera import photograph
from faceseg.sources.synthetic.canvas import work_size
from faceseg.sources.synthetic.clips import clip_id
from faceseg.sources.synthetic.draws import FRAME, TRAIN, VAL, Draws
from faceseg.sources.synthetic.person import draw_person
from faceseg.sources.synthetic.scene import draw_frame, draw_scene

SEED = 1
SMALL = Synthetic(train_clips=2, val_clips=1, frames=2, seed=SEED)
# The difficulty of the embedded dataset is a contract: scores of different days are compared on it. Whoever changes
# this hash also scores the old model on both versions, and writes the two scores into the changelog.
FROZEN_SHA256 = "d22505a56209f64cb270c9713a687f5b0834e8ad7a78b18e336d8d579a59b61e"  # pragma: allowlist secret

LEFT_BROW, RIGHT_BROW, LEFT_EYE, RIGHT_EYE, NOSE, LOWER_LIP, INNER_MOUTH, UPPER_LIP = 2, 3, 4, 5, 6, 7, 8, 9
LEFT_EAR, RIGHT_EAR, GLASSES = 13, 14, 16


@dataclass(frozen=True)
class Picture:
    """One generated picture in display orientation. image: uint8 (H, W, 3). label: uint8 (H, W)."""

    name: str
    stored: Image.Image
    image: np.ndarray
    label: np.ndarray


def digest(members: Iterable[tuple[str, bytes]]) -> str:
    total = hashlib.sha256()
    for name, content in members:
        total.update(f"{name} {len(content)} ".encode() + content)
    return total.hexdigest()


@pytest.fixture(scope="module")
def members() -> list[tuple[str, bytes]]:
    """Twelve train clips and six val clips, one frame each."""
    return list(generate(Synthetic(train_clips=12, val_clips=6, frames=1, seed=SEED), workers=1))


@pytest.fixture(scope="module")
def pictures(members: list[tuple[str, bytes]]) -> list[Picture]:
    found = []
    for (name, jpeg), (_, png) in zip(members[::2], members[1::2], strict=True):
        stored = Image.open(io.BytesIO(jpeg), formats=["JPEG"])
        label = Image.open(io.BytesIO(png), formats=["PNG"])
        assert label.mode == "L"
        found.append(Picture(name, stored, np.asarray(ImageOps.exif_transpose(stored)), np.asarray(label)))
    return found


def centre_x(label: np.ndarray, class_id: int) -> float:
    return float(np.nonzero(label == class_id)[1].mean())


def test_members_come_by_split_clip_and_frame_with_the_image_before_its_label() -> None:
    names = [name for name, _ in generate(SMALL, workers=1)]
    expected = []
    for split, clip in (("train", "0001"), ("train", "0002"), ("val", "5001")):
        for frame in ("01", "02"):
            expected.append(f"All_data/{split}/image/{clip}_{frame}.jpg")
            expected.append(f"All_data/{split}/seg/{clip}_{frame}.png")
    assert names == expected


def test_every_source_class_appears_and_nothing_else(pictures: list[Picture]) -> None:
    seen = np.zeros(256, dtype=np.int64)
    for picture in pictures:
        seen += np.bincount(picture.label.reshape(-1), minlength=256)
    assert set(np.nonzero(seen)[0].tolist()) == set(range(18))


def test_labels_have_the_display_size_of_their_image(pictures: list[Picture]) -> None:
    for picture in pictures:
        assert picture.image.shape == (*picture.label.shape, 3), picture.name


def test_sizes_are_those_of_photographs_in_both_orientations(pictures: list[Picture]) -> None:
    shapes = [picture.label.shape for picture in pictures]
    assert all(600 <= max(shape) <= 1600 and min(shape) >= 350 for shape in shapes)
    assert any(height > width for height, width in shapes)
    assert any(width > height for height, width in shapes)
    scenes = [draw_scene(SEED, TRAIN, clip) for clip in range(300)]
    long_sides = [max(scene.width, scene.height) for scene in scenes]
    assert min(long_sides) < 650
    assert max(long_sides) > 1400


def test_one_clip_in_twelve_is_stored_turned_and_says_so_in_its_exif_tag(pictures: list[Picture]) -> None:
    tags = [picture.stored.getexif().get(0x0112, 1) for picture in pictures]
    # One in each block of twelve clips of a split; the six val clips are half a block.
    assert sum(tag != 1 for tag in tags[:12]) == 1
    assert all(tag in (1, 3, 6, 8) for tag in tags)
    for picture, tag in zip(pictures, tags, strict=True):
        width, height = picture.stored.size
        assert picture.label.shape == ((width, height) if tag in (6, 8) else (height, width)), picture.name
    assert sum(draw_scene(SEED, TRAIN, clip).exif is not None for clip in range(240)) == 20


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_the_exif_tag_turns_the_stored_picture_upright(orientation: int) -> None:
    upright = Image.new("RGB", work_size(600, 800), (20, 40, 160))
    upright.paste((220, 60, 40), (0, 0, upright.width // 3, upright.height // 4))
    plain = replace(draw_scene(SEED, TRAIN, 0), width=600, height=800, exif=None, noise=0.0, quality=95)
    turned = replace(plain, exif=orientation)
    expected, got = (
        np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(jpeg))), dtype=np.int64)
        for jpeg in (photograph(upright, scene, 1.0, Draws(SEED, FRAME, 0)) for scene in (plain, turned))
    )
    assert got.shape == expected.shape
    assert np.abs(got - expected).mean() < 2


def test_one_clip_in_six_wears_glasses(pictures: list[Picture]) -> None:
    assert sum(draw_person(SEED, VAL, clip).glasses is not None for clip in range(120)) == 20
    for number, picture in enumerate(pictures):
        split, clip = (TRAIN, number) if number < 12 else (VAL, number - 12)
        assert (picture.label == GLASSES).any() == (draw_person(SEED, split, clip).glasses is not None), picture.name


def test_eyes_are_as_small_as_in_photographs(pictures: list[Picture]) -> None:
    shares = []
    for number, picture in enumerate(pictures):
        split, clip = (TRAIN, number) if number < 12 else (VAL, number - 12)
        lids = draw_frame(SEED, split, clip, 0, draw_scene(SEED, split, clip)).lids
        for eye in (LEFT_EYE, RIGHT_EYE):
            share = float((picture.label == eye).mean())
            if lids == 0:
                assert share == 0, f"{picture.name}: a closed eye is labelled"
            elif draw_person(SEED, split, clip).glasses is None:
                shares.append(share)
    assert min(shares) > 0.0004
    assert max(shares) < 0.0055
    assert 0.0008 <= float(np.median(shares)) <= 0.004


def test_people_fill_a_good_part_of_the_picture(pictures: list[Picture]) -> None:
    shares = [float((picture.label != 0).mean()) for picture in pictures]
    assert min(shares) > 0.12
    assert 0.2 < float(np.median(shares)) < 0.55


def test_the_persons_left_is_at_the_viewers_right(pictures: list[Picture]) -> None:
    checked = 0
    for picture in pictures:
        present = set(np.unique(picture.label).tolist())
        for left, right in ((LEFT_BROW, RIGHT_BROW), (LEFT_EYE, RIGHT_EYE), (LEFT_EAR, RIGHT_EAR), (11, 12)):
            if {left, right} <= present:
                assert centre_x(picture.label, left) > centre_x(picture.label, right), f"{picture.name}: {left}"
                checked += 1
    assert checked > 3 * len(pictures) // 2


def test_features_lie_where_faces_have_them(pictures: list[Picture]) -> None:
    """From top to bottom: brows, nose, upper lip, lower lip (heads are never tilted far)."""
    for picture in pictures:
        rows = [float(np.nonzero(picture.label == part)[0].mean()) for part in (LEFT_BROW, NOSE, UPPER_LIP, LOWER_LIP)]
        assert rows == sorted(rows), picture.name


def test_lips_are_redder_and_brows_darker_than_the_skin_around_them(pictures: list[Picture]) -> None:
    redder, darker = 0, 0
    for picture in pictures:
        values = picture.image.astype(np.float64)
        redness = values[:, :, 0] / (values.sum(axis=2) + 1)
        face = picture.label == 1
        lips = (picture.label == LOWER_LIP) | (picture.label == UPPER_LIP)
        brows = (picture.label == LEFT_BROW) | (picture.label == RIGHT_BROW)
        redder += np.median(redness[lips]) > np.median(redness[face])
        darker += np.median(values[brows]) < np.median(values[face])
    assert redder >= 0.85 * len(pictures)
    assert darker >= 0.85 * len(pictures)


def test_label_edges_lie_on_picture_edges(pictures: list[Picture]) -> None:
    """The picture's gradient along the edges of small parts is largest where the labels are, not six pixels away."""
    strength: dict[tuple[int, int], float] = {}
    for picture in pictures:
        luma = np.asarray(Image.fromarray(picture.image).convert("L"), dtype=np.float64)
        down, across = np.gradient(luma)
        gradient = np.hypot(down, across)
        small = np.isin(picture.label, (LEFT_BROW, RIGHT_BROW, LEFT_EYE, RIGHT_EYE, LOWER_LIP, UPPER_LIP))
        edge = np.zeros_like(small)
        edge[1:] |= small[1:] != small[:-1]
        edge[:, 1:] |= small[:, 1:] != small[:, :-1]
        for shift in ((0, 0), (6, 0), (-6, 0), (0, 6), (0, -6)):
            moved = np.roll(edge, shift, axis=(0, 1))
            strength[shift] = strength.get(shift, 0.0) + float(gradient[moved].mean())
    in_place = strength.pop((0, 0))
    assert in_place > 1.15 * max(strength.values())


def test_two_workers_give_the_bytes_of_one() -> None:
    assert digest(generate(SMALL, workers=2)) == digest(generate(SMALL, workers=1))


def test_a_larger_set_holds_the_smaller_one() -> None:
    larger = dict(generate(Synthetic(train_clips=3, val_clips=2, frames=3, seed=SEED), workers=1))
    smaller = dict(generate(SMALL, workers=1))
    assert smaller.items() <= larger.items()


def test_another_seed_gives_other_people() -> None:
    one = Synthetic(train_clips=1, val_clips=1, frames=1, seed=SEED)
    assert digest(generate(one, 1)) != digest(generate(one.model_copy(update={"seed": SEED + 1}), 1))
    assert draw_person(SEED, TRAIN, 0) != draw_person(SEED, VAL, 0)


def test_frames_of_a_clip_show_the_same_person_in_other_poses() -> None:
    scene = draw_scene(SEED, TRAIN, 0)
    views = [draw_frame(SEED, TRAIN, 0, frame, scene).view for frame in range(6)]
    assert len({view.yaw for view in views}) == 6
    assert max(view.yaw for view in views) - min(view.yaw for view in views) < 25


def test_train_and_val_never_share_a_clip_id() -> None:
    train = [clip_id(TRAIN, clip) for clip in range(12_000)]
    val = [clip_id(VAL, clip) for clip in range(12_000)]
    assert len({*train, *val}) == 24_000
    assert (train[0], train[4999], train[5000], val[0]) == ("0001", "5000", "10001", "5001")


def digest_in_a_process(environment: dict[str, str]) -> str:
    code = (
        "import hashlib\n"
        "from faceseg.params import Synthetic\n"
        "from faceseg.sources.synthetic import generate\n"
        "total = hashlib.sha256()\n"
        f"for name, content in generate(Synthetic(train_clips=2, val_clips=1, frames=2, seed={SEED}), 1):\n"
        "    total.update(f'{name} {len(content)} '.encode() + content)\n"
        "print(total.hexdigest())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_processors_features_do_not_matter() -> None:
    extensions = np.show_config(mode="dicts")["SIMD Extensions"]
    optional = extensions.get("found", [])
    if not optional:
        pytest.skip("this processor has none of NumPy's optional features, so there is nothing to turn down")
    plain = digest_in_a_process({"NPY_DISABLE_CPU_FEATURES": " ".join(optional), "JSIMD_FORCENONE": "1"})
    assert plain == digest(generate(SMALL, workers=1))


def test_the_frozen_dataset_is_unchanged(members: list[tuple[str, bytes]]) -> None:
    assert digest(members) == FROZEN_SHA256
