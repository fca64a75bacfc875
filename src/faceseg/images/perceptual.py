"""A perceptual hash: what looks alike has hashes that differ in few bits, however it was scaled or encoded.

dHash (N. Krawetz, "Kind of Like That", hackerfactor.com, 2013): the picture in grey at 9 x 8 pixels; a bit says whether
a pixel is brighter than its neighbour on the right. Small integers all the way, so the same bits on every machine.
"""

import numpy as np
from PIL import Image

BITS = 64
_SIDE = 8


def difference_hash(image: np.ndarray) -> int:
    """The dHash of a picture.

    Args:
        image: (h, w, 3) uint8 RGB, upright.

    Returns:
        64 bits, the first pixel's in the highest; 0 for a picture of one colour.
    """
    small = Image.fromarray(image).convert("L").resize((_SIDE + 1, _SIDE), Image.Resampling.BOX)
    levels = np.asarray(small)
    return int.from_bytes(np.packbits(levels[:, :-1] > levels[:, 1:]).tobytes(), "big")
