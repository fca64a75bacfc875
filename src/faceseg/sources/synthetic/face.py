"""The front of the head: skin, its spots and lines, the light on it; features are painted between skin and light."""

import numpy as np

from faceseg.sources.synthetic.beard import paint_beard
from faceseg.sources.synthetic.canvas import Box
from faceseg.sources.synthetic.colours import lit, mix
from faceseg.sources.synthetic.curves import Points, ellipse, mirrored, spline, taper
from faceseg.sources.synthetic.eyes import paint_around_eye, paint_brow, paint_eye, paint_glint
from faceseg.sources.synthetic.head import Relief
from faceseg.sources.synthetic.mouth import paint_mouth
from faceseg.sources.synthetic.portrait import FACE, HEAD, NOSE, SIDES, Portrait

# Light that has passed through skin has lost least of its red.
SHADOW_TINT = (0.88, 1.0, 1.05)


def paint_face(portrait: Portrait, relief: Relief) -> None:
    """Everything on the front of the head but hair, glasses and hats."""
    canvas, person = portrait.canvas, portrait.person
    front = portrait.view.place(relief.front)
    behind = canvas.picture.copy()
    canvas.paint(front, person.skin, HEAD)
    canvas.mark(portrait.view.place(relief.face), FACE)
    _paint_complexion(portrait)
    for side in sorted(SIDES, key=lambda side: -side * portrait.view.yaw):
        paint_around_eye(portrait, side)
    paint_beard(portrait)
    _paint_nose(portrait)
    paint_mouth(portrait)
    for side in SIDES:
        paint_eye(portrait, side)
        paint_brow(portrait, side)
    canvas.keep_outside([front], behind)
    _light_up(portrait, relief, front)
    for side in SIDES:
        if side != portrait.far or abs(portrait.view.yaw) < 24:
            _paint_creases(portrait, side)
        paint_glint(portrait, side)
    _paint_lines(portrait)


def _light_up(portrait: Portrait, relief: Relief, outline: Points) -> None:
    """Multiply the skin by the light that falls on it, and add what it mirrors: most on dark skin."""
    depth = np.float32(1.02 * (0.7 + 0.3 * portrait.frame.light.key))
    gloss = np.float32(0.1 + 0.13 * portrait.person.darkness)
    tints = np.array(SHADOW_TINT, dtype=np.float32)[None, None, :]

    def light(values: np.ndarray, box: Box) -> np.ndarray:
        dark = np.float32(1) - np.asarray(relief.light.crop(box), dtype=np.float32)[:, :, None] / np.float32(255)
        factors = (np.float32(1.15) - depth * dark * tints).clip(0.08, 1.2)
        return values * factors + gloss * np.asarray(relief.shine.crop(box), dtype=np.float32)[:, :, None]

    portrait.canvas.relight([outline], light)


def _paint_complexion(portrait: Portrait) -> None:
    """Blush, freckles, moles and uneven skin: soft spots without a label of their own."""
    canvas, person, unit = portrait.canvas, portrait.person, portrait.unit
    draws = portrait.texture
    red = mix(person.skin, (190, 70, 60), 0.5)
    for side in SIDES:
        cheek = portrait.on(ellipse(side * 0.56, 0.36, 0.26, 0.2))
        canvas.paint(cheek, red, soft=0.09 * unit, opacity=0.2 + 0.25 * person.makeup)
    canvas.paint(portrait.on(ellipse(0, 1.2, 0.25, 0.12), jaw=True), red, soft=0.08 * unit, opacity=0.15)
    canvas.paint(portrait.on(ellipse(0, -0.62, 0.5, 0.16)), lit(person.skin, 1.06), soft=0.1 * unit, opacity=0.5)
    for _ in range(8):
        x, y = draws.uniform(-0.8, 0.8), draws.uniform(-0.7, 1.2)
        tone = lit(person.skin, draws.uniform(0.86, 1.1))
        canvas.paint(portrait.on(ellipse(x, y, 0.16, 0.12)), tone, soft=0.06 * unit, opacity=0.35)
    for _ in range(60 if person.freckles else draws.below(4)):
        x, y = draws.uniform(-0.75, 0.75), draws.uniform(-0.1, 0.6)
        size = draws.uniform(0.008, 0.018)
        canvas.paint(portrait.on(ellipse(x, y, size, size)), mix(person.skin, (110, 60, 36), 0.5), opacity=0.6)


