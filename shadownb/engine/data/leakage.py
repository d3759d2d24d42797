"""Whether held-out episodes were seen in training: the same task word for word, or nearly so, reported row by row.

Equal tasks are found by their canonical hash, near duplicates as :mod:`near` finds them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

from shadownb.engine.data.accepting import kind_of
from shadownb.engine.data.dataset import as_dataset
from shadownb.engine.data.near import Near, shingles
from shadownb.engine.trajectories.identity import message_text, role_of, task_hash, task_text
from shadownb.engine.trajectories.rows import flatten
from shadownb.engine.trajectories.trajectory import Trajectory
from shadownb.errors import ConfigError, DataError

Compare = Literal["task", "conversation"]


@dataclass(frozen=True)
class LeakedRow:
    """One held-out row that training saw.

    Attributes
    ----------
    heldout, train
        Row numbers on both sides.
    kind
        ``same`` or ``similar``.
    similarity
        The share of common shingles, 0 to 1.
    text
        The beginning of the held-out row's text.
    """

    heldout: int
    train: int
    kind: str
    similarity: float
    text: str

    def __str__(self) -> str:
        degree = "the same as" if self.kind == "same" else f"{self.similarity:.0%} like"
        return f"held-out row {self.heldout} is {degree} training row {self.train}: {self.text}"


@dataclass(frozen=True)
class LeakageReport:
    """The outcome of :func:`leakage`: the leaked rows, and how many rows were compared."""

    rows: tuple[LeakedRow, ...]
    train: int
    heldout: int
    threshold: float

    @property
    def ok(self) -> bool:
        """Whether no held-out row was seen in training."""
        return not self.rows

    @property
    def leaked(self) -> list[int]:
        """The numbers of the held-out rows to take out."""
        return [row.heldout for row in self.rows]

    def summary(self) -> str:
        """Return one line."""
        same = sum(row.kind == "same" for row in self.rows)
        compared = f"{self.heldout:,} held-out rows against {self.train:,} training rows"
        if self.ok:
            return f"No leak: {compared}, none the same or {self.threshold:.0%} alike."
        return f"Leak: {compared}; {same:,} the same, {len(self.rows) - same:,} at least {self.threshold:.0%} alike."

    def __str__(self) -> str:
        lines = [self.summary(), *(f"  {row}" for row in self.rows[:10])]
        return "\n".join(
            lines + ([f"  and {len(self.rows) - 10:,} more: see report.rows"] if len(self.rows) > 10 else [])
        )

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{escape(str(row))}</li>" for row in self.rows[:50])
        rest = f"<li>and {len(self.rows) - 50:,} more</li>" if len(self.rows) > 50 else ""
        listed = f"<details open><summary>rows</summary><ul>{items}{rest}</ul></details>" if items else ""
        return f'<div style="color:inherit"><p>{escape(self.summary())}</p>{listed}</div>'


def leakage(train: Any, heldout: Any, *, threshold: float = 0.7, compare: Compare = "task") -> LeakageReport:
    """Find held-out rows that are also, or nearly, among the training rows.

    Parameters
    ----------
    train, heldout
        Chat rows (a Dataset, a list, a data frame, a ``datasets.Dataset``), trajectories, or groups of trajectories.
    threshold
        Two rows count as alike from this share of common five-word sequences (Jaccard similarity), above 0 to 1.
    compare
        ``task`` compares what was asked, without system prompts; ``conversation`` compares everything but system prompts.

    Returns
    -------
    LeakageReport
        The leaked rows, each with the training row most like it; ``ok`` is True if there is none.

    Raises
    ------
    ConfigError
        An option is out of range.
    DataError
        The rows are not conversations.

    Examples
    --------
    >>> print(snb.leakage(rows, rows[:1]))
    Leak: 1 held-out rows against 12 training rows; 1 the same, 0 at least 70% alike.
      held-out row 0 is the same as training row 0: Where is my parcel?
    >>> snb.leakage(rows[:8], rows[8:]).ok
    True
    """
    if not 0 < threshold <= 1:
        raise ConfigError(f"threshold={threshold!r} is out of range.", fix="Use a share above 0, at most 1.")
    if compare not in ("task", "conversation"):
        raise ConfigError(f"compare={compare!r} is unknown.", fix="Use 'task' or 'conversation'.")
    seen, asked = _conversations(train, "train"), _conversations(heldout, "heldout")
    by_hash: dict[str, int] = {}
    for number, messages in enumerate(seen):
        by_hash.setdefault(_exact(messages, compare), number)
    texts = [_text(messages, compare) for messages in seen]
    index = Near([shingles(text) for text in texts])
    rows = []
    for number, messages in enumerate(asked):
        text = _text(messages, compare)
        short = " ".join(text.split())[:120]
        same = by_hash.get(_exact(messages, compare))
        if same is not None:
            rows.append(LeakedRow(number, same, "same", 1.0, short))
            continue
        other, similarity = index.nearest(shingles(text))
        if other is not None and similarity >= threshold:
            rows.append(LeakedRow(number, other, "similar", similarity, short))
    return LeakageReport(tuple(rows), len(seen), len(asked), threshold)


def _conversations(source: Any, name: str) -> list[list[Mapping[str, Any]]]:
    if not _holds_trajectories(source) and kind_of(source) is not None:
        source = as_dataset(source, name)
    if callable(getattr(source, "canonical_rows", None)):
        rows = source.canonical_rows()
        if not all("messages" in row for row in rows):
            raise DataError(
                f"{name}: {source.format} rows are not conversations.", fix="Pass chat rows, or trajectories."
            )
        return [row["messages"] for row in rows]
    if isinstance(source, (str, Mapping)) or not isinstance(source, (Iterable, Trajectory)):
        raise DataError(
            f"{name} of type {type(source).__name__} cannot be read.",
            fix="Pass trajectories, a Dataset, a list of rows, a data frame, or a datasets.Dataset.",
        )
    return [list(trajectory.messages) for trajectory in flatten(source)]


def _holds_trajectories(source: Any) -> bool:
    return isinstance(source, (list, tuple)) and not any(isinstance(entry, dict) for entry in source)


def _exact(messages: list[Mapping[str, Any]], compare: Compare) -> str:
    return (
        task_hash(messages)
        if compare == "task"
        else hashlib.sha256(_text(messages, compare).encode(errors="replace")).hexdigest()
    )


def _text(messages: list[Mapping[str, Any]], compare: Compare) -> str:
    if compare == "task":
        return task_text(messages)
    return "\n\n".join(message_text(message).strip() for message in messages if role_of(message) != "system")
