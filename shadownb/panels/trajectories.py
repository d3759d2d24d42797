"""TrajectoriesPanel: the episodes of a capture as a list to search and filter, each as a conversation with its tokens.

Calls are read once, on a thread, into a table of episodes; the list pages that table and a conversation is read from the
store when it is opened. The browser gets the rows, messages and tokens that are on screen, however many there are.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

import traitlets as t

from shadownb.engine.capture.index import PAGE, SORTS
from shadownb.errors import DataError, ModelError

from . import _choices, _conversation, _episode_words
from ._base import as_card
from ._episode_words import NO_FILTER
from ._episodes import EpisodeIndex
from ._recorded_data import Recorded
from ._stores import (
    Follower,
    as_choices,
    capture_choices,
    loaded_models,
    newest_seq,
    recorder_of,
)
from ._taught_panel import TaughtPanel
from ._teaching import Teaching
from ._worker import Background

_NOTHING: dict[str, Any] = {"stage": "none"}
_QUERY: dict[str, Any] = {
    "search": "", "kind": "", "model": "", "tool": "", "min_messages": 0, "sort": "newest", "offset": 0,
}  # fmt: skip


class TrajectoriesPanel(TaughtPanel):
    """Shows episodes as a list and as conversations, with branches, tools and tokens.

    Parameters
    ----------
    source
        A capture, its store or its id; or a list of trajectories, for example scored ones. None: choose one in the panel.
    model
        A loaded model (or tokenizer) whose tokens are shown; can be changed in the panel.
    namespace
        A dict in which loaded models are looked up; None means the notebook's variables.

    Examples
    --------
    >>> panel = snb.TrajectoriesPanel(store, model=model)
    >>> panel.settle(), panel.store is store, panel.trajectory
    (True, True, None)
    >>> panel.close()
    """

    _bundle = "trajectories"
    _revived_by = ("source",)

    source = t.Dict(_NOTHING, help="What is shown, and how far it is read.").tag(sync=True)
    choices = t.Dict(help="Captures and loaded models to choose from.").tag(sync=True)
    inspection = t.Dict(_NOTHING, help="Tokens of the open episode, the trained ones marked.").tag(sync=True)
    tokens_of = t.Unicode(help="The model whose tokens are shown.").tag(sync=True)
    code = t.Dict(help="What does the same in a cell.").tag(sync=True)
    trainable = t.Bool(False, help="Whether somebody trains on what is shown.").tag(sync=True)

    def __init__(self, source: Any = None, *, model: Any = None, namespace: Mapping[str, Any] | None = None) -> None:
        self._namespace = namespace
        self._given = model
        self._store: Any = None
        self._left = threading.Event()
        self._follower: Follower | None = None
        self._live = False
        self._train: Callable[[str], None] | None = None
        self._inspected: dict[str, Any] | None = None
        super().__init__(query=dict(_QUERY))
        self._reader = Background("TrajectoriesPanel reader", self._writer)
        self._heavy = Background("TrajectoriesPanel worker", self._writer)
        if model is not None:
            name = _choices.name_of(model, self._names())
            self.tokens_of = f"var:{name}" if name else "given"
        if source is not None:
            self.show(source)
        else:
            self._list_choices()

    # -- for Python ----------------------------------------------------------------------------------------------

    @property
    def store(self) -> Any:
        """The :class:`CaptureStore` that is shown, or None."""
        return self._store

    @property
    def trajectory(self) -> Any:
        """The :class:`Trajectory` that is open, or None."""
        return self._open

    def _revival(self) -> str:
        return f'TrajectoriesPanel("{self._store.id}")' if self._store is not None else super()._revival()

    def show(self, source: Any) -> None:
        """Show a capture (the object, its store or its id) or a list of trajectories; they are read in the background.

        Examples
        --------
        >>> panel = snb.TrajectoriesPanel()
        >>> panel.show(snb.traces.from_spans("spans.json"))
        >>> panel.settle(), panel.store
        (True, None)
        """
        from shadownb.engine.capture import CaptureStore

        store, given = None, None
        if isinstance(source, str):
            store = CaptureStore.open(source)
        elif isinstance(source, CaptureStore) or hasattr(source, "store"):
            store = source if isinstance(source, CaptureStore) else source.store
        else:
            given = EpisodeIndex()
            given.take(source)
        self._leave()
        self._store = store
        self._index = given or EpisodeIndex(store)
        self._teaching = Teaching(self._index)
        self.write(query=dict(_QUERY), conversation={}, inspection=_NOTHING, page={}, facets={}, clicks={}, handed={})
        self._open = self._inspected = None
        self._list_choices()
        if store is None:
            self._told(self._index, "ready")
            return
        self.source = {"stage": "reading", "id": store.id, "read": 0, "calls": store.count()}
        recorder = recorder_of(store)
        self._live = recorder is not None or store.files.is_owned
        self._catch_up()
        if self._live:
            self._follower = Follower(
                lambda: (newest_seq(store), recorder is None or recorder.is_running),
                lambda: self._follow(recorder),
                self.show_error,
                seconds=1.0,
            )

    def on_train(self, train: Callable[[str], None]) -> None:
        """Call ``train(choice)`` when somebody wants to train on episodes; Studio chooses them in Train.

        Examples
        --------
        >>> panel, chosen = snb.TrajectoriesPanel(store), []
        >>> panel.on_train(chosen.append)
        >>> panel.trainable
        True
        """
        self._train = train
        self.trainable = True

    def settle(self, timeout: float | None = 30.0) -> bool:
        """Wait until nothing is read or rendered any more; False if that takes longer than ``timeout`` seconds."""
        return super().settle(timeout) and self._reader.wait(timeout) and self._heavy.wait(timeout)

    def close(self) -> None:
        """Remove the panel from the page and stop reading."""
        self._leave()
        super().close()

    # -- reading -----------------------------------------------------------------------------------------------------

    def _follow(self, recorder: Any) -> None:
        follower = self._follower
        if follower is not None and recorder is not None and not recorder.is_running:
            follower.stop()
            self._follower, self._live = None, False
        self._catch_up()

    def _catch_up(self) -> None:
        index, left = self._index, self._left
        if index is None or index.store is None:
            return

        def read() -> None:
            index.catch_up(lambda: self._writer.submit(lambda: self._told(index, "reading"), key="told"), left.is_set)

        self._reader.submit(
            "read", read, lambda _: self._told(index, "ready"), lambda error: self._unread(index, error)
        )

    def _told(self, index: EpisodeIndex, stage: str) -> None:
        if index is not self._index:
            return
        if self.source["stage"] == "ready":  # calls that come later are added without a word
            stage = "ready"
        found: dict[str, Any] = {"stage": stage, "id": None, "read": index.read, "calls": index.read}
        if self._store is not None:
            found["id"] = self._store.id
            found["calls"] = max(index.read, self._store.count())
            found["unanswered"], found["unread"] = index.counts()
            found["live"] = self._live
        self.write(source=found, facets=index.table.facets(), clicks=self._taught().counts())
        self._show_page()
        self._refresh_displays()

    def _unread(self, index: EpisodeIndex, error: Exception) -> None:
        if index is self._index:
            self.source = {**self.source, "stage": "failed", "error": as_card(error)}

    def _leave(self) -> None:
        self._left.set()
        self._left = threading.Event()
        if self._follower is not None:
            self._follower.stop()
            self._follower = None

    # -- commands of the page --------------------------------------------------------------------------------------

    def _do_refresh(self) -> None:
        if self._store is not None:
            self.show(self._store)

    def _do_look(self) -> None:
        self._list_choices()

    def _do_show(self, capture: str) -> None:
        self.show(capture)

    def _do_query(self, values: dict[str, Any]) -> None:
        found = {**self.query, "offset": 0}
        for name in _QUERY:
            if name in values:
                found[name] = values[name]
        for name in ("min_messages", "offset"):
            text = str(found[name]).strip()
            found[name] = int(text) if text.isdigit() else 0
        if found["sort"] not in SORTS:
            found["sort"] = "newest"
        self.query = found
        self._show_page()

    def _do_open(self, episode: int) -> None:
        index = self._need_index()
        row = index.table.find(int(episode))
        self._open = index.trajectory(int(episode))
        self._inspected = None
        self.write(conversation=self._window(row["id"], 0), inspection=_NOTHING)
        self._show_code()

    def _do_train(self, only_open: bool = False) -> None:
        """Hand the episodes that the search finds, or the open one alone, to Train."""
        if self._store is None or self._train is None:
            raise DataError("There is nothing to train on here.", fix="Choose a capture, in a Studio.")
        query = {name: self.query[name] for name in NO_FILTER if self.query[name]}
        selection: dict[str, Any] = {"query": query} if query else {}
        if only_open and self._open is not None and self._open.call_ids:
            selection = {"call": self._open.call_ids[-1]}
        self._train(Recorded(self._store.id, selection).choice)

    def _do_window(self, begin: int) -> None:
        if self._open is not None:
            self.conversation = self._window(self.conversation["id"], int(begin))

    def _do_whole(self, at: int, part: str) -> None:
        if self._open is None:
            return
        text = _conversation.whole_text(self._open, int(at), part)
        messages = [
            _conversation.with_whole(m, part, text) if m["at"] == at else m for m in self.conversation["messages"]
        ]
        self.conversation = {**self.conversation, "messages": messages}

    def _do_shut(self) -> None:
        self._open = self._inspected = None
        self.write(conversation={}, inspection=_NOTHING)
        self._show_code()

    def _do_model(self, choice: str) -> None:
        self._list_choices()
        self._inspected = None
        self.write(tokens_of=choice, inspection=_NOTHING)
        self._show_code()
        if choice:
            self._do_inspect()

    def _do_inspect(self, begin: int = 0) -> None:
        if self._open is None:
            return
        if self._inspected is not None:
            self.inspection = _conversation.token_window(self._inspected, int(begin))
            return
        trajectory, model = self._open, self._model()
        self.inspection = {"stage": "loading"}

        def ready(found: dict[str, Any]) -> None:
            if trajectory is self._open:
                self._inspected = found
                self.inspection = _conversation.token_window(found, int(begin))

        def failed(error: Exception) -> None:
            self.inspection = {"stage": "failed", "error": as_card(error)}

        self._heavy.submit("inspect", lambda: _inspect(trajectory, model), ready, failed)

    # -- what follows ------------------------------------------------------------------------------------------------

    def _window(self, number: int, begin: int) -> dict[str, Any]:
        index, taught = self._need_index(), self._taught()
        found = _conversation.conversation(
            index.table.find(number), self._open, index.related(number), begin, index.notes(self._open)
        )
        answer, correction = self._open.final_content(), taught.correction(self._open)
        return {**found, "answer": answer, "correction": correction, "attempts": taught.attempts(number, self._open)}

    def _show_page(self) -> None:
        if self._index is None:
            return
        rows, total = self._index.table.page(self.query)
        if not rows and self.query["offset"]:  # what was there is gone
            self.query = {**self.query, "offset": max(0, (total - 1) // PAGE * PAGE)}
            rows, total = self._index.table.page(self.query)
        searched = self._index.table.searched(self.query)
        self.page = {
            "rows": [_episode_words.line(row) for row in rows], "total": total, "size": PAGE, "searched": searched
        }  # fmt: skip
        self._show_code()

    def _list_choices(self) -> None:
        models = loaded_models(self._names(), self._given)
        self.choices = {"captures": capture_choices(), "models": as_choices(models)}

    def _model(self) -> Any:
        models = loaded_models(self._names(), self._given)
        if self.tokens_of == "given" and self._given is not None:
            return self._given
        if self.tokens_of not in models:
            raise ModelError(
                "No loaded model is chosen.",
                fix='Load one in a cell, model = shadownb.load("smollm2-135m"), and choose it.',
            )
        return models[self.tokens_of][1]

    def _show_code(self) -> None:
        name = _choices.name_of(self._store, self._names())
        if self._store is None:
            self.code = {}
            return
        call_id = self._open.call_ids[-1] if self._open is not None and self._open.call_ids else None
        self.code = _episode_words.code(name or json.dumps(self._store.id), self._store.id, self.query, call_id)

    def _names(self) -> Mapping[str, Any]:
        return self._namespace if self._namespace is not None else _choices.user_namespace()

    # -- the static snapshot ---------------------------------------------------------------------------------------

    def _snapshot_text(self) -> str:
        return _episode_words.snapshot_text(self.source, self.facets, self.page)

    def _milestone(self) -> Any:
        """A new snapshot is due when reading is done, and each time the calls have doubled."""
        return self.source["stage"], self.source.get("id"), int(self.source.get("read") or 0).bit_length()

    def __repr__(self) -> str:
        return f"TrajectoriesPanel({self.source.get('id') or ''})"


def _inspect(trajectory: Any, model: Any) -> dict[str, Any]:
    from shadownb.engine.data import Dataset
    from shadownb.engine.trajectories.rows import BESIDE_ANSWERS, chat_row

    data = Dataset.from_list([chat_row(trajectory)], name="episode", ignore=BESIDE_ANSWERS)
    found: dict[str, Any] = data.inspect(model).to_dict()
    return found
