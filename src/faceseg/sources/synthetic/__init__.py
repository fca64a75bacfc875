"""The embedded dataset: portraits with all 18 source classes of multiclass-face, drawn the same way everywhere.

Reading order: draws (keyed choices), colours, curves, person and scene (who, where), head (the height field and its
light), canvas and layers (picture and label as one), portrait (what painters share), body, face with eyes, mouth and
beard, hair, wear (glasses, hats), backdrop, camera, paint (the order), clips (generate).

Float arithmetic on what reaches a file is + - * / and square roots, which IEEE 754 fixes; sines are rounded to 1e-4;
sums over arrays, whose order differs between processors, are not used.
"""

from faceseg.sources.synthetic.clips import generate

__all__ = ["generate"]
