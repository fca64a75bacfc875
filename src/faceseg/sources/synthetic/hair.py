"""Hair of the head: a mass behind, a cap over the skull down to the hairline, and locks beside the face."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from faceseg.sources.synthetic.colours import Colour, lit
from faceseg.sources.synthetic.curves import Points, centre, ellipse, mirrored, spline
from faceseg.sources.synthetic.head import cranium_outline
from faceseg.sources.synthetic.portrait import HAIR, SIDES, Portrait

CURLY = ("curls", "afro")


@dataclass(frozen=True)
class _Flow:
    """Where strands run: from each start to each end (n, 2), bent sideways by ``bend`` of their length."""

    starts: Points
    ends: Points
    bend: np.ndarray
    wave: float


def _hair_outline(portrait: Portrait) -> Points:
    """The skull's outline with the hair's volume on it, which is largest on top, before the roll (60, 2)."""
    hair = portrait.person.hair
    outline = cranium_outline(portrait.view, hair.volume)
    if portrait.person.hat in ("none", "band"):
        middle = float(outline[:, 1].min() + outline[:, 1].max()) / 2
        lift = {"buzz": 0.0, "swept": 0.2, "short": 0.1, "updo": 0.05}.get(hair.style, 0.12)
        above = np.maximum(0.0, middle - outline[:, 1])
        outline[:, 1] = outline[:, 1] - lift * above
    return outline


def paint_back_hair(portrait: Portrait) -> None:
    """What of the hair lies behind face, neck and shoulders."""
    hair, unit = portrait.person.hair, portrait.unit
    if hair.style == "bald":
        return
    skull = _hair_outline(portrait)
    if hair.style == "horseshoe":
        skull = skull[skull[:, 1] > -0.75]
    outlines = [portrait.view.place(_ragged(portrait, skull, 0.02 + 0.1 * (hair.style in CURLY)))]
    if hair.style == "updo":
        x, y = (float(part) for part in portrait.at([(0.0, -1.45, -0.75)])[0])
        outlines.append(_ragged(portrait, ellipse(x, y, 0.42 * unit, 0.36 * unit), 0.02 * unit))
    if hair.fall:
        outlines.append(_curtain(portrait, skull))
    _paint_mass(portrait, outlines, _falling(portrait, outlines), 0.72)


def _curtain(portrait: Portrait, skull: Points) -> Points:
    """Hair that hangs behind the neck, from the widest part of the head downwards."""
    fall, volume = portrait.person.hair.fall, portrait.person.hair.volume
    left, right = float(skull[:, 0].min()), float(skull[:, 0].max())
    middle, half, swell = (left + right) / 2, (right - left) / 2, 0.1 + 0.35 * volume
    side = [(half - 0.3, -1.0), (half - 0.02, -0.45), (half + swell * 0.3, 0.2), (half + swell, max(0.6, fall * 0.6))]
    side += [(half + swell * 0.3, fall), (half - 0.3, fall + 0.12)]
    outline = spline(np.concatenate([side, mirrored(side, -1)[::-1]]), closed=True) + np.array([middle, 0.0])
    rough = 0.02 + 0.05 * (portrait.person.hair.style in ("wavy", *CURLY))
    return portrait.view.place(_ragged(portrait, outline, rough))


def paint_cap(portrait: Portrait) -> None:
    """Hair over the skull and down to the hairline, fringe included."""
    hair, view, unit = portrait.person.hair, portrait.view, portrait.unit
    if hair.style == "bald":
        return
    if hair.style == "horseshoe":
        _paint_horseshoe(portrait)
        return
    line = portrait.on(_hairline(portrait), lift=0.03)
    crown = view.place(_upper_arc(_ragged(portrait, _hair_outline(portrait), 0.015 + 0.07 * (hair.style in CURLY))))
    if hair.style in ("swept", "short", "updo", "buzz"):
        source = (hair.part * 0.6, -1.3 - hair.volume, -0.7)
    else:
        source = (hair.part, -1.42 - hair.volume, 0.1)
    ends = np.concatenate([line[4:-4], crown])
    starts = np.repeat(portrait.at([source]), len(ends), axis=0)
    bend = 0.18 * np.sign((ends - starts)[:, 0])
    portrait.canvas.stroke(line, 0.1 * unit, lit(portrait.person.skin, 0.4), soft=0.05 * unit, opacity=0.45)
    _paint_mass(portrait, [np.concatenate([line, crown])], _Flow(starts, ends, bend, 0.0), 1.0)


def _paint_horseshoe(portrait: Portrait) -> None:
    """Short hair at the sides of a bald head."""
    patch = [(0.97, 0.12, -0.05), (0.93, -0.3, 0.12), (0.9, -0.62, 0.0), (0.94, -0.82, -0.3)]
    patch += [(1.03, -0.5, -0.5), (1.05, -0.1, -0.45)]
    for side in SIDES:
        if side != portrait.far:
            outline = spline(portrait.at(mirrored(patch, side)), closed=True)
            outline = _ragged(portrait, outline, 0.02 * portrait.unit)
            _paint_mass(portrait, [outline], _falling(portrait, [outline]), 0.95)


def _hairline(portrait: Portrait) -> Points:
    """The front edge of the hair on the face (n, 2), from the viewer's left sideburn to the right one."""
    hair, draws = portrait.person.hair, portrait.texture
    y = hair.line
    burn = 0.28 if portrait.person.beard in ("full", "stubble") else 0.02
    temple = [(-0.985, burn), (-0.93, -0.2), (-0.87, -0.44), (-0.81, y + 0.3), (-0.62, y + 0.08), (-0.4, y - 0.02)]
    middle = [(-0.2, y - 0.02), (0.0, y), (0.2, y - 0.02)]
    if hair.style in ("parted", "straight", "wavy", "bob"):
        # Hair falls to both sides of the parting and covers the temples.
        part, low = hair.part, y + 0.26
        temple = [(-0.985, 0.1), (-0.95, -0.15), (-0.9, -0.4), (-0.72, low - 0.08), (-0.45 + 0.3 * part, low - 0.2)]
        middle = [(part - 0.12, y - 0.02), (part, y - 0.1), (part + 0.12, y - 0.02)]
    if hair.style == "fringe":
        low = y + hair.fringe
        temple = [(-0.985, 0.15), (-0.93, -0.1), (-0.86, -0.32), (-0.72, low + 0.05), (-0.5, low)]
        middle = [(-0.2, low - 0.02), (0.0, low + 0.015), (0.2, low - 0.02)]
    right = mirrored(temple, -1)[::-1]
    if hair.style in ("parted", "straight", "wavy", "bob"):
        right[0, 0] = 0.45 + 0.3 * hair.part
    line = spline(np.concatenate([temple, middle, right]), steps=6)
    rough = {"fringe": 0.035, "curls": 0.035, "afro": 0.02}.get(hair.style, 0.014)
    line[1:-1, 1] = line[1:-1, 1] + draws.uniforms(len(line) - 2, -rough, rough)
    return line


