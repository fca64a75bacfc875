"""``faceseg verify``: files as they were written, why two models differ, and whether a dataset is sound."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from faceseg.cli.app import app, fail

RAW = Path("data/raw/dataset.zip")

verify = typer.Typer(invoke_without_command=True)
app.add_typer(verify, name="verify")


@verify.callback()
def verify_all(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For a program.")] = False,
) -> None:
    """Read all outputs, DVC's cache, checkpoints and journals: are they as they were written? 1 when a file is not."""
    if context.invoked_subcommand is not None:
        return
    from faceseg.verification.artefacts import verify_artefacts

    try:
        verified = verify_artefacts(Path.cwd(), workers=None)
    except (ValueError, OSError) as error:
        fail(str(error))
    if as_json:
        print(json.dumps(verified.to_dict(), indent=2, ensure_ascii=False))
    else:
        verified.show(Console())
    if not verified.passed:
        raise typer.Exit(1)


@verify.command("model")
def verify_model(
    other: Annotated[
        Path | None,
        typer.Argument(help="Another model's folder or model.json; left out: what would be trained here now."),
    ] = None,
    models: Annotated[Path, typer.Option(help="The folder of the model.")] = Path("models"),
    as_json: Annotated[bool, typer.Option("--json", help="For a program.")] = False,
) -> None:
    """Explain why two models differ: name what their bits depend on and what is not the same; 1 when they differ."""
    from faceseg.params import read_params
    from faceseg.verification.model import compare_models, trained_here

    try:
        comparison = compare_models(models, trained_here(read_params()) if other is None else other)
    except (ValueError, OSError) as error:
        fail(str(error))
    if as_json:
        print(json.dumps(comparison.to_dict(), indent=2, ensure_ascii=False))
    else:
        comparison.show(Console())
    if not comparison.same:
        raise typer.Exit(1)


@verify.command("data")
def verify_data(
    archive: Annotated[Path, typer.Option(help="Of the download stage, or any of its layout.")] = Path(
        "data/raw/dataset.zip"
    ),
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
        fail(str(error))
    if as_json:
        print(json.dumps(report.to_dict(strict), indent=2, ensure_ascii=False))
    else:
        report.show(Console(), None if every else 50)
    if not report.passed(strict):
        raise typer.Exit(1)
