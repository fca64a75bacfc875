"""Flip, affine, background and colour changes in the compiled graph; each picture's is a function of its own key alone.

What a picture becomes does not depend on its batch, on its place there, on the number of devices, or on threads: the
draws come from a counter-based generator, all arithmetic on pixels is pointwise, and the sines of a picture are taken
one picture at a time (vectorised ones may differ in the last bit with the place in the batch). Every op has a
deterministic GPU kernel; a GPU and a CPU may differ from each other in the last bit.
"""

import math
from collections.abc import Sequence

import tensorflow as tf

from faceseg.params import Augment

IGNORED = 255  # not scored
MIDDLE_GREY = 127.5
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
# Each draw has its own place in a picture's stream, so that one changed strength leaves the other draws as they were.
FLIP, ROTATE, SCALE, SHIFT_X, SHIFT_Y, BRIGHTNESS, CONTRAST, SATURATION, DRAWS = range(9)
BACKGROUND = "background"  # the class that ``background`` repaints
BACKGROUND_STREAM = (0, 1)  # its draws come from a stream of their own
PATCHES = 4  # colours along a side of the picture, blended into each other


def augment(
    images: tf.Tensor,
    masks: tf.Tensor,
    keys: tf.Tensor,
    params: Augment,
    mirror: Sequence[tuple[int, int]],
    classes: Sequence[str],
) -> tuple[tf.Tensor, tf.Tensor]:
    """Change pictures and masks together; a strength of 0 leaves its step out, and all at 0 return what came.

    Args:
        images: (B, S, S, 3) float32, 0..255.
        masks: (B, S, S) int32, 0..classes - 1, or 255 for pixels that are not scored.
        keys: (B, 2) int32, the key of each picture in this epoch.
        params: the strengths.
        mirror: pairs of classes that change places when a picture is flipped.
        classes: their names, by id.

    Returns:
        Images and masks of the same shapes, types and ranges. An affine change samples images bilinearly, reflected at
        the border (a constant would be an edge that no photograph has), and masks by nearest neighbour with 255
        outside, so no label is invented.

    Raises:
        ValueError: a mirror pair names a class that does not exist, or there is no background to repaint.
    """
    _check_mirror(mirror, len(classes))
    if params.background > 0:
        images = _repaint(images, masks == background_of(classes), keys, params.background)
    draws, transforms = tf.map_fn(
        lambda key: _draw(key, params, images.shape[1]),
        keys,
        fn_output_signature=(tf.TensorSpec((DRAWS,), tf.float32), tf.TensorSpec((8,), tf.float32)),
    )
    if params.flip > 0 or params.rotate > 0 or params.scale > 0 or params.shift > 0:
        masks = _swap_partners(masks, draws[:, FLIP] < params.flip, mirror)
        images, masks = _resample(images, masks, transforms)
    if params.brightness > 0 or params.contrast > 0 or params.saturation > 0:
        images = _colour(images, 2.0 * draws - 1.0, params)
    return images, masks


def background_of(classes: Sequence[str]) -> int:
    """The id of the background.

    Raises:
        ValueError: no class has that name.
    """
    if BACKGROUND not in classes:
        raise ValueError(
            f"train.augment.background repaints the class {BACKGROUND!r}, and the merge has {', '.join(classes)}; "
            "set it to 0"
        )
    return list(classes).index(BACKGROUND)


def _check_mirror(mirror: Sequence[tuple[int, int]], classes: int) -> None:
    for pair in mirror:
        if not all(0 <= label < classes for label in pair):
            raise ValueError(
                f"the mirror pair {tuple(pair)} names a class outside 0..{classes - 1}; "
                "mend the merge in the dataset's description"
            )


