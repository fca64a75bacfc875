"""codec: upright pixels out of good files, one kind of error out of bad ones, masks unchanged through a round trip."""

import io
import struct
import warnings
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from faceseg.images import codec
from faceseg.images.codec import (
    BrokenImageError,
    OversizedImageError,
    check_image,
    decode_image,
    decode_mask,
    encode_mask,
)

PALETTE = bytes(range(256)) * 3


def encoded(picture: Image.Image, format: str, **settings: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **settings)
    return buffer.getvalue()


def oriented(picture: Image.Image, format: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if format == "WEBP" else {}
    return encoded(picture, format, exif=exif.tobytes(), **lossless)


def portrait(height: int = 240, width: int = 160) -> Image.Image:
    rng = np.random.default_rng(5)
    coarse = Image.fromarray(rng.integers(0, 256, (height // 20, width // 20, 3), np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


# Rows 1 2 3 / 4 5 6 as they lie in the file; what a viewer shows by the EXIF table "Orientation".
STORED = [[1, 2, 3], [4, 5, 6]]
UPRIGHT = {
    1: [[1, 2, 3], [4, 5, 6]],
    2: [[3, 2, 1], [6, 5, 4]],
    3: [[6, 5, 4], [3, 2, 1]],
    4: [[4, 5, 6], [1, 2, 3]],
    5: [[1, 4], [2, 5], [3, 6]],
    6: [[4, 1], [5, 2], [6, 3]],
    7: [[6, 3], [5, 2], [4, 1]],
    8: [[3, 6], [2, 5], [1, 4]],
}


@pytest.mark.parametrize("orientation", sorted(UPRIGHT))
@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_pictures_are_handed_out_upright(orientation: int, format: str) -> None:
    stored = np.repeat(np.array(STORED, np.uint8)[..., None] * 40, 3, axis=2)
    data = oriented(Image.fromarray(stored), format, orientation)
    expected = np.array(UPRIGHT[orientation]) * 40
    np.testing.assert_array_equal(decode_image(data)[..., 0], expected)
    assert check_image(data) == expected.shape[::-1]


@pytest.mark.parametrize("orientation", sorted(UPRIGHT))
def test_masks_follow_their_own_tag(orientation: int) -> None:
    data = oriented(Image.fromarray(np.array(STORED, np.uint8)), "PNG", orientation)
    np.testing.assert_array_equal(np.asarray(decode_mask(data)), UPRIGHT[orientation])


def test_an_unknown_orientation_is_upright() -> None:
    assert check_image(oriented(portrait(40, 60), "JPEG", 9)) == (60, 40)


@pytest.mark.parametrize(("at_least", "size"), [(None, (160, 240)), (160, (160, 240)), (80, (80, 120)), (41, (80, 120)),
                                                (40, (40, 60)), (1, (20, 30))])  # fmt: skip
def test_a_jpeg_is_decoded_at_a_reduced_scale(at_least: int | None, size: tuple[int, int]) -> None:
    picture = portrait()
    decoded = decode_image(encoded(picture, "JPEG", quality=95), at_least)
    assert decoded.shape == (size[1], size[0], 3)
    box = np.asarray(picture.resize(size, Image.Resampling.BOX), int)
    assert np.abs(decoded - box).mean() < 2.5


def test_a_reduced_scale_goes_with_the_orientation() -> None:
    data = oriented(portrait(), "JPEG", 6)
    assert decode_image(data, 80).shape == (80, 120, 3)
    assert check_image(data) == (240, 160)


def test_other_formats_keep_their_size() -> None:
    assert decode_image(encoded(portrait(), "PNG"), 20).shape == (240, 160, 3)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_every_kind_of_picture_becomes_rgb(mode: str) -> None:
    format = "JPEG" if mode == "CMYK" else "PNG"
    decoded = decode_image(encoded(portrait().convert(mode), format))
    assert decoded.shape == (240, 160, 3)
    assert decoded.dtype == np.uint8


@pytest.mark.parametrize("format", ["JPEG", "PNG", "BMP", "PPM", "WEBP"])
@pytest.mark.parametrize("part", [0.03, 0.5, 0.97])
def test_a_truncated_file_is_refused_by_the_cheap_check_and_by_the_decoder(format: str, part: float) -> None:
    data = encoded(portrait(), format)
    cut = data[: int(len(data) * part)]
    for decode in (check_image, decode_image, decode_mask):
        with pytest.raises(
            BrokenImageError, match=r"truncated or damaged \w+ \(.*get the whole file|not a readable picture"
        ):
            decode(cut)


@pytest.mark.parametrize("settings", [{}, {"progressive": True}, {"optimize": True, "subsampling": 0}])
def test_the_cheap_check_sees_a_jpeg_cut_anywhere(settings: dict[str, object]) -> None:
    data = encoded(portrait(), "JPEG", **settings)
    assert check_image(data) == (160, 240)
    for length in range(0, len(data), 97):
        with pytest.raises(BrokenImageError):
            check_image(data[:length])


def complaint(decode: Callable[[bytes], object], data: bytes) -> str:
    """What is said about the data; nothing when it is a picture after all. Any other error is not caught."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow may remark on an EXIF block
        try:
            decode(data)
        except (BrokenImageError, OversizedImageError) as error:
            return str(error)
    return ""


@given(st.binary(max_size=64), st.sampled_from(["JPEG", "PNG", "BMP", "PPM", "WEBP"]), st.floats(0, 1))
def test_damage_is_a_broken_image_or_still_a_picture(noise: bytes, format: str, place: float) -> None:
    data = encoded(portrait(40, 60), format)
    start = int(place * (len(data) - len(noise)))
    damaged = data[:start] + noise + data[start + len(noise) :]
    for decode in (check_image, decode_image, decode_mask):
        assert "0x" not in complaint(decode, damaged), "an address in memory differs from run to run"


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(
        BrokenImageError, match=r"not a readable picture of 5 bytes; expected a whole file of JPEG, PNG"
    ):
        check_image(b"hello")


def test_formats_that_nobody_asked_for_are_not_tried() -> None:
    with pytest.raises(BrokenImageError, match="not a readable picture"):
        decode_image(encoded(portrait(), "GIF"))


def test_deep_pictures_are_refused() -> None:
    deep = encoded(Image.fromarray(np.full((4, 4), 40000, np.uint16)), "PNG")
    with pytest.raises(BrokenImageError, match=r"mode I;16; expected 8 bits a channel"):
        check_image(deep)


def test_an_oversized_picture_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(portrait(), "PNG")
    monkeypatch.setattr(codec, "MAX_PIXELS", 160 * 240)
    check_image(data)
    monkeypatch.setattr(codec, "MAX_PIXELS", 160 * 240 - 1)
    for decode in (check_image, decode_image, decode_mask):
        with pytest.raises(OversizedImageError, match="160 x 240 pixels, expected at most 38399 in all"):
            decode(data)


@pytest.mark.parametrize("side", [8193, 10_000, 20_000])
def test_a_bomb_is_oversized(side: int) -> None:
    header = b"P5 %d %d 255\n" % (side, side)
    with pytest.raises(OversizedImageError, match="expected at most 67108864"):
        check_image(header + b"\0" * 100)


@pytest.mark.parametrize(("bits", "levels"), [(1, 2), (2, 4), (4, 16), (8, 256)])
@pytest.mark.parametrize("mode", ["L", "P"])
def test_mask_levels_are_those_of_the_file(bits: int, levels: int, mode: str) -> None:
    ids = (np.arange(12 * 9).reshape(12, 9) % levels).astype(np.uint8)
    if mode == "P":
        picture = Image.fromarray(ids)
        picture.putpalette(PALETTE)
        data = encoded(picture, "PNG", bits=bits)
    else:
        data = grey_png(ids, bits)
    np.testing.assert_array_equal(np.asarray(decode_mask(data)), ids)


def grey_png(levels: np.ndarray, bits: int) -> bytes:
    """A grey PNG of few bits, which Pillow does not write: a palette PNG without its palette, called grey."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b""
    for row in levels:
        stream = "".join(f"{level:0{bits}b}" for level in row.tolist())
        stream += "0" * (-len(stream) % 8)
        rows += b"\0" + int(stream, 2).to_bytes(len(stream) // 8, "big")
    header = struct.pack(">IIBBBBB", levels.shape[1], levels.shape[0], bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@given(npst.arrays(np.uint8, npst.array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_encode_then_decode_is_identity(mask: np.ndarray) -> None:
    picture = decode_mask(encode_mask(mask, PALETTE))
    assert picture.mode == "P"
    assert bytes(picture.getpalette() or ()) == PALETTE
    np.testing.assert_array_equal(np.asarray(picture), mask)


def test_a_mask_has_two_axes_and_a_whole_palette() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 2, 3\) and type uint8, expected \(h, w\) uint8"):
        encode_mask(np.zeros((2, 2, 3), np.uint8), PALETTE)
    with pytest.raises(ValueError, match="palette of 24 bytes, expected 256 RGB triples"):
        encode_mask(np.zeros((2, 2), np.uint8), bytes(24))
