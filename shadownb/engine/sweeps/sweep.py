"""Sweep: the handle of a sweep, the same in the kernel that drives it and in one opened tomorrow."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shadownb.engine import live
from shadownb.engine.displays import table_html, table_text
from shadownb.engine.loaded.source import Source
from shadownb.engine.opening import open_recorded
from shadownb.engine.runs import commands
from shadownb.engine.runs.folder import load_rows
from shadownb.engine.runs.handle import Run
from shadownb.engine.runs.journal import Journal
from shadownb.engine.runs.store import default_store
from shadownb.engine.sweeps import space as spaces
from shadownb.engine.sweeps.driving import Driver
from shadownb.engine.sweeps.folder import SweepFolder, SweepState, Trial, best_of
from shadownb.engine.sweeps.suggesting import importance
from shadownb.errors import BusyError, RunError, RunNotFoundError, ShadowError, error_from_dict

if TYPE_CHECKING:
    import pandas as pd

    from shadownb.engine.loaded.model import LoadedModel

_POLL_SECONDS = 0.1
_STARTS_SECONDS = 10.0  # until a thread that was started has the lock


class Sweep:
    """Trials of one training with different options: each an ordinary run, told from the others by a metric.

    Attributes
    ----------
    name
        Its name; ``snb.sweeps.load(name)`` returns the sweep in any kernel.
    path
        Its folder.

    Examples
    --------
    >>> own = model.fresh_copy()
    >>> sweep = own.sweep(rows, {"lora_r": [2, 4]}, metric="loss", max_steps=2, background=False)
    >>> sweep
    sweep ..., succeeded: 2 of 2 trials, 2 succeeded; loss, less is better
    trial  state  lora_r  loss  step  seconds  run
    1  succeeded  2  ...
    2  succeeded  4  ...
    >>> sweep.status, sweep.counts, sweep.metric, sweep.spec["sampler"]
    ('succeeded', {'succeeded': 2}, 'loss', 'grid')
    >>> [trial.params for trial in sweep.state.trials.values()]
    [{'lora_r': 2}, {'lora_r': 4}]
    >>> own.trained == (sweep.best.id, 2)  # the model answers with the best trial's result
    True
    >>> snb.runs.load(sweep.best.id).marks.tags == (f"sweep:{sweep.name}",)
    True
    >>> list(sweep.to_frame()["lora_r"]), print(sweep.error)
    None
    ([2, 4], None)
    """

    def __init__(self, folder: SweepFolder, *, model: LoadedModel | None = None) -> None:
        self.folder = folder
        self.name = folder.name
        self.path = folder.path
        self.spec: dict[str, Any] = folder.spec
        self._model = model
        self._thread: threading.Thread | None = None

    # -- what is known ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> SweepState:
        """What the journal says, with the status as it is seen now."""
        state = self.folder.state()
        if state.status == "running" and not self._is_driven():
            state = self.folder.state()  # whoever drives writes the end before it lets go
            state.status = "interrupted" if state.status == "running" else state.status
        return state

    @property
    def status(self) -> str:
        """``running``, ``succeeded``, ``stopped``, ``failed``, or ``interrupted`` where whoever drove it is gone."""
        return self.state.status

    @property
    def metric(self) -> str:
        """The number that trials are compared by."""
        return str(self.spec["metric"])

    @property
    def error(self) -> ShadowError | None:
        """Why it failed, or None."""
        found = self.state.error
        return error_from_dict(found) if found else None

    @property
    def counts(self) -> dict[str, int]:
        """How many trials ended how (``succeeded``, ``pruned``, ``diverged``, ``failed``, ``stopped``), and are ``running``."""
        found: dict[str, int] = {}
        for trial in self.state.trials.values():
            found[trial.state] = found.get(trial.state, 0) + 1
        return found

    @property
    def best(self) -> Run | None:
        """The run of the trial that went to its end with the best value; None as long as there is none."""
        trial = best_of(self.state, minimize=self.spec["direction"] == "minimize")
        return None if trial is None else Run(default_store().find(trial.run), model=self._model)

    @property
    def importance(self) -> dict[str, float]:
        """By option, how much of the difference between good and other trials it accounts for, 0 to 1; the largest first.

        Empty as long as fewer than four trials have ended.

        Raises
        ------
        MissingDependencyError
            Optuna is not installed.

        Examples
        --------
        >>> sweep = model.fresh_copy().sweep(rows, {"lora_r": [2, 4]}, metric="loss", max_steps=1, background=False)
        >>> sweep.importance  # two trials say nothing
        {}
        """
        told = [trial.told for trial in self.state.finished]
        return importance(spaces.from_json(self.spec["space"]), told, minimize=self.spec["direction"] == "minimize")

    def table(self) -> list[dict[str, Any]]:
        """Return a row for each trial: number, state, each option as its run has it, the metric, step, seconds, run and error.

        Examples
        --------
        >>> sweep = model.fresh_copy().sweep(rows, {"lora_r": [2, 4]}, metric="loss", max_steps=1, background=False)
        >>> [row["lora_r"] for row in sweep.table()], sweep.table()[0]["state"]
        ([2, 4], 'succeeded')
        """
        return [self._row(trial) for _, trial in sorted(self.state.trials.items())]

    def _row(self, trial: Trial) -> dict[str, Any]:
        params, value, step, seconds = dict(trial.params), trial.value, trial.step, trial.seconds
        if trial.run:
            try:
                run = Run(default_store().find(trial.run))
                params = {name: getattr(run.config, name) for name in trial.params}  # what the trainer read
                if trial.state == "running":
                    step, seconds = run.step, round(run.duration_s, 3)
            except (RunNotFoundError, RunError):  # deleted, or damaged: what was asked for
                pass
        return {
            "trial": trial.number + 1,
            "state": trial.state,
            **params,
            self.metric: value,
            "step": step,
            "seconds": seconds,
            "run": trial.run,
            "error": "" if trial.error is None else str(trial.error["what"]),
        }

    def to_frame(self) -> pd.DataFrame:
        """Return :meth:`table` as a pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.table()).set_index("trial") if self.state.trials else pd.DataFrame()

    # -- what it is told --------------------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> Sweep:
        """Wait until it ends and return it; meanwhile a line shows how far it is.

        An interrupt ends the waiting; in a script, which would end, the sweep is stopped as well and can be resumed.

        Raises
        ------
        TimeoutError
            It goes on still after ``timeout`` seconds.

        Examples
        --------
        >>> going = model.fresh_copy().sweep(rows, {"lora_r": [2]}, metric="loss", max_steps=1, background=True)
        >>> going.wait(timeout=60).status
        'succeeded'
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        place = live.open_line()
        try:
            while (state := self.state).status == "running":
                place.show(self._progress(state))
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError(f"Sweep {self.name} goes on still after {timeout} s.")
                time.sleep(_POLL_SECONDS)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and live.notebook_shell() is None:
                self.stop().wait()
            place.end(f"Sweep {self.name} is {self.status}.")
            raise
        place.end(self._headline(state))
        if self._thread is not None:
            self._thread.join()
        return self

    def stop(self) -> Sweep:
        """Have it stop and keep what its present trial has learned; :meth:`resume` goes on. Returns at once.

        Examples
        --------
        >>> going = model.fresh_copy().sweep(rows, {"lora_r": [2, 4]}, metric="loss", max_steps=2000, background=True)
        >>> going.stop().wait(timeout=60).status
        'stopped'
        """
        if self.status == "running":
            commands.send(self.folder.commands, "stop")
        return self

    def resume(self, model: LoadedModel | None = None, *, background: bool | None = None, **fields: Any) -> Sweep:
        """Go on with a sweep that was stopped, failed or was interrupted: with the trial that broke off, then with new ones.

        Parameters
        ----------
        model
            A loaded model of the same base; None loads it.
        background
            As for ``train``.
        **fields
            Functions that the sweep was started with and no file has, such as ``reward_fns``.

        Raises
        ------
        BusyError
            It is driven already.
        RunError
            It has ended, or the model is of another base.

        Examples
        --------
        >>> own = model.fresh_copy()
        >>> sweep = own.sweep(rows, {"lora_r": [2, 4]}, metric="loss", max_steps=2000, background=True)
        >>> sweep.stop().wait(timeout=60).status
        'stopped'
        >>> snb.sweeps.load(sweep.name).resume(own, background=True).stop().wait(timeout=60).status
        'stopped'
        """
        if (status := self.status) in ("running", "succeeded"):
            raise (BusyError if status == "running" else RunError)(
                f"Sweep {self.name} is {status}.", fix="sweep.wait() waits for it." if status == "running" else ""
            )
        expected = self.spec["model"]
        model = model or self._model or open_recorded(Source(expected["name"], expected["source"]), expected)
        if model.base_hash != expected["base_hash"]:
            raise RunError(
                f"Sweep {self.name} tries another base than {model.name!r}.",
                why=f"Its base hashes to {expected['base_hash'][:12]}, this one to {model.base_hash[:12]}.",
                fix="Leave model out, and the right one is loaded.",
            )
        self._model = model
        return self.drive({**self.spec["fields"], **fields}, background=background)

    def drive(self, fields: Mapping[str, Any], *, background: bool | None, **launching: Any) -> Sweep:
        """Go on in a thread of this process; see :class:`~.driving.Driver`."""
        assert self._model is not None
        driver = Driver(self.folder, self._model, fields, commands.end_offset(self.folder.commands), **launching)
        begun = threading.Event()
        lock = self.folder.owner_lock()
        lock.acquire(timeout=_STARTS_SECONDS)

        def work() -> None:
            journal = Journal(self.folder.events)
            try:
                journal.append("attempt")
                journal.flush()
                begun.set()
                with live.quiet():
                    driver.drive(journal)
            finally:
                begun.set()
                journal.close()
                lock.release()

        self._thread = threading.Thread(target=work, name=f"shadownb-sweep-{self.name}", daemon=True)
        self._thread.start()
        begun.wait()
        if live.notebook_shell() is None if background is None else not background:
            self.wait()
            if (error := self.error) is not None:
                raise error
        return self

    def train_best(self, dataset: Any = None, *, model: LoadedModel | None = None, **changes: Any) -> Run:
        """Train anew with the best trial's options, and return the run.

        Parameters
        ----------
        dataset
            Other rows than the sweep's, such as all that there are.
        model
            A loaded model of the same base; None takes the sweep's, or loads it.
        **changes
            What is to be different, such as ``max_steps`` and ``background``.

        Raises
        ------
        RunError
            No trial has gone to its end.

        Examples
        --------
        >>> sweep = model.fresh_copy().sweep(rows, {"lora_r": [2, 4]}, metric="loss", max_steps=1, background=False)
        >>> run = sweep.train_best(max_steps=4, background=False)
        >>> run.step, run.config.lora_r == sweep.best.config.lora_r, run.marks.tags == (f"best of {sweep.name}",)
        (4, True, True)
        """
        options = self.best_options()
        expected = self.spec["model"]
        model = model or self._model or open_recorded(Source(expected["name"], expected["source"]), expected)
        self._model = model
        background = changes.pop("background", None)
        eval_rows = self.spec["eval_dataset"]
        held_out = changes.pop("eval_dataset", load_rows(eval_rows) if eval_rows else None)
        values = {**options, **changes}
        from shadownb.engine.runs.launch import launch

        return launch(
            model,
            load_rows(self.spec["dataset"]) if dataset is None else dataset,
            method=values.pop("method"),
            background=background,
            eval_dataset=held_out,
            start_from=self.spec["start"],
            fields=values,
            tags=(f"best of {self.name}",),
        )

    def best_options(self) -> dict[str, Any]:
        """Return the options that the best trial was given, the method among them.

        Raises
        ------
        RunError
            No trial has gone to its end.

        Examples
        --------
        >>> sweep = model.fresh_copy().sweep(rows, {"lora_r": [2]}, metric="loss", max_steps=1, background=False)
        >>> sweep.best_options()
        {'method': 'lora', 'max_steps': 1, 'lora_r': 2}
        """
        trial = best_of(self.state, minimize=self.spec["direction"] == "minimize")
        if trial is None:
            raise RunError(f"No trial of sweep {self.name} has gone to its end.", fix="sweep.resume() goes on with it.")
        return {"method": self.spec["method"], **self.spec["fields"], **trial.params}

    # -- shown ------------------------------------------------------------------------------------------------------

    def _is_driven(self) -> bool:
        return self.folder.is_owned()

    def _progress(self, state: SweepState) -> live.Progress:
        done, total = len(state.finished), self.spec["trials"]
        running = next((trial for trial in state.trials.values() if trial.state == "running"), None)
        now = f", trial {running.number + 1}: {running.run}" if running is not None else ""
        return live.Progress(f"sweep {done}{f'/{total}' if total else ''} trials{now}", "sweep", done, total)

    def _headline(self, state: SweepState) -> str:
        total = self.spec["trials"]
        counted: dict[str, int] = {}
        for trial in state.trials.values():
            counted[trial.state] = counted.get(trial.state, 0) + 1
        told = ", ".join(f"{count} {name}" for name, count in counted.items())
        better = "less" if self.spec["direction"] == "minimize" else "more"
        done = f"{len(state.finished)}{f' of {total}' if total else ''} trials"
        failed = f"; {state.error['what']}" if state.error else ""
        return f"sweep {self.name}, {state.status}: {done}, {told or 'none begun'}; {self.metric}, {better} is better{failed}"

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        rows = self.table()
        heads = [name for name in (rows[0] if rows else ()) if name != "error" or any(row["error"] for row in rows)]
        return heads, [[_text(row[name]) for name in heads] for row in rows]

    def __repr__(self) -> str:
        heads, cells = self._cells()
        return "\n".join(filter(None, (self._headline(self.state), table_text(heads, cells) if cells else "")))

    def _repr_html_(self) -> str:
        heads, cells = self._cells()
        return f"<p>{self._headline(self.state)}</p>{table_html(heads, cells) if cells else ''}"


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
