"""Who is in a clip: everything that stays the same from frame to frame, drawn once from (seed, split, clip)."""

from dataclasses import dataclass, replace

from faceseg.sources.synthetic.colours import (
    CLOTHES,
    IRISES_DARK,
    IRISES_LIGHT,
    Colour,
    hair_colour,
    lit,
    luma,
    mix,
    near,
    skin_tone,
)
from faceseg.sources.synthetic.draws import PERSON, Draws, one_in

GLASSES_EVERY, HAT_EVERY = 6, 6
GLASSES_TRAIT, HAT_TRAIT = 1, 2

# Styles with how often they are seen; bald heads come on top, more often with age.
MENS_HAIR = (
    ("buzz", 0.15), ("short", 0.22), ("parted", 0.22), ("swept", 0.18), ("curls", 0.06), ("afro", 0.04),
    ("straight", 0.06),
)  # fmt: skip
WOMENS_HAIR = (
    ("straight", 0.22), ("wavy", 0.24), ("bob", 0.14), ("fringe", 0.16), ("curls", 0.12), ("afro", 0.06),
    ("updo", 0.14), ("short", 0.06),
)  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """The bones: lengths in units of half a head's width."""

    jaw: float
    chin: float
    length: float
    cheek: float
    brow_ridge: float
    nose_length: float
    nose_width: float
    nose_height: float
    eye_width: float
    eye_height: float
    eye_gap: float
    eye_tilt: float
    mouth_width: float
    upper_lip: float
    lower_lip: float
    brow_thick: float
    brow_arch: float
    brow_drop: float
    ear: float
    ear_flare: float


@dataclass(frozen=True)
class Hair:
    """A style with its colour; ``fall`` is how far down it reaches, in half head widths (0: above the ears)."""

    style: str
    colour: Colour
    volume: float
    fall: float
    line: float
    part: float
    fringe: float
    covers_ears: bool


@dataclass(frozen=True)
class Glasses:
    form: str
    frame: Colour
    thick: float
    lens: Colour
    opacity: float


@dataclass(frozen=True)
class Person:
    """All that a clip's frames share about the person."""

    skin: Colour
    darkness: float
    lips: Colour
    iris: Colour
    brows: Colour
    shape: Shape
    hair: Hair
    beard: str
    age: float
    freckles: bool
    makeup: float
    glasses: Glasses | None
    hat: str
    hat_colour: Colour
    clothes: str
    cloth: Colour
    shirt: Colour


def draw_person(seed: int, split: int, clip: int) -> Person:
    """The person of a clip (0, 1, ...)."""
    draws = Draws(seed, PERSON, split, clip)
    skin, darkness = skin_tone(draws)
    man = draws.chance(0.5)
    age = draws.uniform(0, 1)
    colour = hair_colour(draws, darkness, age > 0.72)
    hair = _hair(draws, man, age, colour)
    red = (176, 74, 76) if darkness < 0.75 else (132, 62, 62)
    lips = near(draws, mix(lit(skin, 0.92), red, draws.uniform(0.4, 0.62)), 5)
    makeup = 0.0 if man else draws.uniform(-0.6, 1)
    if makeup > 0.4:
        lips = draws.choice(((168, 36, 52), (186, 66, 84), (140, 40, 60), (200, 92, 92)))
    brows = lit(mix(colour, (40, 30, 26), 0.45), 0.85)
    # A brow needs some contrast to be seen at all.
    while luma(brows) > 0.68 * luma(skin):
        brows = lit(brows, 0.85)
    hat = "none"
    if one_in(seed, split, clip, HAT_EVERY, HAT_TRAIT):
        hats = (("beanie", 1.0), ("cap", 1.2), ("brim", 0.8), ("scarf", 0.2 if man else 1.3), ("band", 0.3))
        hat = draws.weighted(hats)
    if hat in ("beanie", "cap", "brim"):
        hair = replace(hair, volume=min(hair.volume, 0.06), part=0.2)
    beards = (("none", 0.5), ("stubble", 0.2), ("full", 0.22), ("goatee", 0.12), ("moustache", 0.12))
    return Person(
        skin=skin,
        darkness=darkness,
        lips=lips,
        iris=near(draws, draws.choice(IRISES_LIGHT if draws.chance(0.6 - darkness) else IRISES_DARK), 8),
        brows=brows,
        shape=_shape(draws, man),
        hair=hair,
        beard=draws.weighted(beards) if man else "none",
        age=age,
        freckles=draws.chance(0.12) and darkness < 0.5,
        makeup=max(0.0, makeup),
        glasses=_glasses(draws) if one_in(seed, split, clip, GLASSES_EVERY, GLASSES_TRAIT) else None,
        hat=hat,
        hat_colour=near(draws, draws.choice(CLOTHES), 14),
        clothes=draws.choice(("round", "round", "vee", "collar", "turtle", "suit")),
        cloth=near(draws, draws.choice(CLOTHES), 14),
        shirt=near(draws, draws.choice(((232, 232, 230), (186, 200, 220), (70, 74, 84), (224, 206, 190))), 8),
    )


