"""EvaluatePanel: several models on several suites, watched while it works; what got worse, item by item; who did best so far."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import traitlets as t

from shadownb.engine.evals.evaluation.contenders import contenders
from shadownb.engine.evals.evaluation.evaluation import Evaluation
from shadownb.engine.evals.evaluation.folder import EvaluationFolder
from shadownb.engine.evals.evaluation.running import work_through
from shadownb.engine.evals.suites import get as suite_of
from shadownb.errors import ConfigError, DataError

from . import _contestants, _suite_choices
from ._base import as_card
from ._evaluate_choosing import Choosing
from ._evaluate_options import read
from ._evaluate_showing import Showing
from ._worker import Worker

_BATCH_ROWS = 16  # so that intervals are seen to narrow, and a stop is soon
_NOTHING: dict[str, Any] = {"stage": "none"}


class EvaluatePanel(Showing, Choosing):
    """Evaluate models on suites; usable alone.

    Parameters
    ----------
    models, suites
        Those that are chosen at first, as :func:`shadownb.evaluate` takes them. None: to be chosen.
    evaluation
        A kept evaluation that is shown at first, or its name.
    namespace
        Where models, suites, rows and scorers are looked up; None means the notebook's variables.

    Examples
    --------
    >>> panel = snb.EvaluatePanel(model, snb.suites.rows(rows, snb.Exact(), name="queues"))
    >>> panel.start()
    >>> panel.settle(), panel.evaluation.status
    (True, 'complete')
    >>> panel.close()
    """

    title = "Evaluate"
    _bundle = "evaluate"
    _revived_by = ("shown",)

    work: t.Dict[str, Any] = t.Dict(_NOTHING, help="What this panel is doing.").tag(sync=True)

    def __init__(
        self,
        models: Any = None,
        suites: Any = None,
        *,
        evaluation: Any = None,
        namespace: Mapping[str, Any] | None = None,
    ) -> None:
        self._stop = threading.Event()
        given = contenders(models) if models is not None else []
        listed: Sequence[Any] = [] if suites is None else suites if isinstance(suites, list | tuple) else [suites]
        opened = [(each, suite_of(each)) for each in listed]  # a name that no suite has is refused here
        super().__init__(
            given,
            [suite for each, suite in opened if not isinstance(each, str)],
            [each for each, _ in opened if isinstance(each, str)],
            namespace,
        )
        self._working = Worker("EvaluatePanel work", self._failed)
        self._writer.submit(self._do_look)  # it looks through the runs, for which nobody who opens Studio should wait
        if evaluation is not None:
            self._open(evaluation if isinstance(evaluation, str) else evaluation.name)

    # -- for Python ----------------------------------------------------------------------------------------------

    @property
    def evaluation(self) -> Evaluation | None:
        """The evaluation that is shown, or None."""
        return self._view.evaluation if self._view is not None else None

    def start(self) -> None:
        """Begin what is chosen, as the button does; returns at once.

        Examples
        --------
        >>> panel = snb.EvaluatePanel(model, snb.suites.rows(rows[:3], snb.Exact(), name="queues"))
        >>> panel.start()
        >>> panel.settle(), len(panel.summary["suites"])
        (True, 1)
        """
        self._do_start()

    def stop(self) -> None:
        """End it soon, with what was answered kept; ``start`` of the same name goes on.

        Examples
        --------
        >>> panel = snb.EvaluatePanel(model, "text")
        >>> panel.stop()  # nothing is going on
        """
        self._do_stop()

    def settle(self, timeout: float | None = 30.0) -> bool:
        """Wait until commands are handled and nothing is evaluated; False if that took longer."""
        return super().settle(timeout) and self._working.wait(timeout) and super().settle(timeout)

    def close(self) -> None:
        """Stop what this panel evaluates and take it off the page; what was answered is kept."""
        self._stop.set()
        self._follow(None)
        super().close()

    def take_model(self, model: Any) -> None:
        """List a model that Studio has now, and choose it, base and tuned, where nobody has chosen another."""
        self._writer.submit(partial(self._take_model, model))

    def fill(self, run: Any) -> None:
        """Choose the base and the result of a run, on the rows that it held out; returns at once."""
        self._writer.submit(partial(self._fill, run))

    def take_run(self, run: Any) -> None:
        """List what runs have made."""
        self._writer.submit(self._do_look, key="look at runs")

    def _revival(self) -> str:
        return f'EvaluatePanel(evaluation="{self.shown}")' if self.shown else super()._revival()

    # -- commands of the page: work ----------------------------------------------------------------------------------

    def _do_start(self) -> None:
        options, problems = read(self.chosen["options"])
        for what in ("models", "suites"):
            if not self.chosen[what]:
                raise DataError(f"No {what} chosen.", fix=f"Choose {what} in the list.")
        if problems:
            raise ConfigError("An option is wrong.", fix="Correct the marked option.")
        name = str(options.pop("name", "") or EvaluationFolder.named(None).name)
        models = dict(zip(_contestants.names(self.chosen["models"], self._given), self.chosen["models"], strict=True))
        suites = [dict(each) for each in self.chosen["suites"]]
        names = self._names()
        again = dict(zip(models, _contestants.again(list(models.values()), names), strict=True))
        self._begin(name, models, suites, options, {"models": again, "suites": suites, "options": options})

    def _do_go_on(self) -> None:
        if self._view is None:
            raise DataError("No evaluation is shown.", fix="Open one that is kept.")
        folder = EvaluationFolder.named(self.shown)
        choice = folder.choice()
        if choice is None:
            raise DataError(
                f"The evaluation {self.shown!r} was begun by a call, and only that knows its models and suites.",
                fix=f"Make the same call again with name={self.shown!r}: what was answered is not asked again.",
            )
        names = self._names()
        by_id = {each["id"] for each in self.choices.get("models", [])}
        before = dict(zip(choice["models"], choice.get("here", choice["models"].values()), strict=True))
        # The notebook's own variables where they are there still: nothing is loaded twice.
        models = {side: before[side] if before[side] in by_id else again for side, again in choice["models"].items()}
        self._begin(self.shown, models, choice["suites"], choice["options"], choice, names)

    def _begin(
        self,
        name: str,
        models: Mapping[str, str],
        suites: Sequence[Mapping[str, str]],
        options: Mapping[str, Any],
        choice: dict[str, Any],
        names: Mapping[str, Any] | None = None,
    ) -> None:
        if self.work["stage"] in ("preparing", "running", "stopping"):
            raise ConfigError("This panel evaluates already.", fix="Wait for it, or stop it.")
        self._stop = stop = threading.Event()
        self._follow(None)
        if self.shown != name:
            self._forget()
        self.write(work={"stage": "preparing", "name": name, "text": "Opening models and suites"}, saved="")
        kept = {**choice, "here": list(models.values())}
        job = partial(self._evaluate, name, models, suites, options, kept, names or self._names(), stop)
        self._working.submit(job)

    def _evaluate(
        self,
        name: str,
        models: Mapping[str, str],
        suites: Sequence[Mapping[str, str]],
        options: Mapping[str, Any],
        kept: dict[str, Any],
        names: Mapping[str, Any],
        stop: threading.Event,
    ) -> None:
        """Evaluate; on a thread of its own."""
        opened = self._contestants.open(models, names)
        asked = [_suite_choices.open_suite(each, names, self._given_suites) for each in suites]
        if stop.is_set():
            self.work = _NOTHING
            return

        def told(suite: str, done: int, total: int) -> None:
            if self._follower is None:  # it is there now, and its folder
                EvaluationFolder.named(name).keep_choice(kept)
                self._watch(name)
                self.work = {"stage": "stopping" if stop.is_set() else "running", "name": name}

        work_through(
            opened,
            asked,
            name=name,
            batch_rows=_BATCH_ROWS,
            progress=told,
            should_stop=stop.is_set,
            **options,
        )
        self._writer.submit(partial(self._ended, name))

    def _do_stop(self) -> None:
        if self.work["stage"] in ("preparing", "running"):
            self._stop.set()
            self.work = {**self.work, "stage": "stopping"}

    def _ended(self, name: str) -> None:
        self._follow(None)
        self._look_at(name)
        self.work = {"stage": "ended", "name": name}
        self._do_look()

    def _failed(self, error: BaseException) -> None:
        self._follow(None)
        self.work = {"stage": "failed", "error": as_card(error)}
        self._writer.submit(self._do_look)

    def _do_open(self, name: str) -> None:
        if self.work["stage"] in ("preparing", "running", "stopping"):
            raise ConfigError("This panel evaluates, and shows that.", fix="Stop it, or open the other in a new panel.")
        self.work = _NOTHING
        self._open(name)

    # -- the static snapshot ---------------------------------------------------------------------------------------

    def _snapshot_text(self) -> str:
        text = str(self.evaluation) if self.evaluation is not None else "Nothing evaluated yet."
        return f"ShadowNB evaluate\n{text}"

    def _milestone(self) -> Any:
        status = self.progress.get("status")
        return (self.shown, status, None if status == "working" else self.progress.get("missing"))

    def __repr__(self) -> str:
        return f"EvaluatePanel({self.shown})"
