"""Bytes of picture files to pixels and back, for files that nobody vouches for.

Only the formats that datasets come in are tried, the size is bounded before a pixel is decoded, and whatever a decoder
stumbles on becomes one kind of error. Pictures are handed out upright: their EXIF orientation is applied. Decoding a
JPEG at a reduced scale changes pixels a little (about 0.2 grey levels on average), so where it is done is part of the
definition of a stage's output, not a matter of speed alone.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFile, WebPImagePlugin

# Pillow knows the plug-ins of the other formats from the start; WebP would make it import all of them.
assert WebPImagePlugin.SUPPORTED, "this Pillow was built without WebP"
FORMATS = ("JPEG", "PNG", "BMP", "PPM", "WEBP")

# 8192 x 8192. Below the number at which Pillow itself warns (89 million) and refuses (179 million), so that this bound
# speaks first and no filter of warnings, which all threads share, has to be changed.
MAX_PIXELS = 1 << 26

_ORIENTATION = 0x0112  # EXIF tag; values by EXIF 2.32, table "Orientation"
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPS_SIDES = {5, 6, 7, 8}
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
# Pillow spreads grey of few bits over 0..255; a mask wants the level that the file holds.
_GREY_STEP = {"L;2": 85, "L;4": 17}


class BrokenImageError(ValueError):
    """The bytes are no whole picture of a known format."""


class OversizedImageError(ValueError):
    """The picture has more than ``MAX_PIXELS`` pixels."""


@dataclass(frozen=True)
class Look:
    """What a file is: its format by its content, its upright size in pixels, its EXIF orientation (1: as it lies).

    ``pixels``: (h, w, 3) uint8, upright; of a JPEG in grey and as small as it can be decoded with no side under 64.
    """

    format: str
    width: int
    height: int
    orientation: int
    pixels: np.ndarray


def look_at(data: bytes) -> Look:
    """Decode a picture to its end, at the lowest cost, and say what it is.

    Raises:
        BrokenImageError, OversizedImageError: as ``check_image``.
    """
    picture = _open(data)
    width, height = picture.size
    name = picture.format or ""
    orientation = _load(picture, ("L", 64))
    _refuse_deep(picture)
    if orientation in _SWAPS_SIDES:
        width, height = height, width
    return Look(name, width, height, orientation, np.asarray(_turn(picture.convert("RGB"), orientation)))


def orientation_of(data: bytes) -> int:
    """The EXIF orientation of a picture that decodes, 1 to 8 (1: as it lies); raises as ``check_image``."""
    return _load(_open(data), None)


def check_image(data: bytes) -> tuple[int, int]:
    """Find out whether a picture can be decoded to its end, at the lowest cost.

    A JPEG is decoded at an eighth of its size in grey: every coded bit is read, and little else is done.

    Returns:
        (width, height) in pixels, upright.

    Raises:
        BrokenImageError: truncated, damaged, of an unknown format or of more than 8 bits a channel.
        OversizedImageError: of more than ``MAX_PIXELS`` pixels.
    """
    picture = _open(data)
    width, height = picture.size
    orientation = _load(picture, ("L", 1))
    _refuse_deep(picture)
    return (height, width) if orientation in _SWAPS_SIDES else (width, height)


def decode_image(data: bytes, at_least: int | None = None) -> np.ndarray:
    """The pixels of a picture, upright.

    Args:
        data: the file. An alpha channel is dropped; grey, palette and CMYK become RGB.
        at_least: in pixels. A JPEG is decoded at the smallest of the scales 1, 1/2, 1/4 and 1/8 at which neither side
            falls below it, averaged while it is decoded. Twice the final size followed by an antialiasing filter
            comes close to a full decode at a third of its time. None: at its own size, as other formats always are.

    Returns:
        (h, w, 3) uint8 RGB.

    Raises:
        BrokenImageError: truncated, damaged, of an unknown format or of more than 8 bits a channel.
        OversizedImageError: of more than ``MAX_PIXELS`` pixels.
    """
    picture = _open(data)
    orientation = _load(picture, None if at_least is None else ("RGB", at_least))
    _refuse_deep(picture)
    return np.asarray(_turn(picture.convert("RGB"), orientation))


def decode_mask(data: bytes) -> Image.Image:
    """A mask as its file holds it: palette indices and grey levels are not turned into colours.

    Returns:
        a loaded picture, upright by its own EXIF tag: mode P (indices), L (levels; also those of 1, 2 or 4 bits, from
        0 to 1, 3 or 15), or whatever else the file is (RGB, ...). ``np.asarray`` of P and L is (h, w) uint8.

    Raises:
        BrokenImageError: truncated, damaged or of an unknown format.
        OversizedImageError: of more than ``MAX_PIXELS`` pixels.
    """
    picture = _open(data)
    step = _GREY_STEP.get(_raw_mode(picture), 1)
    turned = _turn(picture, _load(picture, None))
    if turned.mode == "1":
        return Image.fromarray(np.asarray(turned).astype(np.uint8))
    if step > 1:
        return Image.fromarray(np.asarray(turned) // step)
    return turned


def encode_mask(mask: np.ndarray, palette: bytes) -> bytes:
    """An 8-bit palette PNG that any viewer shows in colours and ``decode_mask`` gives back as it was.

    Level 1 of deflate: at one megapixel it is written in 1.8 ms and read in 0.7 ms, against 5.0 and 1.5 ms at level 6
    for two thirds of the size.

    Args:
        mask: (h, w) uint8.
        palette: 256 RGB triples, by id.

    Raises:
        ValueError: for another shape or type, or a palette of another length.
    """
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise ValueError(f"got a mask of shape {mask.shape} and type {mask.dtype}, expected (h, w) uint8")
    if len(palette) != 768:
        raise ValueError(f"got a palette of {len(palette)} bytes, expected 256 RGB triples")
    picture = Image.fromarray(mask)
    picture.putpalette(palette)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _open(data: bytes) -> Image.Image:
    """The header alone, of a known format and size."""
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise OversizedImageError(f"{error}; expected at most {MAX_PIXELS} pixels") from None
    except MemoryError:  # says nothing about the file
        raise
    except Exception as error:  # decoders raise whatever they stumble on in bytes that are not what they seem
        # Without the error's own words: they hold an address in memory, and reasons are written to an output of DVC.
        raise BrokenImageError(
            f"not a readable picture of {len(data)} bytes; expected a whole file of {', '.join(FORMATS)}"
        ) from error
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise OversizedImageError(f"{width} x {height} pixels, expected at most {MAX_PIXELS} in all")
    return picture


def _load(picture: Image.Image, draft: tuple[str, int] | None) -> int:
    """Decode in place, a JPEG at the scale that ``draft`` (mode, smallest side) allows; the EXIF orientation, 1..8."""
    try:
        if draft is not None:
            mode, side = draft
            picture.draft(mode, (side, side))
        picture.load()
        # Only now: a PNG may hold its EXIF behind its pixels.
        return int(picture.getexif().get(_ORIENTATION, 1))
    except MemoryError:
        raise
    except Exception as error:  # as above: in the pixels, or in the EXIF block
        raise BrokenImageError(
            f"truncated or damaged {picture.format} ({_first_line(error)}); get the whole file from its source"
        ) from error


def _turn(picture: Image.Image, orientation: int) -> Image.Image:
    return picture.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else picture


def _refuse_deep(picture: Image.Image) -> None:
    if picture.mode in _DEEP:
        raise BrokenImageError(f"a picture of mode {picture.mode}; expected 8 bits a channel")


def _raw_mode(picture: Image.Image) -> str:
    """How the file holds its pixels, for example ``L;4``: grey of four bits."""
    tiles = picture.tile if isinstance(picture, ImageFile.ImageFile) else []
    arguments = tiles[0][3] if tiles else None
    return arguments if isinstance(arguments, str) else ""


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
