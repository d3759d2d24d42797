"""What an Evaluate panel is to evaluate: the models, suites, rows and scorers there are, and what is chosen, as code too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import traitlets as t

from . import _choices, _contestants, _evaluation_view, _scorers, _suite_choices
from ._evaluate_code import code
from ._evaluate_options import DEFAULTS, read
from ._finish import model_at_hand, scorer_for
from ._snapshot_panel import SnapshotPanel


class Choosing(SnapshotPanel):
    """The choice of an Evaluate panel.

    Parameters
    ----------
    given, given_suites
        Models and suites that the panel was made with.
    named
        Names of suites that it was made with.
    namespace
        Where models, suites, rows and scorers are looked up; None means the notebook's variables.
    """

    choices: t.Dict[str, Any] = t.Dict(help="Models, suites, rows and scorers to choose from.").tag(sync=True)
    chosen: t.Dict[str, Any] = t.Dict(
        help="What is chosen: models, suites, options, and what is wrong with those."
    ).tag(sync=True)
    code = t.Dict(help="What does the same in a cell.").tag(sync=True)

    def __init__(
        self, given: list[Any], given_suites: list[Any], named: list[str], namespace: Mapping[str, Any] | None
    ) -> None:
        self._namespace = namespace
        self._given = given
        self._given_suites = given_suites
        self._contestants = _contestants.Contestants(given)
        self._filled: list[tuple[str, str]] = []  # models of a run, (choice, title)
        self._chosen_for: list[str] = []  # models that nobody has chosen: those of the model that Studio has
        suites = [*(f"given:{at}" for at in range(len(given_suites))), *(f"name:{each}" for each in named)]
        super().__init__(
            chosen={
                "models": [f"given:{at}" for at in range(len(given))],
                "suites": [{"id": each} for each in suites],
                "options": dict(DEFAULTS),
                "problems": {},
            }
        )

    def _names(self) -> Mapping[str, Any]:
        return self._namespace if self._namespace is not None else _choices.user_namespace()

    # -- what Studio and runs bring along --------------------------------------------------------------------------

    def _take_model(self, model: Any) -> None:
        self._do_look()
        name = _choices.name_of(model, self._names())
        if name is not None and self.chosen["models"] == self._chosen_for:
            ids = [each["id"] for each in self.choices.get("models", []) if each["id"].startswith(f"var:{name}/")]
            self._chosen_for = ids
            self._choose(models=ids)

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

    def _show_code(self) -> None:
        options, problems = read(self.chosen["options"])
        names = _contestants.names(self.chosen["models"], self._given)
        models = dict(zip(names, self.chosen["models"], strict=True))
        self.code = {} if problems else code(models, self.chosen["suites"], options)
