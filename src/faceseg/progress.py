"""Progress of long work: a bar on a terminal, a plain line now and then in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Item = TypeVar("Item")

LINE_SECONDS = 10.0  # of silence between two lines of a log: a run of an hour stays readable


def track(items: Iterable[Item], total: int | None, label: str) -> Iterator[Item]:
    """Hand ``items`` through one by one and show on standard error how many of ``total`` (None: not known) are done.

    An item counts as done when the next one is asked for. On a terminal a bar is drawn and stays; elsewhere a line
    appears at most every ``LINE_SECONDS`` seconds, and one at the end (also an early one), so that a log tells how far
    the work came.
    """
    console = Console(stderr=True)
    if console.is_terminal:
        return _with_bar(items, total, label, console)
    return _with_lines(items, total, label)


def _with_bar(items: Iterable[Item], total: int | None, label: str, console: Console) -> Iterator[Item]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(label, total=total)
        for item in items:
            yield item
            bar.advance(task)


def _with_lines(items: Iterable[Item], total: int | None, label: str) -> Iterator[Item]:
    start = spoken = time.monotonic()
    done = 0
    try:
        for item in items:
            yield item
            done += 1
            now = time.monotonic()
            if now - spoken >= LINE_SECONDS and done != total:
                spoken = now
                _say(label, done, total, now - start)
    finally:
        _say(label, done, total, time.monotonic() - start)


def _say(label: str, done: int, total: int | None, seconds: float) -> None:
    of = "" if total is None else f" of {total}"
    print(f"{label}: {done}{of}, {seconds:.0f} s", file=sys.stderr, flush=True)
