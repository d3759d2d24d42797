"""EpisodeIndex: the episodes of a store as rows of a table, so that a list of many is searched and paged by SQLite.

Calls are read once, in pages, and what they say is let go again: what stays is the graph of their messages with texts cut
short, and a private temporary table on disk with one row an episode. A conversation is read from the store when it is
opened, from one call: the last one's prompt holds everything before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from sys import intern
from typing import Any

from shadownb.engine.trajectories import Episodes, Trajectory, TrajectoryGroup
from shadownb.engine.trajectories.graph import ROOT, Node, path_to, tidy, trajectory_at
from shadownb.engine.trajectories.identity import calls_of, message_text, role_of
from shadownb.errors import DataError

from ._episode_table import COLUMNS, EpisodeTable

_READ = 500  # calls read at a time
_KEPT = 200  # characters of a message that stay in memory, for the title and the last answer
_TITLE = 140
_RELATED = 20  # other paths that one conversation lists
_FEW = 200  # names of models and tools that can be chosen from


class EpisodeIndex:
    """The episodes of a capture's store, or of trajectories in memory.

    Attributes
    ----------
    table
        The rows.
    last_seq, read
        The position up to which calls are read, and how many those were.
    unanswered, unread
        How many calls had no answer, and how many cannot be read.
    """

    def __init__(self, store: Any = None) -> None:
        self.store = store
        self.last_seq = self.read = 0
        self.table = EpisodeTable()
        self._episodes = Episodes()
        self._given: list[Trajectory] = []
        self._texts: dict[str, str] = {}
        self._undecided: dict[int, None] = {}
        self._names: dict[str, dict[str, None]] = {"models": {}, "tools": {}}

    # -- filling ------------------------------------------------------------------------------------------------------

    @property
    def unanswered(self) -> int:
        return len(self._episodes.unanswered)

    @property
    def unread(self) -> int:
        return len(self._episodes.unread)

    def catch_up(self, told: Callable[[], None] = lambda: None, stopped: Callable[[], bool] = lambda: False) -> None:
        """Read the calls that came since the last time; ``told()`` is called after each page of them."""
        while not stopped():
            page = self.store.calls(after=self.last_seq, limit=_READ)
            if page:
                self._add(page)
                self.last_seq, self.read = page[-1].seq, self.read + len(page)
                told()
            if len(page) < _READ:
                return

    def take(self, trajectories: Iterable[Trajectory | TrajectoryGroup]) -> None:
        """Add trajectories that are in memory."""
        from shadownb.engine.trajectories.rows import flatten

        self._given += flatten(trajectories)
        rows = []
        for number, trajectory in enumerate(self._given):
            row = self._row(number, trajectory, root=number)
            rows.append({**row, "score": trajectory.reward})
        self.table.write(rows)

    def _add(self, calls: Iterable[Any]) -> None:
        nodes = self._episodes.nodes
        made: list[int] = []
        for call in calls:
            before = len(nodes)
            made += self._episodes.add(call)
            for node in nodes[before:]:
                self._slim(node)
        leaves = [index for index in (*made, *self._undecided) if not nodes[index].children]
        self.table.write(
            [self._row_at(index) for index in dict.fromkeys(leaves)], {self._passed(index) for index in made}
        )

    def _passed(self, index: int) -> int:
        """Return the answer that this one goes on from; it ends no episode any more. ROOT for a first answer."""
        nodes = self._episodes.nodes
        while (index := nodes[index].parent) != ROOT and nodes[index].facts is None:
            pass
        return index

    def _slim(self, node: Node) -> None:
        """Cut a node to what rows and the search for relations need; names that repeat are kept once."""
        message, facts = node.message, node.facts
        text, role = message_text(message), intern(role_of(message))
        # System texts tell agents apart, so they stay whole; of a tool's result nothing is shown in the list.
        kept = self._texts.setdefault(text, text) if role == "system" else "" if role == "tool" else text[:_KEPT]
        node.message, node.tools = {"role": role, "content": kept}, None
        if tools := calls_of(message):
            node.message["tool_calls"] = [{"id": call["id"], "name": intern(call["name"])} for call in tools]
        if facts is not None:
            names = ("model", "dialect", "route", "session", "status", "finish_reason")
            once: dict[str, Any] = {
                name: intern(value) for name in names if isinstance(value := getattr(facts, name), str)
            }
            usage = {intern(name): value for name, value in facts.usage.items()} if facts.usage else facts.usage
            node.facts = replace(facts, usage=usage, **once)

    def _row_at(self, index: int) -> dict[str, Any]:
        nodes = self._episodes.nodes
        path = path_to(nodes, index)
        trajectory = trajectory_at(nodes, path)
        related = next(nodes[i] for i in path if nodes[i].facts is not None).related
        if related is not None and trajectory.metadata["kind"] == "rewritten":
            self._undecided[index] = None  # whether it is a subagent is known when its caller goes on
        else:
            self._undecided.pop(index, None)
        row = self._row(index, trajectory, root=self._beginning(path))
        if related is not None:
            row.update(parent_node=related, parent_root=self._beginning(path_to(nodes, related)))
        return row

    def _beginning(self, path: list[int]) -> int:
        """Return the first message that is not system text, which conversations share that have nothing in common."""
        nodes = self._episodes.nodes
        return next((index for index in path if role_of(nodes[index].message) != "system"), path[0])

    def _row(self, number: int, trajectory: Trajectory, root: int) -> dict[str, Any]:
        usage, tools = trajectory.usage, [call["name"] for call in trajectory.tool_calls]
        for kind, names in (("models", trajectory.models), ("tools", tools)):
            for name in names if len(self._names[kind]) < _FEW else ():
                self._names[kind][name] = None
        last = trajectory.calls[-1] if trajectory.calls else None
        return {
            **dict.fromkeys(COLUMNS),
            "id": number,
            "call_id": last.id if last else None,
            "choice": last.choice if last else 0,
            "kind": str(trajectory.metadata.get("kind") or "episode"),
            "session": _text(trajectory.metadata.get("session")),
            "root": root,
            "shared": int(trajectory.metadata.get("shared_messages") or 0),
            "messages": len(trajectory.messages),
            "answers": len(trajectory.sampled_turns),
            "tool_calls": len(tools),
            "tools": _listed(tools),
            "tokens_in": usage.get("prompt_tokens"),
            "tokens_out": usage.get("completion_tokens"),
            "cost": trajectory.cost,
            "started_at": trajectory.started_at,
            "seconds": trajectory.duration_s,
            "models": _listed(trajectory.models),
            "whole": int(last.complete if last else True),
            "title": " ".join(trajectory.first_user_content().split())[:_TITLE],
            "last": " ".join(trajectory.final_content().split())[:_TITLE],
        }

    # -- lists --------------------------------------------------------------------------------------------------------

    def facets(self) -> dict[str, Any]:
        """Return what there is to filter by: kinds with their numbers, models, tools, and whether scores are known."""
        return {**self.table.facets(), **{kind: sorted(names) for kind, names in self._names.items()}}

    def related(self, number: int) -> list[dict[str, Any]]:
        """Return other paths of the same conversation, the agents it started and the one that started it.

        Each is a row with ``relation`` (``path``, ``child`` or ``parent``) and ``at``: how many messages of this one come
        before the place where they part.
        """
        if self._given:
            return []
        nodes, row = self._episodes.nodes, self.table.find(number)
        path = path_to(nodes, number)
        place = {index: at for at, index in enumerate(path, start=1)}
        found: list[dict[str, Any]] = []
        for other in self.table.of_root(row["root"], but=number, limit=_RELATED):
            at = max((place[i] for i in path_to(nodes, other["id"]) if i in place), default=0)
            found.append({**other, "relation": "path", "at": at})
        for child in self.table.started_by(row["root"], limit=_RELATED):
            if child["parent_node"] in place:
                found.append({**child, "relation": "child", "at": place[child["parent_node"]]})
        if row["parent_root"] is not None:
            found += [{**p, "relation": "parent", "at": 0} for p in self.table.of_root(row["parent_root"], limit=1)]
        return found

    # -- one episode --------------------------------------------------------------------------------------------------

    def trajectory(self, number: int) -> Trajectory:
        """Return an episode whole; reads one call. Raises :class:`DataError` if its call was deleted."""
        if self._given:
            return self._given[number]
        nodes, row = self._episodes.nodes, self.table.find(number)
        slim = trajectory_at(nodes, path_to(nodes, number))
        call = self.store.find(row["call_id"])
        if call is None:
            raise DataError("The calls of this episode were deleted.", fix="Read the capture again.")
        answers = [choice["message"] for choice in call.choices if isinstance(choice.get("message"), Mapping)]
        if row["choice"] >= len(answers):
            raise DataError("The answer of this episode cannot be read any more.", fix="Read the capture again.")
        messages = [*map(tidy, call.messages), {"role": "assistant", **tidy(answers[row["choice"]])}]
        if len(messages) != len(slim.messages):
            raise DataError("Calls that this episode goes on from were deleted.", fix="Read the capture again.")
        return replace(slim, messages=messages, tools=call.tools)


def _listed(names: Iterable[str]) -> str:
    """Return names, each once, between bars: ``|a|b|``."""
    found = dict.fromkeys(str(name) for name in names if name)
    return f"|{'|'.join(found)}|" if found else ""


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
