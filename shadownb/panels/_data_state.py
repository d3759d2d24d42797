"""What the parts of the Data panel share: its traits, the steps that were done, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import traitlets as t

from shadownb.engine.data.matching import Match
from shadownb.errors import ConfigError

from . import _certificate, _choices, _data_view
from ._base import Panel, as_card
from ._data_steps import HELD_OUT, TITLES, TRAIN, WHOLE, History, Step
from ._stores import as_choices, loaded_models
from ._worker import Background

NOTHING: dict[str, Any] = {"stage": "none"}


class DataState(Panel):
    """What the parts of the panel work on; see :class:`shadownb.DataPanel`."""

    choices: t.List[Any] = t.List(help="Data that can be picked.").tag(sync=True)
    models: t.List[Any] = t.List(help="Models in memory.").tag(sync=True)
    source = t.Dict(NOTHING, help="The data that is open: stage, choice, name, where it is from, error.").tag(sync=True)
    listing = t.Dict(help="The folder that is looked at: folders and files of it.").tag(sync=True)
    upload = t.Dict(help="The file that is being sent: name, bytes done and in all, the largest, error.").tag(sync=True)
    hub = t.Dict(NOTHING, help="What the hub has: stage, query, found, preview, error.").tag(sync=True)
    reading = t.Dict(help="How columns are read, what is refused and why, what is suggested.").tag(sync=True)
    parts: t.List[Any] = t.List(help="What there is now: all rows, or those to train on and those held out.").tag(
        sync=True
    )
    page = t.Dict(help="The rows that are shown, and of how many.").tag(sync=True)
    row = t.Dict(help="The row that is being edited, or empty.").tag(sync=True)
    steps: t.List[Any] = t.List(help="What was done, in words, with how many rows it left.").tag(sync=True)
    undone = t.Int(0, help="How many steps were taken back and can be done again.").tag(sync=True)
    working = t.Unicode(help="What is being done, or empty.").tag(sync=True)
    told = t.Unicode(help="What the last command came to.").tag(sync=True)
    leaks = t.Dict(NOTHING, help="Held-out rows that are among those to train on, too.").tag(sync=True)
    model = t.Unicode(help="Choice id of the model that tokens are counted for.").tag(sync=True)
    tokens = t.Dict(NOTHING, help="How many tokens rows have: bins, figures, error.").tag(sync=True)
    certificate = t.Dict(_certificate.NO_CERTIFICATE, help="What was proven of the model's chat template.").tag(
        sync=True
    )
    code = t.Dict(help="The same as a cell.").tag(sync=True)
    trainable = t.Bool(False, help="Whether somebody trains on the rows.").tag(sync=True)

    def __init__(self, data: Any, model: Any, namespace: Mapping[str, Any] | None) -> None:
        self._namespace = namespace
        self._given_data, self._given_model = data, model
        self._files: tuple[str, ...] = ()
        self._taken: tuple[str, ...] = ()  # choices of data sets of the hub
        self._history = History()
        self._shown = WHOLE  # the part that the table shows
        self._query = Match()
        self._tokens_asked: tuple[int | None, int | None] = (None, None)
        self._begin = 0
        self._found: tuple[Any, Any, list[int]] = (None, None, [])  # rows, what was asked of them, which have it
        self._model: Any = None
        self._users: list[Callable[[], None]] = []
        super().__init__()
        self._heavy = Background("DataPanel worker", self._writer)

    def settle(self, timeout: float | None = 30.0) -> bool:
        """Wait until everything that was asked for is done: commands, opening, steps, counting."""
        # What a result leads to may be another job, so the writer comes last and the worker is asked again.
        return super().settle(timeout) and all(self._heavy.wait(timeout) for _ in range(3))

    def _names(self) -> Mapping[str, Any]:
        return self._namespace if self._namespace is not None else _choices.user_namespace()

    def _do_refresh(self) -> None:
        """Look at the notebook's variables again."""
        names = self._names()
        self.write(
            choices=_choices.data_choices(names, self._given_data, self._files, self._taken),
            models=as_choices(loaded_models(names, self._given_model)),
        )

    # -- steps -------------------------------------------------------------------------------------------------------

    def _step(self, words: str, make: Callable[[], Step | str], *, all_rows: bool = False) -> None:
        """Do a step in the background; a text instead of one says why nothing changed.

        With ``all_rows`` nothing is looked for behind it.
        """
        self._require_rest()
        self.write(working=words, told="")
        self._heavy.submit("step", make, lambda made: self._stepped(made, all_rows), self._not_stepped)

    def _require_rest(self) -> None:
        """Raise where something goes on that a step would come between."""
        doing = self.working or ("Reading" if self.source["stage"] == "loading" else "")
        if doing:
            raise ConfigError(f"{doing} is not done yet.", fix="Wait for it, then try again.")

    def _stepped(self, made: Step | str, all_rows: bool) -> None:
        self.write(working="", told=made if isinstance(made, str) else "")
        if isinstance(made, Step):
            if all_rows:
                self._query, self._tokens_asked, self._begin = Match(), (None, None), 0
            self._history.add(made)
            self._changed()

    def _not_stepped(self, error: Exception) -> None:
        self.write(working="", error=as_card(error))

    def _do_undo(self) -> None:
        """Take the last step back."""
        self._require_rest()
        self._history.undo()
        self._changed()

    def _do_redo(self) -> None:
        """Do again what was taken back last."""
        self._require_rest()
        self._history.redo()
        self._changed()

    # -- what follows ------------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        """Show what there is now, and count it anew."""
        parts = self._history.parts
        if self._shown not in parts:
            self._shown, self._begin = next(iter(parts), WHOLE), 0
        self.write(
            parts=[
                {"id": name, "title": TITLES[name], "rows": len(data), "valid": _valid(data)}
                for name, data in parts.items()
            ],
            steps=self._history.shown(),
            undone=len(self._history.undone),
            code={"python": self._history.code()},
            row={},
        )
        self._look()
        self._check_leaks()
        self._count_tokens()

    def _look(self) -> None:
        """Read the page that is shown; a search goes through all rows, so it may take a while."""
        data = self._history.parts.get(self._shown)
        if data is None:
            self.write(page={}, reading={})
            return
        part, begin, query, tokens, model = self._shown, self._begin, self._query, self._tokens_asked, self._model

        def work() -> tuple[dict[str, Any], dict[str, Any]]:
            asked = (query, tokens, id(model) if tokens != (None, None) else None)
            if self._found[0] is not data or self._found[1] != asked:
                self._found = (data, asked, data.matching(query, model, *tokens))
            return _data_view.page(data, part, self._found[2], begin), _data_view.reading(data)

        def show(found: tuple[dict[str, Any], dict[str, Any]]) -> None:
            self._begin = found[0]["begin"]
            asked = {
                **query.given,
                **{n: v for n, v in zip(("min_tokens", "max_tokens"), tokens, strict=True) if v is not None},
            }
            self.write(page={**found[0], "asked": asked}, reading=found[1])

        self._heavy.submit("page", work, show, self.show_error)

    def _check_leaks(self) -> None:
        parts = self._history.parts
        if TRAIN not in parts:
            self._heavy.cancel("leaks")
            self.write(leaks=NOTHING)
            return
        train, held_out = parts[TRAIN], parts[HELD_OUT]
        self.write(leaks={"stage": "loading"})
        self._heavy.submit(
            "leaks",
            lambda: _data_view.leaks(train, held_out),
            lambda found: self.write(leaks=found),
            lambda error: self.write(leaks={"stage": "failed", "error": as_card(error)}),
            later=True,
        )

    def _count_tokens(self) -> None:
        data, model = self._history.parts.get(self._shown), self._model
        if data is None or model is None:
            self._heavy.cancel("tokens")
            self.write(tokens=NOTHING)
            return
        self.write(tokens={**self.tokens, "stage": "loading"})
        self._heavy.submit(
            "tokens",
            lambda: _data_view.tokens(data, model),
            lambda found: self.write(tokens=found),
            lambda error: self.write(tokens={"stage": "failed", "error": as_card(error)}),
            later=True,
        )


def _valid(data: Any) -> int:
    """Return how many rows can be used; none while no column is known."""
    return 0 if data.format == "raw" else int(data.report.valid)
