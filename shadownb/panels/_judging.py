"""What the Capture panel says beside a call's own facts: its scores, its tags, and what each call site costs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shadownb.errors import ConfigError

_MOST_SITES, _MOST_TAGS = 30, 40
COUNTED = 20_000
"""Calls that costs are added up over, the newest: each is read, at about a thousand a second."""


def scored(rows: list[dict[str, Any]], store: Any) -> list[dict[str, Any]]:
    """Return rows with the newest number that was given to each call, by what was judged."""
    scores = store.scores(*(row["id"] for row in rows)) if rows else {}
    return [{**row, "scores": values_of(scores.get(row["id"], ()))} for row in rows]


def values_of(scores: Iterable[Any]) -> dict[str, float]:
    """Return the newest value of each name."""
    return {score.name: score.value for score in scores if score.value is not None}


def details_of(call: Any) -> dict[str, Any]:
    """Return the tags and scores of an open call."""
    scores = call.scores
    told = [{"name": s.name, "value": s.value, "note": s.note[:500], "at": s.at} for s in scores]
    return {"tags": call.tags, "judged": told[-20:], "scores": values_of(scores)}


def tags_of(store: Any) -> list[str]:
    """Return the tags that clients gave, as filters take them, the commonest first."""
    return [f"{tag['name']}={tag['value']}" for tag in store.tags(limit=_MOST_TAGS)]


def number(value: Any) -> float | None:
    """Return a score that the page sent; None where only a note was written. Raises :class:`ConfigError` for anything else."""
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    raise ConfigError(f"value={value!r} is not a number.", fix="Give one, for example 1 for good and 0 for bad.")


def costs_of(store: Any, by: str) -> dict[str, Any]:
    """Return what each call site took, of the newest calls of a large store."""
    newest = store.calls(limit=1, offset=COUNTED, newest_first=True)
    found = store.costs(by, after=newest[0].seq if newest else 0)
    rows = [
        {
            "site": spent.site, "calls": spent.calls, "tokens_in": spent.prompt_tokens, "tokens_out": spent.completion_tokens,
            "cost": spent.cost, "estimated": spent.estimated_cost or None, "unpriced": spent.unpriced,
        }
        for spent in found[:_MOST_SITES]
    ]  # fmt: skip
    return {"by": by, "rows": rows, "more": max(0, len(found) - _MOST_SITES), "newest": COUNTED if newest else 0}
