"""Where a clip is shot and how each of its frames differs: size, camera, light, pose and expression."""

import math
from dataclasses import dataclass

from faceseg.sources.synthetic.canvas import work_size
from faceseg.sources.synthetic.colours import SCENERY, Colour, near
from faceseg.sources.synthetic.draws import FRAME, SCENE, Draws, one_in, sine
from faceseg.sources.synthetic.head import Light, View

EXIF_EVERY, EXIF_TRAIT = 12, 3
PORTRAIT_SHAPES = ((3, 4), (2, 3), (4, 5), (9, 14))
LANDSCAPE_SHAPES = ((4, 3), (3, 2), (14, 9), (1, 1))
# The head's egg covers about this part of a square of half its width: pi * 1 * 1.45.
HEAD_AREA = 4.55


@dataclass(frozen=True)
class Scene:
    """What a clip's frames share besides the person; sizes in pixels of the displayed picture."""

    width: int
    height: int
    exif: int | None
    share: float
    x: float
    y: float
    yaw: float
    pitch: float
    roll: float
    light: Light
    warmth: float
    exposure: float
    backdrop: str
    colours: tuple[Colour, Colour, Colour]
    backdrop_blur: float
    quality: int
    noise: float
    blur: float
    smile: float
    talk: float


@dataclass(frozen=True)
class Frame:
    """One picture of a clip: the view on the head, the light, and the face's expression.

    jaw: how far the lower lip hangs, in half head widths. smile: -1..1. lids: how open the eyes are, 0..1.
    gaze: where the eyes look, -1..1 across and down.
    """

    view: View
    light: Light
    jaw: float
    smile: float
    lids: float
    gaze: tuple[float, float]
    brow_lift: float
    exposure: float
    drift: tuple[float, float]


def draw_scene(seed: int, split: int, clip: int) -> Scene:
    """The scene of a clip (0, 1, ...)."""
    draws = Draws(seed, SCENE, split, clip)
    across, down = draws.choice(PORTRAIT_SHAPES if draws.chance(0.55) else LANDSCAPE_SHAPES)
    long_side = round(draws.uniform(600, 1600) * draws.uniform(0.75, 1))
    long_side = max(600, long_side)
    unit = long_side / max(across, down)
    side = draws.choice((-1, 1))
    exif = draws.choice((3, 6, 6, 8)) if one_in(seed, split, clip, EXIF_EVERY, EXIF_TRAIT) else None
    shades = [near(draws, draws.choice(SCENERY), 16) for _ in range(3)]
    return Scene(
        width=round(across * unit),
        height=round(down * unit),
        exif=exif,
        share=draws.uniform(0.11, 0.24) if across > down else draws.uniform(0.14, 0.34),
        x=draws.middling(0.4, 0.6),
        y=draws.middling(0.42, 0.54),
        yaw=draws.middling(-34, 34),
        pitch=draws.middling(-12, 12),
        roll=draws.middling(-16, 16),
        light=Light(side * draws.uniform(0.1, 1.1), -draws.uniform(0.1, 0.8), 0.75, draws.uniform(0.5, 0.8)),
        warmth=draws.middling(-1, 1),
        exposure=draws.middling(0.8, 1.2),
        backdrop=draws.choice(("gradient", "blobs", "room", "bokeh", "wall", "leaves")),
        colours=(shades[0], shades[1], shades[2]),
        backdrop_blur=draws.choice((0.0, 2.0, 5.0, 9.0)),
        quality=round(draws.uniform(58, 95)),
        noise=draws.uniform(0, 0.075),
        blur=draws.choice((0.0, 0.0, 0.5, 0.9)),
        smile=draws.middling(-0.5, 1.1),
        talk=draws.choice((0.0, 0.05, 0.14, 0.24)),
    )


def draw_frame(seed: int, split: int, clip: int, frame: int, scene: Scene) -> Frame:
    """One frame (0, 1, ...) of a scene: smooth waves over the frames, with a little of its own on top."""
    waves = Draws(seed, SCENE, split, clip, 1)
    draws = Draws(seed, FRAME, split, clip, frame)

    def wave(reach: float) -> float:
        start, pace = waves.uniform(0, 360), waves.uniform(25, 80)
        return reach * (sine(start + pace * frame) + draws.uniform(-0.25, 0.25))

    width, height = work_size(scene.width, scene.height)
    share = scene.share * (1 + wave(0.08))
    unit = math.sqrt(share * width * height / HEAD_AREA)
    view = View(
        yaw=scene.yaw + wave(9),
        pitch=scene.pitch + wave(5),
        roll=scene.roll + wave(4),
        unit=unit,
        x=width * (scene.x + wave(0.035)),
        y=height * (scene.y + wave(0.025)),
    )
    sway = wave(0.12)
    light = Light(scene.light.x + sway, scene.light.y + sway / 2, scene.light.z, scene.light.key)
    return Frame(
        view=view,
        light=light,
        jaw=max(0.0, scene.talk * (0.55 + wave(0.75)) - 0.01),
        smile=scene.smile + wave(0.3),
        lids=0.0 if draws.chance(0.07) else draws.uniform(0.72, 1.0),
        gaze=(wave(0.5), wave(0.3)),
        brow_lift=wave(0.025),
        exposure=scene.exposure * (1 + wave(0.06)),
        drift=(wave(14), wave(9)),
    )
