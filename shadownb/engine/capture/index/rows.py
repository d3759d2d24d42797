"""The row of an episode: what a list says of it, kept up as its calls come in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shadownb.engine.capture.index.places import StoredPlaces
from shadownb.engine.capture.index.table import COLUMNS, EpisodeTable
from shadownb.engine.trajectories.graph import ROOT, Node, kind_at
from shadownb.engine.trajectories.identity import calls_as_sent, message_text, role_of

if TYPE_CHECKING:
    from shadownb.engine.capture.call import Call
    from shadownb.engine.trajectories.trajectory import Trajectory

TITLE = 140  # characters of the task and of the last answer
Row = dict[str, Any]


def row_of(number: int, trajectory: Trajectory, root: int) -> Row:
    """Return the row of an episode that is in memory; its number is also that of its latest answer."""
    usage, tools = trajectory.usage, [call["name"] for call in trajectory.tool_calls]
    last = trajectory.calls[-1] if trajectory.calls else None
    session = trajectory.metadata.get("session")
    return {
        **dict.fromkeys(COLUMNS),
        "id": number,
        "tip": number,
        "first": number,
        "call_id": last.id if last else None,
        "choice": last.choice if last else 0,
        "kind": str(trajectory.metadata.get("kind") or "episode"),
        "session": None if session is None else str(session),
        "root": root,
        "shared": int(trajectory.metadata.get("shared_messages") or 0),
        "messages": len(trajectory.messages),
        "answers": len(trajectory.sampled_turns),
        "tool_calls": len(tools),
        "tools": _listed(tools),
        "tokens_in": usage.get("prompt_tokens"),
        "tokens_out": usage.get("completion_tokens"),
        "cost": trajectory.cost,
        "score": trajectory.reward,
        "started_at": trajectory.started_at,
        "seconds": trajectory.duration_s,
        "models": _listed(trajectory.models),
        "whole": int(last.complete if last else True),
        "title": _line(trajectory.first_user_content()),
        "last": _line(trajectory.final_content()),
    }


class Rows:
    """Keeps the table of episodes as calls are added to the graph."""

    def __init__(self, places: StoredPlaces, table: EpisodeTable) -> None:
        self._places = places
        self._table = table

    def add(self, call: Call, made: Sequence[int]) -> list[int]:
        """Take the answers of a call into the table; returns the episodes that they are part of."""
        nodes = self._places.nodes
        before = self._answer_above(made[0])
        known = self._table.ending_at(before) if before != ROOT else None
        found = []
        for number, index in enumerate(made):
            node = nodes[index]
            if known is not None:  # another choice begins where the episode was
                row = {**known, "id": known["id"] if number == 0 else index}
                self._go_on(row, call, node, index)
            elif before == ROOT:
                row = self._begin(call, node, index)
            else:
                row = self.along(index)
            if node.kind is not None and known is not None:
                row["kind"], row["shared"] = node.kind, node.shared
            self._table.write([row], known if known is not None and number == 0 else None)
            found.append(int(row["id"]))
        self._relate(before)
        return found

    def _answer_above(self, index: int) -> int:
        nodes = self._places.nodes
        while (index := nodes[index].parent) != ROOT and not nodes[index].is_answer:
            pass
        return index

    def _go_on(self, row: Row, call: Call, node: Node, index: int) -> None:
        """Let an episode go on with a call's answer."""
        facts = node.facts
        assert facts is not None
        tools = _tools([*call.messages[row["messages"] :], node.message])
        usage = call.usage or {}
        row.update(
            tip=index,
            call_id=call.id,
            choice=facts.choice,
            messages=len(call.messages) + 1,
            answers=row["answers"] + 1,
            tool_calls=row["tool_calls"] + len(tools),
            tools=_listed([*_names(row["tools"]), *tools]),
            tokens_in=_sum(row["tokens_in"], usage.get("prompt_tokens")),
            tokens_out=_sum(row["tokens_out"], usage.get("completion_tokens")),
            cost=None if row["cost"] is None or facts.cost is None else row["cost"] + facts.cost,
            seconds=_seconds(row["started_at"], row["seconds"], facts.started_at, facts.duration_s),
            models=_listed([*_names(row["models"]), facts.model or ""]),
            whole=int(facts.complete),
            last=_line(message_text(node.message)),
            session=row["session"] or facts.session,
        )

    def _begin(self, call: Call, node: Node, index: int) -> Row:
        """Return the row of an episode that begins with an answer."""
        facts = node.facts
        assert facts is not None
        tools = _tools([*call.messages, node.message])
        usage = call.usage or {}
        users = (message for message in call.messages if role_of(message) == "user")
        row = {
            **dict.fromkeys(COLUMNS),
            "id": index,
            "tip": index,
            "first": index,
            "call_id": call.id,
            "choice": facts.choice,
            "session": facts.session,
            "root": self._root(index),
            "shared": 0 if node.kind == "episode" else node.shared,
            "messages": len(call.messages) + 1,
            "answers": 1,
            "tool_calls": len(tools),
            "tools": _listed(tools),
            "tokens_in": usage.get("prompt_tokens"),
            "tokens_out": usage.get("completion_tokens"),
            "cost": facts.cost,
            "started_at": facts.started_at,
            "seconds": None if facts.started_at is None else facts.duration_s or 0.0,
            "models": _listed([facts.model or ""]),
            "whole": int(facts.complete),
            "title": _line(next((message_text(message) for message in users), "")),
            "last": _line(message_text(node.message)),
        }
        return self._related(row, [index])

    def along(self, index: int) -> Row:
        """Return the row of an episode by all that leads to its latest answer; its calls are read for it."""
        from shadownb.engine.trajectories.graph import trajectory_at

        nodes = self._places.nodes
        path = nodes.path_to(index)
        row = row_of(index, trajectory_at(nodes, path), self._root(index))
        row["first"] = next(i for i in path if nodes[i].is_answer)
        return self._related(row, path)

    def _root(self, index: int) -> int:
        begin = self._places.nodes[index].begin
        return index if begin is None else begin

    # -- what conversations are to each other -------------------------------------------------------------------------

    def _related(self, row: Row, path: list[int]) -> Row:
        """Let a row say what its conversation is to others."""
        nodes = self._places.nodes
        related = nodes[row["first"]].related
        if related is not None:
            row.update(parent_node=related, parent_root=self._root(related))
        row["kind"] = kind_at(nodes, path)
        return row

    def _relate(self, before: int) -> None:
        """Say anew what conversations are of which this call has told more: those that an answer started, if it goes on now."""
        changed = [row for index in self._places.relinked for row in self._table.beginning_with(index)]
        if before != ROOT:
            changed += self._table.related_to(before)
        for row in changed:
            old = dict(row)
            if self._related(row, self._places.nodes.path_to(row["tip"])) != old:
                self._table.write([row], old)


def _tools(messages: Iterable[Mapping[str, Any]]) -> list[str]:
    return [call["name"] for message in messages if role_of(message) == "assistant" for call in calls_as_sent(message)]


def _listed(names: Iterable[str]) -> str:
    """Return names, each once, between bars: ``|a|b|``."""
    found = dict.fromkeys(str(name) for name in names if name)
    return f"|{'|'.join(found)}|" if found else ""


def _names(listed: str) -> list[str]:
    return [name for name in listed.split("|") if name]


def _line(text: str) -> str:
    return " ".join(text[: 8 * TITLE].split())[:TITLE]


def _sum(one: int | None, other: int | None) -> int | None:
    return one if other is None else other if one is None else one + other


def _seconds(start: float | None, lasted: float | None, began: float | None, took: float | None) -> float | None:
    """Return how long an episode lasts that goes on with a call."""
    if start is None or began is None:
        return lasted
    return max(lasted or 0.0, began + (took or 0.0) - start)
