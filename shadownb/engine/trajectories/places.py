"""Where a graph of calls keeps what it knows: the nodes, and how they are found. In memory here; a store keeps them in a file."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from shadownb.engine.trajectories.graph import ROOT, Node, Nodes

MOST_OPEN = 256  # answers whose calls wait: of those that never go on the oldest are forgotten
RECENT = 16  # conversations of one turn, of which one may be a summary
_REMEMBERED = 1 << 16  # answers that another conversation may hold

Session = str | None


@dataclass
class Open:
    """An answer whose calls wait for their results.

    Attributes
    ----------
    tasks
        What its calls were given: the strings among their arguments that no sub-agent was found for yet.
    subs
        The first answers of the sub-agents that they started.
    """

    session: Session
    tasks: list[str]
    subs: list[int] = field(default_factory=list)


class Places(Protocol):
    """What :class:`~shadownb.engine.trajectories.episodes.Episodes` asks of where its graph is kept.

    A *place* is the hash of a conversation up to a message. Whoever changes a node that it got from ``nodes`` says so
    (:meth:`changed`).
    """

    @property
    def nodes(self) -> Nodes: ...

    def append(self, node: Node, place: bytes) -> int:
        """Keep a node and return its number; the numbers rise."""

    def has(self, index: int) -> bool:
        """Return whether a node is still there."""

    def changed(self, index: int) -> None:
        """Take note that a node's fields were changed."""

    def known(self, places: Sequence[bytes]) -> dict[bytes, tuple[int, bool]]:
        """Return for the places that are known the newest node there, and whether an answer of ours ends there."""

    def alias(self, place: bytes, node: int) -> None:
        """Let a place lead to an answer that a client wrote down in its own words."""

    def answers_to(self, prompt: int, most: int) -> list[int]:
        """Return the answers to a prompt by its last message, the newest first."""

    def free(self, place: bytes, session: Session) -> int | None:
        """Return the newest answer at a place and of a session that nobody went on from."""

    def free_of_others(self, place: bytes) -> int | None:
        """Return such an answer of a session that names a request; of the one that has waited longest, its newest."""

    def is_free(self, node: int) -> bool:
        """Return whether nobody went on from an answer."""

    def take(self, node: int) -> None:
        """Take note that a conversation goes on from an answer."""

    def waiting(self, session: Session) -> int | None:
        """Return the oldest answer of a session whose tool calls wait."""

    def waits_no_more(self, node: int) -> None:
        """Take note that an answer's tool calls wait no more."""

    def last(self, session: Session) -> int | None:
        """Return the latest answer of a session."""

    def failed(self, place: bytes, call: str) -> None:
        """Keep that a call with the prompt of a place had no whole answer."""

    def has_failed(self, place: bytes) -> bool: ...

    def take_failed(self, place: bytes) -> list[str]:
        """Return the calls with this prompt that had no whole answer, and forget them."""

    def asked(self, place: bytes, session: Session) -> bool:
        """Return whether a session that names a request has asked this before."""

    def will_have_asked(self, place: bytes, session: Session) -> None: ...

    def said(self, key: bytes, session: Session) -> int | None:
        """Return the newest answer with this content."""

    def open(self) -> list[tuple[int, Open]]:
        """Return the answers whose calls wait, the newest first."""

    def open_at(self, node: int) -> Open | None: ...

    def keep_open(self, node: int, waiting: Open) -> None:
        """Keep an answer whose calls wait, or what has changed of it."""

    def close(self, node: int) -> None:
        """Let go of one whose calls wait no more."""

    def single(self) -> list[int]:
        """Return the answers of recent conversations of one turn, which may be summaries, the newest first."""

    def keep_single(self, node: int) -> None: ...

    def drop_single(self, node: int) -> None: ...


