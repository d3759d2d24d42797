"""Run: the handle of a training run, the same for one that is going on here and one from last week.

Reading (:mod:`.reading`, :mod:`.metrics`) is from the journal; commands are only enqueued. So a handle can be made in any
kernel, at any time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shadownb.engine.live import notebook_shell
from shadownb.engine.runs import commands, executors
from shadownb.engine.runs.metrics import RunMetrics
from shadownb.engine.runs.state import ACTIVE, RunState
from shadownb.errors import RunError

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel


class Run(RunMetrics):
    """A training run.

    Attributes
    ----------
    id
        Its name; ``shadownb.runs.load(id)`` gives the handle in any kernel.
    path
        Its folder.
    """

    # -- following --------------------------------------------------------------------------------------------------

    def subscribe(self, callback: Callable[[RunState], None]) -> Callable[[], None]:
        """Call back with the state, at most four times a second and once after the end; returns the unsubscriber.

        All callbacks come from one thread of this process.
        """
        from shadownb.engine.runs.watching import subscribe

        return subscribe(self, callback)

    def wait(self, timeout: float | None = None, *, raise_on_failure: bool = False) -> Run:
        """Wait for the end and return the run; until then a line in the cell or the terminal shows how far it is.

        Ctrl-C (in a notebook: interrupting the cell) ends the waiting and is raised on, so that no later cell works with a
        half-trained model. In a notebook the run goes on; in a script, which would end without it, it is stopped and saved.

        Raises
        ------
        KeyboardInterrupt
            The waiting was interrupted.
        TimeoutError
            It was still going on after ``timeout`` seconds.
        ShadowError
            It failed, and ``raise_on_failure`` is set.
        """
        from shadownb.engine.runs.waiting import wait

        stop = notebook_shell() is None
        return wait(self, timeout, raise_on_failure=raise_on_failure, stop_if_interrupted=stop)

    # -- commands ---------------------------------------------------------------------------------------------------

    def stop(self, save: bool = True) -> Run:
        """Ask for a stop within a step; ``save=False`` is :meth:`discard`. Returns at once."""
        return self._send("stop" if save else "discard", save=save)

    def discard(self) -> Run:
        """Ask for a stop that keeps nothing of the attempt: the model goes back to where it was."""
        return self._send("discard", save=False)

    def pause(self) -> Run:
        """Ask for a pause at the next step: a checkpoint is written, memory is kept, the model is free for chat."""
        return self._send("pause")

    def resume(self, model: LoadedModel | None = None, *, executor: str | None = None, callbacks: Any = None) -> Run:
        """Go on: from a pause, or from the newest valid checkpoint of a run that stopped, failed or was interrupted.

        Parameters
        ----------
        model
            A loaded model of the same base to train in; None takes the one at hand or loads it.
        executor
            ``thread``, ``process`` or one that was registered; None keeps the run's.
        callbacks
            As of ``finetune``; a record cannot hold those that the run had.

        Raises
        ------
        RunError
            The run is going on, or has done all its steps; or it is paused and would have to move for what was asked.
        """
        from shadownb.engine.runs.resuming import check_stays, resume

        if self.state.status == "paused":
            check_stays(self, model, executor, callbacks)
            return self._send("resume")
        resume(self, model or self._model, executor, callbacks)
        return self

    def _send(self, kind: commands.CommandKind, **fields: Any) -> Run:
        status = self.status
        if status not in ACTIVE:
            raise RunError(
                f"Run {self.id} is {status}, there is nothing to {kind}.",
                fix="run.resume() goes on from its newest checkpoint."
                if status in ("stopped", "interrupted", "failed")
                else "",
            )
        executors.known_by(self.executor).send(self.path, kind, **fields)
        return self
