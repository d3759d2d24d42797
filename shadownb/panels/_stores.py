"""What panels over a store share: following it, and the models and captures to choose from."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ._naming import name_of, variables

_SLOWEST_SHARE = 0.1  # of the time; looking costs no more than this
_LISTED_CAPTURES = 100


class Follower:
    """Calls back when what ``look`` returns has changed, from a thread of its own.

    Parameters
    ----------
    look
        Quick; what it raises ends the following and goes to ``failed``.
    changed
        Called with the new value. The thread then rests ten times as long as looking and this took.
    seconds
        The shortest rest.
    """

    def __init__(
        self,
        look: Callable[[], Any],
        changed: Callable[[], None],
        failed: Callable[[BaseException], None],
        seconds: float = 0.5,
    ) -> None:
        self._look, self._changed, self._failed, self._seconds = look, changed, failed, seconds
        self._ended = threading.Event()
        threading.Thread(target=self._follow, name="shadownb-panel-follower", daemon=True).start()

    def stop(self) -> None:
        """Stop looking; returns at once."""
        self._ended.set()

    def _follow(self) -> None:
        seen: Any = None
        rest = 0.0
        while not self._ended.wait(rest):
            began = time.monotonic()
            try:
                found = self._look()
                if found != seen:
                    seen = found
                    self._changed()
            except Exception as error:
                self._failed(error)
                return
            rest = max(self._seconds, (time.monotonic() - began) / _SLOWEST_SHARE)


def newest_seq(store: Any) -> int:
    """Return the position of the newest call; 0 where there is none."""
    newest = store.calls(limit=1, newest_first=True)
    return newest[0].seq if newest else 0


def recorder_of(store: Any) -> Any:
    """Return the handle of whoever records into a store now, in this kernel or a process of its own; else None."""
    from shadownb.engine.capture.process import CaptureProcess
    from shadownb.engine.capture.proxy import running_here

    if store.id in running_here and running_here[store.id].files.path == store.path:
        return running_here[store.id]
    process = CaptureProcess(store.files)
    return process if process.is_running else None


def capture_choices() -> list[dict[str, Any]]:
    """Return the captures that can be opened, newest first."""
    from shadownb.engine.capture.folder import CaptureFolder

    found = []
    for folder in CaptureFolder.all()[:_LISTED_CAPTURES]:
        facts = folder.facts
        upstream = " and ".join(str(name) for name in (facts.get("target"), facts.get("model")) if name)
        found.append({"id": folder.id, "title": f"{folder.id}: {upstream}" if upstream else folder.id})
    return found


def loaded_models(namespace: Mapping[str, Any], given: Any = None) -> dict[str, tuple[str, Any]]:
    """Return the models in memory as ``{choice id: (title, model)}``; loads no library to find out."""
    module = sys.modules.get("shadownb.engine.models")
    if module is None:
        return {}
    found: dict[str, tuple[str, Any]] = {}
    if given is not None and name_of(given, namespace) is None:
        found["given"] = (f"{given.name} (given to this panel)", given)
    for name, value in variables(namespace):
        if isinstance(value, module.Model):
            found[f"var:{name}"] = (f"{name} ({value.name})", value)
    return found


def as_choices(models: Mapping[str, tuple[str, Any]]) -> list[dict[str, str]]:
    """Return models as the page lists them."""
    return [{"id": key, "title": title} for key, (title, _) in models.items()]


def dollars(value: float | None) -> str:
    """Return US dollars as text, with six decimals below a cent; "--" where they are not known."""
    if value is None:
        return "--"
    return f"${value:.6f}" if 0 < value < 0.01 else f"${value:.4f}"


def counted(number: int, thing: str) -> str:
    """Return "1 call", "2,000 calls"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
