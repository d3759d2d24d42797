"""The nodes that calls leave behind, and the way back from a leaf to a trajectory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from shadownb.engine.jsontext import MAX_DEPTH, Unreadable, check_depth
from shadownb.engine.trajectories.identity import calls_of, role_of
from shadownb.engine.trajectories.trajectory import CallFacts, Trajectory

ROOT = -1


class RecordedCall(Protocol):
    """What is read of a call; ``shadownb.engine.capture.call.Call`` has it, and so have imported spans."""

    @property
    def id(self) -> str: ...
    @property
    def session(self) -> str | None: ...
    @property
    def messages(self) -> list[dict[str, Any]]: ...
    @property
    def choices(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def tools(self) -> list[dict[str, Any]] | None: ...


def read_call(call: RecordedCall) -> RecordedCall:
    """Return a call that has been read: what is looked at of it will not raise.

    Raises
    ------
    Unreadable
        Its request or its answer cannot be read, is nested too deeply, or is no list of messages.
    """
    if why := getattr(call, "unread", None):
        raise Unreadable(str(why))
    for part in (call.messages, call.choices, call.tools or []):
        check_depth(part, MAX_DEPTH + 16)
        if not all(isinstance(item, Mapping) for item in part):
            raise Unreadable("It cannot be read: what should be a message is none.")
    return call


class Node:
    """One message of the graph.

    Attributes
    ----------
    message, parent
        What it says (null fields left out), and the node before it, ``ROOT`` for a first message.
    answers
        For a tool's result: which of the latest tool calls it answers.
    children
        How many nodes follow.
    facts, tools
        The call that produced it and the tools of that call; None for messages of prompts.
    kind, shared
        Why a leaf begins here, and how many messages it shares with others; None where it only goes on.
    related
        For a first answer in a session that had others: the answer it may come from.
    relation, confidence
        What this answer's conversation is to that of ``related``, where its content says so, and how sure that is.
    rendered
        How the client wrote this answer down when it sent it back in words of its own; None where it sent it back as it was.
    failed
        Ids of calls with the same prompt that had no whole answer.
    place
        The hash of the conversation up to and with it.

    Of answers alone:

    choice
        Which of several answers to one request it is.
    session, is_loose
        That of its call, and whether it names a request rather than a conversation.
    waits
        Whether it calls tools.
    said
        What tells it from other answers wherever it stands; None where it says too little.
    system
        The hash of the system text that it was given.
    root, tail
        The first answer of its conversation; and of that one, the latest.
    """

    __slots__ = (
        "answers", "children", "choice", "confidence", "facts", "failed", "is_loose", "kind", "message", "parent", "place",
        "related", "relation", "rendered", "root", "said", "session", "shared", "system", "tail", "tools", "waits",
    )  # fmt: skip

    def __init__(self, message: dict[str, Any], parent: int, answers: int = -1) -> None:
        self.message = message
        self.parent = parent
        self.place = b""
        self.answers = answers
        self.children = 0
        self.choice: int | None = None
        self.facts: CallFacts | None = None
        self.tools: list[dict[str, Any]] | None = None
        self.kind: str | None = None
        self.shared = 0
        self.related: int | None = None
        self.relation: str | None = None
        self.confidence: str | None = None
        self.rendered: dict[str, Any] | None = None
        self.failed: tuple[str, ...] = ()
        self.session: str | None = None
        self.is_loose = self.waits = False
        self.said: bytes | None = None
        self.system = b""
        self.root = self.tail = ROOT

    @property
    def is_answer(self) -> bool:
        """Whether a recorded call produced it."""
        return self.choice is not None


class Nodes(Protocol):
    """Nodes by their numbers."""

    def __getitem__(self, index: int, /) -> Node: ...


def tidy(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message without its null fields."""
    return {key: value for key, value in message.items() if value is not None}


def facts_of(call: RecordedCall, choice: Mapping[str, Any], number: int) -> CallFacts:
    """Return what is known about one answer; ``message`` is set when a trajectory is made."""

    def known(name: str) -> Any:
        return getattr(call, name, None)

    return CallFacts(
        id=call.id,
        message=ROOT,
        choice=number,
        model=known("response_model") or known("model"),
        dialect=known("dialect"),
        route=known("route"),
        session=call.session,
        status=str(known("status") or "ok"),
        # The reason of the call is that of its first answer, and says nothing of another one.
        finish_reason=choice["finish_reason"] if "finish_reason" in choice else known("finish_reason"),
        started_at=known("started_at") or None,
        duration_s=known("duration_s"),
        usage=known("usage"),
        cost=known("cost"),
        withheld=known("withheld") or ran_at_the_provider(choice),
    )


# Beside an answer and no part of what it rests on: reasoning that only the provider can read, and what it made of a long prompt.
_SEALED = ("redacted_thinking", "compaction", "reasoning", "container_upload")


