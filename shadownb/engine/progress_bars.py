"""The libraries' own progress bars, off while something of ours runs: phases and panels show what is going on.

A library has one switch for the whole process, and two models or data sets may be loaded at a time.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Bars:
    """The switch of one library; what it stands for is imported when it is used."""

    library: str
    are_on: Callable[[], bool]
    turn: Callable[[bool], None]


_lock = threading.Lock()
_inside = 0  # blocks that are running, of all threads
_before: dict[Bars, bool] = {}


@contextlib.contextmanager
def without_bars(*libraries: Bars) -> Iterator[None]:
    """Switch the bars of some libraries off inside the block, and back to what they were after the last of such blocks."""
    global _inside
    with _lock:
        for bars in libraries:
            if bars not in _before:
                _before[bars] = bars.are_on()
                _set(bars, False)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                for bars, were_on in _before.items():
                    _set(bars, were_on)
                _before.clear()


def _set(bars: Bars, on: bool) -> None:
    if bars.are_on() is not on:  # to switch off what is off already forgets what the hub's client was told of a group
        bars.turn(on)


def _hub_are_on() -> bool:
    from huggingface_hub.utils import are_progress_bars_disabled

    return not are_progress_bars_disabled()


def _hub_turn(on: bool) -> None:
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    (enable_progress_bars if on else disable_progress_bars)()


def _datasets_are_on() -> bool:
    import datasets

    return not datasets.are_progress_bars_disabled()


def _datasets_turn(on: bool) -> None:
    import datasets

    (datasets.enable_progress_bars if on else datasets.disable_progress_bars)()


HUB = Bars("huggingface_hub", _hub_are_on, _hub_turn)
DATASETS = Bars("datasets", _datasets_are_on, _datasets_turn)
