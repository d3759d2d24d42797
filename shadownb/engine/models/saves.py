"""Where models were saved: one line a save in ``HOME/saves.jsonl``, so that what a run taught can be found again outside of it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shadownb.engine.home import home as default_home
from shadownb.engine.home import make_private
from shadownb.engine.loaded import sidecar
from shadownb.engine.privacy.erasing import Erased, Wanted

_FILE = "saves.jsonl"


def note(target: Path, trained: dict[str, Any] | None) -> None:
    """Remember a save of what a run trained. A disk without room costs the note, not the save."""
    if trained is None:
        return
    line = json.dumps(
        {"path": str(target.resolve()), "run": trained["run"], "step": trained["step"], "at": time.time()}
    )
    with contextlib.suppress(OSError):
        make_private(default_home())
        with open(default_home() / _FILE, "a", encoding="utf-8") as file:
            file.write(line + "\n")


def noted(home: Path) -> Iterator[dict[str, Any]]:
    """Yield the saves that were noted, the oldest first."""
    with contextlib.suppress(OSError):
        for line in (home / _FILE).read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):  # a line that broke off
                yield json.loads(line)


def erase(wanted: Wanted, home: Path, erased: Erased) -> None:
    """Name and mark the saved models of the runs that were trained on a person's rows; of ``shadownb.json`` their texts go."""
    for save in noted(home):
        folder = Path(save["path"])
        # Another model may have been saved there since.
        if save["run"] not in erased.runs or (sidecar.read(folder).get("trained") or {}).get("run") != save["run"]:
            continue
        if str(folder) not in erased.models:
            erased.models.append(str(folder))
        if erased.dry_run or not os.access(folder, os.W_OK):
            continue
        content = json.loads(wanted.without(json.dumps(sidecar.read(folder), ensure_ascii=False)))
        content["erased"] = {"at": time.time()}
        (folder / sidecar.RECORD).write_text(json.dumps(content, indent=1), encoding="utf-8")
