"""Training on two folders in one line: their files become one archive, params.yaml says so, and DVC does the rest.

The archive is made anew at each call and is the same, byte for byte, while the folders are, so DVC does again only what
a change touches. Two folders as they are would be two dependencies, which only this dataset of all would have.
"""

import io
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from faceseg.files import atomic_write, write_bytes
from faceseg.images.codec import BrokenImageError, OversizedImageError, decode_mask
from faceseg.labels.survey import survey
from faceseg.params import PARAMS_FILE, FolderParams, Limit, Params, SplitLists, SplitParams
from faceseg.progress import track
from faceseg.sources import catalog
from faceseg.sources.archive import Archive, write_archive
from faceseg.sources.pairing import Sample, pair
from faceseg.store.splits import assign

ARCHIVE = Path("data/folder.zip")  # under the repository
_SEEDS = 100  # tried until no split is empty


def prepare(images: Path, labels: Path, epochs: int | None, root: Path, params: Params) -> dict[str, Any]:
    """Pack two folders and write params.yaml so that the pipeline trains on them.

    Args:
        images, labels: a folder of pictures and one of masks of the same names, or each with these in a folder of it.
        epochs: None: as params.yaml says.
        root: the repository.
        params: as params.yaml has them.

    Returns:
        what was written, dotted names and values.

    Raises:
        ValueError: no pictures, no masks of the same names, masks whose classes cannot be told, or too few pictures.
        OSError: a folder that is not there.
    """
    members = {**_files(images, "images"), **_files(labels, "labels")}
    with atomic_write(root / ARCHIVE) as file:
        write_archive(file, sorted(members.items()))
    with Archive(root / ARCHIVE) as archive:
        table = _table(params, archive)
        pairing = pair(archive.names, catalog.load(catalog.FOLDER, table))
    split, batch_size = _fitting(pairing.samples, params)
    changes: dict[str, Any] = {
        "dataset.name": catalog.FOLDER,
        "dataset.source": ARCHIVE.as_posix(),
        "dataset.folder": table.model_dump(),
        "merge.into": catalog.IDENTITY,
        "split": split.model_dump(),
        "train.batch_size": batch_size,
    }
    if epochs is not None:
        changes["train.epochs"] = epochs
    write_params(root / PARAMS_FILE, changes)
    return changes


def repro(root: Path) -> int:
    """Run the pipeline; DVC's exit status. Its stages find their Python beside this one."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return subprocess.run(
        [sys.executable, "-m", "dvc", "repro"], cwd=root, env={**os.environ, "PATH": path}, check=False
    ).returncode


def write_params(path: Path, changes: Mapping[str, Any]) -> None:
    """Set values of params.yaml by dotted names; its comments, order and everything else stay as they are."""
    editor = YAML()
    editor.width = 4096
    # null is written as null, and not as nothing, which YAML takes for the same.
    null = "tag:yaml.org,2002:null"
    editor.representer.add_representer(type(None), lambda to, _: to.represent_scalar(null, "null"))
    values = editor.load(path.read_text(encoding="utf-8"))
    for name, value in changes.items():
        *sections, last = name.split(".")
        section = values
        for key in sections:
            section = section[key]
        _set(section, last, value)
    text = io.BytesIO()
    editor.dump(values, text)
    write_bytes(path, text.getvalue())


def _set(section: Any, key: str, value: Any) -> None:
    if isinstance(value, dict) and set(value) == set(section[key]):
        for name, inner in value.items():
            _set(section[key], name, inner)
    elif section[key] != value:
        section[key] = _flowing(value)


def _flowing(value: Any) -> Any:
    """A map or list on one line."""
    if isinstance(value, dict):
        made: Any = CommentedMap((key, _flowing(inner)) for key, inner in value.items())
    elif isinstance(value, list | tuple):
        made = CommentedSeq(_flowing(inner) for inner in value)
    else:
        return value
    made.fa.set_flow_style()
    return made


def _files(folder: Path, part: str) -> dict[str, Path]:
    """Member name and file of everything in a folder that is not hidden; of its one folder when it holds no files."""
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    files = [entry for entry in entries if not entry.is_dir()]
    if not files and len(entries) == 1:
        return _files(entries[0], part)
    links = [entry for entry in files if entry.is_symlink()]
    if links:
        raise ValueError(f"{links[0]} is a link; expected files, so put the file itself in its place")
    if not files:
        raise ValueError(f"{folder} holds no files; expected the {part} themselves, or one folder with them")
    return {f"{part}/{file.name}": file for file in files}


def _table(params: Params, archive: Archive) -> FolderParams:
    """The table of params.yaml when it fits what the masks hold, so that its names stay; else one made of the masks."""
    members = [name for name in archive.names if name.startswith("labels/")]
    found = survey(_masks(archive, members))
    given = params.dataset.folder
    if params.dataset.name == catalog.FOLDER and given.masks == found.masks:
        same = {str(value) for value in given.classes.values()} >= {str(value) for value in found.classes.values()}
        if same:
            return given
    return found


def _masks(archive: Archive, members: list[str]) -> Iterator[tuple[str, Image.Image]]:
    for name in track(members, len(members), "folder, masks looked at"):
        try:
            yield name, decode_mask(archive.read(name))
        except (BrokenImageError, OversizedImageError):
            continue  # the merge stage rejects it and says why


def _fitting(samples: list[Sample], params: Params) -> tuple[SplitParams, int]:
    """A split of these few pictures that leaves no part empty, and a batch no larger than what is trained on."""
    free = Limit(train=None, val=None, test=None)
    lists = SplitLists(train=[], val=[], test=[])
    part = {"val": params.split.val or 0.15, "test": params.split.test or 0.15}
    error: ValueError | None = None
    for seed in range(params.split.seed, params.split.seed + _SEEDS):
        split = SplitParams(by="clip", seed=seed, lists=lists, **part)
        try:
            places = list(assign(samples, split, free).values())
        except ValueError as empty:
            error = empty
        else:
            return split, min(params.train.batch_size, places.count("train"))
    raise ValueError(f"{len(samples)} pictures with a mask are too few to train, validate and test on: {error}")
