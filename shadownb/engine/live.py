"""One line that tells how far a long piece of work is: live in a cell or a terminal, now and then in a log.

Whoever works calls ``show`` as often as it likes; a place draws as often as it can bear. The notebook layer puts its own
place into :data:`notebook_place`; without it a terminal gets a line that is drawn over itself, and anything else sparse
lines on standard error, where the work takes long. ``SHADOWNB_PROGRESS=0`` switches it off everywhere.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_LOG_LINES = 20  # at most about so many in a phase
_LOG_SECONDS = 1.0  # least time between two lines of one phase
_BAR_CELLS = 20
_TICK_SECONDS = 0.5  # between two looks at what work has measured meanwhile
_SHORT_SECONDS = 2.0  # work that takes no longer is not worth a line in a terminal


@dataclass(frozen=True)
class Progress:
    """How far work is.

    Attributes
    ----------
    text
        The whole line, such as ``training 3/40 steps  loss 1.2``.
    phase
        What is done now; a log has a line for each.
    done, total
        Of the phase, in any unit; no total where it is not known.
    """

    text: str
    phase: str = ""
    done: float = 0
    total: float | None = None

    @property
    def share(self) -> float | None:
        """Share of the phase that is done, 0 to 1, or None."""
        return min(1.0, max(0.0, self.done / self.total)) if self.total else None

    @property
    def bar(self) -> str:
        """The share as a bar of characters, empty where it is not known."""
        if self.share is None:
            return ""
        full = round(self.share * _BAR_CELLS)
        return "█" * full + "░" * (_BAR_CELLS - full)


class Place(Protocol):
    """Where a line is drawn."""

    def show(self, progress: Progress) -> None:
        """Draw the line anew, or leave that for later."""

    def end(self, text: str = "") -> None:
        """Leave this text in the line's place; an empty one leaves what belongs there (a run's picture, the last line)."""


# Makes the place of the cell that runs now, for what the line is about (a run, or None); None where it has none.
notebook_place: Callable[[Any], Place | None] | None = None

log_patience_s = 30.0  # seconds of work before the first line in a log; 0 for commands, whose lines are wanted


def notebook_shell() -> Any:
    """Return the shell of the Jupyter kernel that this process is, or None; IPython need not be imported to know."""
    kernel = sys.modules.get("ipykernel.zmqshell")
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    # Colab's and Spyder's shells are kinds of it.
    return shell if kernel is not None and isinstance(shell, kernel.ZMQInteractiveShell) else None


_here = threading.local()  # of this thread: whether it is quiet, and the works that it is in


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let this thread draw no lines: somebody else, such as a panel, shows what it does."""
    before = getattr(_here, "quiet", False)
    _here.quiet = True
    try:
        yield
    finally:
        _here.quiet = before


def open_line(subject: Any = None) -> Place:
    """Return a place for a line about ``subject``."""
    if getattr(_here, "quiet", False) or os.environ.get("SHADOWNB_PROGRESS") == "0":
        return Nowhere()
    if notebook_place is not None:
        return notebook_place(subject) or Nowhere()
    return Terminal() if sys.stderr.isatty() else Log()


class Nowhere:
    """Draws nothing."""

    def show(self, progress: Progress) -> None:
        """Draw nothing."""

    def end(self, text: str = "") -> None:
        """Leave nothing."""


