"""The command that the others are added to, and how one of them fails."""

import sys
from typing import NoReturn

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, help="What DVC and MLflow lack, for a faceseg pipeline.")


def fail(message: str, code: int = 1) -> NoReturn:
    """End the command with a message for people."""
    print(message, file=sys.stderr)
    raise typer.Exit(code)
