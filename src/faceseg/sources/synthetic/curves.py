"""Outlines as point lists: Catmull-Rom splines, ellipses and ribbons, with IEEE-exact arithmetic only."""

from collections.abc import Sequence

import numpy as np

from faceseg.sources.synthetic.draws import cosine, sine

Points = np.ndarray
"""float64 (n, 2) or (n, 3)."""

CIRCLE = np.array([[cosine(degrees), sine(degrees)] for degrees in range(0, 360, 6)])
"""float64 (60, 2): a unit circle."""


def spline(knots: Sequence[Sequence[float]] | Points, closed: bool = False, steps: int = 8) -> Points:
    """A Catmull-Rom curve through ``knots`` (n, d), ``steps`` points between two knots."""
    points = np.asarray(knots, dtype=np.float64)
    if closed:
        padded = np.concatenate([points[-1:], points, points[:2]])
    else:
        first, last = 2 * points[:1] - points[1:2], 2 * points[-1:] - points[-2:-1]
        padded = np.concatenate([first, points, last])
    before, start, end, after = padded[:-3, None], padded[1:-2, None], padded[2:-1, None], padded[3:, None]
    t = (np.arange(steps) / steps)[None, :, None]
    curve = start + 0.5 * t * (
        (end - before) + t * ((2 * before - 5 * start + 4 * end - after) + t * (3 * (start - end) + after - before))
    )
    curve = curve.reshape(-1, points.shape[1])
    return curve if closed else np.concatenate([curve, points[-1:]])


def ellipse(x: float, y: float, across: float, down: float, tilt: float = 0.0) -> Points:
    """A closed outline around (x, y) with the half axes ``across`` and ``down``, turned by ``tilt`` degrees."""
    points = CIRCLE * np.array([across, down])
    c, s = cosine(tilt), sine(tilt)
    return np.stack([x + c * points[:, 0] - s * points[:, 1], y + s * points[:, 0] + c * points[:, 1]], axis=1)


def ribbon(line: Points, width: float | np.ndarray) -> Points:
    """The closed outline of a stroke along ``line`` (n, 2): ``width`` is one number or one for each point."""
    step = np.empty_like(line)
    step[1:-1] = line[2:] - line[:-2]
    step[0], step[-1] = line[1] - line[0], line[-1] - line[-2]
    length = np.sqrt(step[:, 0] * step[:, 0] + step[:, 1] * step[:, 1]) + 1e-9
    half = np.asarray(width, dtype=np.float64) / 2
    normal = np.stack([-step[:, 1] / length * half, step[:, 0] / length * half], axis=1)
    return np.concatenate([line + normal, (line - normal)[::-1]])


def taper(count: int, start: float = 0.0, end: float = 0.0) -> np.ndarray:
    """float64 (count,): 1 in the middle, ``start`` and ``end`` at the ends, along a parabola."""
    t = np.arange(count) / max(1, count - 1)
    rise = 4 * t * (1 - t)
    return rise + (1 - rise) * np.where(t < 0.5, start, end)


def centre(points: Points) -> np.ndarray:
    """The middle of the box around the points (2,): unlike a mean, no sum whose order could matter."""
    return (points.min(axis=0) + points.max(axis=0)) / 2


def mirrored(points: Sequence[Sequence[float]] | Points, side: int) -> Points:
    """The points with x multiplied by ``side`` (1 or -1)."""
    out = np.array(points, dtype=np.float64)
    out[:, 0] = out[:, 0] * side
    return out


def table(knots: Sequence[Sequence[float]], at: np.ndarray) -> np.ndarray:
    """A smooth function given by (position, value) knots, read at the positions ``at`` (linear between fine steps)."""
    curve = spline(knots, steps=16)
    place = np.clip(np.searchsorted(curve[:, 0], at), 1, len(curve) - 1)
    low, high = curve[place - 1], curve[place]
    t = np.clip((at - low[:, 0]) / (high[:, 0] - low[:, 0]), 0, 1)
    return low[:, 1] + t * (high[:, 1] - low[:, 1])
