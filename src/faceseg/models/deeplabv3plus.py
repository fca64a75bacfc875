"""DeepLabV3+ (Chen et al., Encoder-Decoder with Atrous Separable Convolution, ECCV 2018) on strides 16 and 4.

The paper dilates the encoder's last stage so that it ends at stride 16. Here the encoder ends with its features at
stride 16, and what would be its last stage is left out: the weights stay those of segmentation-models' encoder.
"""

from typing import Any

import keras

from faceseg.models.blocks import Enlarge, convolve, describe_picture, logits, normalise_and_rectify

STRIDES = (4, 16)
SMALLEST = 64
# The paper's rates are made for pictures of 513 pixels, so for 33 cells at stride 16; they shrink with the map, since a
# rate of 18 on 16 cells would reach beyond it on every side.
RATES = (6, 12, 18)
CELLS_OF_RATES = 33
# The paper has 256 in both, for 2,048 channels and 21 classes.
CONTEXT_WIDTH = 128
DECODER_WIDTH = 64


def head(levels: dict[int, Any], classes: int, size: int) -> Any:
    """Float32 logits (B, size, size, classes) from features (B, size / 4, ...) and (B, size / 16, ...).

    A convolution over a concatenation is a sum of convolutions, and a 1x1 convolution commutes with enlargement: so
    the pooled picture and the context go through their share of the joining convolutions before they are enlarged.
    """
    context = _context(levels[16], size // 16)
    side = size // 4
    coarse = Enlarge(side, side, name="enlarge_context")(convolve(context, DECODER_WIDTH, 1, "decode_context"))
    fine = convolve(levels[4], DECODER_WIDTH, 1, "decode_fine")
    decoded = normalise_and_rectify(keras.layers.Add(name="decode")([coarse, fine]), "decode")
    decoded = normalise_and_rectify(convolve(decoded, DECODER_WIDTH, 3, "refine"), "refine")
    return logits(decoded, classes, size, kernel=1)


def rates(side: int) -> tuple[int, ...]:
    """The dilation rates for a map of ``side`` x ``side`` cells."""
    return tuple(max(1, round(rate * side / CELLS_OF_RATES)) for rate in RATES)


def _context(features: Any, side: int) -> Any:
    """Atrous spatial pyramid pooling: (B, side, side, C) to (B, side, side, CONTEXT_WIDTH)."""
    branches = [normalise_and_rectify(convolve(features, CONTEXT_WIDTH, 1, "aspp_point"), "aspp_point")]
    for index, rate in enumerate(rates(side)):
        branch = convolve(features, CONTEXT_WIDTH, 3, f"aspp_atrous{index}", dilation=rate)
        branches.append(normalise_and_rectify(branch, f"aspp_atrous{index}"))
    picture = describe_picture(features, CONTEXT_WIDTH, "aspp_picture")
    parts = [convolve(keras.layers.Concatenate(name="aspp")(branches), CONTEXT_WIDTH, 1, "join_branches")]
    parts.append(Enlarge(side, side, name="enlarge_picture")(convolve(picture, CONTEXT_WIDTH, 1, "join_picture")))
    return normalise_and_rectify(keras.layers.Add(name="join")(parts), "join")
