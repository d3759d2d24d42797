"""Where the rows of the Data panel come from: a list, folders, the page, the hub; and what their columns are read as."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from shadownb.engine.data import mappings
from shadownb.engine.data.matching import Match
from shadownb.engine.data.suggesting import suggest
from shadownb.errors import DataError, ShadowError

from . import _choices, _data_files
from ._base import as_card
from ._data_state import NOTHING, DataState
from ._data_steps import History, Step, called
from ._hub_data import OfHub

_DAY = "%d %b %Y"


class OpeningPart(DataState):
    """Commands of the page about where rows come from and how their columns are read."""

    def __init__(self, data: Any, model: Any, namespace: Mapping[str, Any] | None) -> None:
        self._upload = _data_files.Upload()
        super().__init__(data, model, namespace)
        self.write(upload=self._upload.state())
        self.on_msg(self._on_message)

    # -- picked, or by path ------------------------------------------------------------------------------------------

    def _do_open(self, choice: str) -> None:
        """Open data by its choice id; what was done to the data before is gone then."""
        names = self._names()
        self._heavy.cancel("step")
        # Until the new data is there, what is shown is still the old.
        before = {name: self.source[name] for name in ("name", "from") if name in self.source}
        self.write(source={**before, "stage": "loading", "choice": choice}, working="", told="")

        def read() -> tuple[Any, Step | None, str]:
            data = _choices.open_data(choice, names, self._given_data)
            return data, *_as_last_time(data)

        self._heavy.submit(
            "open",
            read,
            lambda found: self._opened(choice, *found),
            lambda error: self.write(source={**before, "stage": "failed", "choice": choice, "error": as_card(error)}),
        )

    def _opened(self, choice: str, data: Any, step: Step | None, told: str) -> None:
        where, _, name = choice.partition(":")
        kind = (_choices.kind_of(self._names().get(name)) if where == "var" else None) or "dataset"
        self._history = History(choice, kind, data, [step] if step is not None else [])
        self._begin, self._query, self._tokens_asked = 0, Match(), (None, None)
        if where == "file" and name not in self._files:
            self._files = (*self._files, name)
        if where == "hub" and choice not in self._taken:
            self._taken = (*self._taken, choice)
        self.write(source={"stage": "ready", "choice": choice, "name": data.name, "from": data.source}, told=told)
        self._do_refresh()
        self._changed()

    def _do_shut(self) -> None:
        """Open no data; the panel is as it was at first."""
        self._history = History()
        self.write(source=NOTHING, told="")
        self._changed()

    # -- folders -----------------------------------------------------------------------------------------------------

    def _do_browse(self, folder: str = "") -> None:
        """List a folder; the notebook's where none is named."""
        self.write(listing=_data_files.listing(folder))

    # -- files that the page sends -----------------------------------------------------------------------------------

    def _on_message(self, _: Any, content: Any, buffers: Sequence[Any]) -> None:
        if isinstance(content, dict) and content.get("kind") == "upload":
            self._writer.submit(partial(self._receive, content, [bytes(each) for each in buffers]))

    def _receive(self, content: Mapping[str, Any], pieces: Sequence[bytes]) -> None:
        try:
            path = self._upload.take(content, b"".join(pieces))
        except (ShadowError, OSError) as error:
            self._upload.clear()
            self.write(upload={**self._upload.state(), "error": as_card(error)})
            return
        self.write(upload=self._upload.state())
        if path is not None:
            self._do_open(f"file:{path}")

    # -- the hub -----------------------------------------------------------------------------------------------------

    def _do_search_hub(self, query: str) -> None:
        """Look for data sets of the hub by words of their names."""
        from shadownb.engine.data.hub import search_hub

        self.write(hub={"stage": "loading", "query": query, "found": []})
        self._heavy.submit(
            "hub",
            lambda: [vars(each) for each in search_hub(query)],
            lambda found: self.write(hub={"stage": "ready", "query": query, "found": found}),
            lambda error: self.write(hub={"stage": "failed", "query": query, "found": [], "error": as_card(error)}),
        )

    def _do_preview_hub(self, repo: str, subset: str = "", split: str = "") -> None:
        """Show the splits and the first rows of a data set of the hub."""
        from shadownb.engine.data.hub import preview_hub

        before = {name: value for name, value in self.hub.items() if name in ("query", "found")}
        self.write(hub={**before, "stage": "loading", "repo": repo})

        def look() -> dict[str, Any]:
            found = preview_hub(repo, subset=subset or None, split=split)
            return {**found, "repo": repo, "rows": [_choices.row_parts(row) for row in found["rows"]]}

        self._heavy.submit(
            "hub",
            look,
            lambda found: self.write(hub={**before, "stage": "ready", "preview": found}),
            lambda error: self.write(hub={**before, "stage": "failed", "repo": repo, "error": as_card(error)}),
        )

    def _do_open_hub(self, repo: str, subset: str = "", split: str = "train", limit: int | str = 0) -> None:
        """Download a data set of the hub and open it; ``limit`` 0 takes all rows."""
        try:
            rows = int(limit or 0)
        except ValueError:
            rows = -1
        if rows < 0:
            raise DataError(f"{limit!r} is no number of rows.", fix="Give a whole number, or nothing for all rows.")
        self._do_open(OfHub(repo, subset, split, rows).choice)

    # -- columns -----------------------------------------------------------------------------------------------------

    def _do_map_column(self, column: str, target: str = "") -> None:
        """Read a column as a known one; "ignore" leaves it out, "" goes by its own name."""
        read = self._history.part(self._shown).reading
        columns = {known: to for known, to in read.columns.items() if known != column and to != target}
        ignore = [left for left in sorted(read.ignore) if left != column]
        if target == _choices.IGNORE:
            ignore.append(column)
        elif target:
            columns[column] = target
        self._map(columns, ignore)

    def _do_map_as_suggested(self) -> None:
        """Read columns as it was suggested."""
        made = suggest(self._history.part(self._shown))
        self._map(made.columns, made.ignore)

    def _do_forget_columns(self) -> None:
        """Do not read the next table with these headers in this way."""
        columns = self._history.part(self._shown).columns
        known = mappings.forget(columns)
        self.write(told="Forgotten: the next table with these headers is read by their names." if known else "")
        self._look()

    def _map(self, columns: Mapping[str, str], ignore: Sequence[str]) -> None:
        history = self._history

        def make() -> Step:
            headers = history.part(self._shown).columns
            step = mapped(history, "Columns read", columns, ignore)
            if columns or ignore:
                mappings.remember(headers, columns, ignore)
            else:
                mappings.forget(headers)
            return step

        self._step("Reading the columns", make)


def mapped(history: History, title: str, columns: Mapping[str, str], ignore: Sequence[str]) -> Step:
    """Return the step that reads columns so in every part."""
    given = {"columns": dict(columns), "ignore": list(ignore)}
    said = {name: value for name, value in given.items() if value}
    words = ", ".join([*(f"{name} as {to}" for name, to in columns.items()), *(f"{name} left out" for name in ignore)])
    return history.each(
        f"{title}: {words or 'by their names'}", called("read_as", **said), lambda data: data.read_as(**given), given
    )


def _as_last_time(data: Any) -> tuple[Step | None, str]:
    """Return the step that reads a table as one with the same headers was read, and a word about it."""
    known = mappings.remembered(data.columns)
    if known is None or data.reading.columns or data.reading.ignore:
        return None, ""
    day = time.strftime(_DAY, time.localtime(known.at))
    try:
        step = mapped(History(opened=data), f"Columns as on {day}", known.columns, known.ignore)
    except ShadowError as error:
        return None, f"Columns are not read as on {day}: {error.what}"
    return (
        step,
        f"A table with these headers was read before, on {day}: this one is read alike. Undo, or forget it under Columns.",
    )
