"""From the painted picture to the file: exposure, warmth, lens blur, sensor noise, size, JPEG, EXIF rotation."""

import io

import numpy as np
from PIL import Image, ImageFilter

from faceseg.sources.synthetic.draws import Draws
from faceseg.sources.synthetic.scene import Scene

ORIENTATION = 0x0112
# How the stored pixels must be turned so that the tag turns them back.
STORED = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}


def photograph(picture: Image.Image, scene: Scene, exposure: float, draws: Draws) -> bytes:
    """The picture RGB as a JPEG of the scene's display size, stored turned where the scene has an EXIF orientation."""
    if scene.blur:
        picture = picture.filter(ImageFilter.GaussianBlur(scene.blur))
    gains = [exposure * (1 + 0.1 * scene.warmth), exposure, exposure * (1 - 0.1 * scene.warmth)]
    curve = [min(255, round(level * gain)) for gain in gains for level in range(256)]
    full = picture.point(curve).resize((scene.width, scene.height), Image.Resampling.BICUBIC)
    stored = _grain(full, scene, draws)
    exif = Image.Exif()
    if scene.exif is not None:
        stored = stored.transpose(STORED[scene.exif])
        exif[ORIENTATION] = scene.exif
    out = io.BytesIO()
    stored.save(out, "JPEG", quality=scene.quality, exif=exif)
    return out.getvalue()


def _grain(picture: Image.Image, scene: Scene, draws: Draws) -> Image.Image:
    """Sensor noise: brightness for each pixel, and a coarser noise of colour."""
    strength = round(scene.noise * 256)
    height, width = picture.height, picture.width
    fine = draws.grain((height, width)) * np.int16(strength) // np.int16(256)
    values = np.asarray(picture, dtype=np.int16) + fine[:, :, None]
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def png(labels: Image.Image) -> bytes:
    """A label as an 8-bit single-channel PNG in display orientation."""
    out = io.BytesIO()
    labels.save(out, "PNG")
    return out.getvalue()
