"""What the painters share: one person in one frame on one canvas, and the way from the head's units to pixels."""

from dataclasses import dataclass

import numpy as np

from faceseg.sources.synthetic.canvas import Canvas
from faceseg.sources.synthetic.colours import Colour, lit
from faceseg.sources.synthetic.curves import Points
from faceseg.sources.synthetic.draws import Draws
from faceseg.sources.synthetic.head import Head, View
from faceseg.sources.synthetic.person import Person
from faceseg.sources.synthetic.scene import Frame

BACKGROUND, FACE = 0, 1
NOSE, LOWER_LIP, INNER_MOUTH, UPPER_LIP = 6, 7, 8, 9
HAIR, HEADDRESS, GLASSES, HEAD = 10, 15, 16, 17
# The person's left is the viewer's right, and the first of each pair is the person's left.
BROWS, EYES, AROUND_EYES, EARS = {1: 2, -1: 3}, {1: 4, -1: 5}, {1: 11, -1: 12}, {1: 13, -1: 14}
SIDES = (-1, 1)


@dataclass(frozen=True)
class Portrait:
    """A person, a frame and a canvas. ``texture`` draws strands and spots the same way in every frame of a clip."""

    canvas: Canvas
    person: Person
    frame: Frame
    head: Head
    texture: Draws

    @property
    def view(self) -> View:
        return self.frame.view

    @property
    def unit(self) -> float:
        """Working pixels in half a head's width."""
        return self.frame.view.unit

    @property
    def far(self) -> int:
        """The side (1: viewer's right) that is turned away, 0 when hardly any is."""
        return 0 if abs(self.view.yaw) < 9 else (1 if self.view.yaw > 0 else -1)

    @property
    def shaded(self) -> int:
        """The side away from the light: -1 the viewer's left, 1 the right."""
        return -1 if self.frame.light.x > 0 else 1

    def on(self, points: Points | list[tuple[float, float]], lift: float | Points = 0.0, jaw: bool = False) -> Points:
        """Points of the face (n, 2) as working pixels (n, 2), ``lift`` above the skin; ``jaw``: they move with it."""
        flat = np.asarray(points, dtype=np.float64)
        space = self.head.surface(flat, self.frame.jaw if jaw else 0.0)
        space[:, 2] = space[:, 2] + lift
        return self.view.place(self.view.rotate(space))

    def at(self, points: Points | list[tuple[float, float, float]]) -> Points:
        """Points in space (n, 3) as working pixels (n, 2)."""
        return self.view.place(self.view.rotate(np.asarray(points, dtype=np.float64)))

    def lit(self, colour: Colour, side: float) -> Colour:
        """A colour under the light, on something that faces left (-1), the viewer (0) or right (1)."""
        light = self.frame.light
        toward = side * light.x / (abs(light.x) + light.z)
        return lit(colour, 0.85 + 0.4 * toward * light.key)
