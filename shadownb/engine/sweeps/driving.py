"""Driving a sweep: one trial after the other, each an ordinary run, until the budget is used up or somebody stops it.

Every decision is a function of what the folder and the runs' journals say. So whoever goes on after a kill decides the same: a
trial that was asked for and not started is started, one whose run broke off is resumed, one that ended is told.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shadownb.engine.data import as_dataset
from shadownb.engine.notifications.telling import announce
from shadownb.engine.objectives.base import EVERY_COLUMN
from shadownb.engine.runs.commands import CommandReader
from shadownb.engine.runs.folder import RunFolder, load_rows
from shadownb.engine.runs.handle import Run
from shadownb.engine.runs.journal import Journal
from shadownb.engine.runs.launch import launch
from shadownb.engine.runs.state import ACTIVE
from shadownb.engine.runs.store import default_store
from shadownb.engine.sweeps import space as spaces
from shadownb.engine.sweeps.folder import SweepFolder, SweepState, Trial, best_of
from shadownb.engine.sweeps.metric import points_of, value_of
from shadownb.engine.sweeps.suggesting import best_so_far, prunes, suggest
from shadownb.errors import ConfigError, RunError, RunNotFoundError, ShadowError

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel

_LOOK_SECONDS = 0.1
_VERDICT_SECONDS = 0.5  # between two looks at all of a run's evaluations
_DIVERGED = ("diverged", "non-finite-loss")
TAG = "sweep:"  # what stands before the sweep's name in the tags of its runs


class Driver:
    """Drives a sweep in the thread that calls :meth:`drive`.

    Parameters
    ----------
    fields
        The options that all trials share, as they were given: functions of this process among them.
    """

    def __init__(
        self, folder: SweepFolder, model: LoadedModel, fields: Mapping[str, Any], commands_from: int, **launching: Any
    ) -> None:
        self.folder, self.model, self.fields = folder, model, dict(fields)
        self.spec = folder.spec
        self.launching = launching
        self.minimize = self.spec["direction"] == "minimize"
        self.space = spaces.from_json(self.spec["space"])
        self._commands = CommandReader(folder.commands, commands_from)
        self.stopped = False
        self.data, self.held_out = (self._rows(self.spec[name]) for name in ("dataset", "eval_dataset"))

    def _rows(self, reference: dict[str, Any] | None) -> Any:
        """Return the rows that every trial trains on, whoever drives it: those that lie in the home."""
        if reference is None:
            return None
        columns = tuple(self.spec["columns"])
        ignored = () if EVERY_COLUMN in columns else columns
        return as_dataset(load_rows(reference), "dataset", name=reference["name"], ignore=ignored)

    def drive(self, journal: Journal) -> None:
        """Go on to the end; how it ended is in the journal."""
        status, note, problem = "failed", "", None
        try:
            note = self._trials(journal)
            status = "stopped" if self.stopped else "succeeded"
        except ShadowError as error:
            problem = error
        except BaseException as error:  # whoever drives is a thread that nobody looks at
            problem = RunError(f"The sweep failed: {type(error).__name__}: {error}", fix="sweep.resume() goes on.")
        if problem is None:
            self._adopt(journal)
        tell = None
        if not self.stopped:
            tell = announce(self.folder.path, self.spec.get("notify", ()), lambda: self._message(status))
        journal.append("end", status=status, note=note, error=problem.to_dict() if problem is not None else None)
        journal.flush()
        if tell is not None:
            tell()

    def _message(self, status: str) -> dict[str, Any]:
        """Return what channels are told at the end."""
        state, metric = self.folder.state(), self.spec["metric"]
        best = best_of(state, minimize=self.minimize)
        told = (
            f", best {metric} {best.value:.4g} with {best.params}"
            if best is not None and best.value is not None
            else ""
        )
        why = f" {state.error['what']}" if state.error else ""
        return {
            "text": f"ShadowNB: sweep {self.folder.name} {status}, {len(state.finished)} trials{told}.{why}",
            "kind": "sweep",
            "name": self.folder.name,
            "status": status,
        }

    def _adopt(self, journal: Journal) -> None:
        """Have the model answer with the best trial's result, where nothing else trains it."""
        best = best_of(self._state(journal), minimize=self.minimize)
        if best is None or self.model.active_run is not None or not self.model.is_loaded:
            return
        try:
            result = Run(default_store().find(best.run)).result()
            if result is not None and self.model.trained != (best.run, result.step):
                self.model.load_adapter(result.path, (best.run, result.step))
        except ShadowError as error:
            journal.append("warning", **error.to_dict())

    def _trials(self, journal: Journal) -> str:
        while not self._is_stopped():
            state = self._state(journal)
            number = next(
                (at for at in range(len(state.trials)) if state.trials[at].state == "running"), len(state.trials)
            )
            trial = state.trials.get(number)
            if trial is None:
                if (over := self._is_over(state)) is not None:
                    return over
                params = self._next(number, state)
                if params is None:
                    return "every combination was tried"
                trial = Trial(number, params)
                journal.append("asked", trial=number, params=params)
                journal.flush()
            self._one(trial, state, journal)
        return ""

    def _state(self, journal: Journal) -> SweepState:
        journal.flush()
        return self.folder.state()

    def _is_over(self, state: SweepState) -> str | None:
        """Return in words why no further trial begins, or None."""
        trials, seconds = self.spec["trials"], self.spec["seconds"]
        if trials is not None and len(state.trials) >= trials:
            return f"{trials} trials"
        spent = sum(trial.seconds for trial in state.trials.values())
        if seconds is not None and spent >= seconds:
            return f"{spent:,.0f} s of training"
        return None

    def _next(self, number: int, state: SweepState) -> dict[str, Any] | None:
        return suggest(
            self.space,
            self.spec["sampler"],
            self.spec["seed"],
            number,
            [trial.told for trial in state.finished],
            minimize=self.minimize,
            startup=self.spec["startup"],
        )

    # -- one trial --------------------------------------------------------------------------------------------------

    def _one(self, trial: Trial, state: SweepState, journal: Journal) -> None:
        """Train a trial to its end and note what came of it; a stop of the sweep leaves it as one to go on with."""
        told = [each.told for each in state.finished if each.number < trial.number]
        try:
            run = self._run_of(trial, told) or self._launched(trial)
        except ShadowError as error:
            self._tell(journal, trial, "failed", None, (), error=error)
            if trial.number == 0:  # what nothing can be tried with is a mistake in what was asked for
                raise
            return
        if trial.run != run.id:
            journal.append("launched", trial=trial.number, run=run.id)
        try:
            pruned_at = self._watch(run, told)
            if pruned_at is None and self.stopped and run.status != "succeeded":
                return
            self._ended(trial, run, pruned_at, journal)
        except ConfigError as error:  # no such metric: no other trial has it either
            if run.is_active:
                run.stop().wait()
            self._tell(journal, trial, "failed", None, (), run=run, error=error)
            raise

    def _launched(self, trial: Trial) -> Run:
        options = {"save_total_limit": 1, **self.fields, **trial.params}
        method = options.pop("method", self.spec["method"])
        return launch(
            self.model,
            self.data,
            method=method,
            background=True,
            eval_dataset=self.held_out,
            start_from=self.spec["start"],
            fields=options,
            sweep={"name": self.folder.name, "trial": trial.number},
            tags=(f"{TAG}{self.folder.name}",),
            **self.launching,
        )

    def _run_of(self, trial: Trial, told: list[Any]) -> Run | None:
        """Return the run that was started for a trial already; it goes on where it broke off."""
        found = self._found(trial)
        if found is None:
            return None
        if found.status in ("interrupted", "stopped") and self._verdict(found, told) is None:
            found.resume(None if found.executor and not found.shares_memory else self.model)
        return found

    def _found(self, trial: Trial) -> Run | None:
        store = default_store()
        if trial.run:
            try:
                return Run(store.find(trial.run))
            except RunNotFoundError:
                return None  # deleted meanwhile: it is trained again
        wanted = {"name": self.folder.name, "trial": trial.number}
        since = self.folder.path.stat().st_ctime - 60  # a kill between the run's start and the line that says so
        for folder in store.all():
            if folder.path.stat().st_mtime >= since and _sweep_of(folder) == wanted:
                return Run(folder)
        return None

    def _watch(self, run: Run, told: list[Any]) -> int | None:
        """Follow a run to its end; the step at which it was given up, or None."""
        seen, looked = -1, 0.0
        while True:
            state = run.state
            active = state.status in ACTIVE
            if not active or (state.seq != seen and time.monotonic() - looked >= _VERDICT_SECONDS):
                seen, looked = state.seq, time.monotonic()
                pruned = self._verdict(run, told)
                if pruned is not None:
                    if active:
                        run.discard().wait()
                    return pruned
            if not active:
                return None
            if self._is_stopped():
                run.stop().wait()
            time.sleep(_LOOK_SECONDS)

    def _verdict(self, run: Run, told: list[Any]) -> int | None:
        """Return the step at which the run is to be given up: the same whenever it is asked, as it goes through the evaluations."""
        if self.spec["pruner"] == "none" or not told:
            return None
        seen = best_so_far(points_of(run, self.spec["metric"]), minimize=self.minimize)
        return prunes(self.spec["pruner"], seen, told, minimize=self.minimize, startup=self.spec["startup"])

    def _ended(self, trial: Trial, run: Run, pruned_at: int | None, journal: Journal) -> None:
        points = points_of(run, self.spec["metric"])
        if pruned_at is not None:
            points = [point for point in points if point[0] <= pruned_at]
            self._tell(journal, trial, "pruned", points[-1], self._seen(points), run=run)
            return
        error, status = run.error, run.status
        if status == "succeeded":
            value = value_of(points, self.spec["metric"])
            if value is None:
                missing = RunError(
                    f"Run {run.id} never told {self.spec['metric']}.", fix="eval_steps= says how often it is evaluated."
                )
                self._tell(journal, trial, "failed", None, (), run=run, error=missing)
            else:
                self._tell(journal, trial, "succeeded", value, self._seen(points), run=run)
        elif error is not None:
            state = "diverged" if error.code in _DIVERGED else "failed"
            self._tell(journal, trial, state, None, self._seen(points), run=run, error=error)
        else:  # somebody stopped this run alone
            self._tell(journal, trial, "stopped", None, self._seen(points), run=run)

    def _seen(self, points: list[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
        return best_so_far(points, minimize=self.minimize)

    def _tell(
        self,
        journal: Journal,
        trial: Trial,
        state: str,
        value: tuple[int, float] | None,
        seen: tuple[tuple[int, float], ...],
        *,
        run: Run | None = None,
        error: ShadowError | None = None,
    ) -> None:
        journal.append(
            "told",
            trial=trial.number,
            state=state,
            step=None if value is None else value[0],
            value=None if value is None else value[1],
            seen=[list(point) for point in seen],
            seconds=round(run.duration_s, 3) if run is not None else 0.0,
            error=None if error is None else error.to_dict(),
        )
        journal.flush()

    def _is_stopped(self) -> bool:
        self.stopped = self.stopped or any(command["kind"] == "stop" for command in self._commands.poll())
        return self.stopped


def _sweep_of(folder: RunFolder) -> dict[str, Any] | None:
    try:
        return folder.spec.get("sweep")
    except RunError:
        return None
