"""Commands about the pipeline in this checkout: is it sound before it runs, what did it reach, what may go."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from faceseg.cli.app import app, fail


@app.command()
def check() -> None:
    """Check params.yaml and the dataset's source before DVC starts: DVC deletes a stage's outputs before it runs."""
    from faceseg.params import read_params

    try:
        check_params(read_params())
    except (ValueError, OSError) as error:
        fail(str(error))


def check_params(params: Any) -> None:
    """Find the dataset, its merge and source, and build the model, as the stages will.

    Raises:
        ValueError, OSError: one of them will not do; the message says which and how to mend it.
    """
    from faceseg.quiet import import_tensorflow
    from faceseg.sources import catalog
    from faceseg.sources.fetch import check_source
    from faceseg.tracking import repository_root

    dataset = catalog.load(params.dataset.name, params.dataset.folder)
    merge = dataset.merge(params.merge.into)
    check_source(dataset, params.dataset.source, repository_root())
    import_tensorflow()
    from faceseg.models.build import build_model
    from faceseg.training.initial import check_initial, initial_folder

    check_initial(initial_folder(params.model.init_from, Path.cwd()), params.model)
    build_model(params.model, params.resize.size, len(merge.classes))


@app.command()
def summary(
    without: Annotated[list[str] | None, typer.Option(help="a test clip to leave out, as often as wanted")] = None,
) -> None:
    """Show the scores of the evaluated model, and where its pictures and curves are."""
    from faceseg import scores

    try:
        if without:
            scores.show_without(set(without), Console())
        else:
            scores.show(Console())
    except ValueError as error:
        fail(str(error))


@app.command()
def clean(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed, and remove nothing.")] = False,
) -> None:
    """Remove the checkpoints of trainings that were not ended; `dvc repro` of the same would go on from them."""
    from faceseg.tracking import repository_root
    from faceseg.training.checkpoint import remove_run, runs_in

    removed = 0
    for run in runs_in(repository_root() / ".faceseg" / "runs"):
        line = f"{run.path.name}  epoch {run.epoch}, {run.bytes:,} bytes"
        if run.running or not (dry_run or remove_run(run.path)):
            print(f"{line}: stays, a process trains in it")
            continue
        removed += run.bytes
        print(line)
    print(f"{removed:,} bytes {'would be' if dry_run else 'were'} removed")
