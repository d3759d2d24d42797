"""What a run's record refers to outside of its folder, written so that a home can be moved, copied and mounted elsewhere.

A place within the home is written as ``home:`` and the rest of its path; other places, and hub ids, as they are. Who reads a
record gets whole paths. Rows and bases also have their sha256 in the record, by which they are checked.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

_SCHEME = "home:"
_PLACES = (
    ("dataset", "path"),
    ("eval_dataset", "path"),
    ("model", "source"),
    ("model", "start", "path"),
    ("asked_start", "folder"),
    ("from_checkpoint",),
)


def written(record: dict[str, Any], home: Path) -> dict[str, Any]:
    """Return a record with what lies in the home relative to it."""
    roots = (home.absolute(), home.resolve())  # the home may be a link to another folder

    def relative(place: str) -> str:
        path = Path(place)
        if not path.is_absolute():
            return place  # a hub id
        root = next((root for root in roots if path.is_relative_to(root)), None)
        return place if root is None else _SCHEME + path.relative_to(root).as_posix()

    return _changed(record, relative)


def read(record: dict[str, Any], home: Path) -> dict[str, Any]:
    """Return a record as :func:`written` had got it, for the place where the home is now."""
    return _changed(record, lambda place: absolute(place, home))


def absolute(place: str, home: Path) -> str:
    """Return the path of a place in a record, without links, as places outside of the home are noted."""
    if not place.startswith(_SCHEME):
        return place
    return str(home.resolve() / PurePosixPath(place.removeprefix(_SCHEME)))


def places_of_start(record: dict[str, Any]) -> list[str]:
    """Return where the weights lie that a run starts from, as its record has it."""
    start = (record.get("model") or {}).get("start")
    return [place for place in (start["path"] if start else None, record.get("from_checkpoint")) if place is not None]


def _changed(record: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    found = copy.deepcopy(record)
    for *folders, name in _PLACES:
        inside: Any = found
        for folder in folders:
            inside = inside.get(folder) if isinstance(inside, dict) else None
        if isinstance(inside, dict) and isinstance(inside.get(name), str):
            inside[name] = change(inside[name])
    return found
