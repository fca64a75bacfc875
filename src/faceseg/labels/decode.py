"""From a mask as its dataset encodes it (ids, a colour or a picture for each class) to source ids.

A value that the description does not name is never a silent background: it is an error that names it.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from faceseg.sources.catalog import Dataset
from faceseg.sources.schema import IndexMasks, PartsMasks, RgbMasks

_SHOWN = 5  # values named in a message


class ForeignLabelError(ValueError):
    """A mask holds values that the description does not name, or is encoded in another way."""


def source_ids(mask: Image.Image, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The source class of every pixel, and how often each occurs.

    Args:
        mask: as ``images.codec.decode_mask`` gives it.
        dataset: whose description says how masks are encoded.

    Returns:
        (h, w) uint8 ids of the description's classes (and of its ignored ids), and (256,) int64 pixels by id.

    Raises:
        ForeignLabelError: ids that are neither a class nor ignored; colours too far from every class's colour over
            more than the tolerated share of the picture; or a picture of another kind than the description says.
    """
    encoding = dataset.masks
    if isinstance(encoding, RgbMasks):
        ids = _nearest_class(mask, dataset, encoding)
        return ids, pixels_by_id(ids)
    assert isinstance(encoding, IndexMasks), "parts are painted, by painted_ids"
    ids = _indices(mask)
    pixels = pixels_by_id(ids)
    known = {*(source.id for source in dataset.classes), *encoding.ignored}
    foreign = [int(id_) for id_ in np.flatnonzero(pixels) if id_ not in known]
    if foreign:
        named = _listed([f"{id_} ({pixels[id_]} pixels)" for id_ in foreign[:_SHOWN]], len(foreign))
        raise ForeignLabelError(
            f"the mask holds the ids {named}, which are no class of {dataset.name}; "
            f"expected ids of 0 to {max(known)} that its description names"
        )
    return ids, pixels


def painted_ids(parts: Sequence[tuple[str, Image.Image]], dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The source class of every pixel of masks that come as one picture a class.

    Args:
        parts: class and its picture, all of one size, in the order of the description's ``masks.paint``; a pixel is of
            the class unless it is black.
        dataset: whose description says that masks are parts.

    Returns:
        as ``source_ids``; each mask pixel is repeated ``masks.scale`` times along either side, so that the ids have
        the size of the image.

    Raises:
        ForeignLabelError: a picture of more than 8 bits a channel.
    """
    encoding = dataset.masks
    assert isinstance(encoding, PartsMasks), "only parts are painted"
    of_name = {source.name: source.id for source in dataset.classes}
    width, height = parts[0][1].size
    ids = np.full((height, width), of_name[encoding.rest], np.uint8)
    for name, picture in parts:
        if picture.mode not in ("L", "P", "RGB", "RGBA", "LA"):
            raise ForeignLabelError(f"the part {name} is a picture of mode {picture.mode}; expected black and white")
        ids[np.asarray(picture.convert("RGB")).any(axis=-1)] = of_name[name]
    if encoding.scale > 1:
        ids = ids.repeat(encoding.scale, axis=0).repeat(encoding.scale, axis=1)
    return ids, pixels_by_id(ids)


def pixels_by_id(ids: np.ndarray) -> np.ndarray:
    """How often each of the ids 0..255 occurs in (h, w) uint8: (256,) int64."""
    # Pillow counts bytes in a third of the time of np.bincount, which widens them to 64 bits first.
    return np.array(Image.fromarray(ids).histogram(), np.int64)


def _indices(mask: Image.Image) -> np.ndarray:
    if mask.mode in ("P", "L"):
        return np.asarray(mask)
    if mask.mode in ("RGB", "RGBA", "LA"):
        levels = np.asarray(mask)
        colour = levels[..., :3] if mask.mode != "LA" else levels[..., :1]
        if (colour == colour[..., :1]).all():  # ids saved as grey in three channels
            return np.ascontiguousarray(colour[..., 0])
    raise ForeignLabelError(
        f"the mask is a picture of mode {mask.mode}, expected one channel of class ids (modes P or L); "
        "if its colours are classes, the description's masks.kind is rgb"
    )


def _nearest_class(mask: Image.Image, dataset: Dataset, encoding: RgbMasks) -> np.ndarray:
    """Exact colours first, by one comparison of whole pixels a class; only the rest, which are edges, are measured."""
    rgba = np.asarray(mask.convert("RGB").convert("RGBA"))
    packed = rgba.view("<u4")[..., 0]
    ids = np.zeros(packed.shape, np.uint8)
    exact = np.zeros(packed.shape, bool)
    for source in dataset.classes:
        red, green, blue = source.colour
        same = packed == np.uint32(red | green << 8 | blue << 16 | 255 << 24)
        ids[same] = source.id
        exact |= same
    rest = ~exact
    # int32 holds 3 * 255 ** 2 with room to spare; of equally near colours the first class wins.
    pixels = rgba[rest][:, :3]
    red_levels, green_levels, blue_levels = pixels.T.astype(np.int32)
    nearest = np.zeros(len(pixels), np.uint8)
    smallest = np.full(len(pixels), np.iinfo(np.int32).max, np.int32)
    for source in dataset.classes:
        red, green, blue = source.colour
        distance = (red_levels - red) ** 2 + (green_levels - green) ** 2 + (blue_levels - blue) ** 2
        nearer = distance < smallest
        nearest[nearer] = source.id
        smallest[nearer] = distance[nearer]
    strays = smallest > encoding.tolerance * encoding.tolerance
    if np.count_nonzero(strays) > encoding.max_strays * ids.size:
        raise ForeignLabelError(_about_strays(pixels[strays], ids.size, dataset.name, encoding))
    ids[rest] = nearest
    return ids


def _about_strays(strays: np.ndarray, size: int, name: str, encoding: RgbMasks) -> str:
    colours, counts = np.unique(strays, axis=0, return_counts=True)
    commonest = np.argsort(-counts, kind="stable")
    named = _listed([f"{tuple(colours[n].tolist())} ({counts[n]} pixels)" for n in commonest[:_SHOWN]], len(counts))
    return (
        f"{len(strays)} of {size} pixels of the mask are more than {encoding.tolerance} levels from the colour of "
        f"every class of {name}: {named}; expected at most {encoding.max_strays:g} of the pixels, on "
        "blurred edges"
    )


def _listed(shown: Sequence[str], count: int) -> str:
    rest = f" and {count - len(shown)} more" if count > len(shown) else ""
    return ", ".join(shown) + rest
