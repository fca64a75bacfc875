"""The head as a height field: where a point of the face lies in space, which way the skin faces, how light falls on it.

Units are half a head's width; x to the viewer's right, y down, z towards the viewer. The face's features are outlines
on this surface, so that a turn shifts, foreshortens and hides them as a turned head does.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from faceseg.sources.synthetic.curves import Points, table
from faceseg.sources.synthetic.draws import cosine, sine
from faceseg.sources.synthetic.person import Shape

STEP = 0.0085
LEFT, RIGHT, TOP, BOTTOM = -1.13, 1.13, -1.5, 1.62
MAP_SCALE = 76.0
MAP_SIDE = 340
CRANIUM = np.array([0.0, -0.42, -0.28])
CRANIUM_RADII = np.array([1.0, 1.04, 1.12])

# The profile from crown to chin as (y, z), before nose, lips and the rest are put on.
CREST = (
    (-1.6, -0.25), (-1.44, 0.05), (-1.25, 0.46), (-0.95, 0.76), (-0.5, 0.92), (-0.1, 0.93), (0.4, 0.97),
    (0.9, 0.99), (1.2, 0.97), (1.34, 0.86), (1.44, 0.62), (1.7, 0.5),
)  # fmt: skip


@dataclass(frozen=True)
class View:
    """How the head is held and where it is in the picture: angles in degrees, the rest in working pixels."""

    yaw: float
    pitch: float
    roll: float
    unit: float
    x: float
    y: float

    def rotate(self, points: Points) -> Points:
        """Points of the head (n, 3) as the viewer has them before the roll (n, 3)."""
        c, s = cosine(self.yaw), sine(self.yaw)
        d, t = cosine(self.pitch), sine(self.pitch)
        x, y, z = points[:, 0], points[:, 1], points[:, 2]
        turned_x, turned_z = x * c + z * s, z * c - x * s
        return np.stack([turned_x, y * d + turned_z * t, turned_z * d - y * t], axis=1)

    def place(self, points: Points) -> Points:
        """Points before the roll (n, 2 or 3) as working pixels (n, 2)."""
        c, s = cosine(self.roll) * self.unit, sine(self.roll) * self.unit
        x, y = points[:, 0], points[:, 1]
        return np.stack([self.x + c * x - s * y, self.y + s * x + c * y], axis=1)


@dataclass(frozen=True)
class Light:
    """Where the main light comes from (a direction, not of unit length), and its share beside the light from around."""

    x: float
    y: float
    z: float
    key: float


def _bump(x: np.ndarray, y: np.ndarray, at: tuple[float, float], size: tuple[float, float]) -> np.ndarray:
    """A smooth hill of height 1 at ``at``, 0 beyond the half axes ``size``."""
    across, down = (x - at[0]) / size[0], (y - at[1]) / size[1]
    inside = np.maximum(0.0, 1.0 - across * across - down * down)
    return inside * inside * (1.5 - 0.5 * inside)


class Head:
    """A person's head: heights float64 (rows, columns) on a grid of STEP, with its slopes."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.columns = LEFT + STEP * np.arange(int((RIGHT - LEFT) / STEP) + 1)
        self.rows = TOP + STEP * np.arange(int((BOTTOM - TOP) / STEP) + 1)
        self.chin = 1.42 * shape.length
        x, y = self.columns[None, :], self.rows[:, None]
        width = self._half_width()[:, None]
        across = np.clip(x / np.maximum(width, 1e-3), -1, 1)
        square = across * across
        rim = table([(-1.6, -0.3), (-0.4, -0.2), (0.4, -0.16), (1.0, 0.14), (1.3, 0.4), (1.7, 0.6)], self.rows)
        # A longer face is longer below the eyes.
        longer = 1 + (shape.length - 1) * np.clip(self.rows - 0.5, 0, 1)
        crest = table(CREST, self.rows / longer)
        dome = np.sqrt(np.maximum(0.0, 1 - 0.55 * square - 0.45 * square * square))
        heights = rim[:, None] + (crest - rim)[:, None] * dome
        self.heights = heights + self._features(x, y)
        self.inside = np.abs(x) < width
        self.slope_x, self.slope_y = np.zeros_like(heights), np.zeros_like(heights)
        self.slope_x[:, 1:-1] = (self.heights[:, 2:] - self.heights[:, :-2]) / (2 * STEP)
        self.slope_y[1:-1] = (self.heights[2:] - self.heights[:-2]) / (2 * STEP)

    def _half_width(self) -> np.ndarray:
        """Half the head's width in each row; the square is tabled, so that crown and chin end round."""
        jaw, chin, long = self.shape.jaw, self.shape.chin, self.shape.length
        widths = [(-1.2, 0.66), (-0.9, 0.86), (-0.5, 0.965), (-0.1, 0.985), (0.3, 0.95 + jaw * 0.3)]
        widths += [(0.62, 0.86 + jaw), (0.9, 0.735 + jaw), (1.12, 0.56 + jaw * 0.7 + chin), (1.3, 0.35 + chin)]
        knots = [(-1.7, 0.0), (-1.45, 0.0)] + [(y * (long if y > 0 else 1), w * w) for y, w in widths]
        knots += [(self.chin, 0.0), (1.9, 0.0)]
        return np.sqrt(np.maximum(0.0, table(knots, self.rows)))

    def _features(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """What brows, eyes, nose, cheeks, lips and chin add to the egg."""
        shape = self.shape
        long = shape.length
        total = np.zeros((y.shape[0], x.shape[1]))
        mirror = np.abs(x)
        total += shape.brow_ridge * _bump(mirror, y, (0.4, -0.28), (0.46, 0.17))
        total -= 0.13 * _bump(mirror, y, (0.36, -0.04), (0.36, 0.25))
        total += 0.10 * _bump(mirror, y, (shape.eye_gap, 0.0), (0.25, 0.18))
        total += shape.cheek * _bump(mirror, y, (0.52, 0.36), (0.36, 0.34))
        total -= 0.05 * _bump(mirror, y, (0.62, 0.78), (0.24, 0.36))
        total -= 0.04 * _bump(mirror, y, (0.95, -0.35), (0.26, 0.4))
        total += 0.07 * _bump(x, y, (0.0, 0.86 * long), (0.5, 0.26))
        total += 0.045 * _bump(x, y, (0.0, 0.79 * long), (0.36, 0.1))
        total += 0.06 * _bump(x, y, (0.0, 0.95 * long), (0.32, 0.11))
        total -= 0.05 * _bump(x, y, (0.0, 1.1 * long), (0.32, 0.1))
        total += 0.08 * _bump(x, y, (0.0, 1.27 * long), (0.34, 0.2))
        total -= 0.025 * _bump(x, y, (0.0, 0.7 * long), (0.055, 0.12))
        return total + self._nose(mirror, y)

    def _nose(self, mirror: np.ndarray, y: np.ndarray) -> np.ndarray:
        shape = self.shape
        tip = 0.5 * shape.nose_length
        high = shape.nose_height
        bridge = [(-0.6, 0.0), (-0.3, 0.0), (-0.12, 0.06), (0.1, 0.34 * high + 0.04), (tip - 0.1, 0.88 * high)]
        end = [(tip, high), (tip + 0.07, high * 0.72), (tip + 0.15, 0.08), (tip + 0.2, 0.0), (1.9, 0.0)]
        ridge = table([*bridge, *end], self.rows)[:, None]
        wide = table([(-0.6, 0.16), (-0.1, 0.15), (0.15, 0.19), (tip, 0.25), (tip + 0.2, 0.24), (1.9, 0.2)], self.rows)
        across = np.minimum(1.0, mirror / (wide * shape.nose_width)[:, None])
        flank = 1 - across * across
        wing = _bump(mirror, y, (0.17 * shape.nose_width, tip + 0.04), (0.11, 0.12))
        return np.maximum(0.0, ridge) * flank * flank + 0.11 * wing

    def height_at(self, points: Points) -> np.ndarray:
        """The surface's z at points (n, 2), by bilinear interpolation."""
        column = np.clip((points[:, 0] - LEFT) / STEP, 0, len(self.columns) - 1.001)
        row = np.clip((points[:, 1] - TOP) / STEP, 0, len(self.rows) - 1.001)
        i, j = row.astype(np.int64), column.astype(np.int64)
        v, u = row - i, column - j
        grid = self.heights
        above = grid[i, j] + u * (grid[i, j + 1] - grid[i, j])
        below = grid[i + 1, j] + u * (grid[i + 1, j + 1] - grid[i + 1, j])
        return above + v * (below - above)

    def drop_at(self, y: np.ndarray, jaw: float) -> np.ndarray:
        """How far an open jaw moves the surface down at height y."""
        t = np.clip((y - 0.86 * self.shape.length) / 0.14, 0, 1)
        return jaw * t

    def surface(self, points: Points, jaw: float = 0.0) -> Points:
        """Points on the face (n, 2) in space (n, 3)."""
        y = points[:, 1] + self.drop_at(points[:, 1], jaw)
        return np.stack([points[:, 0], y, self.height_at(points)], axis=1)


@dataclass(frozen=True)
class Relief:
    """A head seen from one view: silhouettes before the roll (n, 2), and light as 8-bit maps on the picture's grid.

    front is all of the height field, face its part below the top of the forehead.
    """

    front: Points
    face: Points
    light: Image.Image
    shine: Image.Image


def cranium_outline(view: View, swell: float = 0.0) -> Points:
    """The skull's silhouette before the roll (60, 2): the outline of a turned ellipsoid, ``swell`` thicker."""
    radii = CRANIUM_RADII + swell
    axes = view.rotate(np.diag(radii))[:, :2]
    a, b, c = (
        axes[0, i] * axes[0, j] + axes[1, i] * axes[1, j] + axes[2, i] * axes[2, j] for i, j in ((0, 0), (0, 1), (1, 1))
    )
    middle = view.rotate(CRANIUM[None])[0, :2]
    directions = np.array([[cosine(angle), sine(angle)] for angle in range(0, 360, 6)])
    x, y = directions[:, 0], directions[:, 1]
    across, down = a * x + b * y, b * x + c * y
    reach = np.sqrt(x * across + y * down)
    return np.stack([middle[0] + across / reach, middle[1] + down / reach], axis=1)


def relief(head: Head, view: View, light: Light, jaw: float, size: tuple[int, int]) -> Relief:
    """Turn the height field, find its outline, and light it.

    size: the working picture's width and height. The light map's 0..255 stands for no light to full light.
    """
    y_grid = head.rows[:, None] + head.drop_at(head.rows, jaw)[:, None]
    inside = head.inside
    x = np.broadcast_to(head.columns[None, :], inside.shape)[inside]
    y = np.broadcast_to(y_grid, inside.shape)[inside]
    seen = view.rotate(np.stack([x, y, head.heights[inside]], axis=1))
    slope_x, slope_y = head.slope_x[inside], head.slope_y[inside]
    steep = np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
    facing = view.rotate(np.stack([-slope_x, -slope_y, np.ones_like(slope_x)], axis=1)) / steep[:, None]

    column = np.clip((seen[:, 0] * MAP_SCALE + MAP_SIDE / 2).astype(np.int64), 0, MAP_SIDE - 1)
    row = np.clip((seen[:, 1] * MAP_SCALE + MAP_SIDE / 2).astype(np.int64), 0, MAP_SIDE - 1)
    # Nearest last: of several points in one map pixel the last one written stays.
    order = np.argsort((seen[:, 2] * 1000).astype(np.int16), kind="stable")
    place = (row * MAP_SIDE + column)[order]
    maps = [_splat(values[order], place) for values in _lighting(facing, light)]
    everywhere = np.ones(len(y), dtype=bool)
    return Relief(
        _silhouette(seen, everywhere),
        _silhouette(seen, y >= -1.05),
        *(_on_picture(values, view, size) for values in maps),
    )


def _lighting(facing: np.ndarray, light: Light) -> tuple[np.ndarray, np.ndarray]:
    """Light on the skin and mirrored light, 0..1, for normals (n, 3)."""
    length = np.sqrt(light.x * light.x + light.y * light.y + light.z * light.z)
    lx, ly, lz = light.x / length, light.y / length, light.z / length
    along = facing[:, 0] * lx + facing[:, 1] * ly + facing[:, 2] * lz
    # A wrapped cosine stands for the softness of skin and lamps.
    key = np.maximum(0.0, (along + 0.25) / 1.25)
    around = 0.62 + 0.2 * facing[:, 2] - 0.18 * facing[:, 1]
    diffuse = light.key * key * np.sqrt(key) * 1.15 + (1 - light.key) * around
    half = np.sqrt(lx * lx + ly * ly + (lz + 1) * (lz + 1))
    mirror = np.maximum(0.0, (facing[:, 0] * lx + facing[:, 1] * ly + facing[:, 2] * (lz + 1)) / half)
    fourth = mirror * mirror * mirror * mirror
    return np.clip(diffuse, 0, 1), fourth * fourth * fourth * light.key


def _splat(values: np.ndarray, place: np.ndarray) -> Image.Image:
    """Values 0..1 as an 8-bit map; pixels that no point fell on take the largest of their neighbours'."""
    flat = np.zeros(MAP_SIDE * MAP_SIDE, dtype=np.uint8)
    flat[place] = (1 + values * 254).astype(np.uint8)
    known = flat.reshape(MAP_SIDE, MAP_SIDE)
    for _ in range(5):
        padded = np.pad(known, 1)
        beside = np.maximum(
            np.maximum(padded[1:-1, :-2], padded[1:-1, 2:]), np.maximum(padded[:-2, 1:-1], padded[2:, 1:-1])
        )
        known = np.where(known == 0, beside, known)
    return Image.fromarray(known).filter(ImageFilter.GaussianBlur(1.4))


def _silhouette(seen: Points, kept: np.ndarray) -> Points:
    """The outline of the points kept, as the widest x in each of many rows."""
    x, y = seen[kept, 0], seen[kept, 1]
    low, tall = float(y.min()), float(y.max() - y.min())
    count = 64
    row = np.minimum(count - 1, ((y - low) / tall * count).astype(np.int64))
    left, right = np.full(count, 9.0), np.full(count, -9.0)
    np.minimum.at(left, row, x)
    np.maximum.at(right, row, x)
    rows = low + (np.arange(count) + 0.5) * (tall / count)
    for side in (left, right):
        side[1:-1] = (side[:-2] + 2 * side[1:-1] + side[2:]) / 4
    return np.concatenate([np.stack([right, rows], axis=1), np.stack([left, rows], axis=1)[::-1]])


def _on_picture(values: Image.Image, view: View, size: tuple[int, int]) -> Image.Image:
    """A map before the roll, moved onto the working picture."""
    scale = MAP_SCALE / view.unit
    c, s = cosine(view.roll) * scale, sine(view.roll) * scale
    half = MAP_SIDE / 2
    matrix = (c, s, half - c * view.x - s * view.y, -s, c, half + s * view.x - c * view.y)
    return values.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
