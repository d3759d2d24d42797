"""Router: from a question to the fact that it asks for, or to none, with the reasons.

A few candidates are found by words (BM25) and by meaning (cosine). Each is judged by what :class:`Signals` says of it, in one
logistic sum whose weights were fitted on facts that no figure is reported of (``benchmarks/facts_router.py``). A wrong route
states a false value, so whatever is not above the threshold is left to the model as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

import numpy as np

from shadownb.engine.embedding import Embedder, embedder
from shadownb.engine.routing.attributes import described
from shadownb.engine.routing.keys import Keys, vectors_of
from shadownb.engine.routing.units import Fact, Unit
from shadownb.engine.routing.words import (
    answers_kind,
    asked_kind,
    contrary,
    counted,
    differs,
    is_code,
    names,
    swapped,
    telling,
    unread,
    without,
    words,
)

_CANDIDATES = 6
_REMEMBERED = 512  # routes of questions, each asked again for its sources


@dataclass(frozen=True)
class Signals:
    """What speaks for and against one fact.

    Attributes
    ----------
    lexical
        BM25 as a share of what the fact's own question scores, at most 1.
    semantic
        Cosine of the question with the fact's, or with question and answer, whichever is nearer.
    asked
        Whether the same is asked of the thing: how alike both questions, with the names taken out, are in what they are near to
        (:mod:`.attributes`); a cosine.
    elsewhere
        How much nearer the question is than the fact's to some attribute.
    other_attribute
        How sure it is that both are nearest to different attributes: the smaller of two margins, of the question's nearest one over
        the fact's as the question sees them, and the other way round.
    swapped
        How much of the sentence is the fact's own, word for word, where a telling word of it is another: the same said of
        something else. A question that asks for the fact in other words changes more than one.
    contrary
        Whether one has a word whose opposite the other has: opens and closes, adults and children, May and June.
    counted
        Whether both ask how many, of different things.
    strange_code, strange_name
        Whether the question has a code, or names something, that the fact does not.
    missing
        Share of the fact's names that the question lacks; people leave some out.
    nameless
        Whether it lacks all of them.
    other_kind
        Whether the answer cannot be what the question wants (a number where it asks who), and whether the fact's question
        wants something else (when, not where); 0 to 2.
    unread
        Whether words beyond Latin letters differ: the question has one that the fact does not, or less than half of those of
        the fact's. MiniLM has read English, and finds any two questions in Chinese, Hindi or Russian alike.
    """

    lexical: float
    semantic: float
    asked: float
    elsewhere: float
    other_attribute: float
    swapped: float
    contrary: float
    counted: float
    strange_code: float
    strange_name: float
    missing: float
    nameless: float
    other_kind: float
    unread: float


# In the order of Signals. Four weigh more than was fitted (8 at least, opposites 3), whatever the facts: a code that a fact lacks
# is always another thing, a fact about a named thing is asked for by a name, what cannot be read is asked for in its own words, and
# May is not June. The words of others tell nothing that the signals do not; they find candidates.
WEIGHTS = (0.0, 2.13, 5.83, -2.95, -3.26, -5.62, -3.0, -0.34, -8.0, -1.21, -1.03, -8.0, -0.85, -8.0)
BIAS = -2.69
THRESHOLD = -0.85


@dataclass(frozen=True)
class Candidate:
    """One fact that a question may ask for.

    Attributes
    ----------
    unit
        The number of its unit.
    score
        The logistic sum; above the threshold it is taken.
    """

    unit: int
    fact: Fact
    signals: Signals
    score: float


@dataclass(frozen=True)
class Route:
    """Where a question goes.

    Attributes
    ----------
    units
        The numbers of the units that answer, best first; empty where the model answers without memory.
    candidates
        What was looked at, best first.
    """

    question: str
    units: tuple[int, ...]
    candidates: tuple[Candidate, ...]
    threshold: float

    @property
    def abstains(self) -> bool:
        """Whether no fact is meant."""
        return not self.units

    @property
    def why(self) -> str:
        """The reason, in a sentence."""
        if not self.candidates:
            return "No fact shares a word or a meaning with the question."
        best = self.candidates[0]
        signs = best.signals
        told = (
            f"words {signs.lexical:.2f}, meaning {signs.semantic:.2f}, what is asked {signs.asked:.2f}; "
            f"score {best.score:.2f}, threshold {self.threshold:.2f}"
        )
        if not self.abstains:
            return f"It asks for {best.fact.question!r} ({told})."
        against = [
            words
            for value, words in (
                (signs.strange_code, "it has a code or number that this fact does not have"),
                (signs.strange_name, "it names something that this fact does not"),
                (signs.missing, "it lacks a name of this fact"),
                (signs.other_kind, "the answer cannot be what it asks for"),
                (signs.unread, "in this script a fact is found by its own words alone"),
            )
            if value
        ]
        return f"The nearest is {best.fact.question!r} ({told}){': ' + ', '.join(against) if against else ''}."


class Router:
    """Finds the unit that a question asks for.

    Parameters
    ----------
    vectors
        Of the facts, as :attr:`Keys.vectors` gave them; made where they are left out.
    """

    def __init__(
        self, units: Sequence[Unit], *, by: Embedder | None = None, vectors: Any = None, threshold: float = THRESHOLD
    ) -> None:
        self.units = list(units)
        self.threshold = threshold
        self.but_nearer_than: float | None = None  # see Attributes.near; for fitting weights alone
        # A router's own, since its numbers of units are of no other: whoever asks while facts change has the old ones or the new.
        self._routes: dict[tuple[str, int], Route] = {}
        self._unit_of = [number for number, unit in enumerate(self.units) for _ in unit.facts]
        facts = [fact for unit in self.units for fact in unit.facts]
        self.keys = Keys(facts, by or embedder(), vectors)

    @staticmethod
    def vectors_of(facts: Sequence[Fact], by: Embedder) -> Any:
        """Return the vectors of facts, shape (3, facts, width)."""
        return vectors_of(facts, by)

    def route(self, question: str, most: int = 1) -> Route:
        """Return where a question goes, to ``most`` units at most."""
        route = self._routes.get((question, most))
        if route is None:
            found = self.candidates(question)
            taken = tuple(dict.fromkeys(each.unit for each in found if each.score > self.threshold))[:most]
            route = Route(question, taken, tuple(found), self.threshold)
            if len(self._routes) >= _REMEMBERED:
                self._routes.clear()
            self._routes[question, most] = route
        return route

    def candidates(self, question: str) -> list[Candidate]:
        """Return the facts that come near, best first."""
        keys = self.keys
        asked = telling(question)
        if not keys.facts or not question.strip():
            return []
        mine = names(question, keys.known_names)
        whole, bare = keys.embedder.embed([question, without(question, mine)])
        near = keys.attributes.near(bare[None], self.but_nearer_than)[0]
        asked_like = described(near)
        lexical = np.minimum(keys.lexical(asked), 1.0)
        semantic = (keys.meaning @ whole).max(axis=0)
        close = {*_best(lexical, _CANDIDATES), *_best(semantic, _CANDIDATES), *_best(lexical + semantic, _CANDIDATES)}
        kind = asked_kind(question)
        mine_unread = set(filter(unread, asked))
        said = words(question)
        found = []
        for number in sorted(close):
            fact = keys.facts[number]
            strange = mine - keys.said[number]
            own = keys.names[number]
            signals = Signals(
                float(lexical[number]),
                float(semantic[number]),
                float(keys.asked[number] @ asked_like),
                float((near - keys.near[number]).max()),
                _other_attribute(near, keys.near[number]),
                swapped(question, fact.question),
                float(contrary(said, words(fact.question))),
                float(counted(question) != counted(fact.question) != "" != counted(question)),
                float(any(map(is_code, strange))),
                float(any(not is_code(word) for word in strange)),
                len(own - mine) / max(1, len(own)),
                float(bool(own) and not own & mine),
                float(not answers_kind(kind, fact.answer)) + float(differs(kind, asked_kind(fact.question))),
                float(
                    bool(mine_unread - keys.said[number])
                    or 2 * len(mine_unread & keys.unread[number]) < len(keys.unread[number])
                ),
            )
            score = BIAS + float(np.dot(WEIGHTS, astuple(signals)))
            found.append(Candidate(self._unit_of[number], fact, signals, score))
        return sorted(found, key=lambda each: -each.score)


def _other_attribute(near: Any, own: Any) -> float:
    asked, has = int(near.argmax()), int(own.argmax())
    return float(min(near[asked] - near[has], own[has] - own[asked]))


def _best(scores: Any, count: int) -> list[int]:
    count = min(count, len(scores))
    return [int(number) for number in np.argpartition(-scores, count - 1)[:count]]


SIGNALS = tuple(each.name for each in fields(Signals))
