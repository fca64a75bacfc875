"""Which classes somebody's own masks hold: the ids or the colours that occur, for a table that nobody wrote."""

from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
from PIL import Image

from faceseg.params import FolderParams

MOST_COLOURS = 64  # more are blurred edges or photographs, not classes
_TOLERANCE = 0  # every colour that occurs is a class of its own, so nothing strays
_MAX_STRAYS = 0.0


def survey(masks: Iterable[tuple[str, Image.Image]]) -> FolderParams:
    """The table of a folder of masks: ``class_<id>`` for every id that occurs, or ``class_<n>`` for every colour.

    Args:
        masks: name and picture as ``images.codec.decode_mask`` gives it, one after the other. Grey in three channels
            is ids. Black and white alone are two classes, ``background`` and ``foreground``; beside other ids 255 is
            "not scored", and no class.

    Raises:
        ValueError: no mask; ids in some and colours in others; more colours than ``MOST_COLOURS``.
    """
    ids: set[int] = set()
    colours: set[tuple[int, int, int]] = set()
    indexed, coloured = "", ""
    for name, mask in masks:
        levels = np.asarray(mask if mask.mode in ("P", "L") else mask.convert("RGB"))
        if levels.ndim == 3 and (levels == levels[..., :1]).all():
            levels = levels[..., 0]
        if levels.ndim == 2:
            indexed = indexed or name
            ids |= {int(id_) for id_ in np.unique(levels)}
        else:
            coloured = coloured or name
            colours |= {
                tuple(colour) for colour in np.unique(levels.reshape(-1, 3), axis=0)[: MOST_COLOURS + 1].tolist()
            }
        if len(colours) > MOST_COLOURS:
            raise ValueError(
                f"{name} and the masks before it hold more than {MOST_COLOURS} colours; expected one for each class. "
                "Name the classes and their colours in dataset.folder of params.yaml, with a tolerance"
            )
    if indexed and coloured:
        raise ValueError(f"{indexed} holds class ids and {coloured} holds colours; expected masks of one kind")
    if not indexed and not coloured:
        raise ValueError("there is no mask to find classes in; expected .png, .bmp or .ppm files")
    if indexed and ids == {0, 255}:
        return _table("rgb", {"background": (0, 0, 0), "foreground": (255, 255, 255)})
    if indexed:
        return _table("index", {f"class_{id_}": id_ for id_ in sorted(ids - {255})})
    return _table("rgb", {f"class_{n}": colour for n, colour in enumerate(sorted(colours))})


def _table(masks: Literal["index", "rgb"], classes: Mapping[str, int | tuple[int, int, int]]) -> FolderParams:
    return FolderParams(masks=masks, tolerance=_TOLERANCE, max_strays=_MAX_STRAYS, classes=dict(classes))
