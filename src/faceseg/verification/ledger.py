"""What DVC has on record: the outputs that dvc.lock and .dvc files name, and the objects of its cache.

Read from DVC's files, whose formats its documentation describes, because DVC itself mends, deletes or restores what it
looks at. Nothing here is changed.
"""

import hashlib
import json
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ruamel.yaml import YAML, YAMLError

from faceseg.sources.archive import is_unsafe_path

LOCK = "dvc.lock"
PIPELINE = "dvc.yaml"
_FOLDER = ".dir"  # ends the hash of an output that is a folder; its object lists the files
_OBJECT = re.compile(r"[0-9a-f]{30}(\.dir)?")
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")


class LedgerError(ValueError):
    """A record of DVC that cannot be read."""


@dataclass(frozen=True)
class Output:
    """One output as DVC has recorded it.

    ``target``: what DVC's commands call its stage, or the .dvc file. ``path``: relative to the repository, with
    slashes. ``md5``: of the file, or of the folder's listing with ``.dir`` behind it. ``cached``: DVC keeps a copy;
    otherwise the file belongs to git.
    """

    target: str
    path: str
    md5: str
    cached: bool

    @property
    def is_folder(self) -> bool:
        return self.md5.endswith(_FOLDER)


def recorded_outputs(root: Path) -> list[Output]:
    """Every output of dvc.lock, in the pipeline's order, then those of .dvc files beside and below ``data``.

    Raises:
        LedgerError: dvc.lock is not there or cannot be read.
    """
    outputs = list(outputs_of_lock((root / LOCK).read_bytes() if (root / LOCK).is_file() else b"", root))
    for path in sorted([*root.glob("*.dvc"), *root.glob("data/**/*.dvc")]):
        if path.is_file():
            name = path.relative_to(root).as_posix()
            outs = _yaml(name, path.read_bytes()).get("outs", [])
            folder = PurePosixPath(name).parent
            outputs += [_output(name, folder / out["path"], out["md5"], True) for out in outs if "md5" in out]
    return outputs


def outputs_of_lock(content: bytes, root: Path) -> Iterator[Output]:
    """The outputs that the ``content`` of a dvc.lock names, in the order of dvc.yaml.

    Raises:
        LedgerError: it cannot be read.
    """
    if not content:
        raise LedgerError("is not there, so DVC has recorded nothing")
    try:
        pipeline = _yaml(PIPELINE, (root / PIPELINE).read_bytes())["stages"]
        stages = _yaml(LOCK, content)["stages"]
        for name in sorted(stages, key=list(pipeline).index):
            uncached = _uncached(pipeline[name]["outs"])
            for out in stages[name]["outs"]:
                yield _output(name, PurePosixPath(out["path"]), out["md5"], out["path"] not in uncached)
    except (KeyError, TypeError, AttributeError, ValueError, OSError) as error:
        if isinstance(error, LedgerError):
            raise
        raise LedgerError(f"is not a record of the stages of {PIPELINE} ({type(error).__name__}: {error})") from None


def _output(target: str, path: PurePosixPath, md5: str, cached: bool) -> Output:
    if is_unsafe_path(path.as_posix()) or not _MD5.fullmatch(md5):
        raise LedgerError(f"names {path} with the md5 {md5}; expected a path inside the repository and 32 hex digits")
    return Output(target, path.as_posix(), md5, cached)


def _uncached(outs: Iterable[Any]) -> set[str]:
    return {name for out in outs if isinstance(out, dict) for name, how in out.items() if how.get("cache") is False}


def _yaml(name: str, content: bytes) -> Mapping[str, Any]:
    try:
        values = _load_yaml(content)
    except (YAMLError, UnicodeDecodeError) as error:
        raise LedgerError(f"{name} cannot be read ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise LedgerError(f"{name} cannot be read (it holds {type(values).__name__}, expected sections)")
    return values


def cache_folder(root: Path) -> Path:
    """Where DVC keeps its objects, as its configuration says."""
    from dvc.config import Config

    return Path(Config(str(root / ".dvc")).get("cache", {}).get("dir") or root / ".dvc" / "cache")


def object_path(cache: Path, md5: str) -> Path:
    """Where the object of a hash lies."""
    return cache / "files" / "md5" / md5[:2] / md5[2:]


def objects(cache: Path) -> tuple[dict[Path, str], list[Path]]:
    """The cache's objects with the hash that each is named by, and files that are no objects."""
    named: dict[Path, str] = {}
    strays: list[Path] = []
    for path in sorted((cache / "files" / "md5").glob("??/*")):
        if _OBJECT.fullmatch(path.name):
            named[path] = path.parent.name + path.name
        else:
            strays.append(path)
    return named, strays


def listing(content: bytes) -> dict[str, str]:
    """The files of a folder by their path in it, with their hashes, from its object."""
    return {entry["relpath"]: entry["md5"] for entry in json.loads(content)}


def listing_md5(files: Mapping[str, str]) -> str:
    """The hash that DVC gives a folder with these files, by path."""
    entries = [{"md5": md5, "relpath": name} for name, md5 in sorted(files.items())]
    return hashlib.md5(json.dumps(entries).encode(), usedforsecurity=False).hexdigest() + _FOLDER


def damaged_runs(cache: Path) -> Iterator[Path]:
    """Entries of DVC's run cache, by which it skips a stage, that are not what their names say."""
    for path in sorted((cache / "runs").glob("??/*/*")):
        try:
            entry = _load_yaml(path.read_bytes())
            whole = _digest(entry) == path.name
            entry["outs"] = [out["path"] for out in entry["outs"]]
            if whole and _digest(entry) == path.parent.name:
                continue
        except (YAMLError, UnicodeDecodeError, KeyError, TypeError):
            pass  # then it is damaged
        yield path


def _load_yaml(content: bytes) -> Any:
    """As DVC reads it, by YAML 1.2, in which 1e-06 is a number."""
    return YAML(typ="safe", pure=True).load(content.decode())


def _digest(entry: Any) -> str:
    return hashlib.sha256(json.dumps(_without_sizes(entry), sort_keys=True).encode()).hexdigest()


def _without_sizes(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_sizes(inner) for key, inner in value.items() if key not in ("size", "nfiles")}
    return [_without_sizes(inner) for inner in value] if isinstance(value, list) else value


def committed(root: Path, path: str) -> bytes | None:
    """A file as git's newest commit has it, or None."""
    done = subprocess.run(["git", "show", f"HEAD:./{path}"], cwd=root, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None
