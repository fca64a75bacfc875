"""What people put on their heads: glasses (frame and lens area alike are labelled glasses) and headdresses."""

import numpy as np

from faceseg.sources.synthetic.colours import lit
from faceseg.sources.synthetic.curves import CIRCLE, Points, centre, mirrored, ribbon, spline
from faceseg.sources.synthetic.draws import cosine, sine
from faceseg.sources.synthetic.head import cranium_outline
from faceseg.sources.synthetic.layers import Layer, through
from faceseg.sources.synthetic.person import Glasses
from faceseg.sources.synthetic.portrait import GLASSES, HEADDRESS, SIDES, Portrait

# Outlines around the pupil, for the person's left eye: inner side first.
LENSES = {
    "round": [
        (-0.29, 0.0), (-0.2, -0.2), (0.0, -0.27), (0.2, -0.2), (0.29, 0.0), (0.2, 0.21), (0.0, 0.28), (-0.2, 0.21),
    ],
    "oval": [
        (-0.31, 0.0), (-0.22, -0.15), (0.0, -0.19), (0.23, -0.16), (0.32, -0.02), (0.22, 0.16), (0.0, 0.2),
        (-0.22, 0.15),
    ],
    "square": [
        (-0.3, -0.16), (-0.26, -0.2), (0.0, -0.21), (0.3, -0.21), (0.34, -0.16), (0.31, 0.16), (0.25, 0.22),
        (-0.2, 0.22), (-0.27, 0.17),
    ],
    "aviator": [
        (-0.3, -0.13), (-0.2, -0.19), (0.1, -0.2), (0.34, -0.16), (0.33, 0.06), (0.18, 0.27), (-0.06, 0.27),
        (-0.24, 0.12),
    ],
}  # fmt: skip
GLASSES_DEPTH = 1.12


def _on_glasses(portrait: Portrait, points: Points) -> Points:
    """Points in the plane of the glasses, which curves back a little, as working pixels."""
    x, y = points[:, 0], points[:, 1]
    return portrait.at(np.stack([x, y, GLASSES_DEPTH - 0.16 * x * x + 0.04 * y], axis=1))


def paint_glasses(portrait: Portrait) -> None:
    """Arms, lenses and rims."""
    glasses = portrait.person.glasses
    if glasses is None:
        return
    canvas, unit = portrait.canvas, portrait.unit
    gap = portrait.person.shape.eye_gap + 0.02
    lenses = [mirrored(spline(LENSES[glasses.form], closed=True) + np.array([gap, 0.0]), side) for side in SIDES]
    wide = max(1.6, glasses.thick * unit)
    for side in SIDES:
        if side != portrait.far:
            _arm(portrait, glasses, side, wide)
    bridge = spline([(-gap + 0.29, -0.06), (0.0, -0.12), (gap - 0.29, -0.06)])
    rims = [_on_glasses(portrait, np.concatenate([lens, lens[:1]])) for lens in lenses]
    strip = ribbon(_on_glasses(portrait, bridge), wide * 1.15)
    for rim in rims:
        canvas.paint(
            rim + np.array([0.02, 0.05]) * unit, lit(portrait.person.skin, 0.4), soft=0.03 * unit, opacity=0.22
        )
    canvas.paint(strip, glasses.frame, GLASSES)
    for rim in rims:
        canvas.paint(rim, glasses.lens, GLASSES, opacity=glasses.opacity)
        _reflection(portrait, rim, glasses)
        edge = ribbon(rim, wide)
        canvas.mark(edge, GLASSES)
        canvas.paint(edge, glasses.frame, soft=0.3)
        canvas.stroke(rim[2:24], wide * 0.25, lit(glasses.frame, 2.2), opacity=0.6)


def _arm(portrait: Portrait, glasses: Glasses, side: int, wide: float) -> None:
    """From the lens to the ear; hair that covers the ear is painted over it."""
    edge = portrait.person.shape.eye_gap + 0.34
    line = portrait.at([(side * edge, -0.1, GLASSES_DEPTH - 0.1), (side * 0.97, -0.1, 0.5), (side * 1.0, -0.1, -0.22)])
    strip = ribbon(line, wide * 1.1)
    portrait.canvas.mark(strip, GLASSES)
    portrait.canvas.paint(strip, lit(glasses.frame, 0.9))


def _reflection(portrait: Portrait, rim: Points, glasses: Glasses) -> None:
    """A window mirrored across the lens."""
    low, high = rim.min(axis=0), rim.max(axis=0)
    x, y = low[0] + 0.3 * (high[0] - low[0]), high[1] - low[1]
    band = np.array([(x, low[1]), (x + 0.35 * y, low[1]), (x + 0.05 * y, high[1]), (x - 0.3 * y, high[1])])
    with through(portrait.canvas, [rim]) as layer:
        if layer is not None:
            layer.fill(band, (255, 255, 255), 0.1 if glasses.opacity > 0.5 else 0.2, 0.02 * portrait.unit)


