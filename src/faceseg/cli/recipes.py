"""Commands about recipes: run one as an experiment, or score it inside its training split."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from faceseg.cli.app import app, fail
from faceseg.cli.pipeline import check_params


@app.command()
def recipe(
    name: str = typer.Argument("", help="Of recipes/; without one they are listed."),
    source: str = typer.Option("", help="dataset.source on this machine; as params.yaml has it where it is left out."),
    init_from: str = typer.Option(
        "", help="model.init_from on this machine; as the recipe has it where it is left out."
    ),
) -> None:
    """Run a recipe as a DVC experiment of its name."""
    import yaml

    from faceseg import recipes
    from faceseg.params import PARAMS_FILE, Params

    here = Path.cwd()
    if not name:
        table = Table("recipe", "what it is", "score")
        for known in recipes.recipe_names(here):
            about = recipes.read_recipe(known, here)
            table.add_row(known, about.title, about.score)
        Console().print(table)
        return
    try:
        workspace = yaml.safe_load(PARAMS_FILE.read_text(encoding="utf-8"))
        about = recipes.read_recipe(name, here)
        if init_from:
            about = recipes.begun_from(about, init_from)
        values = recipes.recipe_values(about, recipes.committed_params(here), source or workspace["dataset"]["source"])
        check_params(Params.model_validate(values))
        status = recipes.run_experiment(name, recipes.overrides(values, workspace), here)
    except (ValueError, OSError) as error:
        fail(str(error))
    raise typer.Exit(status)


@app.command("cross-validate")
def cross_validate(
    name: Annotated[str, typer.Argument(help="of recipes/")],
    source: Annotated[str, typer.Option(help="dataset.source on this machine; as params.yaml has it without")] = "",
    folds: Annotated[int, typer.Option(help="parts that the training clips are dealt into")] = 4,
    only: Annotated[list[int] | None, typer.Option(help="number of a fold to run, as often as wanted")] = None,
    change: Annotated[list[str] | None, typer.Option("--set", "-S", help="key=value over the recipe's")] = None,
    folder: Annotated[Path, typer.Option(help="where its data and models go")] = Path(".faceseg/cross-validation"),
) -> None:
    """Score a recipe on held-out pictures of its training split, at native size; test pictures are not looked at."""
    import yaml

    from faceseg import recipes
    from faceseg.params import PARAMS_FILE, Params
    from faceseg.quiet import import_tensorflow

    here = Path.cwd()
    try:
        workspace = yaml.safe_load(PARAMS_FILE.read_text(encoding="utf-8"))
        about = recipes.with_changes(recipes.read_recipe(name, here), change or [])
        values = recipes.recipe_values(about, recipes.committed_params(here), source or workspace["dataset"]["source"])
        import_tensorflow()
        from faceseg import cross_validation

        params = Params.model_validate(values)
        done = []
        for fold in cross_validation.cross_validate(params, folds, only or [], folder, here):
            done.append(fold)
            print(cross_validation.line(f"fold {fold.number}", *cross_validation.pooled([fold])), flush=True)
        print(cross_validation.line(f"{len(done)} of {folds} folds", *cross_validation.pooled(done)))
    except (ValueError, OSError) as error:
        fail(str(error))
