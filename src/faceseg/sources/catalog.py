"""Descriptions of datasets: facts are data, in datasets/<name>.yaml, checked when they are loaded.

A description says where a dataset comes from, how its files pair up, how its masks are encoded, which classes they
hold, and into which target classes these can be merged. Adding a dataset is adding one file.
"""

import difflib
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

DESCRIPTIONS = Path(__file__).resolve().parents[1] / "datasets"
PUBLISHED = "data/published"  # as dataset.source: what the description names

Level = Annotated[int, Field(ge=0, le=255)]
Colour = tuple[Level, Level, Level]
ClassId = Annotated[int, Field(ge=0, le=254)]  # 255 is "not scored" in every mask that faceseg writes
OwnSplit = Literal["train", "val", "test"]


class DescriptionError(ValueError):
    """What is wrong with a description, or that there is none of this name."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SyntheticSource(_Strict):
    """Drawn by faceseg itself, from ``dataset.synthetic`` in params.yaml."""

    kind: Literal["synthetic"]


class HttpsSource(_Strict):
    """One zip archive at a public address.

    ``sha256`` is of the archive's bytes, or, with ``checks: content``, ``fetch.content_sha256`` of the members that
    the layout uses: for hosts that pack an archive anew now and then, as GitHub does.
    """

    kind: Literal["https"]
    url: Annotated[str, Field(pattern=r"^https://")]
    checks: Literal["archive", "content"]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class KaggleSource(_Strict):
    """A Kaggle dataset, ``owner/name``; it is downloaded by hand."""

    kind: Literal["kaggle"]
    slug: Annotated[str, Field(pattern=r"^[\w-]+/[\w-]+$")]


class SplitLayout(_Strict):
    """Members of one split: regular expressions that match the end of a member's path, from a whole folder name on.

    ``unlabelled``: images without a mask are expected here, and are counted apart instead of rejected.
    """

    image: str
    mask: str
    unlabelled: bool = False

    @model_validator(mode="after")
    def _patterns_compile(self) -> "SplitLayout":
        for field in ("image", "mask"):
            pattern = getattr(self, field)
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{field}: {pattern!r} is not a regular expression ({error})") from None
        return self


class Layout(_Strict):
    """How members pair up.

    ``id`` and ``clip`` are templates over the named groups of the patterns and ``{split}``. An image and a mask with
    the same id are a pair; pictures of one clip (a video, a person) never part between splits.
    """

    splits: dict[OwnSplit, SplitLayout]
    id: str
    clip: str

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
                lost = {group for _, group, _, _ in Formatter().parse(template) if group is not None} - groups
                if lost:
                    raise ValueError(
                        f"{field}: {template!r} uses {', '.join(sorted(lost))}, which {pattern!r} of {name} does not "
                        f"name; known there: {', '.join(sorted(groups))}"
                    )
        return self


class IndexMasks(_Strict):
    """One channel of class ids, grey or palette; ``ignored``: ids that are no class, and not scored."""

    kind: Literal["index"]
    ignored: tuple[Level, ...] = ()


class RgbMasks(_Strict):
    """Each class is its colour; blurred edges go to the nearest one.

    ``tolerance``: distance in levels (Euclidean, in RGB) within which a pixel counts as a colour of the description.
    ``max_strays``: part of a picture's pixels that may lie farther away.
    """

    kind: Literal["rgb"]
    tolerance: Annotated[int, Field(ge=0, le=441)]
    max_strays: Annotated[float, Field(ge=0, le=1)]


class SourceClass(_Strict):
    """A class as the dataset's masks hold it; ``mirror``: the class that a flip turns it into, if another."""

    id: ClassId
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    colour: Colour
    mirror: str | None = None


@dataclass(frozen=True)
class Merge:
    """Target classes: id n is ``classes[n]``, drawn in ``colours[n]``, made of the source ids ``members[n]``.

    ``mirror``: pairs of target ids that change places in a flipped picture.
    """

    name: str
    classes: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    mirror: tuple[tuple[int, int], ...]
    members: tuple[tuple[int, ...], ...]