class Log:
    """Lines on standard error: one for each phase, and of long ones about every twentieth.

    A script whose output goes to a file did not ask for them, so there the first :data:`log_patience_s` pass in silence.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._told: tuple[str, int] | None = None
        self._told_at = float("-inf")

    def show(self, progress: Progress) -> None:
        """Print the line if enough has happened since the last one."""
        mark = (progress.phase, int((progress.share or 0.0) * _LOG_LINES))
        now = time.monotonic()
        same_phase = self._told is not None and self._told[0] == progress.phase
        soon = same_phase and now - self._told_at < _LOG_SECONDS and progress.share != 1.0
        if mark == self._told or soon or now - self._began < log_patience_s:
            return
        self._told, self._told_at = mark, now
        print(progress.text, file=sys.stderr, flush=True)

    def end(self, text: str = "") -> None:
        """Print the text, unless the work was over before anything was printed."""
        if text and self._told is not None:
            print(text, file=sys.stderr, flush=True)


class Terminal:
    """A bar and a line on standard error that are drawn over themselves."""

    def __init__(self) -> None:
        self._bars: Any = None
        self._task: Any = None

    def show(self, progress: Progress) -> None:
        """Draw the line."""
        if self._bars is None:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bars

            columns = (BarColumn(bar_width=24), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
            self._bars = Bars(*columns, console=Console(stderr=True))
            self._task = self._bars.add_task("", total=None)
            self._bars.start()
        self._bars.update(self._task, description=progress.text, total=progress.total, completed=progress.done)

    def end(self, text: str = "") -> None:
        """Leave the line with this text."""
        if self._bars is not None:
            if text:
                self._bars.update(self._task, description=text)
            self._bars.stop()


Measure = Callable[[], tuple[str, float, float | None]]  # returns (words, done, total)


class Work:
    """Work in phases, shown as one line with the seconds it has taken; made by :func:`work`.

    Nothing is drawn before the first phase. A thread draws the line anew while a phase computes.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._quiet = getattr(_here, "quiet", False)
        self._began = time.monotonic()
        self._place: Place | None = None
        self._phase = ""
        self._measure: Measure | None = None
        self._ticker: threading.Thread | None = None
        self._drawing = threading.Lock()
        self._over = threading.Event()

    def tell(self, phase: str, measure: Measure | None = None) -> None:
        """Say what is done now.

        Parameters
        ----------
        phase
            A few words.
        measure
            Asked twice a second for (words, done, total) of the phase; the words take the place of ``phase``.
        """
        if self._quiet:
            return
        self._phase, self._measure = phase, measure
        self._draw()
        if self._ticker is None:
            self._ticker = threading.Thread(target=self._tick, name="shadownb-line", daemon=True)
            self._ticker.start()

    def end(self, text: str) -> None:
        """Leave the text in the line's place."""
        with self._drawing:
            if not self._over.is_set() and self._place is not None:
                self._place.end(text)
            self._over.set()

    def _draw(self) -> None:
        words, done, total = self._phase, 0.0, None
        if self._measure is not None:
            words, done, total = self._measure()
        seconds = time.monotonic() - self._began
        taken = f"  {seconds:.0f} s" if seconds >= 1 else ""
        with self._drawing:
            if self._over.is_set():
                return
            # A saved notebook has the same lines however long the work took; a terminal is spared what is short.
            if self._place is None and (notebook_place is not None or seconds >= _SHORT_SECONDS):
                self._place = open_line()
            if self._place is not None:
                self._place.show(Progress(f"{self._title}: {words}{taken}", self._phase, done, total))

    def _tick(self) -> None:
        while not self._over.wait(_TICK_SECONDS):
            with contextlib.suppress(Exception):  # a measure that fails must not end the line
                self._draw()


@contextlib.contextmanager
def work(title: str) -> Iterator[Work]:
    """Show the phases that :func:`tell` names inside the block as one line."""
    works: list[Work] = _here.__dict__.setdefault("works", [])
    made = Work(title)
    works.append(made)
    try:
        yield made
    except BaseException as error:
        made.end(f"{title}: {type(error).__name__}")
        raise
    finally:
        works.remove(made)
        made.end("")


@contextlib.contextmanager
def heard(listener: Callable[[str], None]) -> Iterator[None]:
    """Let ``listener`` hear the phases of this thread's outermost work inside the block, whether or not a line is drawn."""
    before = getattr(_here, "listener", None)
    _here.listener = listener
    try:
        yield
    finally:
        _here.listener = before


class Stopped(Exception):
    """Somebody asked for this thread's work to end; whoever does it leaves everything as it was."""


@contextlib.contextmanager
def stoppable(asked: Callable[[], bool]) -> Iterator[None]:
    """Let this thread's work inside the block end at its next :func:`check` or :func:`tell` once ``asked`` returns True."""
    before = getattr(_here, "asked", None)
    _here.asked = asked
    try:
        yield
    finally:
        _here.asked = before


def check() -> None:
    """Raise :class:`Stopped` where this thread's work is to end; called between pieces of work that take a moment."""
    asked = getattr(_here, "asked", None)
    if asked is not None and asked():
        raise Stopped


def tell(phase: str, measure: Measure | None = None) -> None:
    """Name the phase of the innermost :func:`work` of this thread; nothing where there is none. It is a :func:`check`, too."""
    check()
    works: list[Work] = _here.__dict__.get("works", [])
    listener = getattr(_here, "listener", None)
    if listener is not None and len(works) == 1:
        listener(phase)
    if works:
        works[-1].tell(phase, measure)


def shown(title: Callable[P, str], outcome: Callable[[R], str]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function's phases (:func:`tell`) one line.

    Parameters
    ----------
    title
        Called with the function's arguments; what the line begins with.
    outcome
        Called with what the function returns; what stays of the line.
    """

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def worked(*args: P.args, **kwargs: P.kwargs) -> R:
            with work(title(*args, **kwargs)) as line:
                result = function(*args, **kwargs)
                line.end(outcome(result))
                return result

        return worked

    return wrap


def duration(seconds: float) -> str:
    """Return seconds as people say them: 45 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
