"""What is behind the face: ears, skull, neck and clothes."""

import numpy as np

from faceseg.sources.synthetic.colours import lit, mix
from faceseg.sources.synthetic.curves import Points, centre, ellipse, mirrored, spline
from faceseg.sources.synthetic.draws import cosine, sine
from faceseg.sources.synthetic.head import View, cranium_outline
from faceseg.sources.synthetic.layers import Layer, through
from faceseg.sources.synthetic.portrait import BACKGROUND, EARS, HEAD, SIDES, Portrait

EAR_OUTER = [
    (0.0, -0.26), (0.2, -0.4), (0.38, -0.34), (0.44, -0.12), (0.34, 0.12), (0.22, 0.32), (0.08, 0.36), (0.0, 0.2),
]  # fmt: skip
EAR_SHELL = [
    (0.1, -0.18), (0.2, -0.29), (0.32, -0.25), (0.36, -0.1), (0.27, 0.08), (0.15, 0.2), (0.14, 0.02), (0.2, -0.1),
]  # fmt: skip
EAR_HOLE = [(0.06, -0.06), (0.16, -0.1), (0.2, 0.0), (0.14, 0.12), (0.05, 0.1)]
# Where a garment begins at the side of the neck, and how far it dips in front.
NECKLINES = {
    "round": (1.98, 0.2),
    "vee": (1.86, 0.75),
    "collar": (1.78, 0.35),
    "turtle": (1.55, -0.02),
    "suit": (1.8, 0.7),
}


def _trunk(view: View) -> View:
    """The view on neck and shoulders: they follow the head's turn only a little."""
    return View(view.yaw * 0.25, view.pitch * 0.2, view.roll * 0.3, view.unit, view.x, view.y)


def paint_neck(portrait: Portrait) -> None:
    """The neck between jaw and shoulders, with the jaw's shadow on it."""
    person, view, unit = portrait.person, portrait.view, portrait.unit
    trunk = _trunk(view)
    wide = 0.55 + person.shape.jaw
    top = view.rotate(np.array([[-wide - 0.06, 0.5, -0.45], [wide + 0.06, 0.5, -0.45]]))
    base = np.array([[wide, 1.6], [wide + 0.1, 1.95], [wide + 0.3, 2.5], [-wide - 0.3, 2.5], [-wide - 0.1, 1.95]])
    knots = np.concatenate([view.place(top), trunk.place(base), trunk.place(np.array([[-wide, 1.6]]))])
    outline = spline(knots, closed=True)
    portrait.canvas.paint(outline, lit(person.skin, 0.92), HEAD)
    dark = lit(person.skin, 0.4)
    with through(portrait.canvas, [outline]) as layer:
        if layer is None:
            return
        layer.fill(trunk.place(ellipse(portrait.shaded * 0.75, 1.4, 0.5, 1.2)), dark, 0.65, 0.2 * unit)
        chin = float(view.rotate(np.array([[0.0, 1.3, 0.3]]))[0, 0])
        layer.fill(view.place(ellipse(chin * 0.7, 1.24, 0.75, 0.42)), dark, 0.75, 0.1 * unit)
        for offset in (-0.2, 0.24):
            cord = spline([(offset * 2.2, 1.2), (offset * 1.3, 1.7), (offset * 0.5, 2.1)])
            layer.stroke(trunk.place(cord), 0.07 * unit, lit(person.skin, 0.62), 0.35, 0.05 * unit)


def paint_clothes(portrait: Portrait) -> None:
    """Shoulders and what covers them; background in the label, as the source classes have it."""
    canvas, person = portrait.canvas, portrait.person
    trunk = _trunk(portrait.view)
    high, dip = NECKLINES[person.clothes]
    wide = 0.62 if person.clothes == "turtle" else 0.78
    share = 0.5 if person.clothes == "vee" else 0.62
    throat = [(-wide, high), (-wide * 0.5, high + dip * share), (0.0, high + dip), (wide * 0.5, high + dip * share)]
    throat.append((wide, high))
    line = np.array(throat) if person.clothes == "vee" else spline(throat)
    right = spline([(wide + 0.1, high + 0.05), (1.25, 2.12), (1.95, 2.4), (2.35, 3.0), (2.6, 5.0)])
    outline = trunk.place(np.concatenate([mirrored(right, -1)[::-1], line, right]))
    canvas.paint(outline, portrait.lit(person.cloth, 0), BACKGROUND)
    with through(canvas, [outline]) as layer:
        if layer is not None:
            _paint_folds(portrait, layer, trunk)
            _paint_tailoring(portrait, layer, trunk, line)


