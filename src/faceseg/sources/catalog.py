"""Descriptions of datasets: facts are data, in datasets/<name>.yaml, checked when they are loaded.

A description says where a dataset comes from, how its files pair up, how its masks are encoded, which classes they
hold, and into which target classes these can be merged. Adding a dataset is adding one file.
"""

import colorsys
import difflib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, model_validator

from faceseg.params import FolderParams
from faceseg.sources.schema import (
    ClassId,
    Colour,
    FilesSource,
    HttpsSource,
    IndexMasks,
    KaggleSource,
    Layout,
    ManualSource,
    OwnSplit,
    PartsMasks,
    RgbMasks,
    Strict,
    SyntheticSource,
)

DESCRIPTIONS = Path(__file__).resolve().parents[1] / "datasets"
PUBLISHED = "data/published"  # as dataset.source: what the description names
FOLDER = "folder"  # the dataset whose classes come from params.yaml
IDENTITY = "identity"  # its merge


class DescriptionError(ValueError):
    """What is wrong with a description, or that there is none of this name."""


class SourceClass(Strict):
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


class Dataset(Strict):
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
    source: Annotated[
        SyntheticSource | HttpsSource | FilesSource | KaggleSource | ManualSource, Field(discriminator="kind")
    ]
    layout: Layout
    expected: dict[OwnSplit, Annotated[int, Field(ge=1)]] | None
    masks: Annotated[IndexMasks | RgbMasks | PartsMasks, Field(discriminator="kind")]
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
        return self

    @model_validator(mode="after")
    def _masks_speak_of_the_classes(self) -> "Dataset":
        if isinstance(self.masks, IndexMasks):
            both = sorted(set(self.masks.ignored) & {source.id for source in self.classes})
            if both:
                raise ValueError(f"masks.ignored: the id {both[0]} is a class too; expected ids that are none")
        if isinstance(self.masks, PartsMasks):
            said = Counter([*self.masks.paint, self.masks.rest])
            odd = sorted({*said} ^ {*self._by_name}) or [name for name, count in said.items() if count > 1]
            if odd:
                raise ValueError(f"masks: paint and rest together name each class once; this is not so of {odd[0]}")
            bare = [split.mask for split in self.layout.splits.values() if "(?P<part>" not in split.mask]
            if bare:
                raise ValueError(f"layout: {bare[0]!r} does not name the part of a mask; expected (?P<part>...) in it")
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


def load(name: str, folder: FolderParams | None = None) -> Dataset:
    """The description of a dataset, checked.

    Args:
        folder: ``dataset.folder`` of params.yaml, which ``folder`` takes its classes from; others do not read it.

    Raises:
        DescriptionError: no dataset of this name, with the known ones; or what is wrong in its file.
    """
    if name not in names():
        raise DescriptionError(
            f"dataset.name: there is no dataset {name!r}{_near(name, names())}; known: {', '.join(names())}"
        )
    text = (DESCRIPTIONS / f"{name}.yaml").read_text(encoding="utf-8")
    if name != FOLDER:
        return parse(name, text)
    if folder is None:
        raise DescriptionError(f"{name}: its classes are in dataset.folder of params.yaml, which was not handed in")
    return parse(name, text + yaml.safe_dump(_from_table(folder), sort_keys=False))


def _from_table(folder: FolderParams) -> dict[str, Any]:
    """The part of a description that ``dataset.folder`` stands for: each class is a target class."""
    values = list(folder.classes.items())
    masks: dict[str, Any] = {"kind": folder.masks}
    if folder.masks == "index":
        masks["ignored"] = [255]
    classes: list[dict[str, Any]]
    if folder.masks == "rgb":
        masks |= {"tolerance": folder.tolerance, "max_strays": folder.max_strays}
        classes = [{"id": n, "name": name, "colour": value} for n, (name, value) in enumerate(values)]
    else:
        colours = distinct_colours(len(values))
        classes = [
            {"id": value, "name": name, "colour": colour} for (name, value), colour in zip(values, colours, strict=True)
        ]
    return {"masks": masks, "classes": classes, "merges": {IDENTITY: {name: [name] for name, _ in values}}}


def distinct_colours(count: int) -> list[list[int]]:
    """So many different RGB colours, 0..255: black, then round the circle of hues, lighter on every second turn.

    The golden angle keeps neighbours apart; levels are multiples of 5, so that no rounding differs between machines.
    """
    colours = [[0, 0, 0]]
    turn = 0
    while len(colours) < count:
        hue, value = (turn * 0.618034) % 1.0, 1.0 - 0.3 * (turn // 8 % 3)
        colour = [5 * round(51 * level) for level in colorsys.hsv_to_rgb(hue, 0.75, value)]
        if colour not in colours:
            colours.append(colour)
        turn += 1
    return colours[:count]


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
