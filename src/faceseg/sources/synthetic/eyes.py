"""Eyes, what is around them, and brows. ``side`` is 1 for the person's left, which is the viewer's right."""

import numpy as np

from faceseg.sources.synthetic.colours import Colour, lit, mix
from faceseg.sources.synthetic.curves import Points, ellipse, mirrored, ribbon, spline, taper
from faceseg.sources.synthetic.layers import Layer, through
from faceseg.sources.synthetic.portrait import AROUND_EYES, BROWS, EYES, Portrait


def _opening(portrait: Portrait, side: int, lids: float, grow: float = 0.0) -> Points:
    """The eye's opening on the face (64, 2): from the inner corner along the upper lid and back along the lower one."""
    shape = portrait.person.shape
    wide, high, tilt = shape.eye_width + grow, shape.eye_height * lids + grow, shape.eye_tilt
    above = [(-wide, 0.025), (-0.6 * wide, -0.62 * high), (-0.05 * wide, -high), (0.55 * wide, -0.72 * high - tilt / 2)]
    below = [(wide, -tilt), (0.5 * wide, 0.5 * high - tilt / 2), (-0.1 * wide, 0.62 * high), (-0.65 * wide, 0.4 * high)]
    return mirrored(spline(np.array(above + below) + np.array([shape.eye_gap, 0.0]), closed=True), side)


def paint_around_eye(portrait: Portrait, side: int) -> None:
    """Lids and the hollow of the eye: a little darker and redder than the cheek."""
    canvas, person, unit = portrait.canvas, portrait.person, portrait.unit
    shape = person.shape
    ring = ellipse(shape.eye_gap, -0.01, shape.eye_width * 1.42, shape.eye_height * 2.05, -4)
    outline = portrait.on(mirrored(ring, side))
    canvas.mark(outline, AROUND_EYES[side])
    shade = mix(lit(person.skin, 0.84), (150, 80, 76), 0.14)
    canvas.paint(outline, shade, soft=0.05 * unit, opacity=0.75)
    if person.makeup > 0.3:
        lid = ellipse(shape.eye_gap, -shape.eye_height * 0.9, shape.eye_width * 1.05, shape.eye_height * 0.9)
        colour = mix(person.skin, (92, 60, 84), 0.6)
        canvas.paint(portrait.on(mirrored(lid, side)), colour, soft=0.025 * unit, opacity=0.6 * person.makeup)


def paint_eye(portrait: Portrait, side: int) -> None:
    """An open eye with its lids' edges, or the line of a closed one, which has no eye in the label."""
    canvas, person, unit = portrait.canvas, portrait.person, portrait.unit
    lids, line = portrait.frame.lids, max(1.2, 0.03 * unit)
    lash = mix(person.brows, (16, 12, 12), 0.75)
    if lids == 0:
        _paint_closed(portrait, side, line, lash)
        return
    pixels = portrait.on(_opening(portrait, side, lids))
    canvas.paint(pixels, lit((226, 220, 214), 0.98 - 0.1 * person.darkness), EYES[side])
    with through(canvas, [pixels]) as layer:
        if layer is not None:
            _paint_iris(portrait, layer, side)
    corner = mirrored(ellipse(person.shape.eye_gap - person.shape.eye_width * 0.9, 0.015, 0.022, 0.018), side)
    canvas.paint(portrait.on(corner), (196, 120, 112), opacity=0.8)
    upper, lower = pixels[:33], pixels[32:]
    thick = line * (1 + 0.5 * person.makeup) * taper(len(upper), 0.5, 0.9)
    canvas.stroke(upper, thick, lash, opacity=0.92)
    canvas.stroke(lower, 0.45 * line, lash, opacity=0.45)
    fold = _opening(portrait, side, lids, grow=0.035)[2:31]
    fold[:, 1] = fold[:, 1] - 0.012
    thick = 0.6 * line * taper(len(fold), 0.2, 0.5)
    canvas.stroke(portrait.on(fold), thick, lit(person.skin, 0.5), soft=0.6, opacity=0.6)


