"""Progress of a run in a terminal. In a notebook nothing is printed: the panel shows it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shadownb.engine.runs.handle import Run


@contextlib.contextmanager
def terminal_progress(run: Run) -> Iterator[Callable[[], None]]:
    """Yield a function that draws the run's state on standard error, which must be a terminal."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description:14}"),
        BarColumn(bar_width=28),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=False) as bars:
        task = bars.add_task("starting", total=None, detail="")

        def show() -> None:
            state = run.state
            detail = f"step {state.step}/{state.total_steps}" if state.total_steps else ""
            if state.last.get("loss") is not None:
                detail += f"  loss {state.last['loss']:.3f}  {state.last['tokens_per_s']:.0f} tok/s"
            if state.status == "running" and state.phase["name"] == "training":
                detail += "  ETA estimating" if state.eta_s is None else f"  ETA {state.eta_s:.0f} s"
            bars.update(
                task, description=state.phase["name"], total=state.total_steps, completed=state.step, detail=detail
            )

        yield show
