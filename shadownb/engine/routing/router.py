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
from shadownb.engine.routing.clauses import clauses
from shadownb.engine.routing.keys import Keys, vectors_of
from shadownb.engine.routing.units import Fact, Unit
from shadownb.engine.routing.words import (
    answers_kind,
    asked_kind,
    contrary,
    counted,
    differs,
    is_code,
    loose_numbers,
    names,
    swapped,
    telling,
    unread,
    without,
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
        Whether the same is asked of the thing: cosine of both questions, with the names taken out, by what they ask
        (:meth:`~shadownb.engine.embedding.Embedder.asked`).
    swapped
        How much of the sentence is the fact's own, word for word, where a telling word of it is another: the same said of
        something else. A question that asks for the fact in other words changes more than one.
    contrary
        Whether one has a word whose opposite the other has: opens and closes, adults and children, May and June.
    counted
        Whether both ask how many, of different things.
    strange_code, strange_name
        Whether the question has a code, or names something, that the fact does not. A number that names nothing (24 hours) counts
        where the fact has another one.
    missing
        Share of the fact's names that the question lacks; people leave some out.
    nameless
        Whether it lacks all of them.
    unlike
        Whether the fact has no name, and the question none of its telling words.
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
    swapped: float
    contrary: float
    counted: float
    strange_code: float
    strange_name: float
    missing: float
    nameless: float
    unlike: float
    other_kind: float
    unread: float


# In the order of Signals. Five weigh more than was fitted (8 at least, a swapped word 7.5, opposites 3), whatever the facts: a code
# that a fact lacks is always another thing, a fact about a named thing is asked for by a name, what cannot be read is asked for in
# its own words, May is not June, and a canoe no paddle. The words of others tell nothing that the signals do not; they find
# candidates.
WEIGHTS = (0.0, 2.02, 8.34, -7.5, -3.0, -0.24, -8.0, -1.52, 0.0, -8.0, -0.39, -0.75, -8.0)
BIAS = -4.5
THRESHOLD = -0.8


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
        The numbers of the units that answer, best first; empty where the model answers without memory. Of a question for several
        facts one of each, in the order in which they are asked for.
    candidates
        What was looked at, best first; of a question for several facts those of its parts before others.
    facts
        The facts that answer, one of each unit in ``units``.
    """

    question: str
    units: tuple[int, ...]
    candidates: tuple[Candidate, ...]
    threshold: float
    facts: tuple[Fact, ...] = ()

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
        if len(self.facts) > 1:
            return f"It asks for {len(self.facts)} facts: {' and '.join(repr(fact.question) for fact in self.facts)}."
        if not self.abstains and best.fact.question == self.question:
            return f"It is the question of a fact, word for word ({told})."
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
        # A router's own, since its numbers of units are of no other: whoever asks while facts change has the old ones or the new.
        self._routes: dict[str, Route] = {}
        self._unit_of = [number for number, unit in enumerate(self.units) for _ in unit.facts]
        facts = [fact for unit in self.units for fact in unit.facts]
        self._own = {fact.question: (number, fact) for number, fact in zip(self._unit_of, facts, strict=True)}
        self.keys = Keys(facts, by or embedder(), vectors)

    @staticmethod
    def vectors_of(facts: Sequence[Fact], by: Embedder) -> Any:
        """Return the vectors of facts, shape (VECTORS, facts, width)."""
        return vectors_of(facts, by)

    def route(self, question: str) -> Route:
        """Return where a question goes: to one fact, to several where it is made of questions for each, or to none."""
        route = self._routes.get(question)
        if route is None:
            route = self._found(question)
            if len(self._routes) >= _REMEMBERED:
                self._routes.clear()
            self._routes[question] = route
        return route

    def _found(self, question: str) -> Route:
        found = self.candidates(question)
        if question in self._own:  # whatever is told of it
            answering = [self._own[question]]
            found.sort(key=lambda each: each.fact.question != question)
        else:
            several = self._several(question)
            found = [*several, *(each for each in found if all(each.fact != other.fact for other in several))]
            best = several or [each for each in found[:1] if each.score > self.threshold]
            answering = [(each.unit, each.fact) for each in best]
        units, facts = zip(*answering, strict=True) if answering else ((), ())
        return Route(question, units, tuple(found), self.threshold, facts)

    def _several(self, question: str) -> list[Candidate]:
        """Return the facts that the clauses of a question ask for, where each asks for another; else none."""
        looked_at: dict[str, list[Candidate]] = {}  # readings share clauses
        for parts in clauses(question):
            known: list[Candidate] = []
            for part in parts:
                if part not in looked_at:
                    looked_at[part] = self.candidates(part)
                found = looked_at[part]
                if not found or found[0].score <= self.threshold or any(found[0].fact == each.fact for each in known):
                    break
                known.append(found[0])
            if len(known) == len(parts):
                return known
        return []

    def candidates(self, question: str) -> list[Candidate]:
        """Return the facts that come near, best first."""
        keys = self.keys
        asked = telling(question)
        if not keys.facts or not asked:  # "and?" is near to anything
            return []
        mine = names(question, keys.known_names)
        (whole,) = keys.embedder.embed([question])
        (asks,) = keys.embedder.asked([without(question, mine)])
        lexical = np.minimum(keys.lexical(asked), 1.0)
        semantic = (keys.meaning @ whole).max(axis=0)
        close = {*_best(lexical, _CANDIDATES), *_best(semantic, _CANDIDATES), *_best(lexical + semantic, _CANDIDATES)}
        kind = asked_kind(question)
        mine_unread = set(filter(unread, asked))
        loose = loose_numbers(question)
        found = []
        for number in sorted(close):
            fact = keys.facts[number]
            strange = mine - keys.said[number]
            own = keys.names[number]
            signals = Signals(
                float(lexical[number]),
                float(semantic[number]),
                float(keys.asked[number] @ asks),
                swapped(question, fact.question),
                float(contrary(question, fact.question)),
                float(counted(question) != counted(fact.question) != "" != counted(question)),
                float(any(is_code(word) and (word not in loose or any(map(is_code, own - mine))) for word in strange)),
                float(any(not is_code(word) for word in strange)),
                len(own - mine) / max(1, len(own)),
                float(bool(own) and not own & mine),
                float(not own and not keys.telling[number] & {*asked}),
                float(not answers_kind(kind, fact.answer)) + float(differs(kind, asked_kind(fact.question))),
                float(
                    bool(mine_unread - keys.said[number])
                    or 2 * len(mine_unread & keys.unread[number]) < len(keys.unread[number])
                ),
            )
            score = BIAS + float(np.dot(WEIGHTS, astuple(signals)))
            found.append(Candidate(self._unit_of[number], fact, signals, score))
        return sorted(found, key=lambda each: -each.score)


def _best(scores: Any, count: int) -> list[int]:
    count = min(count, len(scores))
    return [int(number) for number in np.argpartition(-scores, count - 1)[:count]]


SIGNALS = tuple(each.name for each in fields(Signals))
