"""Sums over the calls of a capture, remembered as long as its file is the same: a list of captures opens none of them."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from shadownb.engine.capture.folder import CaptureFolder, read_json, write_private

_KEPT = ("calls", "cost", "stored_bytes")


def of(folder: CaptureFolder) -> dict[str, Any]:
    """Return ``calls``, ``cost`` (US dollars, or None) and ``stored_bytes`` of a capture."""
    from shadownb.engine.capture.store import CaptureStore

    path, state = folder.path / "totals.json", _state(folder)
    known = read_json(path)
    if state is not None and known.get("state") == state:
        return {name: known.get(name) for name in _KEPT}
    store = CaptureStore(folder)
    summary = store.summary()
    found = {name: summary[name] for name in _KEPT}
    store.close()
    if state is not None and _state(folder) == state:
        with contextlib.suppress(OSError):  # it only costs time to do without
            write_private(path, json.dumps({**found, "state": state}))
    return found


def _state(folder: CaptureFolder) -> list[int] | None:
    """Return what changes with each change of the calls; None while some stand in the log alone."""
    with contextlib.suppress(FileNotFoundError):
        if folder.database.with_name(f"{folder.database.name}-wal").stat().st_size:
            return None
    file = folder.database.stat()
    return [file.st_mtime_ns, file.st_size, file.st_ino]
