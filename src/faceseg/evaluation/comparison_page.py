"""A comparison as people and programs read it: Markdown for a pull request, a table in a terminal, JSON."""

import math
from collections.abc import Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from faceseg.evaluation.compare import LEVEL, Comparison, Row, Verdict
from faceseg.evaluation.revisions import Change, Revision, changed

_MARKS: dict[Verdict | None, str] = {"better": "▲ better", "worse": "▼ worse", "within noise": "within noise", None: ""}
_STYLES: dict[Verdict | None, str] = {"better": "green", "worse": "red", "within noise": "dim", None: ""}
_COLUMNS = ("score", "base", "head", "difference", f"{LEVEL:.0%} interval", "verdict")
_FOOTNOTE = (
    "Differences are head − base at native size, in IoU unless named otherwise; intervals are bootstrapped over the "
    "test clips, both models on the same clips. Verdicts are corrected for the number of scores tested; mF1 and pixel "
    "accuracy are shown, not tested."
)


def headline(comparison: Comparison) -> str:
    """The verdict in a sentence, with what it rests on."""
    total = next(row for row in comparison.totals if row.verdict)
    mean = f"{total.name} {_number(total.base)} → {_number(total.head)} ({_signed(total.difference)})"
    words: dict[Verdict, str] = {"worse": "lower", "better": "higher"}
    parts = [
        f"{word}: {', '.join(f'{row.name} {_signed(row.difference)}' for row in comparison.rows(verdict))}"
        for verdict, word in words.items()
        if comparison.rows(verdict)
    ]
    return f"{comparison.verdict}: {mean}{'; ' if parts else ''}{'; '.join(parts)}"


def to_markdown(comparison: Comparison, base: Revision, head: Revision) -> str:
    """A section for a pull request's comment."""
    lines = [
        f"### faceseg compare: {headline(comparison)}",
        "",
        f"base `{base.title}`, head `{head.title}`, {comparison.clips} test clips",
        "",
        *(f"> {_escaped(note)}\n" for note in _notes(comparison, base, head)),
        *_markdown_table(_COLUMNS, [_cells(row) for row in _rows(comparison)], align="lrrrll"),
        "",
        _FOOTNOTE,
    ]
    for title, changes in _changes(base, head):
        lines += ["", f"**{title}**", ""]
        cells = [(f"`{name}`", _escaped(old), _escaped(new)) for name, old, new in changes]
        lines += _markdown_table((title.split()[1], "base", "head"), cells, "lll") if cells else ["none"]
    return "\n".join(lines) + "\n"


def to_terminal(comparison: Comparison, base: Revision, head: Revision) -> Group:
    """Tables for rich."""
    table = Table(title=f"{base.title} → {head.title}, {comparison.clips} test clips")
    for name, side in zip(_COLUMNS, "lrrrll", strict=True):
        table.add_column(name, justify="right" if side == "r" else "left", no_wrap=True)
    for row in _rows(comparison):
        table.add_row(*map(Text, _cells(row)), style=_STYLES[row.verdict])
    parts: list[Any] = [table, *(Text(note, style="yellow") for note in _notes(comparison, base, head))]
    for title, changes in _changes(base, head):
        if changes:
            sides = Table(title.split()[1], "base", "head", title=title)
            for change in changes:
                sides.add_row(*map(Text, change))
            parts.append(sides)
    return Group(*parts, Text(headline(comparison), style=_STYLES[comparison.verdict]))


def to_json(comparison: Comparison, base: Revision, head: Revision) -> dict[str, Any]:
    """Plain values; None where a class is absent or a score is not tested."""
    return {
        "verdict": comparison.verdict,
        "base": {"name": base.name, "commit": base.commit},
        "head": {"name": head.name, "commit": head.commit},
        "clips": comparison.clips,
        "level": LEVEL,
        "notes": _notes(comparison, base, head),
        "totals": {row.name: _values(row) for row in comparison.totals},
        "classes": {row.name: _values(row) for row in comparison.classes},
        "changed_params": {name: [old, new] for name, old, new in changed(base.params, head.params)},
        "changed_data": {name: [old, new] for name, old, new in changed(base.data, head.data)},
    }


def _notes(comparison: Comparison, base: Revision, head: Revision) -> list[str]:
    """What is to be known before the table is believed."""
    stale = [
        f"The scores of {side.title} were recorded under other parameters than its params.yaml has: "
        + ", ".join(f"{name} {recorded} (now {now})" for name, recorded, now in side.stale)
        + ". Run `dvc repro` and commit dvc.lock and metrics/."
        for side in (base, head)
        if side.stale
    ]
    return [*stale, *comparison.notes]


def _rows(comparison: Comparison) -> tuple[Row, ...]:
    return (*comparison.totals, *comparison.classes)


def _changes(base: Revision, head: Revision) -> list[tuple[str, list[Change]]]:
    return [
        ("Changed parameters", list(changed(base.params, head.params))),
        ("Changed data (dvc.lock)", list(changed(base.data, head.data))),
    ]


def _values(row: Row) -> dict[str, Any]:
    numbers = {
        "base": row.base,
        "head": row.head,
        "difference": row.difference,
        "low": row.low,
        "high": row.high,
        "p": row.p,
    }
    known = {name: None if value is None or math.isnan(value) else value for name, value in numbers.items()}
    return {**known, "verdict": row.verdict}


def _cells(row: Row) -> tuple[str, ...]:
    interval = "" if math.isnan(row.low) else f"{_signed(row.low)} to {_signed(row.high)}"
    return (row.name, _number(row.base), _number(row.head), _signed(row.difference), interval, _MARKS[row.verdict])


def _number(value: float) -> str:
    return "absent" if math.isnan(value) else f"{value:.4f}"


def _signed(value: float) -> str:
    return "" if math.isnan(value) else f"{value:+.4f}".replace("-", "−")


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _markdown_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]], align: str) -> list[str]:
    rules = ["---:" if side == "r" else "---" for side in align]
    return [f"| {' | '.join(cells)} |" for cells in (header, tuple(rules), *rows)]
