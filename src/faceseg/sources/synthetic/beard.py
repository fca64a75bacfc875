"""Hair on the face: stubble, moustache, goatee, full beard, all labelled face, as the source classes have it."""

import numpy as np

from faceseg.sources.synthetic.colours import Colour, lit, mix
from faceseg.sources.synthetic.curves import Points, mirrored, ribbon, spline
from faceseg.sources.synthetic.layers import through
from faceseg.sources.synthetic.mouth import MOUTH_HEIGHT
from faceseg.sources.synthetic.portrait import Portrait


def paint_beard(portrait: Portrait) -> None:
    """The person's beard, before lips and light are painted over it."""
    person = portrait.person
    if person.beard == "none":
        return
    colour = mix(lit(person.hair.colour, 0.85), person.brows, 0.4)
    stubble = person.beard == "stubble"
    for area in _areas(person.beard, person.shape.length):
        curve = spline(area, closed=True, steps=5)
        outline = portrait.on(curve, jaw=True)
        portrait.canvas.paint(outline, colour, soft=0.035 * portrait.unit, opacity=0.3 if stubble else 0.86)
        if not stubble:
            _paint_whiskers(portrait, curve, colour)


def _areas(beard: str, long: float) -> list[Points]:
    """The outlines of a kind of beard on the face, for a face of this length."""
    y = MOUTH_HEIGHT * long
    lip = [(0.3, y), (0.44, y + 0.03), (0.3, y - 0.16), (0.08, y - 0.2)]
    chin = [(0.3, y + 0.2), (0.4, y + 0.36), (0.28, 1.4 * long), (0.06, 1.47 * long)]
    jaw = [(0.2, y - 0.19), (0.46, y - 0.12), (0.62, 0.72), (0.88, 0.45), (1.02, 0.1), (0.98, 0.7), (0.8, 1.12)]
    jaw += [(0.5, 1.38 * long), (0.1, 1.5 * long)]
    kinds = {"moustache": [lip], "goatee": [lip, chin], "full": [jaw], "stubble": [jaw]}
    return [np.concatenate([half, mirrored(half, -1)[::-1]]) for half in kinds[beard]]


def _paint_whiskers(portrait: Portrait, curve: Points, colour: Colour) -> None:
    """Single hairs, light and dark, inside the outline."""
    draws, unit = portrait.texture, portrait.unit
    low, high = curve.min(axis=0), curve.max(axis=0)
    count = int(200 * (high[0] - low[0]) * (high[1] - low[1])) + 30
    with through(portrait.canvas, [portrait.on(curve, jaw=True)], soft=0.03 * unit) as layer:
        if layer is None:
            return
        for _ in range(count):
            x, y = draws.uniform(low[0], high[0]), draws.uniform(low[1], high[1])
            hair = np.array([(x, y), (x * 1.03 + draws.uniform(-0.02, 0.02), y + 0.09)])
            layer.fill(portrait.on(ribbon(hair, 0.012), jaw=True), lit(colour, draws.uniform(0.5, 1.5)), 0.7)
