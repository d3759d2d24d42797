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

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from shadownb.engine.jsontext import Unreadable
from shadownb.engine.trajectories.graph import (
    ROOT,
    Node,
    RecordedCall,
    facts_of,
    read_call,
    system_text,
    tidy,
    trajectories,
)
from shadownb.engine.trajectories.identity import PathHash, calls_of, message_text, role_of
from shadownb.engine.trajectories.linking import Links, says_the_same
from shadownb.engine.trajectories.trajectory import Trajectory


class _Walk(NamedTuple):
    """A prompt against the graph: how many of its messages are known, and how many up to the last answer of ours."""

    path: PathHash
    hashes: list[bytes]
    answers: list[int]
    known: int
    answered: int

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

    Attributes
    ----------
    nodes
        All messages, each once.
    unanswered
        The ids of the calls without an answer.
    unread
        Why calls that cannot be read are in no conversation, by their ids.
    """

    def __init__(self, *, join_sessions: bool = False) -> None:
        self.join_sessions = join_sessions
        self.nodes: list[Node] = []
        self.unanswered: list[str] = []
        self.unread: dict[str, str] = {}
        self._latest: dict[bytes, int] = {}  # path hash to the newest node there
        self._answered: set[bytes] = set()  # path hashes that end with an answer of ours
        self._free: dict[tuple[bytes, str | None], list[int]] = {}  # answers that nobody went on from
        self._sessions_at: dict[bytes, dict[str | None, None]] = {}  # whose they are, only where sessions are joined
        self._prompts: set[tuple[bytes, str | None]] = set()
        self._failed: dict[bytes, list[str]] = {}
        self._waiting: defaultdict[str, dict[int, None]] = defaultdict(dict)  # by session: answers with open tool calls
        self._last: dict[str, int] = {}  # by session: the latest answer
        self._digests: dict[int, bytes] = {}
        self._answers_to: dict[int, list[int]] = {}  # by the last message of a prompt: the answers to it
        self._links = Links(self.nodes)

    def extend(self, calls: Iterable[RecordedCall]) -> Episodes:
        """Add calls, and return self."""
        for call in calls:
            self.add(call)
        return self

    def trajectories(self) -> list[Trajectory]:
        """Return one trajectory for each leaf, in the order in which their first answers came."""
        return trajectories(self.nodes)

    def __len__(self) -> int:
        return sum(node.facts is not None and not node.children for node in self.nodes)

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
        if not answers:
            self.unanswered.append(call.id)
            self._failed.setdefault(walk.end, []).append(call.id)
            return []
        start = self._start(call, walk)
        begins = start.kind == "episode"
        related = self._related(call) if begins else None
        failed = tuple(self._failed.pop(walk.end, ()))
        self._went_on(call, start.node)
        self._links.went_on(start.node, call.messages[start.depth :])
        prompt = start.node
        for index in range(start.depth, len(call.messages)):
            message = tidy(call.messages[index])
            prompt = self._append(Node(message, prompt, walk.answers[index]), walk.hashes[index])
        made = []
        for number, choice in enumerate(answers):
            node = Node({"role": "assistant", **tidy(choice["message"])}, prompt)
            node.facts, node.tools = facts_of(call, choice, number), call.tools or None
            node.kind = start.kind if number == 0 else "choice"
            node.shared = start.depth if number == 0 else len(call.messages)
            node.related, node.failed = related, failed
            digest = walk.path.copy().push(node.message)
            made.append(self._append(node, digest))
            self._answers_to.setdefault(prompt, []).append(made[-1])
            self._offer(call, digest, made[-1])
            self._links.answered(made[-1], start.node, call.session)
        if begins:
            own = "\n".join(message_text(message) for message in call.messages if role_of(message) == "system")
            self._links.begin(made[0], call.messages, call.session, own, lambda node: system_text(self.nodes, node))
        self._remember(call, walk, made[0])
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
        known = answered = 0
        for count, message in enumerate(call.messages, start=1):
            digest = path.push(message)
            hashes.append(digest)
            answers.append(path.answers)
            if known == count - 1 and digest in self._latest:
                known = count
                if digest in self._answered:
                    answered = count
        return _Walk(path, hashes, answers, known, answered)

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
        node = self._latest[walk.hashes[walk.known - 1]]
        if walk.known < len(call.messages):
            # Conversations may begin with the same words; only one of our answers makes it the same conversation.
            return _Start(node, walk.known, "branch" if walk.answered else "episode")
        if self._is_loose(call) and (walk.end, call.session) not in self._prompts:
            return _Start(node, walk.known, "episode")
        again = walk.end in self._failed or getattr(call, "retry_of", None) is not None
        return _Start(node, walk.known, "retry" if again else "regenerate")

    def _rendered(self, call: RecordedCall, walk: _Walk) -> _Start | None:
        """Return where a prompt goes on from an answer that the client wrote down in its own way."""
        at = walk.known
        if not 0 < at < len(call.messages) or role_of(call.messages[at]) != "assistant":
            return None
        given = call.messages[at]
        for node in reversed(self._answers_to.get(self._latest[walk.hashes[at - 1]], ())):
            free = self._free.get((self._digests[node], call.session))
            if free and node in free and says_the_same(self.nodes[node].message, given):
                free.remove(node)
                self.nodes[node].rendered = tidy(given)
                self._latest[walk.hashes[at]] = node
                return _Start(node, at + 1, None)
        return None

    def _take(self, digest: bytes, session: str | None) -> int | None:
        """Return an answer at this place that nobody went on from, one of this session if there is one."""
        own = self._free.get((digest, session))
        if own:
            return own.pop()  # the latest: after a retry, it is the answer that the client has got
        for other in list(self._sessions_at.get(digest, ())):
            free = self._free.get((digest, other))
            if free:
                return free.pop()
            del self._sessions_at[digest][other]
        return None

    def _related(self, call: RecordedCall) -> int | None:
        """Return the answer of the same session that a new conversation may come from."""
        if call.session is None or call.session not in self._last:
            return None
        waiting = self._waiting[call.session]
        # The outermost of those that wait: agents that run side by side have one parent.
        related = next(iter(waiting), self._last[call.session])
        own = "\n".join(message_text(message) for message in call.messages if role_of(message) == "system")
        if own == system_text(self.nodes, related):
            waiting.pop(related, None)  # as it seems, that history was given up for a shorter one
        return related

    # -- what a call leaves behind ---------------------------------------------------------------------------------------

    def _append(self, node: Node, digest: bytes) -> int:
        index = len(self.nodes)
        self.nodes.append(node)
        self._latest[digest] = index
        if node.parent != ROOT:
            self.nodes[node.parent].children += 1
        return index

    def _offer(self, call: RecordedCall, digest: bytes, node: int) -> None:
        self._answered.add(digest)
        self._digests[node] = digest
        self._free.setdefault((digest, call.session), []).append(node)
        if self._is_loose(call):
            self._sessions_at.setdefault(digest, {})[call.session] = None

    def _went_on(self, call: RecordedCall, node: int) -> None:
        if call.session is not None:
            self._waiting[call.session].pop(node, None)

    def _remember(self, call: RecordedCall, walk: _Walk, node: int) -> None:
        if getattr(call, "status", "ok") not in ("ok", None):
            self._failed.setdefault(walk.end, []).append(call.id)
        if self._is_loose(call):
            self._prompts.add((walk.end, call.session))
        if call.session is not None:
            self._last[call.session] = node
            if calls_of(self.nodes[node].message):
                self._waiting[call.session][node] = None


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
