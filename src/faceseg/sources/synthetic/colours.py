"""Colours of people and things, as 8-bit RGB triples, and how they are mixed."""

from faceseg.sources.synthetic.draws import Draws

Colour = tuple[int, int, int]

SKINS: tuple[Colour, ...] = (
    (247, 219, 200), (240, 205, 180), (234, 192, 163), (224, 178, 143), (214, 166, 126),
    (198, 146, 106), (178, 124, 86), (152, 101, 69), (124, 80, 54), (96, 62, 44),
)  # fmt: skip
DARK_HAIRS: tuple[Colour, ...] = ((38, 33, 33), (50, 39, 34), (66, 46, 35), (82, 56, 39))
LIGHT_HAIRS: tuple[Colour, ...] = (
    (104, 70, 44), (136, 92, 52), (170, 124, 70), (206, 168, 108), (222, 192, 140), (150, 66, 34), (176, 88, 44),
)  # fmt: skip
GREY_HAIRS: tuple[Colour, ...] = ((118, 116, 116), (160, 158, 156), (206, 204, 200), (226, 224, 220))
DYED_HAIRS: tuple[Colour, ...] = ((120, 40, 70), (52, 66, 120), (180, 70, 110))
IRISES_DARK: tuple[Colour, ...] = ((52, 32, 22), (72, 46, 28), (92, 62, 36))
IRISES_LIGHT: tuple[Colour, ...] = ((92, 110, 128), (96, 126, 150), (106, 120, 92), (112, 98, 62))
CLOTHES: tuple[Colour, ...] = (
    (34, 36, 42), (60, 66, 84), (226, 226, 222), (150, 40, 44), (44, 84, 66), (52, 82, 138), (196, 160, 120),
    (214, 178, 152), (120, 120, 124), (170, 138, 60), (96, 60, 92), (84, 66, 52), (202, 120, 96), (140, 170, 190),
)  # fmt: skip
SCENERY: tuple[Colour, ...] = (
    (196, 200, 204), (146, 152, 158), (84, 92, 104), (44, 44, 50), (214, 204, 186), (172, 144, 112), (120, 92, 66),
    (66, 48, 38), (92, 118, 84), (58, 84, 58), (134, 164, 190), (84, 118, 158), (166, 96, 84), (206, 170, 148),
    (108, 84, 116), (188, 170, 96),
)  # fmt: skip


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """``first`` with ``share`` (0..1) of ``second``."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def lit(colour: Colour, factor: float) -> Colour:
    """The colour, brighter (above 1) or darker, held within 0..255."""
    red, green, blue = (min(255, max(0, round(part * factor))) for part in colour)
    return red, green, blue


def near(draws: Draws, colour: Colour, spread: float) -> Colour:
    """A colour at most ``spread`` away in each part."""
    red, green, blue = (min(255, max(0, round(part + draws.uniform(-spread, spread)))) for part in colour)
    return red, green, blue


def luma(colour: Colour) -> float:
    """Brightness in 0..255, with the weights of ITU-R BT.601."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def skin_tone(draws: Draws) -> tuple[Colour, float]:
    """A skin colour between two neighbours of the list, and its darkness in 0..1."""
    place = draws.uniform(0, len(SKINS) - 1.001)
    step = int(place)
    tone = mix(SKINS[step], SKINS[step + 1], place - step)
    return near(draws, tone, 6), place / (len(SKINS) - 1)


def hair_colour(draws: Draws, darkness: float, old: bool) -> Colour:
    """A hair colour that people of this skin darkness (0..1) have, or grey."""
    if old and draws.chance(0.75):
        return near(draws, draws.choice(GREY_HAIRS), 8)
    if draws.chance(0.05):
        return near(draws, draws.choice(DYED_HAIRS), 12)
    light = draws.chance(0.75 - darkness * 1.1)
    return near(draws, draws.choice(LIGHT_HAIRS if light else DARK_HAIRS), 7)
