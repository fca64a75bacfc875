"""The ``faceseg`` command: what DVC and MLflow lack."""

import sys
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(add_completion=False, no_args_is_help=True, help="What DVC and MLflow lack, for a faceseg pipeline.")


@app.command()
def check() -> None:
    """Check params.yaml and the dataset's source before DVC starts: DVC deletes a stage's outputs before it runs."""
    from faceseg.params import read_params

    try:
        _check(read_params())
    except (ValueError, OSError) as error:
        _fail(str(error))


def _check(params: Any) -> None:
    from faceseg.quiet import import_tensorflow
    from faceseg.sources import catalog
    from faceseg.sources.fetch import check_source
    from faceseg.tracking import repository_root

    dataset = catalog.load(params.dataset.name)
    merge = dataset.merge(params.merge.into)
    check_source(dataset, params.dataset.source, repository_root())
    import_tensorflow()
    from faceseg.models.build import build_model
    from faceseg.training.initial import check_initial, initial_folder

    check_initial(initial_folder(params.model.init_from, Path.cwd()), params.model)
    build_model(params.model, params.resize.size, len(merge.classes))


@app.command()
def summary() -> None:
    """Show the scores of the evaluated model, and where its pictures and curves are."""
    from faceseg.files import read_json

    metrics = Path("metrics")
    missing = [path for path in (metrics / "evaluate.json", metrics / "splits.json") if not path.exists()]
    if missing:
        _fail(f"{missing[0]} is not there; `make repro` makes it")
    scores = read_json(metrics / "evaluate.json")
    sizes = read_json(metrics / "splits.json")["sizes"]
    console = Console()
    console.print(_score_table(scores["native"]))
    native, cached = scores["native"], scores["cached"]
    console.print(
        f"test mIoU {native['miou']:.3f}, mean F1 {native['mf1']:.3f}, pixel accuracy {native['pixel_accuracy']:.3f} "
        f"at native size (mIoU {cached['miou']:.3f} at the training size), "
        f"{sizes['test']['pictures']} pictures of {sizes['test']['clips']} clips"
    )
    console.print("report    reports/report.html", "pictures  reports/samples/", sep="\n", highlight=False)
    console.print(
        "curves    metrics/plots/curves.csv, `dvc plots show`, or `make ui` for MLflow", soft_wrap=True, highlight=False
    )


def _score_table(scores: dict[str, Any]) -> Table:
    table = Table(title="Test split, native size")
    table.add_column("class")
    for name in ("IoU", "F1", "precision", "recall"):
        table.add_column(name, justify="right")
    for name, values in scores["per_class"].items():
        table.add_row(name, *(f"{values[key]:.3f}" for key in ("iou", "f1", "precision", "recall")))
    for name in scores["absent"]:
        table.add_row(name, "absent", "", "", "")
    return table


@app.command()
def datasets() -> None:
    """List the datasets that have a description."""
    from faceseg.sources import catalog

    table = Table("name", "title", "classes", "merges", "licence")
    for name in catalog.names():
        dataset = catalog.load(name)
        table.add_row(name, dataset.title, str(len(dataset.classes)), ", ".join(dataset.merges), dataset.licence)
    Console().print(table)


@app.command()
def models(
    architecture: str = typer.Option("all", help="One of them, or all."),
    backbone: str = typer.Option("all", help="One encoder, or all: about a minute for each architecture."),
    size: int = typer.Option(256, help="Side of the picture in pixels."),
    classes: int = typer.Option(8, help="Classes of the merge."),
) -> None:
    """List architectures and encoders with their parameters and multiply-adds."""
    from faceseg.params import read_params
    from faceseg.quiet import import_tensorflow

    import_tensorflow()
    from faceseg.models.backbones import backbone_names
    from faceseg.models.build import ARCHITECTURES, build_model
    from faceseg.models.costs import multiply_adds

    if architecture not in ("all", *ARCHITECTURES):
        _fail(f"there is no architecture {architecture!r}; choose one of: {', '.join(ARCHITECTURES)}")
    print(f"{'architecture':14} {'backbone':18} {'parameters':>11} {'multiply-adds':>14}   at {size} pixels")
    for name in ARCHITECTURES if architecture == "all" else [architecture]:
        for encoder in backbone_names() if backbone == "all" else [backbone]:
            chosen = {"architecture": name, "backbone": encoder, "encoder_weights": None}
            try:
                model = build_model(read_params().model.model_copy(update=chosen), size, classes)
            except ValueError as error:
                if backbone != "all":
                    _fail(str(error))
                print(f"{name:14} {encoder:18} {error}")
                continue
            cost = f"{model.count_params() / 1e6:9.2f} M {multiply_adds(model) / 1e9:12.2f} G"
            print(f"{name:14} {encoder:18} {cost}", flush=True)


@app.command()
def recipe(
    name: str = typer.Argument("", help="Of recipes/; without one they are listed."),
    source: str = typer.Option("", help="dataset.source on this machine; as params.yaml has it where it is left out."),
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
        values = recipes.recipe_values(
            recipes.read_recipe(name, here), recipes.committed_params(here), source or workspace["dataset"]["source"]
        )
        _check(Params.model_validate(values))
        status = recipes.run_experiment(name, recipes.overrides(values, workspace), here)
    except (ValueError, OSError) as error:
        _fail(str(error))
    raise typer.Exit(status)


@app.command()
def sync() -> None:
    """Deliver to MLflow what it missed while it could not be reached."""
    from faceseg.tracking import repository_root, tracking_uri
    from faceseg.tracking import sync as deliver_all

    root = repository_root()
    try:
        missing = deliver_all(root)
    except Exception as error:  # MLflow lets through what its stores and HTTP libraries raise.
        _fail(
            f"MLflow at {tracking_uri(root)} cannot be reached ({type(error).__name__}: {error}); the journal keeps all"
        )
    print(f"{missing} lines delivered to {tracking_uri(root)}")


def _fail(message: str) -> None:
    print(message, file=sys.stderr)
    raise typer.Exit(1)
