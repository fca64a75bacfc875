"""One picture from back to front; the order is the order in which things hide one another."""

from PIL import Image

from faceseg.sources.synthetic.backdrop import MARGIN
from faceseg.sources.synthetic.body import paint_clothes, paint_ear, paint_neck, paint_skull
from faceseg.sources.synthetic.canvas import Canvas
from faceseg.sources.synthetic.draws import Draws
from faceseg.sources.synthetic.face import paint_face
from faceseg.sources.synthetic.hair import paint_back_hair, paint_cap, paint_lock
from faceseg.sources.synthetic.head import Head, relief
from faceseg.sources.synthetic.person import Person
from faceseg.sources.synthetic.portrait import SIDES, Portrait
from faceseg.sources.synthetic.scene import Frame, Scene
from faceseg.sources.synthetic.wear import paint_glasses, paint_hat, paint_scarf_back


def paint(person: Person, head: Head, scene: Scene, frame: Frame, backdrop: Image.Image, texture: Draws) -> Canvas:
    """The canvas of one frame. ``texture`` must be a fresh stream of the clip, so that strands stay where they are."""
    canvas = Canvas(scene.width, scene.height)
    across, down = (max(0, min(2 * MARGIN, MARGIN + round(step))) for step in frame.drift)
    canvas.picture.paste(backdrop.crop((across, down, across + canvas.width, down + canvas.height)))
    lit = relief(head, frame.view, frame.light, frame.jaw, (canvas.width, canvas.height))
    portrait = Portrait(canvas, person, frame, head, texture)
    if person.hat != "scarf":
        paint_back_hair(portrait)
    paint_neck(portrait)
    paint_clothes(portrait)
    paint_scarf_back(portrait)
    paint_skull(portrait)
    if not person.hair.covers_ears and person.hat != "scarf":
        for side in SIDES:
            paint_ear(portrait, side)
    if portrait.far and person.hat != "scarf":
        paint_lock(portrait, portrait.far)
    paint_face(portrait, lit)
    if person.hat != "scarf":
        paint_cap(portrait)
    paint_glasses(portrait)
    for side in SIDES:
        if side != portrait.far and person.hat != "scarf":
            paint_lock(portrait, side)
    paint_hat(portrait)
    return canvas
