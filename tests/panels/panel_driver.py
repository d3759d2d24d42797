"""Drives a panel as its page does: commands through the synced outbox, answers through traits."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

ROWS = [
    {"messages": [{"role": "user", "content": f"Say {n}."}, {"role": "assistant", "content": f"The number is {n}."}]}
    for n in range(24)
]

_ids = itertools.count()


def press(panel: Any, kind: str, **options: Any) -> None:
    """Send one command and wait until everything it led to is done."""
    send(panel, kind, **options)
    assert panel.settle(120), f"{kind} was not done in time"


def send(panel: Any, kind: str, **options: Any) -> None:
    """Send one command as the page does and return at once."""
    panel.set_state({"commands": [*panel.commands[-8:], {"id": f"c{next(_ids)}", "kind": kind, **options}]})


def wait_for(panel: Any, trait: str, reached: Callable[[Any], bool]) -> None:
    """Wait until a trait has a value that ``reached`` accepts."""
    there = threading.Event()

    def look(_: Any = None) -> None:
        if reached(getattr(panel, trait)):
            there.set()

    panel.observe(look, names=[trait])
    look()
    assert there.wait(120), f"{trait} stayed {getattr(panel, trait)!r}"
    panel.unobserve(look, names=[trait])
