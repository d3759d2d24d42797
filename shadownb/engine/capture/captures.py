"""Captures: listing, opening, attaching to and deleting what was recorded, from any kernel.

::

    from shadownb import captures
    captures.list()
    store = captures.open("20261122-090000-1a2b")
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from shadownb.engine import registry
from shadownb.engine.capture.call import Call
from shadownb.engine.capture.folder import CaptureFolder
from shadownb.engine.capture.handle import Capture
from shadownb.engine.capture.process import attach, running, start
from shadownb.engine.capture.store import CaptureStore
from shadownb.engine.home import home as default_home
from shadownb.engine.privacy.erasing import Erased, Eraser, Wanted
from shadownb.errors import ConfigError, DataError

__all__ = ["attach", "delete", "find", "latest", "list", "open", "running", "start"]


def list(limit: int | None = None, *, home: str | Path | None = None) -> builtins.list[dict[str, Any]]:
    """Return what is known of each capture, newest first: id, upstream, model, calls, cost, and whether it records now.

    ``home``, here and below, is another home than that of ``SHADOWNB_HOME``.
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
    """Return the store of a capture. Raises :class:`DataError` if there is none."""
    return CaptureStore.open(path_or_id, home)


def latest(*, home: str | Path | None = None) -> CaptureStore:
    """Return the store of the newest capture. Raises :class:`DataError` if there is none yet."""
    folders = CaptureFolder.all(home)
    if not folders:
        raise DataError("There are no captures yet.", fix="Start one with shadownb.capture(target).")
    return CaptureStore(folders[0])


def delete(
    capture_id: str | None = None,
    *,
    where: str | builtins.list[str] | Callable[[Call], bool] | None = None,
    dry_run: bool = False,
    home: str | Path | None = None,
) -> Erased | None:
    """Delete a capture with all its calls, or a person by what is written of them, wherever it is kept.

    With ``where`` the conversations go that the text stands in, in this capture or in all; and where no capture is named also
    the rows of runs, their samples, and kept answers of comparisons. Runs that were trained on such rows, those that went on from
    them, and models saved from any are named and marked; what weights have learned stays in them. Recordings that go on now are
    searched, too.

    Parameters
    ----------
    where
        A name, an address, a number, or a list of them; capitals, line breaks, and blanks in numbers make no difference. Or a
        function of a call, by which calls alone are found.
    dry_run
        Only say what would be deleted.

    Returns
    -------
    Erased
        What was deleted; None without ``where``.

    Raises
    ------
    BusyError
        It records now, and is to be deleted whole.
    ConfigError
        Neither a capture nor ``where`` is given, or a text is too short.
    """
    if where is None:
        if capture_id is None:
            raise ConfigError(
                "Nothing says what to delete.", fix="Give the id of a capture, or where='the name of a customer'."
            )
        CaptureFolder.find(capture_id, home).delete()
        return None
    from shadownb.engine.capture.erasing import conversations_with, delete_calls, stands_in

    wanted = None if callable(where) else Wanted(where)
    fits = where if callable(where) else partial(stands_in, wanted=Wanted(where))
    erased = Erased(dry_run=dry_run)
    folders = CaptureFolder.all(home) if capture_id is None else [CaptureFolder.find(capture_id, home)]
    for folder in folders:
        store = CaptureStore(folder)
        ids = conversations_with(store, fits)
        if ids:
            erased.calls[folder.id] += len(ids) if dry_run else delete_calls(store, ids)
            if folder.is_owned and not dry_run:
                erased.notes.append(f"{folder.id} records now: its log keeps old pages until it is stopped.")
        store.close()
    if wanted is not None and capture_id is None:
        for name in registry.names("eraser"):
            eraser: Eraser = registry.resolve("eraser", name)
            eraser(wanted, Path(home).expanduser() if home is not None else default_home(), erased)
    return erased


def find(name: str | None = None) -> Capture:
    """Return the capture of a name that records now, here or in a process of its own; without a name the only one.

    Raises
    ------
    DataError, RunError
        There is none, or without a name more than one.
    """
    from shadownb.engine.capture.proxy import running_here

    if name is not None:
        return running_here[name] if name in running_here else attach(name)
    found: builtins.list[Capture] = [*running_here.values(), *running()]
    if len(found) != 1:
        ids = ", ".join(capture.id for capture in found) or "none"
        raise DataError(f"Which capture? Recording now: {ids}.", fix="Give its id.")
    return found[0]
