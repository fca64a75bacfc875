"""Commands about what was measured: MLflow, and the comparison of two revisions."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from faceseg.cli.app import app, fail


@app.command()
def sync() -> None:
    """Deliver to MLflow what it missed while it could not be reached."""
    from faceseg.tracking import repository_root
    from faceseg.tracking import sync as deliver_all

    delivery, failures = deliver_all(repository_root())
    print(f"{delivery.lines} lines delivered", *delivery.notes, sep="\n")
    if failures:
        fail("\n".join(["not delivered (the journal keeps them):", *failures]))


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="of 127.0.0.1")] = 5000,
    browser: Annotated[bool, typer.Option(help="open it where there is a screen")] = True,
) -> None:
    """Show the trainings in MLflow, columns and charts chosen, on this machine alone; Ctrl-C ends it."""
    from faceseg import dashboard
    from faceseg.tracking import repository_root
    from faceseg.tracking.store import NoAnswerError, Store, experiment_name, tracking_uri

    root = repository_root()
    store = Store(root)
    try:
        store.open()
        dashboard.show(store.client, experiment_name(), tracking_uri(root), port, browser)
    except (dashboard.DashboardError, NoAnswerError) as error:
        fail(str(error))


@app.command()
def compare(
    base: Annotated[str, typer.Argument(help="A git revision or the name of an experiment.")],
    head: Annotated[str, typer.Argument(help="The same, or the workspace.")] = "workspace",
    markdown: Annotated[bool, typer.Option("--markdown", help="For a pull request.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For a program.")] = False,
    fail_if_worse: Annotated[bool, typer.Option("--fail-if-worse", help="Exit code 1 when head is worse.")] = False,
) -> None:
    """Compare the scores of two revisions or experiments: better, worse, or within noise.

    Exit code 2: they cannot be compared.
    """
    from faceseg.evaluation import comparison_page
    from faceseg.evaluation.compare import ComparisonError
    from faceseg.evaluation.compare import compare as compare_measured
    from faceseg.evaluation.revisions import read_revision

    if markdown and as_json:
        fail("--markdown and --json are two formats; give one", code=2)
    try:
        sides = [read_revision(name, Path.cwd()) for name in (base, head)]
        comparison = compare_measured(sides[0].measured, sides[1].measured)
    except ComparisonError as error:
        fail(str(error), code=2)
    if markdown:
        print(comparison_page.to_markdown(comparison, *sides), end="")
    elif as_json:
        print(json.dumps(comparison_page.to_json(comparison, *sides), indent=2, allow_nan=False))
    else:
        Console().print(comparison_page.to_terminal(comparison, *sides))
    if fail_if_worse and comparison.verdict == "worse":
        raise typer.Exit(1)
