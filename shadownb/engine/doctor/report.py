"""What the doctor says: findings, each with the next step where there is one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from html import escape
from typing import Literal


@dataclass(frozen=True)
class Line:
    """One finding.

    Attributes
    ----------
    fix
        The next step where ``status`` is not ok.
    shared
        How a bundle says it, where ``found`` names what is the user's: folders and models.
    """

    status: Literal["ok", "warn", "fix"]
    name: str
    found: str
    fix: str = ""
    shared: str | None = None


@dataclass(frozen=True)
class Report:
    """What the doctor found, shown as text or as a table."""

    lines: tuple[Line, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing has to be mended before training."""
        return all(line.status != "fix" for line in self.lines)

    def for_others(self) -> Report:
        """Return the report as it goes into a bundle: nothing in it names what is the user's."""
        return Report(tuple(line if line.shared is None else replace(line, found=line.shared) for line in self.lines))

    def __str__(self) -> str:
        width = max((len(line.name) for line in self.lines), default=0)
        rows = [
            f"{line.status:4}  {line.name:{width}}  {line.found}{f'  -> {line.fix}' if line.fix else ''}"
            for line in self.lines
        ]
        return "\n".join([*rows, self.summary])

    __repr__ = __str__

    @property
    def summary(self) -> str:
        """The findings in one sentence."""
        count = {status: sum(line.status == status for line in self.lines) for status in ("warn", "fix")}
        if count["fix"]:
            return f"Not ready: {count['fix']} to fix, {count['warn']} to know."
        return "Ready." if not count["warn"] else f"Ready, with {count['warn']} to know."

    def _repr_html_(self) -> str:
        marks = {"ok": "✓ ok", "warn": "△ warn", "fix": "✗ fix"}
        rows = "".join(
            f'<tr><td>{marks[line.status]}</td><th scope="row" style="text-align:left">{escape(line.name)}</th>'
            f'<td style="text-align:left">{escape(line.found)}</td><td style="text-align:left">{escape(line.fix)}</td></tr>'
            for line in self.lines
        )
        return f"<table><caption>{escape(self.summary)}</caption><tbody>{rows}</tbody></table>"
