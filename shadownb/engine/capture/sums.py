"""Sums over calls, computed by SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

from shadownb.engine.capture.filters import where


def summary(read: Callable[[str, Iterable[Any]], list[sqlite3.Row]], filters: dict[str, Any]) -> dict[str, Any]:
    """Return what ``CaptureStore.summary`` returns; ``read`` runs a query."""
    clause, values = where(filters)
    rows = read(
        "SELECT model, status, COUNT(*) AS calls, SUM(prompt_tokens) AS prompt_tokens, "
        "SUM(completion_tokens) AS completion_tokens, SUM(cost) AS cost, COUNT(cost) AS priced, "
        f"SUM(duration_s) AS seconds, SUM(stored_bytes) AS stored_bytes FROM calls {clause} GROUP BY model, status",
        values,
    )
    total = _Sum()
    models: dict[str, _Sum] = {}
    statuses: dict[str, int] = {}
    for row in rows:
        total.add(row)
        models.setdefault(row["model"] or "", _Sum()).add(row)
        statuses[row["status"]] = statuses.get(row["status"], 0) + row["calls"]
    first, last = (
        read(f"SELECT MIN(started_at) AS a, MAX(started_at) AS b FROM calls {clause}", values)[0]
        if rows
        else (None, None)
    )
    return {
        **total.to_dict(),
        "statuses": statuses,
        "models": {name: models[name].to_dict() for name in sorted(models)},
        "first_at": first,
        "last_at": last,
    }


class _Sum:
    """Sums over groups of calls."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = dict.fromkeys(
            ("calls", "prompt_tokens", "completion_tokens", "stored_bytes", "priced"), 0
        )
        self.cost: float | None = None
        self.seconds = 0.0

    def add(self, row: sqlite3.Row) -> None:
        for name in self.values:
            self.values[name] += row[name] or 0
        self.seconds += row["seconds"] or 0.0
        if row["cost"] is not None:
            self.cost = (self.cost or 0.0) + row["cost"]

    def to_dict(self) -> dict[str, Any]:
        values = dict(self.values)
        unpriced = values["calls"] - values.pop("priced")
        return {
            **values,
            "unpriced": unpriced,
            "cost": self.cost,
            "seconds": self.seconds,
        }
