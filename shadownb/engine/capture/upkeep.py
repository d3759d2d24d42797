"""Upkeep of a store: deleting calls, keeping to limits, and computing costs again."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shadownb.engine.capture.call import Call
    from shadownb.engine.capture.prices import PriceTable
    from shadownb.engine.capture.store import CaptureStore

_BATCH = 200  # calls deleted in one transaction


def delete(store: CaptureStore, query: str, values: Iterable[Any] = ()) -> int:
    """Delete the calls whose ids a query gives, a few at a time: whoever records meanwhile waits for one batch at most."""
    ids = [row[0] for row in store.read(query, values)]
    with store.writing() as connection:
        for begin in range(0, len(ids), _BATCH):
            batch = ids[begin : begin + _BATCH]
            marks = ", ".join("?" * len(batch))
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(f"DELETE FROM bodies WHERE id IN ({marks})", batch)
            connection.execute(f"DELETE FROM calls WHERE id IN ({marks})", batch)
            connection.execute("COMMIT")
    if ids:
        store.history.forget()
        store.checkpoint(truncate=True)
    return len(ids)


def retain(store: CaptureStore, *, max_age_s: float | None, max_calls: int | None, max_bytes: int | None) -> int:
    """Delete the oldest calls until all limits hold; returns how many."""
    deleted = 0
    if max_age_s is not None:
        deleted += store.delete(until=time.time() - max_age_s)
    if max_calls is not None:
        deleted += delete(store, "SELECT id FROM calls ORDER BY seq DESC LIMIT -1 OFFSET ?", [max_calls])
    if max_bytes is not None:
        so_far = "SELECT id, SUM(stored_bytes) OVER (ORDER BY seq DESC) AS so_far FROM calls"
        deleted += delete(store, f"SELECT id FROM ({so_far}) WHERE so_far > ?", [max_bytes])
    return deleted


def reprice(store: CaptureStore, prices: PriceTable | dict[str, Any] | str | Path | None) -> int:
    """Compute the cost of every call again and return how many changed."""
    from shadownb.engine.capture.prices import PriceTable

    table = PriceTable.load(prices)
    changed = [
        (cost, call.id) for call in store.iterate() if (cost := table.cost(_priced_as(call), call.usage)) != call.cost
    ]
    with store.writing() as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("UPDATE calls SET cost = ? WHERE id = ?", changed)
        connection.execute("COMMIT")
    return len(changed)


def _priced_as(call: Call) -> tuple[str | None, ...]:
    return (call.response_model, call.model) if call.route == "upstream" else (call.response_model,)