def paint_hat(portrait: Portrait) -> None:
    """The headdress, over hair and brow."""
    painters = {"beanie": _beanie, "cap": _cap, "brim": _brim, "band": _band, "scarf": _hood}
    if portrait.person.hat in painters:
        painters[portrait.person.hat](portrait)


def paint_scarf_back(portrait: Portrait) -> None:
    """The part of a headscarf that is behind the face: it hides hair, ears and neck."""
    if portrait.person.hat != "scarf":
        return
    outline = _scarf_outline(portrait)
    portrait.canvas.paint(outline, lit(portrait.person.hat_colour, 0.55), HEADDRESS)


def _band_curve(portrait: Portrait, y: float, swell: float) -> Points:
    """A ring around the skull at height y, the half towards the viewer from the viewer's left to the right."""
    yaw = portrait.view.yaw
    angles = [180 - 6 * k - yaw for k in range(31)]
    ring = [(cosine(a) * (1.0 + swell), y, -0.06 + sine(a) * (1.02 + swell)) for a in angles]
    return portrait.at(ring)


def _dome(portrait: Portrait, edge: Points, swell: float, lift: float) -> Points:
    """A hat's body: from the edge's right end over the top of the skull to its left end."""
    skull = cranium_outline(portrait.view, swell)
    view = portrait.view
    middle = centre(skull)
    upper = skull[skull[:, 1] < middle[1] - 0.28]
    upper = upper[np.argsort(-upper[:, 0], kind="stable")]
    upper[:, 1] = upper[:, 1] - lift * np.maximum(0.0, 1 - (upper[:, 0] - middle[0]) * (upper[:, 0] - middle[0]))
    return np.concatenate([edge, view.place(upper)])


def _brow_shadow(portrait: Portrait, edge: Points, wide: float, opacity: float) -> None:
    down = portrait.view.place(np.array([[0.0, wide * 0.45]])) - portrait.view.place(np.array([[0.0, 0.0]]))
    portrait.canvas.stroke(
        edge[3:-3] + down,
        wide * portrait.unit,
        lit(portrait.person.skin, 0.3),
        soft=0.05 * portrait.unit,
        opacity=opacity,
    )


def _cloth(portrait: Portrait, layer: Layer, outline: Points) -> None:
    """Light and dark sides of a rounded piece of cloth."""
    colour, unit = portrait.person.hat_colour, portrait.unit
    low, high = outline.min(axis=0), outline.max(axis=0)
    side = portrait.shaded
    middle = (low + high) / 2
    reach = (high - low) / 2
    dark = CIRCLE * reach * np.array([0.6, 1.1]) + middle + np.array([side * reach[0] * 0.95, reach[1] * 0.2])
    layer.fill(dark, lit(colour, 0.4), 0.75, 0.2 * unit)
    bright = CIRCLE * reach * np.array([0.4, 0.3]) + middle + np.array([-side * reach[0] * 0.4, -reach[1] * 0.45])
    layer.fill(bright, lit(colour, 1.35), 0.55, 0.12 * unit)


def _beanie(portrait: Portrait) -> None:
    canvas, colour, unit = portrait.canvas, portrait.person.hat_colour, portrait.unit
    edge, fold = _band_curve(portrait, -0.66, 0.07), _band_curve(portrait, -0.98, 0.06)
    outline = _dome(portrait, edge, 0.15, 0.22)
    _brow_shadow(portrait, edge, 0.12, 0.5)
    canvas.paint(outline, colour, HEADDRESS)
    with through(canvas, [outline]) as layer:
        if layer is None:
            return
        top = portrait.at([(0.0, -1.7, -0.3)])[0]
        for place in range(1, 30):
            layer.stroke(
                spline([edge[place], fold[place], (fold[place] + 2 * top) / 3]),
                max(1.0, 0.025 * unit),
                lit(colour, 0.68),
                0.6,
                0.4,
            )
        _cloth(portrait, layer, outline)
        layer.stroke(fold, 0.05 * unit, lit(colour, 0.5), 0.7, 0.015 * unit)


def _cap(portrait: Portrait) -> None:
    canvas, colour, unit = portrait.canvas, portrait.person.hat_colour, portrait.unit
    edge = _band_curve(portrait, -0.68, 0.05)
    outline = _dome(portrait, edge, 0.11, 0.16)
    peak = [(-0.86, -0.68, 0.5), (-0.7, -0.52, 1.2), (0.0, -0.46, 1.7), (0.7, -0.52, 1.2), (0.86, -0.68, 0.5)]
    peak += [(0.5, -0.78, 0.92), (0.0, -0.84, 1.04), (-0.5, -0.78, 0.92)]
    brim = spline(portrait.at(peak), closed=True)
    _brow_shadow(portrait, edge, 0.3, 0.6)
    canvas.paint(outline, colour, HEADDRESS)
    with through(canvas, [outline]) as layer:
        if layer is not None:
            top = portrait.at([(0.0, -1.56, -0.2)])[0]
            for place in (6, 15, 24):
                layer.stroke(
                    spline([edge[place], (edge[place] + top) / 2 + np.array([(place - 15) * 0.02 * unit, 0]), top]),
                    max(1.0, 0.018 * unit),
                    lit(colour, 0.6),
                    0.7,
                )
            _cloth(portrait, layer, outline)
    canvas.paint(brim, lit(colour, 0.72), HEADDRESS)
    canvas.stroke(brim[:33], 0.03 * unit, lit(colour, 1.2), soft=0.6, opacity=0.7)


