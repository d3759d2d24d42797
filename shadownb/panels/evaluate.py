"""EvaluatePanel: several models on several suites, watched while it works; what got worse, item by item; who did best so far."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import traitlets as t

from shadownb.engine.evals import evaluations
from shadownb.engine.evals.evaluation.contenders import contenders
from shadownb.engine.evals.evaluation.evaluation import Evaluation
from shadownb.engine.evals.evaluation.folder import EvaluationFolder
from shadownb.engine.evals.evaluation.running import work_through
from shadownb.engine.evals.suites import get as suite_of
from shadownb.errors import ConfigError, DataError

from . import _choices, _contestants, _evaluation_grid, _evaluation_items, _evaluation_view, _scorers, _suite_choices
from ._base import as_card
from ._evaluate_code import code
from ._evaluate_options import DEFAULTS, read
from ._finish import model_at_hand, scorer_for
from ._snapshot_panel import SnapshotPanel
from ._stores import Follower
from ._worker import Worker

_BATCH_ROWS = 16  # so that intervals are seen to narrow, and a stop is soon
_NOTHING: dict[str, Any] = {"stage": "none"}


class EvaluatePanel(SnapshotPanel):
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

    choices: t.Dict[str, Any] = t.Dict(help="Models, suites, rows and scorers to choose from.").tag(sync=True)
    chosen: t.Dict[str, Any] = t.Dict(
        help="What is chosen: models, suites, options, and what is wrong with those."
    ).tag(sync=True)
    work: t.Dict[str, Any] = t.Dict(_NOTHING, help="What this panel is doing.").tag(sync=True)
    shown = t.Unicode("", help="The name of the evaluation that is shown.").tag(sync=True)
    progress = t.Dict(help="How far it is, suite by suite.").tag(sync=True)
    summary = t.Dict(help="Its means and differences.").tag(sync=True)
    findings = t.Dict(help="What it says in sentences.").tag(sync=True)
    narrowing = t.Dict(help="How its intervals became narrower while it was watched.").tag(sync=True)
    browse = t.Dict(help="The page of items that is open.").tag(sync=True)
    item = t.Dict(help="The item that is open.").tag(sync=True)
    grid = t.Dict(help="The problems by languages of a suite that are open.").tag(sync=True)
    board = t.Dict(help="The leaderboard, once somebody has looked at it.").tag(sync=True)
    saved = t.Unicode("", help="Where the report was written.").tag(sync=True)
    code = t.Dict(help="What does the same in a cell.").tag(sync=True)

    def __init__(
        self,
        models: Any = None,
        suites: Any = None,
        *,
        evaluation: Any = None,
        namespace: Mapping[str, Any] | None = None,
    ) -> None:
        self._namespace = namespace
        listed: Sequence[Any] = [] if suites is None else suites if isinstance(suites, list | tuple) else [suites]
        self._given = contenders(models) if models is not None else []
        named = [each for each in listed if isinstance(each, str)]
        self._given_suites = [suite_of(each) for each in listed if not isinstance(each, str)]
        self._contestants = _contestants.Contestants(self._given)
        self._stop = threading.Event()
        self._filled: list[tuple[str, str]] = []  # models of a run, (choice, title)
        self._chosen_for: list[str] = []  # models that nobody has chosen: those of the model that Studio has
        self._view: _evaluation_view.EvaluationView | None = None
        self._follower: Follower | None = None
        suites_chosen = [{"id": f"given:{at}"} for at in range(len(self._given_suites))]
        super().__init__(
            chosen={
                "models": [f"given:{at}" for at in range(len(self._given))],
                "suites": suites_chosen + [{"id": f"name:{suite_of(each) and each}"} for each in named],
                "options": dict(DEFAULTS),
                "problems": {},
            }
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

    def _take_model(self, model: Any) -> None:
        self._do_look()
        name = _choices.name_of(model, self._names())
        if name is not None and self.chosen["models"] == self._chosen_for:
            ids = [each["id"] for each in self.choices.get("models", []) if each["id"].startswith(f"var:{name}/")]
            self._chosen_for = ids
            self._choose(models=ids)

    def fill(self, run: Any) -> None:
        """Choose the base and the result of a run, on the rows that it held out; returns at once."""
        self._writer.submit(partial(self._fill, run))

    def _fill(self, run: Any) -> None:
        self._do_look()
        choice, _ = model_at_hand(run, self._names())
        models = [f"{choice}/base", f"{choice}/tuned"] if choice else [f"load:{run.id}/base", f"load:{run.id}/tuned"]
        suites = [{"id": "name:text"}]  # what it forgot needs no rows of the task
        if run.folder.spec.get("eval_dataset"):
            suites = [_suite_choices.own_rows(f"heldout:{run.id}", f"name:{scorer_for(run)}", [])]
        self._filled = [] if choice else [(each, f"{run.id}, {each.rpartition('/')[2]}") for each in models]
        self._chosen_for = []
        self._do_look()
        self._choose(models=models, suites=suites)

    def take_run(self, run: Any) -> None:
        """List what runs have made."""
        self._writer.submit(self._do_look, key="look at runs")

    def _revival(self) -> str:
        return f'EvaluatePanel(evaluation="{self.shown}")' if self.shown else super()._revival()

    # -- commands of the page: what is chosen ----------------------------------------------------------------------

    def _do_look(self) -> None:
        names = self._names()
        self.choices = {
            "models": [
                *({"id": each, "title": title, "group": "Of a run"} for each, title in self._filled),
                *_contestants.choices(names, self._given),
            ],
            "suites": _suite_choices.choices(names, self._given_suites),
            "data": [
                {key: str(each[key]) for key in ("id", "title", "group")} for each in _choices.data_choices(names)
            ],
            "scorers": _scorers.scorer_choices(names),
            "kept": _evaluation_view.kept(),
        }
        self._show_code()

    def _do_choose_model(self, choice: str, on: bool) -> None:
        others = [each for each in self.chosen["models"] if each != choice]
        wanted = [*others, choice] if on else others
        order = [each["id"] for each in self.choices.get("models", [])]
        self._choose(models=sorted(wanted, key=lambda each: order.index(each) if each in order else len(order)))

    def _do_choose_suite(self, choice: str, on: bool) -> None:
        others = [each for each in self.chosen["suites"] if each["id"] != choice]
        self._choose(suites=[*others, {"id": choice}] if on else others)

    def _do_add_rows(self, data: str, scorer: str) -> None:
        taken = [_suite_choices.name_of(each, self._names(), self._given_suites) for each in self.chosen["suites"]]
        added = _suite_choices.own_rows(data, scorer, taken)
        self._choose(suites=[*self.chosen["suites"], added])

    def _do_set_option(self, name: str, value: str) -> None:
        options = {**self.chosen["options"], name: value}
        self._choose(options=options, problems=read(options)[1])

    def _choose(self, **chosen: Any) -> None:
        self.chosen = {**self.chosen, **chosen}
        self._show_code()

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

    # -- commands of the page: what is shown ---------------------------------------------------------------------------

    def _do_open(self, name: str) -> None:
        if self.work["stage"] in ("preparing", "running", "stopping"):
            raise ConfigError("This panel evaluates, and shows that.", fix="Stop it, or open the other in a new panel.")
        self.work = _NOTHING
        self._open(name)

    def _open(self, name: str) -> None:
        self._forget()
        self._look_at(name)
        if self.progress["status"] == "working":  # by somebody else
            self._watch(name)

    def _watch(self, name: str) -> None:
        """Show what is answered as it comes, whoever evaluates."""
        folder = EvaluationFolder.named(name)
        look = partial(self._writer.submit, partial(self._look_at, name), key="look")
        self._follow(Follower(lambda: (folder.stamp(), folder.is_owned), look, self.show_error))

    def _follow(self, follower: Follower | None) -> None:
        if self._follower is not None:
            self._follower.stop()
        self._follower = follower

    def _forget(self) -> None:
        self._follow(None)
        self._view = None
        self.write(shown="", progress={}, summary={}, findings={}, narrowing={}, browse={}, item={}, grid={}, saved="")

    def _look_at(self, name: str) -> None:
        if self._view is None or self._view.evaluation.name != name:
            self._view = _evaluation_view.EvaluationView(evaluations.open(name))
        values = self._view.look(self.summary.get("to"))
        self.write(shown=name, **values)
        if self.browse:
            self._browse(self.browse)
        if self.grid:
            self._do_show_grid(self.grid["suite"], self.grid["side"])
        self._refresh_displays()

    def _do_compare_to(self, side: str) -> None:
        self.summary = {**self.summary, "to": side}
        self._look_at(self.shown)
        if self.browse:
            self._browse({**self.browse, "to": side})

    def _do_browse(self, item: str = "", **asked: Any) -> None:
        found = self._evaluation_shown()
        sides = found.sides
        first = str(self.summary.get("to") or sides[0])
        whole: dict[str, Any] = {
            "suite": found.suites[0] if found.suites else "",
            "to": first,
            "side": next((side for side in reversed(sides) if side != first), first),
            "filter": "all",
            **{key: self.browse[key] for key in ("suite", "to", "side", "filter") if key in self.browse},
            "page": 0,
            **asked,
        }
        self.item = {}
        self._browse(whole)
        if item:
            self._do_show_item(item)

    def _browse(self, asked: Mapping[str, Any]) -> None:
        names = ("suite", "side", "to", "filter", "page")
        self.browse = _evaluation_items.listed(self._evaluation_shown(), {name: asked[name] for name in names})

    def _do_show_item(self, item: str) -> None:
        asked = self.browse
        self.item = _evaluation_items.detail(self._evaluation_shown(), asked["suite"], item, asked["side"], asked["to"])

    def _do_show_grid(self, suite: str, side: str) -> None:
        found = self._evaluation_shown()
        to = str(self.summary.get("to") or found.sides[0])
        self.grid = _evaluation_grid.squares(found, suite, side, to)

    def _do_show_board(self, suite: str = "") -> None:
        self.board = _evaluation_view.board(suite or None)

    def _do_save_report(self, form: str) -> None:
        found = self._evaluation_shown()
        path = f"evaluation-{found.name}.{form}"
        (found.to_markdown if form == "md" else found.to_html)(path)
        self.saved = path

    def _evaluation_shown(self) -> Evaluation:
        if self.evaluation is None:
            raise DataError("No evaluation is shown.", fix="Evaluate, or open one that is kept.")
        return self.evaluation

    def _show_code(self) -> None:
        options, problems = read(self.chosen["options"])
        names = _contestants.names(self.chosen["models"], self._given)
        models = dict(zip(names, self.chosen["models"], strict=True))
        self.code = {} if problems else code(models, self.chosen["suites"], options)

    def _names(self) -> Mapping[str, Any]:
        return self._namespace if self._namespace is not None else _choices.user_namespace()

    # -- the static snapshot ---------------------------------------------------------------------------------------

    def _snapshot_text(self) -> str:
        text = str(self.evaluation) if self.evaluation is not None else "Nothing evaluated yet."
        return f"ShadowNB evaluate\n{text}"

    def _milestone(self) -> Any:
        status = self.progress.get("status")
        return (self.shown, status, None if status == "working" else self.progress.get("missing"))

    def __repr__(self) -> str:
        return f"EvaluatePanel({self.shown})"
