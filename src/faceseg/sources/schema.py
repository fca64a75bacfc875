"""What a description is made of: where a dataset comes from, how its files pair up, how its masks are encoded."""

import re
from string import Formatter
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Level = Annotated[int, Field(ge=0, le=255)]
Colour = tuple[Level, Level, Level]
ClassId = Annotated[int, Field(ge=0, le=254)]  # 255 is "not scored" in every mask that faceseg writes
OwnSplit = Literal["train", "val", "test"]
Address = Annotated[str, Field(pattern=r"^https://")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Strict(BaseModel):
    """Refuses keys that it does not know, and does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SyntheticSource(Strict):
    """Drawn by faceseg itself, from ``dataset.synthetic`` in params.yaml."""

    kind: Literal["synthetic"]


class HttpsSource(Strict):
    """One zip archive at a public address.

    ``sha256`` is of the archive's bytes, or, with ``checks: content``, ``fetch.content_sha256`` of the members that
    the layout uses: for hosts that pack an archive anew now and then, as GitHub does.
    """

    kind: Literal["https"]
    url: Address
    checks: Literal["archive", "content"]
    sha256: Sha256


class PublishedFile(Strict):
    """One file of several.

    ``sha256`` is of its bytes; null where nobody has published one: what came is said, and kept in source.json.
    ``unpack``: tgz, or null for a file that is a member of the dataset as it is.
    """

    url: Address
    sha256: Sha256 | None
    unpack: Literal["tgz"] | None


class FilesSource(Strict):
    """Several files at public addresses that make one dataset; what the layout uses of them becomes one archive."""

    kind: Literal["files"]
    files: Annotated[tuple[PublishedFile, ...], Field(min_length=1)]


class KaggleSource(Strict):
    """A Kaggle dataset, ``owner/name``; ``sha256``, if known, of its content as for ``HttpsSource``."""

    kind: Literal["kaggle"]
    slug: Annotated[str, Field(pattern=r"^[\w-]+/[\w-]+$")]
    sha256: Sha256 | None = None


class ManualSource(Strict):
    """What a person has to fetch, or has already; ``how`` says it in a sentence."""

    kind: Literal["manual"]
    how: str


class SplitLayout(Strict):
    """Members of one split: regular expressions that match the end of a member's path, from a whole folder name on.

    ``unlabelled``: images without a mask are expected here, and are counted apart instead of rejected.
    """

    image: str
    mask: str
    unlabelled: bool = False

    @model_validator(mode="after")
    def _patterns_compile(self) -> "SplitLayout":
        for field in ("image", "mask"):
            _refuse_no_pattern(field, getattr(self, field))
        return self


class SplitLists(Strict):
    """Text files that say which picture belongs to which split.

    ``files``: a pattern of each split's file. ``line``: what a line looks like, with named groups. ``id``: a template
    over these, which gives the id of a picture.
    """

    files: Annotated[dict[OwnSplit, str], Field(min_length=1)]
    line: str
    id: str

    @model_validator(mode="after")
    def _patterns_compile(self) -> "SplitLists":
        for field, pattern in (("line", self.line), *self.files.items()):
            _refuse_no_pattern(field, pattern)
        lost = template_groups(self.id) - {*re.compile(self.line).groupindex}
        if lost:
            raise ValueError(f"id: {self.id!r} uses {', '.join(sorted(lost))}, which {self.line!r} does not name")
        return self


class Layout(Strict):
    """How members pair up.

    ``id`` and ``clip`` are templates over the named groups of the patterns and ``{split}``, as ``str.format`` takes
    them. An image and a mask with the same id are a pair; pictures of one clip (a video, a person) never part between
    splits. ``lists``: the split of a picture is looked up, and ``splits`` has one entry with the patterns of all.
    """

    splits: dict[OwnSplit, SplitLayout]
    id: str
    clip: str
    lists: SplitLists | None = None

    @model_validator(mode="after")
    def _templates_have_their_groups(self) -> "Layout":
        if not self.splits:
            raise ValueError("splits: names no split; expected one or more of train, val, test")
        for name, split in self.splits.items():
            for field, template, pattern in (
                ("id", self.id, split.image),
                ("id", self.id, split.mask),
                ("clip", self.clip, split.image),
            ):
                groups = {"split", *re.compile(pattern).groupindex}
                lost = template_groups(template) - groups
                if lost:
                    raise ValueError(
                        f"{field}: {template!r} uses {', '.join(sorted(lost))}, which {pattern!r} of {name} does not "
                        f"name; known there: {', '.join(sorted(groups))}"
                    )
        return self

    @model_validator(mode="after")
    def _lists_alone_name_the_split(self) -> "Layout":
        if self.lists is None:
            return self
        if len(self.splits) > 1 or "split" in template_groups(self.id) | template_groups(self.clip):
            raise ValueError(
                "lists: they say which picture belongs to which split, so splits has one entry with the patterns of "
                "all pictures, and neither id nor clip uses {split}"
            )
        return self


class IndexMasks(Strict):
    """One channel of class ids, grey or palette; ``ignored``: ids that are no class, and not scored."""

    kind: Literal["index"]
    ignored: tuple[Level, ...] = ()


class RgbMasks(Strict):
    """Each class is its colour; blurred edges go to the nearest one.

    ``tolerance``: distance in levels (Euclidean, in RGB) within which a pixel counts as a colour of the description.
    ``max_strays``: part of a picture's pixels that may lie farther away.
    """

    kind: Literal["rgb"]
    tolerance: Annotated[int, Field(ge=0, le=441)]
    max_strays: Annotated[float, Field(ge=0, le=1)]


class PartsMasks(Strict):
    """One binary picture a class, black where the class is not; a class that a picture does not show has none.

    The pattern of masks names the class as ``(?P<part>...)``. ``paint``: the classes in the order in which they are
    laid over one another; a later one covers an earlier one. ``rest``: the class of the pixels that no part covers.
    ``scale``: image pixels to a mask pixel along each side, 2 where masks have half the image's size. A mask takes the
    size of its image: each of its pixels becomes ``scale`` x ``scale`` equal ones.
    """

    kind: Literal["parts"]
    paint: Annotated[tuple[str, ...], Field(min_length=1)]
    rest: str
    scale: Annotated[int, Field(ge=1, le=16)]


def template_groups(template: str) -> set[str]:
    """The names that a template uses."""
    return {group for _, group, _, _ in Formatter().parse(template) if group is not None}


def _refuse_no_pattern(field: str, pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{field}: {pattern!r} is not a regular expression ({error})") from None
