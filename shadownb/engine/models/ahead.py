"""``fetch()``: a model is downloaded ahead of its first use, with progress, and can be stopped."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Literal, overload

from shadownb.engine import live
from shadownb.engine.hub.download import Download
from shadownb.engine.models.catalog import ModelInfo, catalog, find, has_weights, hub_cache
from shadownb.errors import ModelNotFoundError, did_you_mean

_going: dict[str, Download] = {}
_lock = threading.Lock()


@overload
def fetch(name: str, background: Literal[False] = False) -> Path: ...


@overload
def fetch(name: str, background: Literal[True]) -> Download: ...


def fetch(name: str, background: bool = False) -> Path | Download:
    """Download a model to the hub's cache without loading it, and return where it lies.

    Only what loading reads is fetched: weights in safetensors, configuration, tokenizer, chat template. Files that are whole
    already are not fetched again. A gated model needs a token, which ``shadownb models login`` keeps in the hub's own place.

    Parameters
    ----------
    name
        A short name or a hub id (``owner/name``).
    background
        Return a :class:`Download` at once, which says how far it is and can be stopped.

    Raises
    ------
    ModelNotFoundError
        It is no name of a model, the hub does not have it, or cannot be reached.
    ModelError
        It is gated, or has no weights in safetensors.
    DiskFullError
        It does not fit on the disk.

    Examples
    --------
    >>> snb.fetch("smollm2-135m").exists()  # is here already: nothing is downloaded
    True
    """
    download = begin(name)
    if background:
        return download
    if download.state == "done":
        return download.wait()
    with live.work(f"Fetching {download.hub_id}") as line:
        line.tell("asking the hub", download.progress)
        path = download.wait()
        line.end(f"Fetched {download.hub_id}")
    return path


def begin(name: str) -> Download:
    """Return a download of a model; the one that goes on already, where there is one."""
    info = find(name)
    hub_id = info.hub_id if info is not None else name
    here = where(info, hub_id)
    if here is not None:
        return Download(name, hub_id, here)
    if hub_id.count("/") != 1 or not all(hub_id.split("/")) or hub_id.startswith((".", "~")):
        known = [each.name for each in catalog()]
        raise ModelNotFoundError(
            f"{name!r} is no model of the hub.{did_you_mean(name, known)}",
            fix=f"Give a hub id (owner/name) or a short name: {', '.join(known)}.",
        )
    with _lock:
        going = _going.get(hub_id)
        if going is None or going.state != "fetching":
            going = _going[hub_id] = Download(name, hub_id)
        return going


def where(info: ModelInfo | None, hub_id: str) -> Path | None:
    """Return where a model lies on this machine, or None: converted, in a package, or whole in the hub's cache."""
    if info is not None and info.is_converted():
        return info.converted
    if info is not None and (packaged := info.packaged_file()) is not None:
        return packaged
    folder = hub_cache() / f"models--{hub_id.replace('/', '--')}"
    return next((each for each in (folder / "snapshots").glob("*") if has_weights(each)), None)


def fetching() -> list[Download]:
    """Return the downloads of this process that go on."""
    with _lock:
        return [each for each in _going.values() if each.state == "fetching"]