def _upper_arc(outline: Points) -> Points:
    """The part of an outline around the skull above the ears, from the viewer's right over the top to the left."""
    upper = outline[outline[:, 1] < -0.16]
    # By direction as seen from far below the crown, which meets each point of the arc once.
    return upper[np.argsort(-upper[:, 0] / (1.2 - upper[:, 1]), kind="stable")]


def paint_lock(portrait: Portrait, side: int) -> None:
    """Hair beside the face, over the ear."""
    hair = portrait.person.hair
    if not hair.covers_ears:
        return
    unit, draws = portrait.unit, portrait.texture
    fall, thick = max(0.55, hair.fall), hair.volume * 0.8
    tip = 0.86 + draws.uniform(-0.06, 0.06)
    inner = [(0.76, -0.66, 0.45), (0.9, -0.25, 0.22), (0.92, 0.2, 0.14), (0.88, 0.66, 0.1)]
    outer = [(1.07 + thick, 0.4, -0.3), (1.0 + thick, -0.2, -0.3), (0.88 + thick * 0.6, -0.7, -0.2)]
    if hair.style not in CURLY and fall >= 0.7:
        inner += [(tip, max(0.8, fall * 0.6), 0.1), (tip + 0.1, fall, 0.1)]
        outer = [(1.12, fall + 0.08, -0.1), (1.1 + thick, fall * 0.62, -0.3), *outer]
    knots = mirrored([*inner, *outer], side)
    curve = spline(portrait.at(knots), closed=True, steps=7)
    outline = _ragged(portrait, curve, (0.012 + 0.05 * (hair.style in ("wavy", *CURLY))) * unit)
    split = (len(inner) - 1) * 7 + 1
    first, last = curve[:split], curve[split:][::-1]
    portrait.canvas.stroke(first, 0.12 * unit, lit(portrait.person.skin, 0.35), soft=0.06 * unit, opacity=0.4)
    across = draws.uniforms(60, 0, 1)[:, None]
    tops, tips = (start + across * (end - start) for start, end in ((first[0], last[0]), (first[-1], last[-1])))
    flow = _Flow(tops, tips, np.full(60, -0.05 * side), 0.05 if hair.style == "wavy" else 0.01)
    _paint_mass(portrait, [outline], flow, 0.95)


def _ragged(portrait: Portrait, outline: Points, rough: float) -> Points:
    """The outline with every point moved a little from or towards its middle."""
    away = outline - centre(outline)
    length = np.sqrt(away[:, 0] * away[:, 0] + away[:, 1] * away[:, 1]) + 1e-9
    return outline + away / length[:, None] * portrait.texture.uniforms(len(outline), -rough, rough)[:, None]


def _falling(portrait: Portrait, outlines: list[Points]) -> _Flow:
    """Strands from the crown downwards, over the whole box of the outlines."""
    low = np.min([outline.min(axis=0) for outline in outlines], axis=0)
    high = np.max([outline.max(axis=0) for outline in outlines], axis=0)
    count = 110
    x = portrait.texture.uniforms(count, float(low[0]), float(high[0]))
    middle = (low[0] + high[0]) / 2
    starts = np.stack([middle + (x - middle) * 0.75, np.full(count, low[1])], axis=1)
    ends = np.stack([x, np.full(count, high[1])], axis=1)
    return _Flow(starts, ends, 0.05 * np.sign(x - middle), 0.03 if portrait.person.hair.style == "wavy" else 0.0)


