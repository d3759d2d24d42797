"""How tables with the same headers were read before: remembered in the home by the set of headers, and forgotten on demand."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shadownb.engine.disk import write_atomically
from shadownb.engine.home import home

_FILE = "mappings.json"
_KEPT = 200  # the oldest go first


@dataclass(frozen=True)
class Mapped:
    """What was said about the columns of a table.

    Attributes
    ----------
    headers
        The columns of that table, sorted: a table with the same ones is read alike, whatever their order.
    columns, ignore
        As :meth:`Dataset.read_as` takes them.
    at
        When it was said, in seconds since 1970.
    """

    headers: tuple[str, ...]
    columns: Mapping[str, str]
    ignore: tuple[str, ...]
    at: float


def remembered(headers: Iterable[str]) -> Mapped | None:
    """Return what was said about a table with these headers, or None."""
    wanted = tuple(sorted(headers))
    return next((each for each in everything() if each.headers == wanted), None)


def remember(headers: Iterable[str], columns: Mapping[str, str], ignore: Iterable[str] = ()) -> Mapped:
    """Keep how a table is read for tables with the same headers; it takes the place of what was said before."""
    made = Mapped(tuple(sorted(headers)), dict(columns), tuple(ignore), time.time())
    _write([*(each for each in everything() if each.headers != made.headers), made])
    return made


def forget(headers: Iterable[str]) -> bool:
    """Forget what was said about tables with these headers; return whether there was anything."""
    wanted, known = tuple(sorted(headers)), everything()
    left = [each for each in known if each.headers != wanted]
    if len(left) < len(known):
        _write(left)
    return len(left) < len(known)


def everything() -> list[Mapped]:
    """Return all that is remembered, the oldest first; a file that cannot be read is as one that is not there."""
    try:
        return [_of(entry) for entry in json.loads(_path().read_text(encoding="utf-8"))]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _of(entry: Mapping[str, Any]) -> Mapped:
    return Mapped(tuple(entry["headers"]), dict(entry["columns"]), tuple(entry["ignore"]), float(entry["at"]))


def _write(entries: list[Mapped]) -> None:
    _path().parent.mkdir(parents=True, exist_ok=True)
    write_atomically(_path(), json.dumps([vars(each) for each in entries[-_KEPT:]], ensure_ascii=False, indent=1))


def _path() -> Path:
    return home() / _FILE
