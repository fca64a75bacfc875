"""Why two models differ: both name what their bits depend on, and so what is not the same can be named."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from faceseg.files import read_json
from faceseg.params import Params
from faceseg.training.checkpoint import differing

DESCRIPTION = "model.json"


@dataclass(frozen=True)
class Difference:
    """Something that the bits of a model depend on, by its dotted name, and both values; None: it has none."""

    field: str
    here: Any
    there: Any


@dataclass(frozen=True)
class Comparison:
    """Two models. ``same_weights``: None where the other one has not been trained."""

    here: str
    there: str
    same_weights: bool | None
    differences: list[Difference]

    @property
    def same(self) -> bool:
        return self.same_weights is not False and not self.differences

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "same": self.same}

    def show(self, console: Console) -> None:
        """A table of what differs, then what follows from it in a sentence."""
        if self.differences:
            table = Table("depends on", self.here, self.there)
            for difference in self.differences:
                table.add_row(difference.field, str(difference.here), str(difference.there))
            console.print(table)
        console.print(self._verdict(), soft_wrap=True, highlight=False, markup=False)

    def _verdict(self) -> str:
        if self.same_weights is None:
            if self.differences:
                return f"Training here now need not give the bits of {self.here}: the above differs."
            return f"Training here now gives the bits of {self.here}: nothing that they depend on differs."
        if self.same_weights:
            return "The weights are the same, byte for byte" + (
                ", although the above differs." if self.differences else "."
            )
        if self.differences:
            return "The weights differ, and so does the above, on which they depend."
        return (
            "The weights differ, and nothing that is recorded does. On a GPU, set train.deterministic; on a CPU this "
            "must not happen: see whether `faceseg verify` finds a damaged file."
        )


def compare_models(folder: Path, other: Path | Mapping[str, Any]) -> Comparison:
    """Compare the model in ``folder`` with another one, or with what a training of today would depend on.

    Args:
        other: folder or model.json of a model, or all that a training would depend on.

    Raises:
        ValueError: there is no such model, or its model.json does not say what it was made from.
    """
    mine = _describe(folder)
    if isinstance(other, Path):
        theirs = _describe(other)
        same_weights = mine["weights_sha256"] == theirs["weights_sha256"]
        return Comparison(str(folder), str(other), same_weights, _differences(mine["made_from"], theirs["made_from"]))
    return Comparison(str(folder), "trained here now", None, _differences(mine["made_from"], other))


def trained_here(params: Params) -> dict[str, Any]:
    """All that the bits of a model would depend on that is trained on this machine now, with these parameters.

    Raises:
        ValueError: model.init_from names no model.
        OSError: there is no cache to train on.
    """
    from faceseg.quiet import import_tensorflow

    import_tensorflow()
    from faceseg.training.initial import initial_folder
    from faceseg.training.train import identity_of

    initial = initial_folder(params.model.init_from, Path.cwd())
    return identity_of(Path("data/cache"), params.model, params.train, initial)


def _differences(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[Difference]:
    return [Difference(*found) for found in differing(mine, theirs)]


def _describe(path: Path) -> Mapping[str, Any]:
    file = path if path.is_file() else path / DESCRIPTION
    try:
        description: Mapping[str, Any] = read_json(file)
    except FileNotFoundError:
        raise ValueError(f"{file} is not there; expected a model's folder or its {DESCRIPTION}") from None
    missing = [key for key in ("made_from", "weights_sha256") if key not in description]
    if missing:
        raise ValueError(f"{file} does not say {' and '.join(missing)}; expected the {DESCRIPTION} of a training")
    return description
