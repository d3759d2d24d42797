"""Waiting for a run's end, and what an interrupt of that means.

An interrupt is always raised on: a cell that ends well would let "Run all" go on and ship a half-trained model.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from shadownb.engine import live
from shadownb.engine.runs.progress import follow, steps_of

if TYPE_CHECKING:
    from shadownb.engine.runs.handle import Run


def wait(run: Run, timeout: float | None, *, raise_on_failure: bool, stop_if_interrupted: bool) -> Run:
    """Wait for a run's end; see :meth:`Run.wait`.

    Parameters
    ----------
    stop_if_interrupted
        Whether an interrupt stops the run and keeps what it has learned, or leaves it alone.
    """
    try:
        follow(run, timeout)
    except KeyboardInterrupt as interrupt:
        if stop_if_interrupted:
            _stop(run, interrupt)
        else:
            _leave(run, interrupt)
        raise
    if run._model is not None:
        run._model.catch_up()
    if raise_on_failure and (error := run.error) is not None:
        raise error
    return run


def _leave(run: Run, interrupt: KeyboardInterrupt) -> None:
    """Say that the run goes on without anybody who waits for it."""
    if not run.is_active:
        return
    _say(
        f"Run {run.id} goes on ({steps_of(run.state)}). run.wait() waits again, run.stop() stops and saves it; "
        f"in another cell: shadownb.runs.load({run.id!r})."
    )
    _in_one_line(interrupt, f"waiting for run {run.id} was interrupted; the run goes on.")


def _stop(run: Run, interrupt: KeyboardInterrupt) -> None:
    """Stop the run and wait until that is done; a second interrupt ends this, too."""
    if run.is_active:
        _say(f"Stopping run {run.id} and saving what it has learned ...")
        run.stop(save=True)
        follow(run)
    resume = f"; shadownb.runs.load({run.id!r}).resume() goes on" if run.status == "stopped" else ""
    _say(f"Run {run.id} is {run.status} at {steps_of(run.state)}{resume}.")
    _in_one_line(interrupt, f"run {run.id} is {run.status} at {steps_of(run.state)}.")


def _say(text: str) -> None:
    """Print a line: where a script keeps its output free of it, in a notebook where it is not red."""
    print(text, file=sys.stderr if live.notebook_shell() is None else None, flush=True)


def _in_one_line(interrupt: KeyboardInterrupt, text: str) -> None:
    """Have IPython show one line in place of a traceback through this module; other places show what they always do."""
    shown: Any = interrupt
    shown.args = (text,)
    shown._render_traceback_ = lambda: [f"KeyboardInterrupt: {text}"]