def _paint_mass(portrait: Portrait, outlines: list[Points], flow: _Flow, tone: float) -> None:
    """Fill outlines with hair: strands along the flow, or curls, under the light of a ball."""
    canvas, hair = portrait.canvas, portrait.person.hair
    for outline in outlines:
        canvas.mark(outline, HAIR)
    covered = canvas.cover(outlines, soft=0.5)
    if covered is None:
        return
    mask, box = covered
    base = lit(hair.colour, tone)
    size = (box[2] - box[0], box[3] - box[1])
    layer = Image.new("RGB", size, base)
    pen = ImageDraw.Draw(layer)
    origin = np.array(box[:2])
    if hair.style in CURLY:
        _draw_curls(portrait, pen, size, base)
    else:
        _draw_strands(portrait, pen, flow, origin, base)
    layer = layer.filter(ImageFilter.GaussianBlur(0.6))
    values = (np.asarray(layer, dtype=np.float32) + np.float32(6)) * _ball_light(portrait, box)
    canvas.picture.paste(Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)), box, mask)


def _draw_strands(portrait: Portrait, pen: ImageDraw.ImageDraw, flow: _Flow, origin: Points, base: Colour) -> None:
    draws = portrait.texture
    count = len(flow.starts)
    repeats = max(1, 420 // count)
    t = (np.arange(9) / 8)[None, :, None]
    for turn in range(repeats):
        jitter = (draws.generator.random((count, 2)) - 0.5) * (0.12 * portrait.unit)
        starts, ends = flow.starts + jitter * 0.5, flow.ends + jitter
        along = ends - starts
        side = np.stack([-along[:, 1], along[:, 0]], axis=1) * flow.bend[:, None] * (0.7 + 0.6 * turn / repeats)
        control = (starts + ends) / 2 - side
        lines = (1 - t) * (1 - t) * starts[:, None] + 2 * t * (1 - t) * control[:, None] + t * t * ends[:, None]
        if flow.wave:
            ripple = np.array([0, 1, 0, -1, 0, 1, 0, -1, 0]) * (flow.wave * portrait.unit * 1.6)
            lines[:, :, 0] = lines[:, :, 0] + ripple[None, :]
        shades = draws.uniforms(count, 0.62, 1.38)
        lines = lines - origin
        widths = draws.uniforms(count, 1, 3.6)
        for line, shade, width in zip(lines, shades, widths, strict=True):
            pen.line(line.reshape(-1).tolist(), fill=lit(base, float(shade)), width=int(width))


def _draw_curls(portrait: Portrait, pen: ImageDraw.ImageDraw, size: tuple[int, int], base: Colour) -> None:
    draws = portrait.texture
    radius = 0.055 * portrait.unit
    count = min(1500, int(size[0] * size[1] / (radius * radius) * 0.9))
    x, y = draws.uniforms(count, 0, size[0]), draws.uniforms(count, 0, size[1])
    sizes, shades = draws.uniforms(count, 0.6, 1.4) * radius, draws.uniforms(count, 0.5, 1.45)
    turns = draws.uniforms(count, 0, 360)
    for u, v, r, shade, turn in zip(x, y, sizes, shades, turns, strict=True):
        box = (int(u - r), int(v - r), int(u + r) + 1, int(v + r) + 1)
        pen.arc(box, int(turn), int(turn) + 230, fill=lit(base, float(shade)), width=2)


def _ball_light(portrait: Portrait, box: tuple[int, int, int, int]) -> np.ndarray:
    """Factors float32 (h, w, 1) of light on a ball as large as the hair, with the band of gloss that hair has."""
    view, light, hair = portrait.view, portrait.frame.light, portrait.person.hair
    radius = np.float32(view.unit * (1.25 + hair.volume))
    x = ((np.arange(box[0], box[2], dtype=np.float32) - np.float32(view.x)) / radius)[None, :]
    y = ((np.arange(box[1], box[3], dtype=np.float32) - np.float32(view.y - 0.4 * view.unit)) / radius)[:, None]
    # Long hair below the ball is lit as the ball's waist is.
    x, y = x * np.float32(0.8), np.clip(y, np.float32(-1), np.float32(0.15))
    z = np.sqrt(np.maximum(np.float32(0.05), np.float32(1) - x * x - y * y))
    length = np.sqrt(np.float32(light.x * light.x + light.y * light.y + light.z * light.z))
    along = (x * np.float32(light.x) + y * np.float32(light.y) + z * np.float32(light.z)) / length
    band = np.maximum(
        np.float32(0), np.float32(1) - np.abs(y + np.float32(0.5) - x * np.float32(0.15)) * np.float32(4.5)
    )
    gloss = band * band * np.maximum(np.float32(0), along) * np.float32(0.0 if hair.style in CURLY else 0.5)
    return (np.float32(0.55) + np.float32(0.62) * np.maximum(np.float32(-0.3), along) + gloss)[:, :, None]
