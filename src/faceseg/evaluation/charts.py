"""Line charts as inline SVG: they scale, print, follow the reader's colours, and need no script and no network."""

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

WIDTH, HEIGHT = 480, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 32
TICKS = 5

Series = Mapping[str, Sequence[tuple[float, float]]]


def line_chart(series: Series, title: str) -> Markup:
    """Lines over epochs.

    Args:
        series: (epoch, value) points by name; the first is drawn in the colour ``--line-0``, and so on. Points that are
            no finite numbers are left out.
        title: read out by a screen reader in place of the drawing, with first and last value of each line.

    Returns:
        one ``svg`` element.
    """
    known = {name: [(x, y) for x, y in points if math.isfinite(y)] for name, points in series.items()}
    known = {name: points for name, points in known.items() if points}
    if not known:
        return Markup("")
    every = [point for points in known.values() for point in points]
    x_ticks = ticks(min(x for x, _ in every), max(x for x, _ in every), whole=True)
    y_ticks = ticks(min(y for _, y in every), max(y for _, y in every))
    spoken = "; ".join(f"{name} from {points[0][1]:.3g} to {points[-1][1]:.3g}" for name, points in known.items())
    parts = [
        Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}: {}">').format(WIDTH, HEIGHT, title, spoken),
        *_grid(x_ticks, y_ticks),
        *(_line(points, x_ticks, y_ticks, index) for index, points in enumerate(known.values())),
        Markup("</svg>"),
    ]
    return Markup("").join(parts)


def ticks(low: float, high: float, whole: bool = False) -> list[float]:
    """About ``TICKS`` round numbers, 1, 2 or 5 times a power of ten apart, that enclose ``low`` and ``high``."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / TICKS))
    step = next(step for step in (power, 2 * power, 5 * power, 10 * power) if span / step <= TICKS)
    if whole:
        step = max(1.0, round(step))
    first = math.floor(low / step + 1e-9)
    last = max(first + 1, math.ceil(high / step - 1e-9))
    return [number * step for number in range(first, last + 1)]


def _x(value: float, x_ticks: Sequence[float]) -> float:
    return LEFT + (value - x_ticks[0]) / (x_ticks[-1] - x_ticks[0]) * (WIDTH - LEFT - RIGHT)


def _y(value: float, y_ticks: Sequence[float]) -> float:
    return HEIGHT - BOTTOM - (value - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]) * (HEIGHT - TOP - BOTTOM)


def _grid(x_ticks: Sequence[float], y_ticks: Sequence[float]) -> list[Markup]:
    across = Markup('<path class="grid" d="M{} {:.1f}H{}"/><text class="end" x="{}" y="{:.1f}">{:.4g}</text>')
    along = Markup('<text class="middle" x="{:.1f}" y="{}">{:.4g}</text>')
    rows = [across.format(LEFT, y, WIDTH - RIGHT, LEFT - 6, y + 4, v) for v in y_ticks for y in [_y(v, y_ticks)]]
    return rows + [along.format(_x(value, x_ticks), HEIGHT - BOTTOM + 20, value) for value in x_ticks]


def _line(
    points: Sequence[tuple[float, float]], x_ticks: Sequence[float], y_ticks: Sequence[float], index: int
) -> Markup:
    where = [(_x(x, x_ticks), _y(y, y_ticks)) for x, y in points]
    colour = Markup('style="--line: var(--line-{})"').format(index)
    if len(where) == 1:
        return Markup('<circle class="dot" {} cx="{:.1f}" cy="{:.1f}" r="3"/>').format(colour, *where[0])
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in where)
    return Markup('<polyline class="line" {} points="{}"/>').format(colour, path)
