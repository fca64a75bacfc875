"""Commands about datasets: which there are, and training on two folders of one's own."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from faceseg.cli.app import app, fail


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
        fail(str(error))
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
    from faceseg import scores
    from faceseg.params import PARAMS_FILE, read_params
    from faceseg.tracking import repository_root

    root = repository_root()
    try:
        changes = own.prepare(images, labels, epochs, root, read_params(root / PARAMS_FILE))
    except (ValueError, OSError) as error:
        fail(str(error))
    print("params.yaml says now:")
    for key, value in changes.items():
        print(f"  {key}: {value}")
    if status := own.repro(root):
        raise typer.Exit(status)
    scores.show(Console())
