"""How masks number and colour their classes, everywhere: 0..K-1 in the order of the merge, 255 for "not scored"."""

from collections.abc import Sequence

IGNORED = 255  # not scored
IGNORED_COLOUR = (255, 255, 255)
_NO_CLASS_COLOUR = (0, 0, 0)


def palette(colours: Sequence[tuple[int, int, int]]) -> bytes:
    """The palette of a mask of these classes.

    Args:
        colours: RGB, 0..255, by id; at most 255.

    Returns:
        768 bytes: 256 RGB triples by id; 255 is white, and ids that are no class are black.
    """
    unused = [_NO_CLASS_COLOUR] * (IGNORED - len(colours))
    return bytes(level for colour in (*colours, *unused, IGNORED_COLOUR) for level in colour)
