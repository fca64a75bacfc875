"""Tables about datasets for a terminal: which there are, what of them is on this machine, how one is labelled."""

from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from faceseg.files import read_json
from faceseg.params import FolderParams
from faceseg.sources import catalog
from faceseg.sources.catalog import Dataset
from faceseg.sources.download import part_of
from faceseg.sources.fetch import ABOUT, PARTS
from faceseg.sources.kaggle import key_of
from faceseg.sources.schema import FilesSource, HttpsSource, KaggleSource, ManualSource, PartsMasks
from faceseg.store.splits import SPLITS


def overview(folder: FolderParams, root: Path) -> Table:
    """All datasets: pictures in their own splits, classes, merges, licence in short, and what is on this machine.

    Args:
        folder: ``dataset.folder`` of params.yaml.
        root: the repository.
    """
    table = Table()
    table.add_column("name", no_wrap=True)
    for heading in ("pictures", "classes", "merges", "licence", "on this machine"):
        table.add_column(heading, overflow="fold")  # on a narrow terminal nothing is cut off
    for name in catalog.names():
        dataset = catalog.load(name, folder)
        table.add_row(
            name,
            counts(dataset).replace(", ", "\n"),
            str(len(dataset.classes)),
            "\n".join(dataset.merges),
            dataset.licence.split(";")[0],
            here(dataset, root).replace("; ", "\n"),
        )
    return table


def counts(dataset: Dataset) -> str:
    """Pictures with a mask in each split of the complete dataset."""
    if dataset.expected is None:
        return "as you set it" if dataset.name != catalog.FOLDER else "yours"
    return ", ".join(f"{split} {count:,}" for split, count in dataset.expected.items())


def here(dataset: Dataset, root: Path) -> str:
    """What of a dataset the repository holds: its archive, what is prepared of it, a download that goes on."""
    said = []
    about = _json(root / "data/raw" / ABOUT)
    if about.get("dataset") == dataset.name:
        said.append(f"fetched: {about['members']:,} files, {about['bytes'] / 1e6:,.1f} MB")
    cache = _json(root / "data/cache/cache.json")
    if cache.get("dataset") == dataset.name:
        sizes = [f"{split} {cache['splits'][split]['pictures']}" for split in SPLITS if split in cache["splits"]]
        said.append(f"prepared: {', '.join(sizes)}")
    parts = [part_of(key, root / PARTS) for key in _keys(dataset)]
    begun = sum(part.stat().st_size for part in parts if part.exists())
    if begun:
        said.append(f"begun: {begun / 1e6:,.1f} MB have come")
    return "; ".join(said) or "-"


def labels(dataset: Dataset) -> Table:
    """The classes of a dataset: id, colour, name, what a flip makes of it, and its target class in each merge."""
    targets = {
        merge: {source: target for target, sources in classes.items() for source in sources}
        for merge, classes in dataset.merges.items()
    }
    table = Table("id")
    table.add_column("colour", no_wrap=True, min_width=12)
    table.add_column("class", no_wrap=True)
    for heading in ("mirror", *targets):
        table.add_column(heading)
    for source in dataset.classes:
        red, green, blue = source.colour
        colour = Text.assemble(("    ", f"on rgb({red},{green},{blue})"), f" #{red:02x}{green:02x}{blue:02x}")
        merged = (targets[merge][source.name] for merge in targets)
        table.add_row(str(source.id), colour, source.name, source.mirror or "", *merged)
    return table


def facts(dataset: Dataset, root: Path) -> list[tuple[str, str]]:
    """What is to be known before the table of labels: name and value, line by line."""
    return [
        ("title", dataset.title),
        ("licence", dataset.licence),
        ("citation", dataset.citation),
        ("homepage", dataset.homepage),
        ("source", _source(dataset)),
        ("pictures", counts(dataset)),
        ("masks", _masks(dataset)),
        ("on this machine", here(dataset, root)),
    ]


def _source(dataset: Dataset) -> str:
    source = dataset.source
    if isinstance(source, HttpsSource):
        return source.url
    if isinstance(source, FilesSource):
        return ", ".join(file.url for file in source.files)
    if isinstance(source, KaggleSource):
        return f"Kaggle, {source.slug}, with your token"
    return source.how if isinstance(source, ManualSource) else "drawn by faceseg"


def _masks(dataset: Dataset) -> str:
    masks = dataset.masks
    if isinstance(masks, PartsMasks):
        size = "the image's size" if masks.scale == 1 else f"1/{masks.scale} of the image's size"
        return f"a binary picture a class, {size}, painted in the order {', '.join(masks.paint)}"
    return "class ids" if masks.kind == "index" else f"colours, within {masks.tolerance} levels"


def _keys(dataset: Dataset) -> list[str]:
    source = dataset.source
    if isinstance(source, HttpsSource):
        return [source.url]
    if isinstance(source, FilesSource):
        return [file.url for file in source.files]
    return [key_of(source.slug)] if isinstance(source, KaggleSource) else []


def _json(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}
