"""What a checkpoint keeps of the loop: everyone who has state writes it, and reads it again."""

from __future__ import annotations

from pathlib import Path

from shadownb.engine.runs.divergence import DivergenceWatch
from shadownb.engine.runs.guest_loop import GuestLoop
from shadownb.engine.runs.loop import Loop
from shadownb.engine.runs.progress_state import Progress


def save_state(loop: Loop | GuestLoop, folder: Path) -> None:
    """Write the state of backend, source, objective and loop; of a guest's loop what that says."""
    if isinstance(loop, GuestLoop):
        loop.save_state(folder)
        return
    loop.session.save(folder)
    loop.source.save(folder)
    loop.objective.save(folder)
    loop.progress.metrics_since_log = loop.objective.since_log
    loop.progress.divergence = loop.divergence.state_dict()
    loop.progress.save(folder)


def load_state(loop: Loop, folder: Path, *, own: bool) -> None:
    """Go on from what :func:`save_state` wrote; not ``own`` is of another run. The objective has read its part before."""
    loop.session.load(folder, own=own)
    loop.source.load(folder)
    loop.progress = Progress.load(folder)
    if not own:
        loop.progress.forget_other_run()
    loop.divergence = DivergenceWatch(loop.config.rows_per_step, loop.progress.divergence)
    loop.clock.before = loop.progress.elapsed_s
    loop.objective.since_log = loop.progress.metrics_since_log
    loop.saved_step = loop.step
