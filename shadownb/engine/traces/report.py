"""What became of the spans of an import: understood by which convention, or left out for which reason, with examples."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from html import escape
from typing import Any

EXAMPLES = 3


@dataclass
class LeftOut:
    """Spans left out for one reason: how many (``count``), and the names of the first few (``examples``).

    Examples
    --------
    >>> spans = [{"name": "GET /health", "span_id": "1", "attributes": {"http.status": 200}}]
    >>> report = snb.traces.from_spans(spans).report
    >>> {reason: left_out.count for reason, left_out in report.left_out.items()}
    {'not written in a known convention': 1}
    """

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(example)


@dataclass
class TraceReport:
    """The outcome of an import: what was understood, and what was left out and why.

    Attributes
    ----------
    understood
        Number of spans that became model calls, by convention.
    left_out
        The other spans, by reason.
    not_trained
        Model calls whose answer is not trained on, by reason: the span failed, or its content was cut off.
    sources
        Number of spans in each form (``otlp``, ``sdk``, ``langfuse``, ``phoenix``), or of answers in each tool's records and files.
    notes
        What these sources cannot say, and in how many files.
    trajectories
        Number of resulting episodes.

    Examples
    --------
    >>> report = snb.traces.from_otlp("spans.json").report
    >>> report.total, report.trajectories, dict(report.understood)
    (2, 2, {'otel-genai': 2})
    >>> print(report.summary())
    2 of 2 spans are model calls that were understood (2 otel-genai); they make 2 trajectories
    >>> report.to_dict()["trajectories"]
    2
    """

    understood: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, LeftOut] = field(default_factory=dict)
    not_trained: dict[str, LeftOut] = field(default_factory=dict)
    sources: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    trajectories: int = 0

    @property
    def total(self) -> int:
        """Number of all entries, including those that are not spans."""
        return self.understood.total() + sum(entry.count for entry in self.left_out.values())

    def leave_out(self, reason: str, example: str) -> None:
        """Count one span that is left out."""
        self.left_out.setdefault(reason, LeftOut()).add(example)

    def keep_untrained(self, reason: str, example: str) -> None:
        """Count one call that is understood, and whose answer is not whole."""
        self.not_trained.setdefault(reason, LeftOut()).add(example)

    def summary(self) -> str:
        """Return the outcome in one line."""
        by = ", ".join(f"{count:,} {name}" for name, count in self.understood.most_common())
        line = f"{self.understood.total():,} of {self.total:,} spans are model calls that were understood"
        count = f"{self.trajectories:,} trajector{'y' if self.trajectories == 1 else 'ies'}"
        untrained = sum(entry.count for entry in self.not_trained.values())
        rest = (
            f"; {untrained:,} of the answers {'is' if untrained == 1 else 'are'} not whole and never trained"
            if untrained
            else ""
        )
        return f"{line}{f' ({by})' if by else ''}; they make {count}{rest}"

    def _reasons(self) -> list[tuple[str, str, LeftOut]]:
        found = [("not trained", *item) for item in self.not_trained.items()]
        found += [("left out", *item) for item in self.left_out.items()]
        return sorted(found, key=lambda one: (one[0] != "not trained", -one[2].count))

    def __str__(self) -> str:
        lines = [self.summary()]
        lines += [
            f"  {entry.count:,} {what}: {why} (for example {entry.examples[0]})" for what, why, entry in self._reasons()
        ]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "total": self.total,
            "understood": dict(self.understood),
            "left_out": {why: {"count": e.count, "examples": e.examples} for why, e in self.left_out.items()},
            "not_trained": {why: {"count": e.count, "examples": e.examples} for why, e in self.not_trained.items()},
            "sources": dict(self.sources),
            "notes": dict(self.notes),
            "trajectories": self.trajectories,
        }

    def _repr_html_(self) -> str:
        items = "".join(
            f"<li>{entry.count:,} {what}: {escape(why)}<ul>{''.join(f'<li><code>{escape(e)}</code></li>' for e in entry.examples)}"
            "</ul></li>"
            for what, why, entry in self._reasons()
        )
        items += "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        listed = f"<details open><summary>left out, or not trained</summary><ul>{items}</ul></details>" if items else ""
        return f'<div style="color:inherit"><p>{escape(self.summary())}</p>{listed}</div>'
