"""The servers of this home that run, in whatever process: to list them and to end one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from dataclasses import dataclass
from typing import Any

from shadownb.engine.home import home
from shadownb.engine.processes import is_alive
from shadownb.engine.serving.server import FACTS, running_here
from shadownb.errors import RunError


@dataclass(frozen=True)
class Known:
    """A running server, as its folder says."""

    id: str
    url: str
    engine: str
    models: tuple[str, ...]
    mark: dict[str, Any]

    def stop(self) -> None:
        """End it: here, or by a signal to the command that serves it."""
        if self.id in running_here:
            running_here[self.id].stop()
        elif self.mark["pid"] == os.getpid() or os.name != "posix":
            raise RunError(f"The server {self.id} cannot be ended from here.", fix="Stop it where it was started.")
        else:
            os.kill(self.mark["pid"], signal.SIGTERM)


def known() -> list[Known]:
    """Return the running servers, newest first."""
    found = []
    for path in sorted((home() / "servers").glob(f"*/{FACTS}"), reverse=True):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            facts = json.loads(path.read_text(encoding="utf-8"))
            if is_alive(facts["mark"]) and (facts["mark"]["pid"] != os.getpid() or facts["id"] in running_here):
                found.append(Known(facts["id"], facts["url"], facts["engine"], tuple(facts["models"]), facts["mark"]))
    return found
