"""What a revision measured: its clips, parameters and data, read from git, an experiment, or the workspace.

metrics/ and dvc.lock are kept in git, in the commits of DVC's experiments too, so git alone tells everything and
nothing is checked out.
"""

import csv
import io
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from faceseg.evaluation.compare import ComparisonError, Measured
from faceseg.params import parse_yaml

WORKSPACE = "workspace"
CLIPS = "metrics/clips.csv"
CONFUSION = "metrics/plots/confusion.csv"  # names the classes in their order, those without a pixel too
_MISSING = "-"

Change = tuple[str, str, str]  # name, in base, in head


@dataclass(frozen=True)
class Revision:
    """One side: ``name`` as the user gave it, ``commit`` (short) or None for the workspace.

    ``stale``: parameters that are others now than when the scores were recorded, as (name, recorded, now).
    """

    name: str
    commit: str | None
    measured: Measured
    params: Mapping[str, Any]
    data: Mapping[str, str]
    stale: tuple[Change, ...] = ()

    @property
    def title(self) -> str:
        if self.commit is None:
            return self.name
        return self.commit if self.name.startswith(self.commit) else f"{self.name} ({self.commit})"


def read_revision(name: str, root: Path) -> Revision:
    """Read ``name``: a git revision, the name of a DVC experiment, or ``workspace``; ``root`` holds dvc.yaml.

    Raises:
        ComparisonError: there is no such revision, several experiments have the name, or it was not evaluated.
    """
    commit = None if name == WORKSPACE else _resolve(name, root)

    def read(path: str) -> str | None:
        if commit is None:
            file = root / path
            return file.read_text(encoding="utf-8") if file.is_file() else None
        done = _git(root, "show", f"{commit}:./{path}")
        return done.stdout.decode() if done.returncode == 0 else None

    clips, confusion = read(CLIPS), read(CONFUSION)
    if clips is None or confusion is None:
        where = "the workspace" if commit is None else name
        how = (
            "run `dvc repro`" if commit is None else f"run `dvc repro` on {name} and commit metrics/ with its dvc.lock"
        )
        raise ComparisonError(f"{where} has no {CLIPS if clips is None else CONFUSION}: {how}")
    params, lock = _yaml(name, "params.yaml", read("params.yaml")), _yaml(name, "dvc.lock", read("dvc.lock"))
    return Revision(
        name, commit and commit[:7], parse(clips, confusion), params, _data(lock), tuple(_stale(lock, params))
    )


def _yaml(name: str, path: str, text: str | None) -> Any:
    """The values of a file of the revision ``name``; none where it has no such file."""
    try:
        return parse_yaml(text or "") or {}
    except yaml.YAMLError as error:
        raise ComparisonError(
            f"{path} of {name} is not valid YAML ({error}); mend it, or compare another one"
        ) from None


def parse(clips: str, confusion: str) -> Measured:
    """The contents of metrics/clips.csv and metrics/plots/confusion.csv, as evaluate writes them."""
    classes = tuple(dict.fromkeys(row["actual"] for row in csv.DictReader(io.StringIO(confusion))))
    index = {name: n for n, name in enumerate(classes)}
    matrices: dict[str, np.ndarray] = {}
    for row in csv.DictReader(io.StringIO(clips)):
        matrix = matrices.setdefault(row["clip"], np.zeros((len(classes), len(classes)), np.int64))
        matrix[index[row["actual"]], index[row["predicted"]]] = int(row["pixels"])
    return Measured(classes, matrices)


def changed(base: Any, head: Any, name: str = "") -> Iterator[Change]:
    """The leaves of nested sections that differ, by dotted name, with ``-`` where one side has none."""
    if isinstance(base, Mapping) or isinstance(head, Mapping):
        one, other = (side if isinstance(side, Mapping) else {} for side in (base, head))
        for key in sorted({*one, *other}):
            absent = object()
            values = [section.get(key, absent) for section in (one, other)]
            left, right = (_MISSING if value is absent else value for value in values)
            yield from changed(left, right, f"{name}.{key}" if name else str(key))
    elif base != head:
        yield name, _written(base), _written(head)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True).split("\n...")[0].strip()


def _stale(lock: Mapping[str, Any], params: Mapping[str, Any]) -> list[Change]:
    """What the stages ran with by dvc.lock, where params.yaml says otherwise."""
    found: dict[str, Change] = {}
    for stage in lock.get("stages", {}).values():
        for key, recorded in stage.get("params", {}).get("params.yaml", {}).items():
            now: Any = params
            for part in key.split("."):
                now = now.get(part, _MISSING) if isinstance(now, Mapping) else _MISSING
            found.update((change[0], change) for change in changed(recorded, now, key))
    return [found[name] for name in sorted(found)]


def _data(lock: Mapping[str, Any]) -> dict[str, str]:
    """The short hash of every output that DVC keeps, by path, from dvc.lock; without metrics and plots."""
    outs = [out for stage in lock.get("stages", {}).values() for out in stage.get("outs", [])]
    return {
        out["path"]: str(out["md5"])[:8]
        for out in outs
        if "md5" in out and not out["path"].startswith(("metrics/", "reports"))
    }


def _resolve(name: str, root: Path) -> str:
    """The full commit of a git revision or of an experiment."""
    found = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if found.returncode == 0:
        return found.stdout.decode().strip()
    # DVC keeps experiments as refs/exps/<2 digits>/<38 digits of the baseline>/<name>.
    every = _git(root, "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").stdout.decode().splitlines()
    names: dict[str, set[str]] = {}
    for commit, ref in (line.split(" ", 1) for line in every):
        parts = ref.split("/")
        if len(parts) == 5 and len(parts[2]) == 2:
            names.setdefault(parts[4], set()).add(commit)
    commits = names.get(name, set())
    if len(commits) > 1:
        raise ComparisonError(
            f"{len(commits)} experiments are called {name}; give one of the commits: {', '.join(sorted(commits))}"
        )
    if not commits:
        known = f"; experiments: {', '.join(sorted(names))}" if names else ""
        raise ComparisonError(f"{name!r} is no git revision and no experiment here{known}")
    return commits.pop()


def _git(root: Path, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False)
    except FileNotFoundError:
        raise ComparisonError("git is not on the path; it holds the revisions") from None