def _brim(portrait: Portrait) -> None:
    canvas, colour, unit = portrait.canvas, portrait.person.hat_colour, portrait.unit
    edge = _band_curve(portrait, -0.8, 0.05)
    # Lower in front and at the sides, so that its upper face is seen.
    ring = [(x * 1.7, -0.86 + 0.22 * z + 0.1 * x * x, -0.06 + z * 1.55) for x, z in CIRCLE.tolist()]
    brim = portrait.at(ring)
    outline = _dome(portrait, edge, 0.1, 0.3)
    _brow_shadow(portrait, edge, 0.3, 0.65)
    canvas.paint(brim, lit(colour, 0.8), HEADDRESS)
    canvas.stroke(np.concatenate([brim, brim[:1]]), 0.035 * unit, lit(colour, 1.15), soft=0.6, opacity=0.7)
    canvas.paint(outline, colour, HEADDRESS)
    with through(canvas, [outline]) as layer:
        if layer is not None:
            _cloth(portrait, layer, outline)
            band = np.concatenate([_band_curve(portrait, -0.82, 0.06), _band_curve(portrait, -1.04, 0.06)[::-1]])
            layer.fill(band, lit(colour, 0.35), 0.9)


def _band(portrait: Portrait) -> None:
    canvas, colour, unit = portrait.canvas, portrait.person.hat_colour, portrait.unit
    swell = 0.04 + 0.4 * portrait.person.hair.volume
    low, high = _band_curve(portrait, -0.82, swell), _band_curve(portrait, -1.06, swell * 0.7)
    outline = np.concatenate([low, high[::-1]])
    _brow_shadow(portrait, low, 0.06, 0.35)
    canvas.paint(outline, colour, HEADDRESS)
    with through(canvas, [outline]) as layer:
        if layer is not None:
            _cloth(portrait, layer, outline)
            layer.stroke((low + high) / 2, 0.04 * unit, lit(colour, 0.7), 0.7, 0.01 * unit)


def _scarf_outline(portrait: Portrait) -> Points:
    skull = cranium_outline(portrait.view, 0.17)
    left, right = float(skull[:, 0].min()), float(skull[:, 0].max())
    upper = skull[skull[:, 1] < -0.45]
    upper = upper[np.argsort(upper[:, 0], kind="stable")][::2]
    middle, half = (left + right) / 2, (right - left) / 2
    side = [(half + 0.02, 0.4), (half - 0.08, 1.1), (half + 0.25, 1.9), (half + 0.5, 2.7)]
    lower = np.concatenate([side, [(0.0, 3.1)], mirrored(side, -1)[::-1]]) + np.array([middle, 0.0])
    return portrait.view.place(spline(np.concatenate([upper, lower]), closed=True, steps=4))


def _hood(portrait: Portrait) -> None:
    """The scarf in front: its whole outline less an opening for the face."""
    canvas, colour, unit = portrait.canvas, portrait.person.hat_colour, portrait.unit
    long = portrait.person.shape.length
    right = [(0.5, -0.74), (0.8, -0.4), (0.87, 0.1), (0.79, 0.6), (0.54, 0.98 * long), (0.28, 1.2 * long)]
    opening = [(0.0, -0.84), *right, (0.0, 1.26 * long), *((-x, y) for x, y in right[::-1])]
    curve = spline(opening, closed=True)
    # On the side turned away the scarf's edge is in front of the cheek, not behind it.
    away = np.maximum(0.0, curve[:, 0] * portrait.far)
    hole = portrait.on(curve, lift=0.05 + 0.5 * away * abs(sine(portrait.view.yaw)), jaw=True)
    whole = _scarf_outline(portrait)
    ring = np.concatenate([whole, whole[:1], hole[::-1], hole[-1:]])
    canvas.stroke(
        np.concatenate([hole, hole[:1]]), 0.16 * unit, lit(portrait.person.skin, 0.35), soft=0.05 * unit, opacity=0.5
    )
    canvas.paint(ring, colour, HEADDRESS)
    with through(canvas, [ring]) as layer:
        if layer is None:
            return
        _cloth(portrait, layer, whole)
        draws = portrait.texture
        for place in range(0, len(hole), 5):
            start = hole[place]
            outward = (start - centre(hole)) * draws.uniform(0.25, 0.5)
            line = spline(
                [
                    start + outward * 0.15,
                    start + outward + np.array([draws.uniform(-0.1, 0.1) * unit, 0.15 * unit]),
                    start + outward * 1.8 + np.array([0, 0.5 * unit]),
                ]
            )
            layer.stroke(line, 0.07 * unit, lit(colour, draws.choice((0.6, 0.7, 1.2))), 0.5, 0.03 * unit)
        layer.stroke(np.concatenate([hole, hole[:1]]), 0.05 * unit, lit(colour, 0.7), 0.7, 0.012 * unit)
