"""What verification has to say: findings, counted by kind, for people as a table and for programs as JSON."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

Severity = Literal["fault", "note"]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing about one picture, file, clip, class or split, which ``where`` names.

    A fault makes the verification fail: it spoils training or its measure. A note is for a person to look at.
    """

    severity: Severity
    kind: str
    where: str
    detail: str


@dataclass(frozen=True)
class Report:
    """All findings, faults first.

    ``pictures``: those with a mask. ``unlabelled``: those that the description expects to have none. ``pixels``: how
    many of each id or colour have no class.
    """

    dataset: str
    pictures: int
    unlabelled: list[str]
    findings: list[Finding]
    pixels: dict[str, int]

    def count(self, severity: Severity) -> int:
        return sum(finding.severity == severity for finding in self.findings)

    def passed(self, strict: bool) -> bool:
        """No fault; and, when ``strict``, no note."""
        return not self.findings if strict else self.count("fault") == 0

    def to_dict(self, strict: bool) -> dict[str, Any]:
        """All of it as JSON holds it, with the verdict that ``strict`` asks for."""
        return {
            "passed": self.passed(strict),
            "dataset": self.dataset,
            "pictures": self.pictures,
            "unlabelled": len(self.unlabelled),
            "without_mask_as_expected": self.unlabelled,
            "faults": self.count("fault"),
            "notes": self.count("note"),
            "totals": dict(sorted(Counter(finding.kind for finding in self.findings).items())),
            "pixels_without_class": self.pixels,
            "findings": [asdict(finding) for finding in self.findings],
        }

    def show(self, console: Console, most: int | None) -> None:
        """A table of the kinds, then a line for each finding, ``most`` of them (None: all)."""
        counts = Counter((finding.severity, finding.kind) for finding in self.findings)
        table = Table("", "what", "how many", "for example", title=f"{self.dataset}: {self.pictures} pictures")
        for (severity, kind), number in sorted(counts.items()):
            first = next(f for f in self.findings if (f.severity, f.kind) == (severity, kind))
            table.add_row(severity, kind, str(number), first.where, style="red" if severity == "fault" else None)
        if counts:
            console.print(table)
        for line in self._lines(most):
            console.print(line, soft_wrap=True, highlight=False, markup=False)

    def _lines(self, most: int | None) -> Iterator[str]:
        shown = self.findings if most is None else self.findings[:most]
        for finding in shown:
            yield f"{finding.severity}: {finding.where}: {finding.kind}: {finding.detail}"
        if len(shown) < len(self.findings):
            yield f"and {len(self.findings) - len(shown)} more; --all shows them, --json as well"
        if self.unlabelled:
            named = self.unlabelled if most is None else self.unlabelled[:most]
            more = f" and {len(self.unlabelled) - len(named)} more" if len(named) < len(self.unlabelled) else ""
            yield f"without a mask, as expected: {', '.join(named)}{more}"
        yield (
            f"{self.dataset}: {self.pictures} pictures with a mask, {len(self.unlabelled)} without one as expected, "
            f"{self.count('fault')} faults, {self.count('note')} notes"
        )
