"""Telling channels of an end, beside whoever waits for it, and noting how that went in the folder it is about.

``notifications.jsonl`` has a line before each attempt and one after it, so that an attempt of which nothing more is known (the
process was killed meanwhile) can be seen as well.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from shadownb.engine.disk import open_to_append
from shadownb.engine.notifications import channels
from shadownb.engine.notifications.sending import send
from shadownb.errors import ShadowError

FILE = "notifications.jsonl"
_WAITS_SECONDS = 60.0  # for the end to be written


def chosen(names: Iterable[str]) -> tuple[str, ...]:
    """Return the channels to tell: those that are named, and those that are told of every end."""
    try:
        always = [name for name, channel in channels.read().items() if channel.always]
    except ShadowError:
        always = []
    return tuple(dict.fromkeys([*names, *always]))


def announce(folder: Path, names: Iterable[str], message: Callable[[], Mapping[str, Any]]) -> Callable[[], None]:
    """Begin to tell channels; the message is made and sent once the function that is returned is called.

    The thread is there before the end can be seen, and is no daemon: a script that ends with its run still sends.
    """
    wanted = chosen(names)
    if not wanted:
        return lambda: None
    written = threading.Event()

    def tell() -> None:
        if written.wait(_WAITS_SECONDS):
            content = message()
            for name in wanted:
                _tell(folder, name, content)

    threading.Thread(target=tell, name=f"shadownb-notify-{folder.name}", daemon=False).start()
    return written.set


def _tell(folder: Path, name: str, message: Mapping[str, Any]) -> None:
    attempt = uuid.uuid4().hex[:12]
    _note(folder, {"id": attempt, "channel": name, "time": time.time()})
    try:
        problem = send(channels.found(name), message)
    except ShadowError as error:
        problem = error.what
    except Exception as error:  # nobody looks at this thread
        problem = f"it could not be sent ({type(error).__name__})"
    _note(folder, {"id": attempt, "ok": not problem, "problem": problem})


def _note(folder: Path, line: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # a full disk keeps the note out, not the notification
        file = open_to_append(folder / FILE)
        try:
            os.write(file, ("\n" + json.dumps(line) + "\n").encode())
        finally:
            os.close(file)


def told(folder: Path) -> list[dict[str, Any]]:
    """Return what was sent of a folder: ``channel``, ``time`` (seconds since 1970), ``ok`` (None: not known), ``problem``."""
    found: dict[str, dict[str, Any]] = {}
    try:
        lines = (folder / FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    for text in filter(None, lines):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            line = json.loads(text)
            entry = found.setdefault(
                line["id"], {"channel": "", "time": 0.0, "ok": None, "problem": "it is not known whether it arrived"}
            )
            entry.update({name: line[name] for name in ("channel", "time", "ok", "problem") if name in line})
    return list(found.values())


def problems(folder: Path) -> list[str]:
    """Return in words which notifications of a folder did not arrive."""
    return [f"{each['channel']}: {each['problem']}" for each in told(folder) if each["ok"] is not True]
