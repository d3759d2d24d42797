"""Filters on calls, as keyword arguments and as SQL. One place says which there are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from shadownb.errors import ConfigError, did_you_mean


def _among(column: str) -> Callable[[Any], tuple[str, list[Any]]]:
    def clause(value: Any) -> tuple[str, list[Any]]:
        if value is None:
            return f"{column} IS NULL", []
        values = [value] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
        return f"{column} IN ({', '.join('?' * len(values))})", values

    return clause


def _compare(column: str, sign: str) -> Callable[[Any], tuple[str, list[Any]]]:
    return lambda value: (f"{column} {sign} ?", [value])


def _search(value: Any) -> tuple[str, list[Any]]:
    pattern = "%" + str(value).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    return "(title LIKE ? ESCAPE '\\' OR session LIKE ? ESCAPE '\\' OR id = ?)", [pattern, pattern, str(value)]


def _tag(value: Any) -> tuple[str, list[Any]]:
    name, equals, wanted = str(value).partition("=")
    return (
        "id IN (SELECT id FROM tags WHERE name = ?" + (" AND value = ?)" if equals else ")"),
        [name.strip(), wanted.strip()] if equals else [name.strip()],
    )


SINCE_2 = ("tag", "scored")
"""Filters that look into tables which a store of version 1 does not have."""

_JUDGED = (
    "SELECT id FROM feedback WHERE value IS NOT NULL OR note != ''"  # a row of neither says that one was taken back
)

FILTERS: dict[str, Callable[[Any], tuple[str, list[Any]]]] = {
    "id": _among("id"),
    "session": _among("session"),
    "model": _among("model"),
    "dialect": _among("dialect"),
    "route": _among("route"),
    "status": _among("status"),
    "finish_reason": _among("finish_reason"),
    "since": _compare("started_at", ">="),
    "until": _compare("started_at", "<"),
    "min_cost": _compare("cost", ">="),
    "after": _compare("seq", ">"),
    "before": _compare("seq", "<"),
    "search": _search,
    "tag": _tag,
    "scored": lambda name: (
        (f"id IN ({_JUDGED})", [])
        if name is True
        else (f"id NOT IN ({_JUDGED})", [])
        if name is False
        else ("id IN (SELECT id FROM feedback WHERE name = ? AND value IS NOT NULL)", [name])
    ),
    "text": lambda found: ("seq IN (SELECT value FROM json_each(?))", [json.dumps(found)]),  # positions, by the index
}


def where(filters: dict[str, Any]) -> tuple[str, list[Any]]:
    """Return a WHERE clause (or an empty string) and its values.

    Raises
    ------
    ConfigError
        There is no such filter.
    """
    clauses, values = [], []
    for name, value in filters.items():
        if name not in FILTERS:
            raise ConfigError(
                f"Calls cannot be filtered by {name}={value!r}.{did_you_mean(name, list(FILTERS))}",
                fix=f"Filters: {', '.join(FILTERS)}.",
            )
        clause, given = FILTERS[name](value)
        clauses.append(clause)
        values += given
    return (f"WHERE {' AND '.join(clauses)}" if clauses else ""), values
