"""What the Trajectories panel says of episodes: lines of the list, the code that gives the same, the static text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ._stores import counted, dollars

MARKER = "ShadowNB trajectories"

_SNAPSHOT_ROWS = 8
_SHOWN_TOOLS = 6
_LINE = (
    "id", "kind", "session", "messages", "answers", "tool_calls", "tools", "tokens_in", "tokens_out", "cost", "score",
    "started_at", "seconds", "whole", "title", "last",
)  # fmt: skip


NO_FILTER: dict[str, Any] = {"search": "", "kind": "", "model": "", "tool": "", "min_messages": 0}


def line(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of the index as the list shows it."""
    return {
        **{name: row[name] for name in _LINE},
        "tools": [name for name in row["tools"].split("|") if name][:_SHOWN_TOOLS],
    }


def code(source: str, capture_id: str, query: Mapping[str, Any], call_id: str | None) -> dict[str, str]:
    """Return what makes data of the episodes that a query finds, or of the one that ends with a call."""
    chosen = f", where=lambda t: {json.dumps(call_id)} in t.call_ids" if call_id else as_filter(query)
    lines = ["import shadownb as snb", "", f"data = snb.Dataset.from_captures({source}{chosen})"]
    if call_id:
        lines.append("data.inspect(model)  # the tokens, the trained ones marked")
    return {"python": "\n".join(lines), "magic": f"%shadow capture trajectories {capture_id}"}


def finds(query: Mapping[str, Any]) -> Callable[[Any], bool] | None:
    """Return what :func:`as_filter` says as a function; None where nothing is filtered."""
    if not as_filter(query):
        return None

    def found(t: Any) -> bool:
        texts = (t.first_user_content(), t.final_content(), str(t.metadata.get("session")))
        return (
            query["search"].lower() in " ".join(texts).lower()
            and query["kind"] in ("", t.metadata.get("kind"))
            and (not query["model"] or query["model"] in t.models)
            and (not query["tool"] or any(call["name"] == query["tool"] for call in t.tool_calls))
            and len(t) >= int(query["min_messages"] or 0)
        )

    return found


def as_filter(query: Mapping[str, Any]) -> str:
    """Return the filters of a query as an argument of ``from_captures``; empty where there are none."""
    terms = []
    if query["search"]:
        # In the same texts as the list's search.
        said = '" ".join((t.first_user_content(), t.final_content(), str(t.metadata.get("session"))))'
        terms.append(f"{json.dumps(query['search'].lower(), ensure_ascii=False)} in {said}.lower()")
    if query["kind"]:
        terms.append(f't.metadata.get("kind") == {json.dumps(query["kind"])}')
    if query["model"]:
        terms.append(f"{json.dumps(query['model'])} in t.models")
    if query["tool"]:
        terms.append(f'any(call["name"] == {json.dumps(query["tool"])} for call in t.tool_calls)')
    if query["min_messages"]:
        terms.append(f"len(t) >= {query['min_messages']}")
    return f", where=lambda t: {' and '.join(terms)}" if terms else ""


def snapshot_text(source: Mapping[str, Any], facets: Mapping[str, Any], page: Mapping[str, Any]) -> str:
    """Return how many episodes there are and the first of them, as plain text."""
    of = f" of {counted(source.get('read', 0), 'call')}" if source.get("id") else ""
    lines = [f"{MARKER} {source.get('id') or ''}: {counted(facets.get('episodes', 0), 'episode')}{of}"]
    if source.get("unread"):
        lines.append(f"  {counted(source['unread'], 'call')} that cannot be read")
    for row in (page.get("rows") or [])[:_SNAPSHOT_ROWS]:
        about = f"{row['kind']:<10} {row['messages']:>4} messages  {dollars(row['cost']):>10}"
        lines.append(f"  {about}  {row['title'][:70]}")
    return "\n".join(lines)
