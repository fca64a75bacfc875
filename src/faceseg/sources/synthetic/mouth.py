"""Lips, and teeth and tongue between them when the mouth is open."""

import numpy as np

from faceseg.sources.synthetic.colours import lit
from faceseg.sources.synthetic.curves import Points, ellipse, ribbon, spline, taper
from faceseg.sources.synthetic.layers import through
from faceseg.sources.synthetic.portrait import INNER_MOUTH, LOWER_LIP, UPPER_LIP, Portrait

MOUTH_HEIGHT = 0.865
# Below this the lips touch, and no inner mouth is seen.
LEAST_GAP = 0.025


def paint_mouth(portrait: Portrait) -> None:
    """Upper lip, lower lip and, in an open mouth, what lies between."""
    canvas, person, unit = portrait.canvas, portrait.person, portrait.unit
    upper, lower, seam, inner = _outlines(portrait)
    hollow = ellipse(0, 1.08 * person.shape.length, 0.26, 0.05)
    canvas.paint(portrait.on(hollow, jaw=True), lit(person.skin, 0.72), soft=0.035 * unit, opacity=0.6)
    if portrait.frame.jaw > LEAST_GAP:
        canvas.paint(inner, (62, 18, 20), INNER_MOUTH)
        _paint_inside(portrait, inner)
    canvas.paint(upper, lit(person.lips, 0.86), UPPER_LIP, soft=0.4)
    canvas.paint(lower, person.lips, LOWER_LIP, soft=0.4)
    x, y = (float(part) for part in (lower.min(axis=0) + lower.max(axis=0)) / 2)
    gloss = ellipse(x, y + 0.02 * unit, 0.16 * unit, 0.026 * unit, portrait.view.roll)
    canvas.paint(gloss, lit(person.lips, 1.3), soft=0.02 * unit, opacity=0.45)
    line = max(1.0, 0.022 * unit) * taper(len(seam), 0.7, 0.7)
    canvas.stroke(seam, line, lit(person.lips, 0.4), opacity=0.75)
    for corner in (seam[0], seam[-1]):
        spot = ellipse(float(corner[0]), float(corner[1]), 0.03 * unit, 0.024 * unit)
        canvas.paint(spot, lit(person.skin, 0.5), soft=0.015 * unit, opacity=0.7)


def _outlines(portrait: Portrait) -> tuple[Points, Points, Points, Points]:
    """Upper lip, lower lip, the upper lip's lower edge, and what lies between the lips, in working pixels."""
    shape, frame = portrait.person.shape, portrait.frame
    y, gap = MOUTH_HEIGHT * shape.length, frame.jaw
    wide = shape.mouth_width * (1 + 0.14 * frame.smile) - 0.12 * gap
    up, low = shape.upper_lip, shape.lower_lip
    corner = y - 0.05 * frame.smile + 0.25 * gap
    half = [(-wide, corner), (-0.55 * wide, y - 0.62 * up - 0.017 * frame.smile), (-0.16 * wide, y - up)]
    crown = [*half, (0.0, y - 0.8 * up), *((-x, v) for x, v in half[::-1])]
    bow = [(-wide, corner), (-0.5 * wide, y + 0.012), (0.0, y + 0.018), (0.5 * wide, y + 0.012), (wide, corner)]

    def hanging(share: float, side: float, middle: float) -> Points:
        knots = [(-wide, corner), (-share * wide, y + side), (0.0, y + middle), (share * wide, y + side)]
        return spline([*knots, (wide, corner)])

    top, seam = spline(crown, steps=6), spline(bow)
    hung = hanging(0.55, 0.015 + 0.86 * gap, 0.02 + gap)
    keel = hanging(0.62, 0.55 * low + 0.84 * gap, low + gap)
    upper = np.concatenate([top, seam[::-1]])
    lower = np.concatenate([hung, keel[::-1]])
    inner = np.concatenate([seam, hung[::-1]])
    return portrait.on(upper), portrait.on(lower), portrait.on(seam), portrait.on(inner)


def _paint_inside(portrait: Portrait, inner: Points) -> None:
    """Upper teeth and tongue, seen through the open mouth."""
    shape, jaw, unit = portrait.person.shape, portrait.frame.jaw, portrait.unit
    y, wide = MOUTH_HEIGHT * shape.length, shape.mouth_width * 0.8
    teeth = [(-wide, y - 0.05), (wide, y - 0.05), (wide * 0.7, y + 0.055), (0, y + 0.075), (-wide * 0.7, y + 0.055)]
    with through(portrait.canvas, [inner]) as layer:
        if layer is None:
            return
        tongue = ellipse(0, y + jaw + 0.03, wide * 0.6, jaw * 0.5)
        layer.fill(portrait.on(tongue), (164, 78, 80), 0.8, 0.02 * unit)
        layer.fill(portrait.on(spline(teeth, closed=True)), (228, 220, 206))
        for place in range(-4, 5):
            x = place * wide * 0.18
            gap = ribbon(np.array([(x, y - 0.04), (x, y + 0.06)]), 0.008)
            layer.fill(portrait.on(gap), (150, 130, 118), 0.6)
