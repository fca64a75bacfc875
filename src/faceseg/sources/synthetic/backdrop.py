"""What stands behind the person: painted small, blurred as a lens would, and enlarged."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from faceseg.sources.synthetic.canvas import work_size
from faceseg.sources.synthetic.colours import Colour, lit, mix
from faceseg.sources.synthetic.draws import Draws
from faceseg.sources.synthetic.scene import Scene

MARGIN = 24


def draw_backdrop(scene: Scene, draws: Draws) -> Image.Image:
    """The clip's background, MARGIN wider than the working picture on every side, so that a frame may shift it."""
    width, height = (side + 2 * MARGIN for side in work_size(scene.width, scene.height))
    picture = _gradient(scene.colours[0], scene.colours[1], (width, height), draws)
    pen = ImageDraw.Draw(picture)
    painters = {"blobs": _blobs, "room": _room, "bokeh": _bokeh, "wall": _wall, "leaves": _leaves}
    blur = scene.backdrop_blur
    if scene.backdrop in painters:
        painters[scene.backdrop](pen, scene, draws, (width, height))
    if scene.backdrop == "bokeh":
        blur = max(blur, 2.0)
    return picture.filter(ImageFilter.GaussianBlur(blur)) if blur else picture


def _ramp(count: int) -> np.ndarray:
    """float32 (count,) from -1 to 1."""
    return np.arange(count, dtype=np.float32) * np.float32(2) / np.float32(count - 1) - np.float32(1)


def _gradient(first: Colour, second: Colour, size: tuple[int, int], draws: Draws) -> Image.Image:
    """From one colour to another, in a direction of its own, with large soft stains."""
    stains = Image.fromarray(draws.generator.integers(0, 256, size=(5, 5), dtype=np.uint8))
    soft = np.asarray(stains.resize(size, Image.Resampling.BICUBIC), dtype=np.float32) / np.float32(255)
    x = _ramp(size[0])[None, :]
    y = _ramp(size[1])[:, None]
    slope = np.float32(draws.uniform(-0.6, 0.6)), np.float32(draws.uniform(-0.6, 0.6))
    share = np.clip(np.float32(0.35) + slope[0] * x + slope[1] * y + np.float32(0.35) * (soft - np.float32(0.5)), 0, 1)
    share = share[:, :, None]
    low, high = (np.array(colour, dtype=np.float32)[None, None] for colour in (first, mix(first, second, 0.7)))
    return Image.fromarray((low + share * (high - low)).astype(np.uint8))


def _blobs(pen: ImageDraw.ImageDraw, scene: Scene, draws: Draws, size: tuple[int, int]) -> None:
    for _ in range(26):
        x, y = draws.uniform(0, size[0]), draws.uniform(0, size[1])
        wide, tall = draws.uniform(15, 130), draws.uniform(15, 130)
        pen.ellipse(
            (x - wide, y - tall, x + wide, y + tall), fill=lit(draws.choice(scene.colours), draws.uniform(0.6, 1.3))
        )


def _room(pen: ImageDraw.ImageDraw, scene: Scene, draws: Draws, size: tuple[int, int]) -> None:
    """Shelves, frames and windows: straight edges."""
    for _ in range(16):
        x, y = draws.uniform(-40, size[0]), draws.uniform(-40, size[1])
        wide, tall = draws.uniform(20, 240), draws.uniform(20, 240)
        colour = lit(draws.choice(scene.colours), draws.uniform(0.55, 1.35))
        pen.rectangle((x, y, x + wide, y + tall), fill=colour, outline=lit(colour, 0.6), width=draws.below(5))
    for _ in range(draws.below(3)):
        y = draws.uniform(0, size[1])
        pen.rectangle((0, y, size[0], y + draws.uniform(5, 16)), fill=lit(scene.colours[2], 0.6))


def _bokeh(pen: ImageDraw.ImageDraw, scene: Scene, draws: Draws, size: tuple[int, int]) -> None:
    for _ in range(60):
        x, y, radius = draws.uniform(0, size[0]), draws.uniform(0, size[1]), draws.uniform(6, 38)
        colour = mix(draws.choice(scene.colours), (255, 236, 190), draws.uniform(0.1, 0.7))
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour, outline=lit(colour, 1.15), width=2)


def _wall(pen: ImageDraw.ImageDraw, scene: Scene, draws: Draws, size: tuple[int, int]) -> None:
    """Bricks or boards."""
    tall, wide = draws.uniform(18, 50), draws.uniform(50, 140)
    for row in range(int(size[1] / tall) + 1):
        shift = (row % 2) * wide / 2
        for column in range(-1, int(size[0] / wide) + 2):
            x, y = column * wide + shift, row * tall
            pen.rectangle((x, y, x + wide - 3, y + tall - 3), fill=lit(scene.colours[0], draws.uniform(0.75, 1.15)))


def _leaves(pen: ImageDraw.ImageDraw, scene: Scene, draws: Draws, size: tuple[int, int]) -> None:
    greens = ((58, 84, 48), (84, 110, 60), (40, 60, 40), (120, 140, 84), scene.colours[2])
    for _ in range(420):
        x, y = draws.uniform(0, size[0]), draws.uniform(0, size[1])
        u, v = draws.uniform(-26, 26), draws.uniform(-26, 26)
        leaf = (x, y, x + u + v * 0.3, y + v - u * 0.3, x + 2 * u, y + 2 * v, x + u - v * 0.3, y + v + u * 0.3)
        pen.polygon(leaf, fill=lit(draws.choice(greens), draws.uniform(0.6, 1.3)))