class Dataset(_Strict):
    """One description.

    ``expected``: pictures with a mask in each split of the complete dataset.
    ``merges``: target class to source classes, by name; the order of the target classes is their ids.
    ``colours``: of target classes that are no source class of the same name.
    """

    name: str
    title: str
    licence: str
    citation: str
    homepage: str
    source: Annotated[SyntheticSource | HttpsSource | KaggleSource, Field(discriminator="kind")]
    layout: Layout
    expected: dict[OwnSplit, Annotated[int, Field(ge=1)]] | None
    masks: Annotated[IndexMasks | RgbMasks, Field(discriminator="kind")]
    classes: Annotated[tuple[SourceClass, ...], Field(min_length=1)]
    merges: Annotated[dict[str, dict[str, tuple[str, ...]]], Field(min_length=1)]
    colours: dict[str, Colour] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _classes_are_distinct(self) -> "Dataset":
        for field in ("id", "name", "colour"):
            values = [getattr(source, field) for source in self.classes]
            twice = [value for value, count in Counter(values).items() if count > 1]
            if twice:
                raise ValueError(f"classes: the {field} {twice[0]} occurs twice; each class has its own")
        by_name = self._by_name
        for source in self.classes:
            if source.mirror is None:
                continue
            partner = by_name.get(source.mirror)
            if partner is None or partner.mirror != source.name:
                raise ValueError(
                    f"classes: {source.name} has the mirror partner {source.mirror}, which does not name it in return"
                )
        if isinstance(self.masks, IndexMasks):
            both = sorted(set(self.masks.ignored) & {source.id for source in self.classes})
            if both:
                raise ValueError(f"masks.ignored: the id {both[0]} is a class too; expected ids that are none")
        return self

    @model_validator(mode="after")
    def _merges_are_whole(self) -> "Dataset":
        for name, targets in self.merges.items():
            self._refuse_uneven(name, targets)
            self.merge(name)
        return self

    def merge(self, name: str) -> Merge:
        """The target classes of a merge.

        Raises:
            DescriptionError: no merge of this name; a target class without a colour; mirrored classes that are merged
                unlike each other.
        """
        if name not in self.merges:
            raise DescriptionError(
                f"merge.into: {self.name} has no merge {name!r}{_near(name, self.merges)}; "
                f"known: {', '.join(sorted(self.merges))}"
            )
        targets = self.merges[name]
        by_name = self._by_name
        return Merge(
            name=name,
            classes=tuple(targets),
            colours=self._target_colours(name, targets),
            mirror=self._target_mirror(name, targets),
            members=tuple(tuple(by_name[source].id for source in sources) for sources in targets.values()),
        )

    @cached_property
    def _by_name(self) -> dict[str, SourceClass]:
        return {source.name: source for source in self.classes}

    def _refuse_uneven(self, name: str, targets: dict[str, tuple[str, ...]]) -> None:
        """Every source class belongs to exactly one target class."""
        uses = Counter(source for sources in targets.values() for source in sources)
        known = [source.name for source in self.classes]
        faults = [
            ("does not name", [source for source in known if source not in uses]),
            ("names more than once", [source for source in known if uses[source] > 1]),
            ("names, although they are no source classes,", [source for source in uses if source not in known]),
            ("makes of no source class", [target for target, sources in targets.items() if not sources]),
        ]
        said = [f"{fault} {', '.join(names)}" for fault, names in faults if names]
        if said:
            raise ValueError(
                f"merges.{name}: the class map {'; it '.join(said)}; every source class belongs to exactly one target "
                "class"
            )

    def _target_colours(self, name: str, targets: dict[str, tuple[str, ...]]) -> tuple[Colour, ...]:
        colours = {source.name: source.colour for source in self.classes} | self.colours
        missing = [target for target in targets if target not in colours]
        if missing:
            raise DescriptionError(f"merges.{name}: {', '.join(missing)} has no colour; name it under colours")
        return tuple(colours[target] for target in targets)

    def _target_mirror(self, name: str, targets: dict[str, tuple[str, ...]]) -> tuple[tuple[int, int], ...]:
        of_source = {source: n for n, sources in enumerate(targets.values()) for source in sources}
        pairs = set()
        for n, (target, sources) in enumerate(targets.items()):
            partners = {of_source[self._by_name[source].mirror or source] for source in sources}
            if len(partners) > 1:
                raise DescriptionError(
                    f"merges.{name}: {target} holds classes whose mirror partners lie in different target classes, so "
                    "a flipped picture would have no right mask; merge both sides alike"
                )
            partner = partners.pop()
            if partner != n:
                pairs.add((min(n, partner), max(n, partner)))
        return tuple(sorted(pairs))


def names() -> list[str]:
    """The datasets that have a description, sorted."""
    return sorted(path.stem for path in DESCRIPTIONS.glob("*.yaml"))


def load(name: str) -> Dataset:
    """The description of a dataset, checked.

    Raises:
        DescriptionError: no dataset of this name, with the known ones; or what is wrong in its file.
    """
    if name not in names():
        raise DescriptionError(
            f"dataset.name: there is no dataset {name!r}{_near(name, names())}; known: {', '.join(names())}"
        )
    return parse(name, (DESCRIPTIONS / f"{name}.yaml").read_text(encoding="utf-8"))


def parse(name: str, text: str) -> Dataset:
    """The description that ``text``, YAML, holds, under the name of its file without ending.

    Raises:
        DescriptionError: a line for each thing that is wrong.
    """
    file = f"datasets/{name}.yaml"
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DescriptionError(f"{file} is not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise DescriptionError(
            f"{file} holds {type(values).__name__}, expected keys: {', '.join(Dataset.model_fields)}"
        )
    try:
        return Dataset.model_validate({"name": name, **values})
    except ValidationError as error:
        raise DescriptionError("\n".join([f"{file}:", *(f"  {_explain(fault)}" for fault in error.errors())])) from None


def _explain(fault: Any) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "value_error":
        return f"{where}: {message}" if where else message
    if fault["type"] in ("missing", "extra_forbidden"):
        return f"{where}: {message}"
    return f"{where}: got {fault['input']!r}; {message}"


def _near(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {near[0]!r}?" if near else ""