def _draw(key: tf.Tensor, params: Augment, side: int) -> tuple[tf.Tensor, tf.Tensor]:
    """One picture's draws in [0, 1), (DRAWS,), and the matrix from output to input pixels, (8,), both float32.

    The picture is flipped, then enlarged by ``scale`` and turned by ``angle`` about its centre, then shifted; the
    matrix is the inverse of that, in the form that ImageProjectiveTransformV3 takes.
    """
    # Philox by name: the automatic choice differs between devices.
    draws = tf.random.stateless_uniform((DRAWS,), key, alg="philox")
    signed = 2.0 * draws - 1.0
    angle = signed[ROTATE] * math.radians(params.rotate)
    scale = 1.0 + signed[SCALE] * params.scale
    along, across = tf.cos(angle) / scale, tf.sin(angle) / scale
    centre = (side - 1) / 2.0
    x = centre + signed[SHIFT_X] * params.shift * side
    y = centre + signed[SHIFT_Y] * params.shift * side
    sign = tf.where(draws[FLIP] < params.flip, -1.0, 1.0)
    to_x = [sign * along, sign * across, centre - sign * (along * x + across * y)]
    to_y = [-across, along, centre + across * x - along * y]
    return draws, tf.stack([*to_x, *to_y, 0.0, 0.0])


def _swap_partners(masks: tf.Tensor, flipped: tf.Tensor, mirror: Sequence[tuple[int, int]]) -> tf.Tensor:
    """Swap mirror classes in the masks for which ``flipped`` (B,) bool is true."""
    if not mirror:
        return masks
    partner = list(range(IGNORED + 1))
    for one, other in mirror:
        partner[one], partner[other] = other, one
    return tf.where(flipped[:, None, None], tf.gather(tf.constant(partner, masks.dtype), masks), masks)


def _resample(images: tf.Tensor, masks: tf.Tensor, transforms: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """All geometry as one resampling: pictures are blurred once at most, and a flip alone is exact."""
    shape = tf.shape(images)[1:3]
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=shape,
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
    labels = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(masks, tf.uint8)[..., None],
        transforms=transforms,
        output_shape=shape,
        fill_value=float(IGNORED),
        interpolation="NEAREST",
        fill_mode="CONSTANT",
    )
    moved = tf.ensure_shape(moved, images.shape)
    return moved, tf.ensure_shape(tf.cast(labels[..., 0], masks.dtype), masks.shape)


def _repaint(images: tf.Tensor, where: tf.Tensor, keys: tf.Tensor, strength: float) -> tf.Tensor:
    """Move the pixels of ``where`` (B, S, S) bool towards random colours: a plain wall, soft patches, or between.

    They go a part of the way, 0 to ``strength``, drawn for each picture, so that what is seen there stays to the rest.
    The colours are one of the whole picture and patches about it, blended into each other, more or less different.
    """
    side, patches = images.shape[1], PATCHES * PATCHES * 3
    draws = tf.map_fn(
        lambda key: tf.random.stateless_uniform((5 + patches,), key, alg="philox"),
        tf.bitwise.bitwise_xor(keys, tf.constant(BACKGROUND_STREAM, keys.dtype)),
        fn_output_signature=tf.float32,
    )
    draws = draws[:, None, None, :]
    part, spread, wall = strength * draws[..., :1], draws[..., 1:2], draws[..., 2:5]
    about = 2.0 * tf.reshape(draws[..., 5:], (-1, PATCHES, PATCHES, 3)) - 1.0
    colours = wall + spread * tf.image.resize(about, (side, side), method="bilinear")
    return images + tf.where(where[..., None], part, 0.0) * (255.0 * tf.clip_by_value(colours, 0.0, 1.0) - images)


def _colour(images: tf.Tensor, signed: tf.Tensor, params: Augment) -> tf.Tensor:
    """Saturation about each pixel's luma, contrast about middle grey, brightness; then cut to 0..255.

    Contrast turns about a constant and not about the picture's mean: a mean is a float sum, whose order, and so its
    last bit, depends on the batch. All three together are one weighted sum of the pixel and its luma.
    """
    signed = signed[:, None, None, :]
    brightness = 255.0 * params.brightness * signed[..., BRIGHTNESS, None]
    contrast = 1.0 + params.contrast * signed[..., CONTRAST, None]
    saturation = 1.0 + params.saturation * signed[..., SATURATION, None]
    result = contrast * saturation * images + (MIDDLE_GREY * (1.0 - contrast) + brightness)
    if params.saturation > 0:
        luma = LUMA[0] * images[..., 0:1] + LUMA[1] * images[..., 1:2] + LUMA[2] * images[..., 2:3]
        result += contrast * (1.0 - saturation) * luma
    return tf.clip_by_value(result, 0.0, 255.0)
