"""Episodes: recorded calls become conversations again.

Every message is kept once, in a graph: a node is a message, its parent the message before it. A call's prompt is walked
by the hash of its canonical prefix (:mod:`identity`), and its answer becomes a new node. Where a prompt goes on from an
answer that nobody went on from yet, the call continues that conversation. Everything else is a further leaf, and the
leaf says why (``metadata["kind"]``):

``episode``     a conversation of its own
``regenerate``  the same prompt, answered again
``retry``       the same, because the call before failed or broke off, or the client says that it tries again
``branch``      an earlier point of a conversation, continued in another way
``choice``      one of several answers to one request (``n`` above 1)
``subagent``    another conversation inside a session whose agent waits for a tool
``rewritten``   another history in one session under the same system text: compaction, or the next task
``handoff``     another agent goes on with what this one had come to
``summary``     the call that made the summary which a shortened history begins with

The last four are told by what their prompts hold, where that says it (:mod:`linking`), else by the session; ``parent_call``,
``root_call`` and ``confidence`` in the metadata say what they belong to. A client that writes its history down anew (``Calling
tools: ...`` as text) goes on with its conversation all the same; ``rendered`` has how it wrote each answer.

An answer is never merged with an equal one: two attempts with the same words are two leaves, so that fifty conversations
that run at once come out as fifty even where nothing but their number tells them apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from shadownb.engine.jsontext import Unreadable
from shadownb.engine.trajectories.graph import (
    ROOT,
    Node,
    RecordedCall,
    facts_of,
    read_call,
    tidy,
    trajectories,
)
from shadownb.engine.trajectories.identity import PathHash, calls_of, message_text, role_of
from shadownb.engine.trajectories.linking import Links, said_key, says_the_same
from shadownb.engine.trajectories.places import Memory, Places
from shadownb.engine.trajectories.trajectory import Trajectory

_DIGEST = 8  # bytes, to tell a few hundred agents apart
_LOOKED_AT = 64  # answers to one prompt, of which one may be what the client wrote down in another way


class _Walk(NamedTuple):
    """A prompt against the graph: how many of its messages are known, and how many up to the last answer of ours."""

    path: PathHash
    hashes: list[bytes]
    answers: list[int]
    nodes: list[int]
    answered: int

    @property
    def known(self) -> int:
        return len(self.nodes)

    @property
    def end(self) -> bytes:
        return self.hashes[-1] if self.hashes else b""


class _Start(NamedTuple):
    node: int
    depth: int
    kind: str | None


class Episodes:
    """A graph of calls that grows. Add calls in the order in which they were made or recorded.

    Parameters
    ----------
    join_sessions
        Let a conversation go on under another session id: for ids that name one request rather than one conversation, as
        trace ids do. They then only decide between conversations that are otherwise equal. A session that was taken from
        a ``traceparent`` header is always treated so.
    places
        Where the graph is kept; None is in memory.

    Attributes
    ----------
    nodes
        All messages, each once.
    unanswered
        The ids of the calls without an answer.
    unread
        Why calls that cannot be read are in no conversation, by their ids.
    """

    def __init__(self, *, join_sessions: bool = False, places: Places | None = None) -> None:
        self.join_sessions = join_sessions
        self.unanswered: list[str] = []
        self.unread: dict[str, str] = {}
        self._places: Places = Memory() if places is None else places
        self._links = Links(self._places)

    @property
    def nodes(self) -> list[Node]:
        assert isinstance(self._places, Memory)
        return self._places.nodes

    def extend(self, calls: Iterable[RecordedCall]) -> Episodes:
        """Add calls, and return self."""
        for call in calls:
            self.add(call)
        return self

    def trajectories(self) -> list[Trajectory]:
        """Return one trajectory for each leaf, in the order in which their first answers came."""
        return trajectories(self.nodes)

    def __len__(self) -> int:
        return sum(node.is_answer and not node.children for node in self.nodes)

    def __repr__(self) -> str:
        return f"Episodes({len(self):,} trajectories, {len(self.nodes):,} messages)"

    def add(self, call: RecordedCall) -> list[int]:
        """Add one call and return the nodes of its answers; none where it has no answer, or cannot be read."""
        try:
            read = read_call(call)
            walk = self._walk(read)
        except Exception as error:  # whatever it holds: one call is not worth the others
            self.unread[call.id] = (
                str(error) if isinstance(error, Unreadable) else f"It cannot be read: {type(error).__name__}."
            )
            return []
        return self._add(read, walk)

    def _add(self, call: RecordedCall, walk: _Walk) -> list[int]:
        if getattr(call, "adds_only", False):
            return []
        answers = [choice for choice in call.choices if isinstance(choice.get("message"), Mapping)]
        places = self._places
        if not answers:
            self.unanswered.append(call.id)
            places.failed(walk.end, call.id)
            return []
        start = self._start(call, walk)
        begins = start.kind == "episode"
        related = self._related(call) if begins else None
        failed = tuple(places.take_failed(walk.end))
        if start.node != ROOT:
            places.waits_no_more(start.node)
        self._links.went_on(start.node, call.messages[start.depth :])
        prompt = start.node
        for index in range(start.depth, len(call.messages)):
            prompt = places.append(Node(tidy(call.messages[index]), prompt, walk.answers[index]), walk.hashes[index])
        system = _system_of(call)
        made = []
        for number, choice in enumerate(answers):
            node = Node({"role": "assistant", **tidy(choice["message"])}, prompt)
            node.facts, node.tools, node.choice = facts_of(call, choice, number), call.tools or None, number
            node.kind = start.kind if number == 0 else "choice"
            node.shared = start.depth if number == 0 else len(call.messages)
            node.related, node.failed, node.system = related, failed, system
            node.session, node.is_loose = call.session, self._is_loose(call)
            node.waits = call.session is not None and bool(calls_of(node.message))
            node.said = said_key(node.message)
            made.append(places.append(node, walk.path.copy().push(node.message)))
            self._links.answered(made[-1], start.node)
        if begins:
            self._links.begin(made[0], call.messages, call.session)
        if getattr(call, "status", "ok") not in ("ok", None):
            places.failed(walk.end, call.id)
        if self._is_loose(call):
            places.will_have_asked(walk.end, call.session)
        return made

    # -- where a call belongs ------------------------------------------------------------------------------------------

    def _walk(self, call: RecordedCall) -> _Walk:
        own = call.session is not None and not self._is_loose(call)
        agent = (getattr(call, "headers", None) or {}).get(
            "x-claude-code-agent-id", ""
        )  # of a sub-agent within the session
        path = PathHash(f"session {call.session}{agent and f' agent {agent}'}" if own else "")
        hashes: list[bytes] = []
        answers: list[int] = []
        for message in call.messages:
            hashes.append(path.push(message))
            answers.append(path.answers)
        found = self._places.known(hashes)
        nodes: list[int] = []
        answered = 0
        for count, place in enumerate(hashes, start=1):
            if place not in found:
                break
            node, is_answer = found[place]
            nodes.append(node)
            if is_answer:
                answered = count
        return _Walk(path, hashes, answers, nodes, answered)

    def _is_loose(self, call: RecordedCall) -> bool:
        """Whether the call's session names a request (its trace) and not a conversation."""
        headers = getattr(call, "headers", None) or {}
        trace = headers.get("traceparent", "").strip().lower().split("-")
        return self.join_sessions or (call.session is not None and trace[1:2] == [call.session])

    def _start(self, call: RecordedCall, walk: _Walk) -> _Start:
        """Return the node to go on from, how many messages lead to it, and the kind of leaf that begins."""
        if (rendered := self._rendered(call, walk)) is not None:
            return rendered
        if walk.answered:
            node = self._take(walk.hashes[walk.answered - 1], call.session)
            if node is not None:
                return _Start(node, walk.answered, None)
        if not walk.known:
            return _Start(ROOT, 0, "episode")
        node = walk.nodes[-1]
        if walk.known < len(call.messages):
            # Conversations may begin with the same words; only one of our answers makes it the same conversation.
            return _Start(node, walk.known, "branch" if walk.answered else "episode")
        if self._is_loose(call) and not self._places.asked(walk.end, call.session):
            return _Start(node, walk.known, "episode")
        again = self._places.has_failed(walk.end) or getattr(call, "retry_of", None) is not None
        return _Start(node, walk.known, "retry" if again else "regenerate")

    def _rendered(self, call: RecordedCall, walk: _Walk) -> _Start | None:
        """Return where a prompt goes on from an answer that the client wrote down in its own way."""
        at = walk.known
        if not 0 < at < len(call.messages) or role_of(call.messages[at]) != "assistant":
            return None
        given, places = call.messages[at], self._places
        for index in places.answers_to(walk.nodes[-1], _LOOKED_AT):
            node = places.nodes[index]
            if node.session == call.session and places.is_free(index) and says_the_same(node.message, given):
                places.take(index)
                node.rendered = tidy(given)
                places.changed(index)
                places.alias(walk.hashes[at], index)
                return _Start(index, at + 1, None)
        return None

    def _take(self, place: bytes, session: str | None) -> int | None:
        """Return an answer at this place that nobody went on from, one of this session if there is one."""
        # Of its own session the latest: after a retry, it is the answer that the client has got.
        found = self._places.free(place, session)
        found = self._places.free_of_others(place) if found is None else found
        if found is not None:
            self._places.take(found)
        return found

    def _related(self, call: RecordedCall) -> int | None:
        """Return the answer of the same session that a new conversation may come from."""
        if call.session is None or (last := self._places.last(call.session)) is None:
            return None
        # The outermost of those that wait: agents that run side by side have one parent.
        waiting = self._places.waiting(call.session)
        related = last if waiting is None else waiting
        if _system_of(call) == self._places.nodes[related].system:
            self._places.waits_no_more(related)  # as it seems, that history was given up for a shorter one
        return related


def _system_of(call: RecordedCall) -> bytes:
    """Return what tells agents apart: a hash of the system text that a call was given."""
    text = "\n".join(message_text(message) for message in call.messages if role_of(message) == "system")
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=_DIGEST).digest()


def episodes(calls: Iterable[RecordedCall], *, join_sessions: bool = False) -> list[Trajectory]:
    """Return the trajectories of calls; see :class:`Episodes`. Calls that say when they began are sorted by that."""
    return episodes_graph(calls, join_sessions=join_sessions).trajectories()


def episodes_graph(calls: Iterable[RecordedCall], *, join_sessions: bool = False) -> Episodes:
    """Return the graph of calls that are added in the order in which they began, where all of them say when."""
    found = list(calls)
    stores = {id(getattr(call, "store", None)) for call in found}
    if len(stores) == 1 and getattr(found[0], "store", None) is not None:
        found.sort(key=lambda call: int(call.seq))  # type: ignore[attr-defined]  # as they ended: a clock may be set back
    elif all(isinstance(getattr(call, "started_at", None), (int, float)) for call in found):
        found.sort(key=_began)
    return Episodes(join_sessions=join_sessions).extend(found)


def _began(call: Any) -> float:
    return float(call.started_at)