def _paint_nose(portrait: Portrait) -> None:
    """The nose's flanks from its foot to its ridge: together they are its outline from any side."""
    canvas, person, unit = portrait.canvas, portrait.person, portrait.unit
    tip, wide = 0.5 * person.shape.nose_length, person.shape.nose_width
    foot = [(0.085, -0.1), (0.1, 0.08), (0.15 * wide, tip - 0.22), (0.225 * wide, tip - 0.06)]
    foot += [(0.255 * wide, tip + 0.06), (0.2 * wide, tip + 0.145), (0.09 * wide, tip + 0.15), (0.0, tip + 0.185)]
    ridge = [(0.0, tip + 0.08), (0.0, tip), (0.0, tip * 0.5), (0.0, -0.13)]
    flank = np.concatenate([spline(foot), spline(ridge)])
    outlines = [portrait.on(mirrored(flank, side)) for side in SIDES]
    outlines.append(portrait.on(ellipse(0, tip, 0.09 * wide, 0.085)))
    canvas.paint(outlines, mix(person.skin, (186, 84, 70), 0.12), NOSE, soft=0.8)
    red = mix(person.skin, (190, 70, 60), 0.3)
    canvas.paint(portrait.on(ellipse(0, tip + 0.02, 0.16 * wide, 0.12)), red, soft=0.04 * unit, opacity=0.6)


def _paint_creases(portrait: Portrait, side: int) -> None:
    """Lines and small shadows that the height field is too coarse for; nostrils and wings make a nose."""
    canvas, person, unit = portrait.canvas, portrait.person, portrait.unit
    tip, wide = 0.5 * person.shape.nose_length, person.shape.nose_width
    dark, fine = lit(person.skin, 0.4), max(1.0, 0.02 * unit)
    wing = spline(
        [(0.2 * wide, tip - 0.07), (0.262 * wide, tip + 0.02), (0.25 * wide, tip + 0.11), (0.19 * wide, tip + 0.15)]
    )
    thick = 1.3 * fine * taper(len(wing), 0.2, 0.5)
    canvas.stroke(portrait.on(mirrored(wing, side)), thick, dark, soft=0.8, opacity=0.6)
    hole = mirrored(ellipse(0.105 * wide, tip + 0.125, 0.062 * wide, 0.028, -14), side)
    canvas.paint(portrait.on(hole), lit(person.skin, 0.22), soft=0.5, opacity=0.85)
    fold = spline([(0.28 * wide, tip + 0.08), (0.4, 0.7), (0.47, 0.9 * person.shape.length)])
    depth = 0.12 + 0.3 * person.age + 0.15 * max(0.0, portrait.frame.smile)
    thick = 1.8 * fine * taper(len(fold), 0.4, 0.1)
    canvas.stroke(portrait.on(mirrored(fold, side)), thick, dark, soft=0.02 * unit, opacity=depth)
    bag = mirrored(spline([(0.24, 0.13), (0.38, 0.19), (0.55, 0.16)]), side)
    canvas.stroke(portrait.on(bag), 1.3 * fine, dark, soft=0.015 * unit, opacity=0.08 + 0.22 * person.age)


def _paint_lines(portrait: Portrait) -> None:
    """The nose's shadow on the upper lip, and wrinkles of the forehead."""
    canvas, person, unit = portrait.canvas, portrait.person, portrait.unit
    light, tip = portrait.frame.light, 0.5 * person.shape.nose_length
    dark, fine = lit(person.skin, 0.4), max(1.0, 0.02 * unit)
    under = ellipse(0.04 * portrait.shaded, tip + 0.21, 0.19 * person.shape.nose_width, 0.04)
    canvas.paint(portrait.on(under), dark, soft=0.03 * unit, opacity=0.4 * light.key)
    if person.age > 0.6:
        for y in (-0.52, -0.63, -0.74):
            wrinkle = spline([(-0.45, y + 0.02), (0, y - 0.02), (0.45, y + 0.02)])
            thick = fine * taper(len(wrinkle))
            canvas.stroke(portrait.on(wrinkle), thick, dark, soft=0.01 * unit, opacity=0.5 * (person.age - 0.5))
