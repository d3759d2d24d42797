"""Run: the handle of a training run, the same for one that is going on here and one from last week.

All that it tells is read from the run's folder (:mod:`.reading`); commands are only enqueued. So a handle can be made in any
kernel, at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from shadownb.engine.live import notebook_shell
from shadownb.engine.runs import commands, executors
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.marks import change_marks
from shadownb.engine.runs.reading import RunReading
from shadownb.engine.runs.state import ACTIVE, RunState
from shadownb.errors import RunError

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel


class Run(RunReading):
    """A training run: its state, curves and checkpoints, and the commands that stop, pause and resume it.

    Attributes
    ----------
    id
        Its id; ``shadownb.runs.load(id)`` returns the run in any kernel.
    path
        Its folder.

    Examples
    --------
    >>> run
    Run('...', succeeded, step 40 of 40, from the base, loss 0.0...)
    >>> run.status, run.is_active, run.step, run.total_steps, run.progress
    ('succeeded', False, 40, 40, 1.0)
    >>> run.loss < 0.1, run.eval_loss < 0.1, run.losses()[0] > 1
    (True, True, True)
    >>> run.metrics[-1].step, [row.step for row in run.eval_metrics], run.state.phase["name"]
    (40, [20, 40], 'succeeded')
    >>> run.config.max_steps, run.trained_parameters, run.started_from, run.parent, run.resumed
    (40, 32768, 'the base', None, False)
    >>> run.started_at < run.ended_at, run.duration_s > 0, run.eta_s
    (True, True, 0.0)
    >>> run.tokens, run.steps_per_s > 0, run.peak_memory_gb > 0, run.estimated_memory_gb > 0
    (21960, True, True, True)
    >>> [checkpoint.step for checkpoint in run.checkpoints()], run.result().step, run.checkpoint.name
    ([20, 40], 40, 'step-000040')
    >>> print(run.error, repr(run.traceback()))
    None ''
    >>> run.executor, run.shares_memory, run.base_model.endswith("tiny")
    ('thread', True, True)
    >>> print(run.trained_on.system.value)
    None
    >>> print(run.reach)
    adapters on 14 layers of 7 kinds (q_proj, ...); frozen: embeddings (train_embeddings trains them), norms
    >>> run.samples()[-1]["items"][0]
    {'prompt': 'Where is my parcel?', 'completion': 'shipping'}
    >>> list(run.to_frame().columns)[:3], run.to_dict()["method"]
    (['loss', 'learning_rate', 'grad_norm'], 'lora')
    """

    def __init__(self, folder: RunFolder, *, model: LoadedModel | None = None) -> None:
        super().__init__(folder)
        self._model = model

    # -- marks ------------------------------------------------------------------------------------------------------

    def mark(
        self,
        *,
        tags: Sequence[str] | str | None = None,
        note: str | None = None,
        pinned: bool | None = None,
        archived: bool | None = None,
    ) -> Run:
        """Note something about the run, for tables and searches; what is not given stays as it is.

        Parameters
        ----------
        tags
            All its tags; ``[]`` takes them away.
        note
            Free text; ``""`` takes it away.
        pinned, archived
            Whether tables show it above others; whether they leave it out unless asked for.

        Raises
        ------
        ConfigError
            A tag is empty or longer than 60 characters.

        Examples
        --------
        >>> run.mark(tags=["baseline"], note="before the new rows").marks.note
        'before the new rows'
        >>> run.mark(tags=[], note="").marks == snb.runs.Marks()
        True
        """
        change_marks(self.folder, tags=tags, note=note, pinned=pinned, archived=archived)
        return self

    # -- following --------------------------------------------------------------------------------------------------

    def subscribe(self, callback: Callable[[RunState], None]) -> Callable[[], None]:
        """Call ``callback(state)`` on changes, at most four times a second and once after the end.

        Returns a function that ends the subscription. All callbacks are called from one thread of this process.

        Examples
        --------
        >>> seen = []
        >>> going = model.train(rows, start="base", max_steps=2, background=True)
        >>> unsubscribe = going.subscribe(lambda state: seen.append(state.step))
        >>> going.wait(timeout=60).status
        'succeeded'
        >>> unsubscribe()
        """
        from shadownb.engine.runs.watching import subscribe

        return subscribe(self, callback)

    def wait(self, timeout: float | None = None, *, raise_on_failure: bool = False) -> Run:
        """Wait for the end and return the run; meanwhile a line in the cell or terminal shows the progress.

        Ctrl-C (in a notebook: interrupting the cell) ends the waiting with a KeyboardInterrupt, so that no later cell works
        with a half-trained model. In a notebook the run continues; in a script, which would end, it is stopped and saved.

        Parameters
        ----------
        timeout
            Seconds; None waits as long as it takes.
        raise_on_failure
            Raise the error of a run that failed, instead of returning the run.

        Raises
        ------
        KeyboardInterrupt
            The waiting was interrupted.
        TimeoutError
            It was still active after ``timeout`` seconds.
        ShadowError
            The run failed, and ``raise_on_failure`` is set.

        Examples
        --------
        >>> going = model.train(rows, start="base", max_steps=2, background=True)
        >>> going.wait(timeout=60, raise_on_failure=True).status
        'succeeded'
        """
        from shadownb.engine.runs.waiting import wait

        stop = notebook_shell() is None
        return wait(self, timeout, raise_on_failure=raise_on_failure, stop_if_interrupted=stop)

    # -- commands ---------------------------------------------------------------------------------------------------

    def stop(self, save: bool = True) -> Run:
        """Ask the run to stop within a step and keep what it has learned; ``save=False`` is :meth:`discard`. Returns at once.

        Examples
        --------
        >>> going = model.train(rows, start="base", max_steps=2000, save_steps=2000, background=True)
        >>> going.stop().wait(timeout=60).status
        'stopped'
        """
        return self._send("stop" if save else "discard", save=save)

    def discard(self) -> Run:
        """Ask the run to stop and throw away what it has learned since it was started or resumed. Returns at once.

        Examples
        --------
        >>> going = model.train(rows, start="base", max_steps=2000, save_steps=2000, background=True)
        >>> going.discard().wait(timeout=60).status
        'discarded'
        """
        return self._send("discard", save=False)

    def pause(self) -> Run:
        """Ask the run to pause at the next step: it writes a checkpoint and keeps its memory. Returns at once.

        Examples
        --------
        >>> going = model.train(rows, start="base", max_steps=2000, save_steps=2000, background=True)
        >>> going.pause().is_active  # it keeps its memory, until resume() has it go on or stop() ends it
        True
        >>> going.stop().wait(timeout=60).status
        'stopped'
        """
        return self._send("pause")

    def resume(
        self,
        model: LoadedModel | None = None,
        *,
        executor: str | None = None,
        callbacks: Any = None,
        reward_fns: Sequence[Any] | None = None,
        teacher: Any = None,
        environment: Any = None,
    ) -> Run:
        """Continue after a pause, or from the newest valid checkpoint of a run that was stopped, failed or was interrupted.

        Parameters
        ----------
        model
            A loaded model of the same base to train; None uses the one that the run knows, or loads it.
        executor
            ``thread``, ``process`` or a registered one; None keeps the run's.
        callbacks
            As for ``train``; those that the run had cannot be stored, so give them again.
        reward_fns
            The functions that score answers, in the order that the run was started with: needed where they were objects of a
            process that has ended. Functions in modules, and in cells that this kernel has run, are found by their names.
        teacher, environment
            The model that teaches, and the class of the environment; needed in the same cases.

        Raises
        ------
        RunError
            The run is active already or has done all its steps; or it is paused, and another model or executor was given.

        Examples
        --------
        >>> going = model.train(rows, start="base", max_steps=2000, save_steps=2000, background=True)
        >>> going.stop().wait(timeout=60).status
        'stopped'
        >>> again = going.resume()
        >>> again.id == going.id, again.is_active
        (True, True)
        >>> again.discard().wait(timeout=60).status
        'discarded'
        """
        from shadownb.engine.runs.resuming import check_stays, resume

        if self.state.status == "paused":
            check_stays(self, model, executor, callbacks or reward_fns or teacher or environment)
            return self._send("resume")
        given = {"reward_fns": reward_fns}
        given |= {
            name: None if one is None else [one] for name, one in (("teacher", teacher), ("environment", environment))
        }
        resume(self, model or self._model, executor, callbacks, given)
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
