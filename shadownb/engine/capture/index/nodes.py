"""The graph of a capture in a file: nodes without what they say, which is read from the calls where it is needed."""

from __future__ import annotations

import json
import sqlite3
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shadownb.engine.trajectories.graph import ROOT, Node, facts_of, tidy

if TYPE_CHECKING:
    from shadownb.engine.capture.call import Call
    from shadownb.engine.capture.index.source import IndexedCalls
    from shadownb.engine.trajectories.trajectory import CallFacts

_CALLS = 32  # read calls that are kept, because a conversation's messages are spread over few


class ReadCalls:
    """Calls by their positions, a few of them kept."""

    def __init__(self, store: IndexedCalls) -> None:
        self._store = store
        self._kept: OrderedDict[int, Call | None] = OrderedDict()

    def __getitem__(self, seq: int) -> Call | None:
        if seq not in self._kept:
            self.keep(seq, next(iter(self._store.calls(after=seq - 1, before=seq + 1)), None))
        self._kept.move_to_end(seq)
        return self._kept[seq]

    def keep(self, seq: int, call: Call | None) -> None:
        self._kept[seq] = call
        if len(self._kept) > _CALLS:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        self._kept.clear()


class StoredNode(Node):
    """A node whose message, facts and tools are read when somebody looks at them."""

    __slots__ = ("_calls", "_read", "at", "begin", "rendered_at", "rendered_seq", "seq")

    seq: int
    at: int | None

    def __init__(self, calls: ReadCalls, row: Mapping[str, Any]) -> None:
        self._calls = calls
        self._read: dict[str, Any] = {}
        super().__init__({}, row["parent"], row["answers"])
        self._read = {}
        for name in (
            "place",
            "choice",
            "children",
            "session",
            "kind",
            "related",
            "relation",
            "confidence",
            "said",
            "seq",
            "at",
        ):
            setattr(self, name, row[name])
        self.rendered_seq, self.rendered_at = row["rendered_seq"], row["rendered_at"]
        self.is_loose, self.waits, self.begin = bool(row["loose"]), bool(row["waits"]), row["begin"]
        self.shared, self.system = row["shared"] or 0, row["system"] or b""
        self.failed = tuple(json.loads(row["failed"])) if row["failed"] else ()
        self.root, self.tail = (ROOT if row[name] is None else row[name] for name in ("root", "tail"))

    @property
    def message(self) -> dict[str, Any]:  # type: ignore[override]
        found: dict[str, Any] = self._once("message", self._message)
        return found

    @message.setter
    def message(self, value: dict[str, Any]) -> None:
        self._read["message"] = value

    @property
    def facts(self) -> CallFacts | None:  # type: ignore[override]
        return self._once("facts", self._facts) if self.is_answer else None

    @facts.setter
    def facts(self, value: CallFacts | None) -> None:
        self._read["facts"] = value

    @property
    def tools(self) -> list[dict[str, Any]] | None:  # type: ignore[override]
        call = self._calls[self.seq] if self.is_answer else None
        return call.tools if call is not None else None

    @tools.setter
    def tools(self, value: list[dict[str, Any]] | None) -> None:
        """They are those of the call."""

    @property
    def rendered(self) -> dict[str, Any] | None:  # type: ignore[override]
        if "rendered" not in self._read and self.rendered_seq is not None:
            self._read["rendered"] = self._at(self.rendered_seq, self.rendered_at)
        return self._read.get("rendered")

    @rendered.setter
    def rendered(self, value: dict[str, Any] | None) -> None:
        self._read["rendered"] = value

    def _once(self, name: str, read: Any) -> Any:
        if name not in self._read:
            self._read[name] = read()
        return self._read[name]

    def _message(self) -> dict[str, Any]:
        if self.choice is None:
            return self._at(self.seq, self.at or 0)
        choice = self._choice()
        return {"role": "assistant", **tidy(choice["message"])} if choice else {"role": "assistant", "content": ""}

    def _facts(self) -> CallFacts | None:
        call, choice = self._calls[self.seq], self._choice()
        return facts_of(call, choice, self.choice or 0) if call is not None and choice is not None else None

    def _choice(self) -> Mapping[str, Any] | None:
        call = self._calls[self.seq]
        answers = [c for c in call.choices if isinstance(c.get("message"), Mapping)] if call is not None else []
        return answers[self.choice] if self.choice is not None and self.choice < len(answers) else None

    def _at(self, seq: int, at: int) -> dict[str, Any]:
        call = self._calls[seq]
        messages = call.messages if call is not None else []
        return tidy(messages[at]) if at < len(messages) else {"role": "user", "content": ""}


class StoredNodes:
    """Nodes by their numbers; those that were looked at stay the same objects until :meth:`clear`."""

    def __init__(self, connection: sqlite3.Connection, calls: ReadCalls) -> None:
        self._connection = connection
        self._calls = calls
        self.looked_at: dict[int, StoredNode] = {}

    def __getitem__(self, index: int) -> StoredNode:
        if index not in self.looked_at:
            row = self._connection.execute("SELECT * FROM nodes WHERE id = ?", (index,)).fetchone()
            if row is None:
                raise IndexError(index)
            self.looked_at[index] = StoredNode(self._calls, row)
        return self.looked_at[index]

    def path_to(self, index: int) -> list[int]:
        """Return the nodes from the first message to this one, all of them looked at."""
        query = (
            "WITH RECURSIVE up (id, parent) AS (SELECT id, parent FROM nodes WHERE id = ? UNION ALL "
            "SELECT nodes.id, nodes.parent FROM nodes JOIN up ON nodes.id = up.parent) SELECT nodes.* FROM up JOIN nodes USING (id)"
        )
        rows = {row["id"]: row for row in self._connection.execute(query, (index,))}
        path = []
        while index != ROOT:
            path.append(index)
            self.looked_at.setdefault(index, StoredNode(self._calls, rows[index]))
            index = rows[index]["parent"]
        return path[::-1]

    def clear(self) -> None:
        self.looked_at.clear()