def _paint_folds(portrait: Portrait, layer: Layer, trunk: View) -> None:
    person, unit, draws = portrait.person, portrait.unit, portrait.texture
    side = portrait.shaded
    layer.fill(trunk.place(ellipse(side * 1.9, 3.0, 1.1, 1.6)), lit(person.cloth, 0.45), 0.6, 0.35 * unit)
    layer.fill(trunk.place(ellipse(-side * 1.2, 2.4, 0.7, 0.35)), lit(person.cloth, 1.25), 0.4, 0.2 * unit)
    for _ in range(7):
        x = draws.uniform(-2, 2)
        fold = spline([(x, draws.uniform(2.2, 2.6)), (x + draws.uniform(-0.3, 0.3), 3.0), (x * 1.2, 3.8)])
        layer.stroke(trunk.place(fold), 0.09 * unit, lit(person.cloth, draws.choice((0.7, 1.18))), 0.5, 0.04 * unit)


def _paint_tailoring(portrait: Portrait, layer: Layer, trunk: View, line: Points) -> None:
    """Hems, collars, lapels and ties."""
    person, unit = portrait.person, portrait.unit
    if person.clothes == "suit":
        for s in SIDES:
            shirt = np.array([(0.0, 2.62), (s * 0.86, 1.78), (s * 0.5, 3.4), (0.0, 3.6)])
            layer.fill(trunk.place(shirt), person.shirt)
            lapel = np.array([(s * 0.86, 1.8), (s * 1.12, 2.35), (s * 0.95, 2.6), (s * 0.2, 3.7), (s * 0.42, 2.7)])
            layer.fill(trunk.place(lapel), lit(person.cloth, 0.8))
        tie = np.array([(-0.14, 2.5), (0.14, 2.5), (0.1, 2.75), (0.22, 4.4), (-0.22, 4.4), (-0.1, 2.75)])
        layer.fill(trunk.place(tie), lit(person.hat_colour, 0.8))
        return
    if person.clothes == "collar":
        for s in SIDES:
            collar = np.array([(s * 0.8, 1.76), (s * 0.98, 2.1), (s * 0.5, 2.55), (s * 0.02, 2.16), (s * 0.5, 2.05)])
            layer.fill(trunk.place(collar), lit(person.cloth, 1.14))
            layer.stroke(trunk.place(collar[:4]), 0.02 * unit, lit(person.cloth, 0.45), 0.8, 0.6)
        return
    layer.stroke(trunk.place(line), 0.05 * unit, lit(person.cloth, 0.7), 0.8, 0.012 * unit)
    if person.clothes == "turtle":
        for y in (1.7, 1.84):
            crease = spline([(-0.66, y - 0.04), (0, y + 0.06), (0.66, y - 0.04)])
            layer.stroke(trunk.place(crease), 0.05 * unit, lit(person.cloth, 0.7), 0.6, 0.02 * unit)


def paint_skull(portrait: Portrait) -> None:
    """The skull behind the face; hair or a hat may cover it."""
    outline = portrait.view.place(cranium_outline(portrait.view, -0.02))
    person, unit = portrait.person, portrait.unit
    portrait.canvas.paint(outline, portrait.lit(person.skin, 0), HEAD)
    x, y = (float(part) for part in centre(outline))
    with through(portrait.canvas, [outline]) as layer:
        if layer is not None:
            far = ellipse(x + portrait.shaded * 1.05 * unit, y + 0.2 * unit, 0.6 * unit, 1.1 * unit)
            layer.fill(far, lit(person.skin, 0.4), 0.8 * portrait.frame.light.key, 0.22 * unit)


def _on_ear(portrait: Portrait, side: int, points: list[tuple[float, float]]) -> Points:
    """Points in the ear's own plane, which stands out from the head backwards, as working pixels."""
    shape = portrait.person.shape
    flat = spline(points, closed=True, steps=5)
    flare = 20 + 26 * shape.ear_flare
    x = side * (0.9 + flat[:, 0] * shape.ear * sine(flare) * 1.15)
    z = -0.2 - flat[:, 0] * shape.ear * cosine(flare) * 0.9
    return portrait.at(np.stack([x, 0.1 + flat[:, 1] * shape.ear, z], axis=1))


def paint_ear(portrait: Portrait, side: int) -> None:
    """One ear, before the face is painted over its foot."""
    canvas, person, unit = portrait.canvas, portrait.person, portrait.unit
    skin = portrait.lit(mix(person.skin, (196, 84, 70), 0.16), side * 0.9)
    fine = max(1.0, 0.022 * unit)
    outer = _on_ear(portrait, side, EAR_OUTER)
    canvas.paint(outer, skin, EARS[side])
    with through(canvas, [outer]) as layer:
        if layer is None:
            return
        layer.fill(_on_ear(portrait, side, EAR_SHELL), lit(skin, 0.55), 0.8, 0.02 * unit)
        layer.fill(_on_ear(portrait, side, EAR_HOLE), lit(skin, 0.3), 0.85, 0.015 * unit)
        layer.stroke(outer[3:30], 2.2 * fine, lit(skin, 1.12), 0.6, 0.8)
        layer.stroke(outer[3:30], fine, lit(skin, 0.5), 0.7, 0.6)
