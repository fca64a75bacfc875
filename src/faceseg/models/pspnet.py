"""PSPNet (Zhao et al., Pyramid Scene Parsing Network, CVPR 2017) on an encoder's features at stride 8.

Like segmentation-models' PSPNet it ends the encoder at stride 8 and joins the pyramid by a 1x1 convolution, and unlike
it takes any side that 8 divides, 256 for one.
"""

from typing import Any

import keras

from faceseg.models.blocks import BinAverage, Enlarge, convolve, describe_picture, logits, normalise_and_rectify

STRIDES = (8,)
# Six bins need six cells: below 48 pixels a bin of the finest level would be no more than one cell.
SMALLEST = 48
BINS = (2, 3, 6)  # and the whole picture, as one bin
# The paper's 512 are made for 2,048 channels at 150 classes.
WIDTH = 256


def head(levels: dict[int, Any], classes: int, size: int) -> Any:
    """Float32 logits (B, size, size, classes) from features (B, size / 8, size / 8, C).

    A convolution over a concatenation is a sum of convolutions, and a 1x1 convolution commutes with enlargement: so
    each pooled branch goes through its share of the joining convolution at its own, tiny size.
    """
    features = levels[8]
    side = size // 8
    picture = convolve(describe_picture(features, WIDTH, "reduce1"), WIDTH, 1, "join1")
    parts = [convolve(features, WIDTH, 1, "join_features"), Enlarge(side, side, name="enlarge1")(picture)]
    for bins in BINS:
        pooled = BinAverage(bins, bins, name=f"bins{bins}")(features)
        pooled = normalise_and_rectify(convolve(pooled, WIDTH, 1, f"reduce{bins}"), f"reduce{bins}")
        pooled = convolve(pooled, WIDTH, 1, f"join{bins}")
        parts.append(Enlarge(side, side, name=f"enlarge{bins}")(pooled))
    joined = normalise_and_rectify(keras.layers.Add(name="join")(parts), "join")
    return logits(joined, classes, size, kernel=3)