def _paint_closed(portrait: Portrait, side: int, line: float, lash: Colour) -> None:
    canvas, person = portrait.canvas, portrait.person
    lid = portrait.on(_opening(portrait, side, 0.9))
    canvas.paint(lid, lit(person.skin, 0.95), soft=0.02 * portrait.unit)
    edge = _opening(portrait, side, 0.35)[:33]
    edge[:, 1] = 0.06 - 0.35 * edge[:, 1]
    canvas.stroke(portrait.on(edge), line * taper(len(edge), 0.5, 0.6), lash, opacity=0.9)


def _gaze(portrait: Portrait, side: int) -> tuple[float, float]:
    """The middle of the pupil on the face."""
    shape, (across, down) = portrait.person.shape, portrait.frame.gaze
    return side * shape.eye_gap + across * 0.3 * shape.eye_width, -0.012 + down * 0.2 * shape.eye_height


def _paint_iris(portrait: Portrait, layer: Layer, side: int) -> None:
    """Iris, pupil and the upper lid's shadow, to be seen through the opening."""
    shape, iris = portrait.person.shape, portrait.person.iris
    x, y = _gaze(portrait, side)
    size = shape.eye_width * 0.47
    layer.fill(portrait.on(ellipse(x, y, size, size)), lit(iris, 0.45))
    layer.fill(portrait.on(ellipse(x, y, size * 0.86, size * 0.86)), iris)
    layer.fill(portrait.on(ellipse(x, y + size * 0.3, size * 0.55, size * 0.45)), lit(iris, 1.35), 0.5)
    layer.fill(portrait.on(ellipse(x, y, size * 0.42, size * 0.42)), (12, 10, 10))
    lid = ellipse(shape.eye_gap, -shape.eye_height * 1.05, shape.eye_width * 1.1, shape.eye_height * 0.8)
    layer.fill(portrait.on(mirrored(lid, side)), (50, 34, 34), 0.5, 0.02 * portrait.unit)


def paint_glint(portrait: Portrait, side: int) -> None:
    """The lamp mirrored in the eye; painted after the skin's light, since it is not skin."""
    if portrait.frame.lids == 0:
        return
    x, y = _gaze(portrait, side)
    size = portrait.person.shape.eye_width * 0.1
    light = portrait.frame.light
    spot = ellipse(x + 0.05 * light.x / (abs(light.x) + 0.5), y - 0.03, size, size)
    portrait.canvas.paint(portrait.on(spot), (250, 250, 250), opacity=0.85)


def paint_brow(portrait: Portrait, side: int) -> None:
    """A brow: a soft ground with single hairs on it, all within its outline."""
    canvas, person, unit, draws = portrait.canvas, portrait.person, portrait.unit, portrait.texture
    shape = person.shape
    y = -0.28 + shape.brow_drop - portrait.frame.brow_lift
    arch = shape.brow_arch
    spine = spline([(0.15, y - 0.012), (0.34, y - 0.03 - arch / 2), (0.55, y - 0.04 - arch), (0.76, y + 0.035)])
    along = np.arange(len(spine)) / (len(spine) - 1)
    width = shape.brow_thick * np.clip(1.3 - along, 0.35, 1) * taper(len(spine), 0.75, 0.5)
    outline = portrait.on(ribbon(mirrored(spine, side), width))
    canvas.mark(outline, BROWS[side])
    canvas.paint(outline, person.brows, soft=max(0.5, 0.012 * unit), opacity=0.78)
    with through(canvas, [outline], soft=0.5) as layer:
        if layer is None:
            return
        for _ in range(44):
            place = draws.below(len(spine) - 2)
            t = place / (len(spine) - 1)
            x, base = spine[place]
            start = base + draws.uniform(-0.5, 0.45) * float(width[place])
            hair = np.array([(x, start), (x + 0.05 + 0.05 * t, start - 0.03 * (1 - 1.6 * t))])
            tone = lit(person.brows, draws.uniform(0.5, 1.25))
            layer.stroke(portrait.on(mirrored(hair, side)), max(0.9, 0.011 * unit), tone, 0.8)