def ran_at_the_provider(choice: Mapping[str, Any]) -> str | None:
    """Return that an answer rests on tools which the provider ran, whose results are not in the conversation; None for others."""
    message = choice.get("message")
    others = [message.get(key) for key in ("other_items", "other_blocks")] if isinstance(message, Mapping) else []
    kinds = [
        str(item.get("type"))
        for items in others
        if isinstance(items, list)
        for item in items
        if isinstance(item, Mapping)
    ]
    ran = [kind for kind in kinds if kind not in _SEALED]
    return f"rests on {ran[0]} of the provider" if ran else None


def trajectories(nodes: list[Node]) -> list[Trajectory]:
    """Return one trajectory a leaf, in the order in which their first answers came."""
    leaves = [
        (index, path_to(nodes, index)) for index, node in enumerate(nodes) if node.is_answer and not node.children
    ]
    leaves.sort(key=lambda leaf: (next(i for i in leaf[1] if nodes[i].is_answer), leaf[0]))
    return [trajectory_at(nodes, path) for _, path in leaves]


def path_to(nodes: Nodes, index: int) -> list[int]:
    """Return the nodes from the first message to this one."""
    path = []
    while index != ROOT:
        path.append(index)
        index = nodes[index].parent
    return path[::-1]


def trajectory_at(nodes: Nodes, path: list[int]) -> Trajectory:
    """Return the trajectory along a path that ends with an answer."""
    messages = list(_with_ids([nodes[index] for index in path]))
    calls = [replace(facts, message=at) for at, index in enumerate(path) if (facts := nodes[index].facts) is not None]
    answers = [nodes[index] for index in path if nodes[index].is_answer]
    tools = next((node.tools for node in reversed(answers) if node.tools), None)
    return Trajectory(messages, tools=tools, metadata=metadata_of(nodes, path), calls=calls)


def _with_ids(nodes: list[Node]) -> Iterator[dict[str, Any]]:
    """Yield messages in which a tool's result names the call it answers, whatever ids the client had sent."""
    ids: list[Any] = []
    for node in nodes:
        message = dict(node.message)
        role = role_of(message)
        if role == "assistant":
            ids = [call["id"] for call in calls_of(message)]
        elif role == "tool" and 0 <= node.answers < len(ids) and ids[node.answers]:
            message["tool_call_id"] = ids[node.answers]
        yield message


def kind_at(nodes: Nodes, path: list[int]) -> str:
    """Return what the conversation along a path is."""
    answers = [nodes[index] for index in path if nodes[index].is_answer]
    first, kind = answers[0], next((node.kind for node in reversed(answers) if node.kind), "episode")
    if first.related is not None and kind == "episode":
        return first.relation or _relation(first, nodes[first.related])
    return kind


def metadata_of(nodes: Nodes, path: list[int]) -> dict[str, Any]:
    """Return the metadata of the trajectory along a path."""
    answers = [nodes[index] for index in path if nodes[index].is_answer]
    first, begins = answers[0], next((node for node in reversed(answers) if node.kind), answers[0])
    kind, parent = kind_at(nodes, path), None
    if first.related is not None:
        other = nodes[first.related]
        parent = other.facts.id if other.facts else None
    found: dict[str, Any] = {"kind": kind}
    session = next((node.facts.session for node in answers if node.facts and node.facts.session), None)
    if session is not None:
        found["session"] = session
    if begins.shared and kind != "episode":
        found["shared_messages"] = begins.shared
    if kind in ("subagent", "rewritten", "handoff", "summary") or (parent and kind != "episode"):
        found["parent_call"] = parent
        found["root_call"] = _root_call(nodes, first)
        found["confidence"] = first.confidence or "possible"
    rendered = [
        {"index": at, "message": as_sent} for at, i in enumerate(path) if (as_sent := nodes[i].rendered) is not None
    ]
    if rendered:
        found["rendered"] = rendered
    failed = [identifier for node in answers for identifier in node.failed]
    return {**found, "failed_calls": failed} if failed else found


def _root_call(nodes: Nodes, answer: Node) -> str | None:
    """Return the first call of the conversation that an answer's goes back to, over all that lie between."""
    seen: set[int] = set()
    while answer.related is not None and answer.related not in seen:
        seen.add(answer.related)
        path = path_to(nodes, answer.related)
        answer = next(nodes[index] for index in path if nodes[index].is_answer)
    return answer.facts.id if answer.facts is not None else None


def _relation(first: Node, other: Node) -> str:
    """Return what a conversation is to an answer of the same session, where nothing that it holds says so."""
    if other.waits and other.children:
        return "subagent"
    return "rewritten" if first.system == other.system else "subagent" if other.waits else "episode"