class Memory:
    """Places in dicts."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._places: dict[bytes, int] = {}
        self._answered: set[bytes] = set()
        self._free: dict[tuple[bytes, Session], list[int]] = {}
        self._loose: dict[bytes, dict[Session, None]] = {}
        self._answers_to: dict[int, list[int]] = {}
        self._waiting: defaultdict[Session, dict[int, None]] = defaultdict(dict)
        self._last: dict[Session, int] = {}
        self._failed: dict[bytes, list[str]] = {}
        self._asked: set[tuple[bytes, Session]] = set()
        self._said: OrderedDict[tuple[bytes, Session], int] = OrderedDict()
        self._open: OrderedDict[int, Open] = OrderedDict()
        self._single: deque[int] = deque(maxlen=RECENT)

    def append(self, node: Node, place: bytes) -> int:
        index = len(self.nodes)
        node.place = place
        self.nodes.append(node)
        self._places[place] = index
        if node.parent != ROOT:
            self.nodes[node.parent].children += 1
        if not node.is_answer:
            return index
        self._answered.add(place)
        self._answers_to.setdefault(node.parent, []).append(index)
        self._free.setdefault((place, node.session), []).append(index)
        if node.is_loose:
            self._loose.setdefault(place, {})[node.session] = None
        if node.said is not None:
            self._said[node.said, node.session] = index
            if len(self._said) > _REMEMBERED:
                self._said.popitem(last=False)
        if node.choice == 0:
            self._last[node.session] = index
            if node.waits:
                self._waiting[node.session][index] = None
        return index

    def has(self, index: int) -> bool:
        return True

    def changed(self, index: int) -> None:
        """Nothing is to be done: the node is the one that is kept."""

    def known(self, places: Sequence[bytes]) -> dict[bytes, tuple[int, bool]]:
        return {place: (self._places[place], place in self._answered) for place in places if place in self._places}

    def alias(self, place: bytes, node: int) -> None:
        self._places[place] = node

    def answers_to(self, prompt: int, most: int) -> list[int]:
        return self._answers_to.get(prompt, [])[: -most - 1 : -1]

    def free(self, place: bytes, session: Session) -> int | None:
        found = self._free.get((place, session))
        return found[-1] if found else None

    def free_of_others(self, place: bytes) -> int | None:
        free = [found for session in self._loose.get(place, ()) if (found := self._free.get((place, session)))]
        return min(free)[-1] if free else None

    def is_free(self, node: int) -> bool:
        found = self.nodes[node]
        return node in self._free.get((found.place, found.session), ())

    def take(self, node: int) -> None:
        taken = self.nodes[node]
        self._free[taken.place, taken.session].remove(node)

    def waiting(self, session: Session) -> int | None:
        return next(iter(self._waiting[session]), None)

    def waits_no_more(self, node: int) -> None:
        self._waiting[self.nodes[node].session].pop(node, None)

    def last(self, session: Session) -> int | None:
        return self._last.get(session)

    def failed(self, place: bytes, call: str) -> None:
        self._failed.setdefault(place, []).append(call)

    def has_failed(self, place: bytes) -> bool:
        return place in self._failed

    def take_failed(self, place: bytes) -> list[str]:
        return self._failed.pop(place, [])

    def asked(self, place: bytes, session: Session) -> bool:
        return (place, session) in self._asked

    def will_have_asked(self, place: bytes, session: Session) -> None:
        self._asked.add((place, session))

    def said(self, key: bytes, session: Session) -> int | None:
        return self._said.get((key, session))

    def open(self) -> list[tuple[int, Open]]:
        return list(reversed(self._open.items()))

    def open_at(self, node: int) -> Open | None:
        return self._open.get(node)

    def keep_open(self, node: int, waiting: Open) -> None:
        self._open[node] = waiting
        if len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)

    def close(self, node: int) -> None:
        self._open.pop(node, None)

    def single(self) -> list[int]:
        return list(reversed(self._single))

    def keep_single(self, node: int) -> None:
        self._single.append(node)

    def drop_single(self, node: int) -> None:
        self._single.remove(node)
