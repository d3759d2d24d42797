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
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from shadownb.engine import registry
from shadownb.engine.capture import totals
from shadownb.engine.capture.backups import backup, migrate, restore, vacuum
from shadownb.engine.capture.call import Call
from shadownb.engine.capture.folder import CaptureFolder
from shadownb.engine.capture.handle import Capture
from shadownb.engine.capture.process import attach, running, start
from shadownb.engine.capture.spending import Savings
from shadownb.engine.capture.spending import savings as _savings
from shadownb.engine.capture.store import CaptureStore
from shadownb.engine.home import home as default_home
from shadownb.engine.privacy.erasing import Erased, Eraser, Wanted
from shadownb.errors import ConfigError, DataError

__all__ = [
    "attach", "backup", "delete", "find", "latest", "list", "migrate", "open", "restore", "running", "savings", "start", "vacuum",
]  # fmt: skip


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
        facts, summary = folder.facts, totals.of(folder)
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


def delete(
    capture_id: str | None = None,
    *,
    where: str | builtins.list[str] | Callable[[Call], bool] | None = None,
    dry_run: bool = False,
    home: str | Path | None = None,
) -> Erased | None:
    """Delete a capture with all its calls, or a person by what is written of them, wherever it is kept.

    With ``where`` the conversations go that the text stands in, in this capture or in all; and where no capture is named also
    the rows of runs, their samples, and kept answers of comparisons and evaluations. Runs that were trained on such rows, those
    that went on from them, and models saved from any are named and marked; what weights have learned stays in them. Recordings
    that go on now are searched, too.

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

    Examples
    --------
    >>> with snb.capture(model, name="to-forget"):
    ...     pass
    >>> snb.captures.delete("to-forget")
    >>> "to-forget" in [each["id"] for each in snb.captures.list()]
    False
    >>> sum(snb.captures.delete(where="Nobody Atall", dry_run=True).calls.values())
    0
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
    damaged: builtins.list[str] = []
    fits = where if callable(where) else partial(stands_in, wanted=Wanted(where), damaged=damaged)
    erased = Erased(dry_run=dry_run)
    folders = CaptureFolder.all(home) if capture_id is None else [CaptureFolder.find(capture_id, home)]
    for folder in folders:
        store = CaptureStore(folder)
        damaged.clear()
        ids = conversations_with(store, fits)
        if damaged:
            erased.notes.append(
                f"{len(damaged):,} calls of {folder.id} are damaged and could not be searched, for example {damaged[0]}."
            )
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


def savings(
    capture_id: str | None = None,
    *,
    hour: float,
    tokens_per_s: float,
    prompt_tokens_per_s: float | None = None,
    training: float = 0.0,
    prices: Any = None,
    home: str | Path | None = None,
    **filters: Any,
) -> Savings:
    """Return what recorded traffic costs, what it would cost on a model of your own, and when training has paid for itself.

    Only calls with a price count, on both sides. One request is answered at a time; a server that batches costs less.

    Parameters
    ----------
    capture_id
        None is the newest.
    hour
        What the machine costs, US dollars.
    tokens_per_s
        Tokens that it answers in a second, as ``shadownb.compare`` measures them; ``prompt_tokens_per_s`` are those it reads
        (default: ten times as many).
    training
        What the model costs once, US dollars.
    **filters
        Which calls, as ``CaptureStore.calls`` takes them, for example ``tag="feature=triage"``.

    Raises
    ------
    ConfigError
        A number is none that costs or speeds can be.
    DataError
        No call has a price.

    Examples
    --------
    >>> store.reprice({"tiny": {"input": 1000.0, "output": 2000.0}})
    3
    >>> print(snb.captures.savings("tickets", hour=0.5, tokens_per_s=50, training=1.0))
    3 calls in 0.0 days cost $0.16; on a model of your own $0.00 (0.00 hours of the machine).
    At this rate a month costs ... now and ... then.
    Training for $1.00 has paid for itself after 19 such calls, 0.3 days.
    """
    store = open(capture_id, home=home) if capture_id is not None else latest(home=home)
    return _savings(
        store, hour=hour, tokens_per_s=tokens_per_s, prompt_tokens_per_s=prompt_tokens_per_s, training=training, prices=prices,
        **filters,
    )  # fmt: skip


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
