"""Recipes: named sets of the parameters that differ from the committed params.yaml, run as DVC experiments."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from faceseg.params import Params, Section, parse_yaml

FOLDER = Path("recipes")
SOURCE = "dataset.source"
CLASS_WEIGHTS = "train.class_weights"


class RecipeError(ValueError):
    """There is no such recipe, or what is wrong with it."""


class Recipe(Section):
    """A file of recipes/.

    Attributes:
        params: what differs from the committed params.yaml, nested as there.
        cost: data and time, in words.
        published: the figure of whom it follows, or nothing.
        score, machine, commit: what it reached, or ``not measured yet``.
    """

    title: str
    params: dict[str, Any]
    cost: str
    published: str
    note: str
    score: str
    machine: str
    commit: str


def recipe_names(root: Path) -> list[str]:
    return sorted(path.stem for path in (root / FOLDER).glob("*.yaml"))


def read_recipe(name: str, root: Path) -> Recipe:
    """A recipe by its name.

    Raises:
        RecipeError: there is none, it lacks a key or has an unknown one, or it sets ``dataset.source``, which is where
            the data lies on one machine.
    """
    path = root / FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise RecipeError(f"there is no recipe {name!r}; choose one of: {', '.join(recipe_names(root))}")
    try:
        recipe = Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (ValidationError, yaml.YAMLError) as error:
        raise RecipeError(f"{path}: {error}") from None
    if SOURCE in dict(leaves(recipe.params)):
        raise RecipeError(f"{path} sets {SOURCE}, which belongs to a machine; take it out, and give SOURCE=... instead")
    return recipe


def with_changes(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """The recipe with ``key=value`` changes over its parameters; values are YAML.

    Raises:
        RecipeError: a change without ``=``, or whose value is no YAML.
    """
    params = recipe.params
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise RecipeError(f"got {change!r}, expected key=value, such as train.epochs=20")
        try:
            above: Any = parse_yaml(value)
        except yaml.YAMLError as error:
            raise RecipeError(
                f"got {change!r}, whose value is not valid YAML ({error}); expected one as params.yaml has it"
            ) from None
        for part in reversed(key.split(".")):
            above = {part: above}
        params = _merged(params, above)
    return recipe.model_copy(update={"params": params})


def begun_from(recipe: Recipe, folder: str) -> Recipe:
    """The recipe with ``model.init_from`` set to a folder of this machine."""
    return recipe.model_copy(update={"params": _merged(recipe.params, {"model": {"init_from": folder}})})


def recipe_values(recipe: Recipe, committed: Mapping[str, Any], source: str) -> dict[str, Any]:
    """All of params.yaml for the recipe: the committed values under the recipe's, and this machine's source.

    Raises:
        RecipeError: the recipe has a key that params.yaml has not, or a value of another type.
    """
    known = dict(leaves(committed))
    unknown = [key for key, _ in leaves(recipe.params) if key not in known]
    if unknown:
        raise RecipeError(f"the recipe sets {', '.join(unknown)}, which params.yaml does not have")
    values = _merged(committed, recipe.params)
    values["dataset"]["source"] = source
    try:
        Params.model_validate(values)
    except ValidationError as error:
        raise RecipeError(f"the recipe does not fit params.yaml: {error}") from None
    return values


def overrides(values: Mapping[str, Any], workspace: Mapping[str, Any]) -> list[str]:
    """``key=value`` for ``dvc exp run -S``, for every leaf that differs from the workspace's params.yaml."""
    now = dict(leaves(workspace))
    return [f"{key}={_hydra(value)}" for key, value in leaves(values) if key not in now or now[key] != value]


def committed_params(root: Path) -> dict[str, Any]:
    """params.yaml of the last commit, so that one recipe's values never leak into the next one's run."""
    done = subprocess.run(["git", "show", "HEAD:params.yaml"], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RecipeError(f"params.yaml of the last commit cannot be read: {done.stderr.strip()}")
    values: dict[str, Any] = yaml.safe_load(done.stdout)
    return values


def run_experiment(name: str, changes: list[str], root: Path) -> int:
    """Run the pipeline as the experiment ``name``, in place of an earlier one of that name; DVC's exit status."""
    listed = subprocess.run(
        ["dvc", "exp", "list", "--name-only"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.split()
    if name in listed:
        subprocess.run(["dvc", "exp", "remove", name], cwd=root, check=True, stdout=subprocess.DEVNULL)
    options = [word for change in changes for word in ("-S", change)]
    return subprocess.run(["dvc", "exp", "run", "--name", name, *options], cwd=root, check=False).returncode


def leaves(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values; lists are values, and so are class weights by name."""
    for key, value in values.items():
        if isinstance(value, dict) and f"{above}{key}" != CLASS_WEIGHTS:
            yield from leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = {key: _merged(value, {}) if isinstance(value, dict) else value for key, value in below.items()}
    for key, value in above.items():
        before = merged.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            merged[key] = _merged(before, value)
        elif isinstance(value, dict) and isinstance(before, list) and value.keys() <= set(map(str, range(len(before)))):
            entries = {str(place): entry for place, entry in enumerate(before)}
            merged[key] = list(_merged(entries, value).values())
        else:
            merged[key] = value
    return merged


def _hydra(value: Any) -> str:
    """A value in the grammar of DVC's -S, which is Hydra's."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(_hydra(entry) for entry in value)}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{_hydra(entry)}' for key, entry in value.items())}}}"
    if isinstance(value, str):
        quoted = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{quoted}'"
    return repr(value)
