"""The ``faceseg`` command: what DVC and MLflow lack."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(add_completion=False, no_args_is_help=True, help="What DVC and MLflow lack, for a faceseg pipeline.")
verify = typer.Typer(no_args_is_help=True, help="Integrity of data and of what was built from it.")
app.add_typer(verify, name="verify")

RAW = Path("data/raw/dataset.zip")


@app.command()
def check() -> None:
    """Check params.yaml and the dataset's source before DVC starts: DVC deletes a stage's outputs before it runs."""
    from faceseg.params import read_params
    from faceseg.quiet import import_tensorflow
    from faceseg.sources import catalog
    from faceseg.sources.fetch import check_source
    from faceseg.tracking import repository_root

    try:
        params = read_params()
        dataset = catalog.load(params.dataset.name, params.dataset.folder)
        merge = dataset.merge(params.merge.into)
        check_source(dataset, params.dataset.source, repository_root())
        import_tensorflow()
        from faceseg.models.build import build_model

        build_model(params.model, params.resize.size, len(merge.classes))
    except (ValueError, OSError) as error:
        _fail(str(error))


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
def datasets(name: Annotated[str | None, typer.Argument(help="show the label table of this one")] = None) -> None:
    """List the datasets that have a description, with what of them is on this machine; or show the labels of one."""
    from faceseg import dataset_tables
    from faceseg.params import read_params
    from faceseg.sources import catalog
    from faceseg.tracking import repository_root

    console = Console()
    try:
        folder = read_params().dataset.folder
        if name is None:
            console.print(dataset_tables.overview(folder, repository_root()))
            return
        dataset = catalog.load(name, folder)
    except (ValueError, OSError) as error:
        _fail(str(error))
    for key, value in dataset_tables.facts(dataset, repository_root()):
        console.print(f"[bold]{key}[/bold]  ", end="")
        console.print(value, markup=False, highlight=False, soft_wrap=True)
    console.print(dataset_tables.labels(dataset))


@app.command()
def folder(
    images: Annotated[Path, typer.Argument(help="a folder of pictures")],
    labels: Annotated[Path, typer.Argument(help="a folder of masks of the same names")],
    epochs: Annotated[int | None, typer.Option("-e", "--epochs", min=1, help="default: as params.yaml says")] = None,
) -> None:
    """Train on two folders: packs them, writes params.yaml accordingly, runs the pipeline and shows the scores."""
    from faceseg import folder as own
    from faceseg.params import PARAMS_FILE, read_params
    from faceseg.tracking import repository_root

    root = repository_root()
    try:
        changes = own.prepare(images, labels, epochs, root, read_params(root / PARAMS_FILE))
    except (ValueError, OSError) as error:
        _fail(str(error))
    print("params.yaml says now:")
    for key, value in changes.items():
        print(f"  {key}: {value}")
    if status := own.repro(root):
        raise typer.Exit(status)
    summary()


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


@verify.command("data")
def verify_data(
    archive: Annotated[Path, typer.Option(help="Of the download stage, or any of its layout.")] = RAW,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON, for programs.")] = False,
    every: Annotated[bool, typer.Option("--all", help="A line for every finding, not for the first 50 alone.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Notes fail as well.")] = False,
) -> None:
    """Check every picture and mask, and what lies between splits; 1 when something spoils training or its measure."""
    from faceseg.params import read_params
    from faceseg.sources import catalog
    from faceseg.verification.data import verify_data as verified

    try:
        params = read_params()
        dataset = catalog.load(params.dataset.name, params.dataset.folder)
        merge = dataset.merge(params.merge.into)
        report = verified(archive, dataset, merge, params.split, params.dataset.limit, params.compute.workers)
    except (ValueError, OSError) as error:
        _fail(str(error))
    if as_json:
        print(json.dumps(report.to_dict(strict), indent=2, ensure_ascii=False))
    else:
        report.show(Console(), None if every else 50)
    if not report.passed(strict):
        raise typer.Exit(1)


def _fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(1)
