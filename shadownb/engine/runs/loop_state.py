"""What a checkpoint keeps of the loop, read again: everyone who has state has written it."""

from __future__ import annotations

from pathlib import Path

from shadownb.engine.runs.divergence import DivergenceWatch
from shadownb.engine.runs.loop import Loop
from shadownb.engine.runs.progress_state import Progress


def load_state(loop: Loop, folder: Path, *, own: bool) -> None:
    """Go on from what :meth:`Loop.save_state` wrote; not ``own`` is of another run. The objective has read its part before."""
    loop.session.load(folder, own=own)
    loop.source.load(folder)
    loop.progress = Progress.load(folder)
    if not own:
        loop.progress.forget_other_run()
    loop.divergence = DivergenceWatch(loop.config.rows_per_step, loop.progress.divergence)
    loop.clock.before = loop.progress.elapsed_s
    loop.objective.since_log = loop.progress.metrics_since_log
    loop.saved_step = loop.step
