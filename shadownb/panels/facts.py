"""FactsPanel: what a model knows by heart, changed fact by fact, and which fact would answer a question and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import traitlets as t

from shadownb.engine.routing.units import Fact
from shadownb.errors import DataError

from . import _choices, _fact_values
from ._base import as_card
from ._going_on import models_at_hand
from ._snapshot_panel import SnapshotPanel
from ._worker import Background

_MOST_NEW_TOKENS = 64


class FactsPanel(SnapshotPanel):
    """The facts of a model; usable alone.

    Parameters
    ----------
    model
        Whose facts. None: the newest loaded model of the notebook's variables.
    namespace
        Where models are looked up; None means the notebook's variables.
    **options
        Of the training of each edit, as ``model.facts.add`` takes them: ``expert_steps``, ``learning_rate`` and so on.

    Examples
    --------
    >>> panel = snb.FactsPanel(model)
    >>> panel.settle(), panel.count
    (True, 0)
    >>> panel.close()
    """

    title = "Facts"
    _bundle = "facts"

    name = t.Unicode(help="The model whose facts are shown; empty where there is none.").tag(sync=True)
    facts = t.List(t.Dict(), help="The facts, at most a few hundred, with what is known of their recall.").tag(
        sync=True
    )
    count = t.Int(0, help="How many facts there are.").tag(sync=True)
    state: t.Dict[str, Any] = t.Dict({"stage": "ready"}, help="What is being done, or has failed.").tag(sync=True)
    told: t.List[str] = t.List(t.Unicode(), help="What the last edit came to, a sentence each.").tag(sync=True)
    undoable = t.Bool(False, help="Whether there is an edit of this session to take back.").tag(sync=True)
    answer = t.Dict(help="The last question, which fact it goes to and why, and both answers; or empty.").tag(sync=True)
    code = t.Dict(help="What does the same in a cell.").tag(sync=True)

    def __init__(self, model: Any = None, *, namespace: Mapping[str, Any] | None = None, **options: Any) -> None:
        self._namespace = namespace
        self._options = options
        self._model: Any = None
        self._tests: dict[Fact, Any] = {}
        self._begun = 0
        super().__init__()
        self._work = Background("FactsPanel work", self._writer)
        found = model if model is not None else next(iter(models_at_hand(self._names(), None)), None)
        if found is not None:
            self.take_model(found)

    # -- for Python ----------------------------------------------------------------------------------------------

    @property
    def model(self) -> Any:
        """The model whose facts are shown, or None.

        Examples
        --------
        >>> snb.FactsPanel(namespace={}).model is None
        True
        """
        return self._model

    def take_model(self, model: Any) -> None:
        """Show the facts of a model; of the same one, read them again.

        Examples
        --------
        >>> panel = snb.FactsPanel(namespace={})
        >>> panel.take_model(model)
        >>> panel.settle(), panel.model is model
        (True, True)
        >>> panel.close()
        """
        if model is not self._model:
            self._model, self._tests = model, {}
            self._writer.submit(lambda: self.write(answer={}, told=[], undoable=False, code={}))
        self._begin("reading", lambda: None, lambda _: None)

    def settle(self, timeout: float | None = 30.0) -> bool:
        """Wait until commands are handled and all work is done; False if that took longer."""
        return super().settle(timeout) and self._work.wait(timeout)

    # -- commands of the page --------------------------------------------------------------------------------------

    def _do_look(self) -> None:
        if self._model is None:
            found = next(iter(models_at_hand(self._names(), None)), None)
            if found is None:
                raise DataError(
                    "The notebook has no loaded model.", fix='Run model = snb.load("smollm2-135m") in a cell.'
                )
            self.take_model(found)
        else:
            self._begin("reading", lambda: None, lambda _: None)

    def _do_add(self, question: str, answer: str, source: str = "") -> None:
        facts = self._facts_of()
        self._show_code("add", question, answer, *([source] if source else []))
        self._begin("learning", lambda: facts.add(question, answer, source=source, **self._options), self._edited)

    def _do_update(self, which: str, answer: str, source: str = "") -> None:
        facts = self._facts_of()
        self._show_code("update", which, answer, *([source] if source else []))
        self._begin("learning", lambda: facts.update(which, answer, source=source, **self._options), self._edited)

    def _do_remove(self, which: str) -> None:
        facts = self._facts_of()
        self._show_code("remove", which)
        self._begin("removing", lambda: facts.remove(which), self._edited)

    def _do_undo(self) -> None:
        facts = self._facts_of()
        self._show_code("undo")
        self._begin("undoing", facts.undo, self._edited)

    def _do_test(self) -> None:
        facts = self._facts_of()
        self._show_code("test")
        self._begin("testing", facts.test, self._recalled)

    def _do_ask(self, question: str) -> None:
        if not question.strip():
            raise DataError("No question.", fix="Type one.")
        model, facts = self._model, self._facts_of()
        self._show_code("route", question)

        def ask() -> dict[str, Any]:
            route = facts.route(question)
            asked = [{"role": "user", "content": question}]
            told = model.chat(asked, temperature=0.0, max_new_tokens=_MOST_NEW_TOKENS)
            alone = model.chat(asked, use="base", temperature=0.0, max_new_tokens=_MOST_NEW_TOKENS)
            return _fact_values.of_route(route, told, alone)

        self._begin("asking", ask, self._answered)

    # -- what follows ------------------------------------------------------------------------------------------------

    def _begin(self, doing: str, job: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Do something that takes long and read the facts behind it; what is asked for meanwhile waits."""
        model = self._model
        self.state = {"stage": "working", "doing": doing}

        def work() -> tuple[Any, int, list[tuple[Any, Any]]]:
            value = job()
            every = list(model.facts.list())
            return value, len(every), _fact_values.found(every, model.facts.route)

        def ready(seen: tuple[Any, int, list[tuple[Any, Any]]]) -> None:
            if model is self._model:
                self._show(model, then, *seen)

        # Each has a name of its own, or the newest would replace one that waits.
        self._begun += 1
        self._work.submit(f"{doing} {self._begun}", work, ready, self._failed)

    def _show(
        self, model: Any, then: Callable[[Any], None], value: Any, count: int, found: list[tuple[Any, Any]]
    ) -> None:
        then(value)
        rows = _fact_values.of_facts(found, self._tests)
        self.write(name=model.name, facts=rows, count=count, undoable=model.facts.undoable, state={"stage": "ready"})
        self._refresh_displays()

    def _edited(self, edit: Any) -> None:
        self._recalled(edit.tests)
        self.told = edit.lines

    def _recalled(self, tests: Any) -> None:
        self._tests.update({test.fact: test for test in tests})

    def _answered(self, answer: dict[str, Any]) -> None:
        self.answer = answer

    def _failed(self, error: Exception) -> None:
        # What an edit before this one came to would read as if this one had.
        self.write(name=getattr(self._model, "name", ""), told=[], state={"stage": "failed", "error": as_card(error)})

    def _facts_of(self) -> Any:
        if self._model is None:
            raise DataError(
                "No model is chosen.", fix='Run model = snb.load("smollm2-135m") in a cell, then press Look again.'
            )
        return self._model.facts

    def _show_code(self, action: str, *texts: str) -> None:
        name = _choices.name_of(self._model, self._names()) or "model"
        self.code = _fact_values.code(name, action, texts)

    def _names(self) -> Mapping[str, Any]:
        return self._namespace if self._namespace is not None else _choices.user_namespace()

    # -- the static snapshot ---------------------------------------------------------------------------------------

    def _snapshot_text(self) -> str:
        return _fact_values.snapshot(self.name, self.count, self.facts)

    def _milestone(self) -> Any:
        return (self.name, self.count, str(self.facts))

    def __repr__(self) -> str:
        return f"FactsPanel({self.count} of {self.name!r})" if self.name else "FactsPanel()"