def _shape(draws: Draws, man: bool) -> Shape:
    heavy = 0.5 if man else -0.5
    return Shape(
        jaw=draws.middling(-0.07, 0.09) + 0.05 * heavy,
        chin=draws.middling(-0.05, 0.07) + 0.04 * heavy,
        length=draws.middling(0.92, 1.07),
        cheek=draws.uniform(0.02, 0.1),
        brow_ridge=draws.uniform(0.02, 0.06) + 0.04 * heavy,
        nose_length=draws.middling(0.94, 1.1),
        nose_width=draws.middling(0.84, 1.25),
        nose_height=draws.middling(0.24, 0.4),
        eye_width=draws.middling(0.19, 0.235),
        eye_height=draws.middling(0.085, 0.125) - 0.012 * heavy,
        eye_gap=draws.middling(0.39, 0.44),
        eye_tilt=draws.uniform(-0.02, 0.045),
        mouth_width=draws.middling(0.3, 0.42),
        upper_lip=draws.middling(0.055, 0.105) - 0.012 * heavy,
        lower_lip=draws.middling(0.075, 0.13) - 0.012 * heavy,
        brow_thick=draws.middling(0.07, 0.12) + 0.02 * heavy,
        brow_arch=draws.uniform(0.0, 0.07) - 0.025 * heavy,
        brow_drop=draws.middling(-0.03, 0.03) + 0.02 * heavy,
        ear=draws.middling(0.85, 1.15),
        ear_flare=draws.uniform(0.35, 0.7),
    )


def _hair(draws: Draws, man: bool, age: float, colour: Colour) -> Hair:
    bare = 0.12 + 0.25 * max(0.0, age - 0.5)
    style = draws.weighted([("bald", bare), ("horseshoe", bare * 0.8), *MENS_HAIR] if man else WOMENS_HAIR)
    volume = {"buzz": 0.05, "bald": 0.02, "horseshoe": 0.06, "updo": 0.1, "afro": 0.5, "curls": 0.3}.get(style, 0.17)
    fall = {"bob": 1.15, "straight": 2.4, "wavy": 2.2, "curls": 1.7, "fringe": 2.0, "afro": 0.5}.get(style, 0.0)
    if fall:
        fall = fall * draws.uniform(0.8, 1.3)
    return Hair(
        style=style,
        colour=colour,
        volume=volume * draws.uniform(0.8, 1.25),
        fall=fall,
        line=-0.93 + draws.uniform(-0.06, 0.08) - (0.12 * age if man else 0.0),
        part=draws.choice((-1, 1)) * draws.uniform(0.1, 0.5),
        fringe=draws.uniform(0.3, 0.52) if style == "fringe" else 0.0,
        covers_ears=style in ("fringe", "afro", "bob") or (fall > 0 and draws.chance(0.6)),
    )


def _glasses(draws: Draws) -> Glasses:
    dark = draws.chance(0.3)
    frame = draws.choice(((26, 24, 26), (34, 30, 30), (70, 42, 26), (120, 84, 48), (60, 60, 66), (130, 30, 40)))
    return Glasses(
        form=draws.choice(("round", "square", "aviator", "oval")),
        frame=frame,
        thick=draws.uniform(0.035, 0.075),
        lens=draws.choice(((20, 20, 24), (44, 30, 20), (30, 36, 52))) if dark else (206, 216, 226),
        opacity=draws.uniform(0.8, 0.93) if dark else draws.uniform(0.1, 0.24),
    )
