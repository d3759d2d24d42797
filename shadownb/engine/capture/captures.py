"""Captures: list, open, attach to and delete recordings, from any kernel.

Examples
--------
>>> [each["calls"] for each in snb.captures.list() if each["id"] == "tickets"]
[3]
>>> snb.captures.open("tickets").count()
3
"""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

from shadownb.engine.capture.folder import CaptureFolder
from shadownb.engine.capture.handle import Capture
from shadownb.engine.capture.process import attach, running, start
from shadownb.engine.capture.store import CaptureStore
from shadownb.errors import DataError

__all__ = ["attach", "delete", "find", "latest", "list", "open", "running", "start"]


def list(limit: int | None = None, *, home: str | Path | None = None) -> builtins.list[dict[str, Any]]:
    """Return facts about each capture as dicts, newest first: id, upstream, model, calls, cost, whether it is recording.

    ``limit`` is how many at most. ``home``, here and below, is another home than ``SHADOWNB_HOME``.

    Examples
    --------
    >>> found = next(each for each in snb.captures.list() if each["id"] == "tickets")
    >>> found["calls"], found["recording"]
    (3, False)
    """
    found = []
    for folder in CaptureFolder.all(home)[:limit]:
        facts, summary = folder.facts, CaptureStore(folder).summary()
        found.append(
            {
                "id": folder.id,
                "recording": folder.is_owned,
                "target": facts.get("target"),
                "model": facts.get("model"),
                "started_at": facts.get("started_at"),
                "calls": summary["calls"],
                "cost": summary["cost"],
                "bytes": summary["stored_bytes"],
            }
        )
    return found


def open(path_or_id: str, *, home: str | Path | None = None) -> CaptureStore:
    """Return the store of a capture, by its id or the path of its folder. Raises :class:`DataError` if there is none.

    Examples
    --------
    >>> snb.captures.open("tickets").count()
    3
    >>> snb.captures.open("tikets")
    Traceback (most recent call last):
        ...
    shadownb.errors.DataError: There is not a capture 'tikets'. Did you mean 'tickets'?
    Next: shadownb.captures.list() shows those there are.
    """
    return CaptureStore.open(path_or_id, home)


def latest(*, home: str | Path | None = None) -> CaptureStore:
    """Return the store of the newest capture. Raises :class:`DataError` if there is none yet.

    Examples
    --------
    >>> with snb.capture(model, name="newest"):
    ...     pass
    >>> snb.captures.latest().id
    'newest'
    """
    folders = CaptureFolder.all(home)
    if not folders:
        raise DataError("There are no captures yet.", fix="Start one with shadownb.capture(target).")
    return CaptureStore(folders[0])


def delete(capture_id: str, *, home: str | Path | None = None) -> None:
    """Delete a capture with all its calls. Raises :class:`BusyError` while it records.

    Examples
    --------
    >>> with snb.capture(model, name="to-forget"):
    ...     pass
    >>> snb.captures.delete("to-forget")
    >>> "to-forget" in [each["id"] for each in snb.captures.list()]
    False
    """
    CaptureFolder.find(capture_id, home).delete()


def find(name: str | None = None) -> Capture:
    """Return the running capture of a name, in this process or its own; without a name, the only one that is running.

    Raises
    ------
    DataError, RunError
        There is none; or there are several, and no name was given.

    Examples
    --------
    >>> with snb.capture(model, name="now"):
    ...     snb.captures.find("now").is_running
    True
    """
    from shadownb.engine.capture.proxy import running_here

    if name is not None:
        return running_here[name] if name in running_here else attach(name)
    found: builtins.list[Capture] = [*running_here.values(), *running()]
    if len(found) != 1:
        ids = ", ".join(capture.id for capture in found) or "none"
        raise DataError(f"Which capture? Recording now: {ids}.", fix="Give its id.")
    return found[0]
