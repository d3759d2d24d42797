"""What facts are found by: their words in an index, their meaning as vectors, and what sets them apart from their neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from shadownb.engine.embedding import Embedder
from shadownb.engine.routing.units import Fact
from shadownb.engine.routing.words import names, telling, uncommon, unread, without

VECTORS = 3  # of each fact


class Keys:
    """The keys of facts, in their order.

    Attributes
    ----------
    unread
        The words of each question that have letters beyond Latin ones.
    meaning
        Shape (2, facts, width): of the question, and of question and answer.
    asked
        Shape (facts, width): of the question without the names in it, by what it asks (:meth:`Embedder.asked`).
    """

    def __init__(self, facts: Sequence[Fact], embedder: Embedder, vectors: Any = None) -> None:
        self.facts, self.embedder = list(facts), embedder
        self.names = [named(fact.question, embedder) for fact in self.facts]
        self.known_names = set().union(*self.names) if self.names else set()
        self.words = [telling(fact.question) for fact in self.facts]
        self.unread = [set(filter(unread, own)) for own in self.words]
        self.telling = [set(own) for own in self.words]
        self.said = [{*own, *telling(fact.answer)} for own, fact in zip(self.words, self.facts, strict=True)]
        found = vectors if vectors is not None else vectors_of(self.facts, embedder)
        self.meaning, self.asked = found[:2], found[2]
        self._index = self._lexical()

    @property
    def vectors(self) -> Any:
        """All vectors, as they are kept in a file: shape (VECTORS, facts, width)."""
        return np.concatenate([self.meaning, self.asked[None]])

    def _lexical(self) -> Any:
        if not any(self.words):
            return None
        import bm25s

        index = bm25s.BM25()
        index.index([own or [""] for own in self.words], show_progress=False)
        # What a fact's own question scores: the measure of a whole hit.
        self._own = np.array([float(index.get_scores(w)[n]) if w else 0.0 for n, w in enumerate(self.words)])
        self._vocabulary = index.vocab_dict
        return index

    def lexical(self, asked: Sequence[str]) -> Any:
        """Return the BM25 score of each fact for words, as a share of what its own question scores; shape (facts,)."""
        known = [word for word in asked if self._index is not None and word in self._vocabulary]
        if not known:
            return np.zeros(len(self.facts), dtype=np.float32)
        return self._index.get_scores(known) / np.maximum(self._own, 1e-9)


def named(question: str, by: Embedder) -> set[str]:
    """Return the names in the question of a fact; where there is none, the words that the embedder has never met."""
    return names(question) or uncommon(question, by.knows)


def vectors_of(facts: Sequence[Fact], by: Embedder) -> Any:
    """Return the vectors of facts, shape (VECTORS, facts, width).

    They are of the question, of the question with its answer, and of what the question without names asks.
    """
    texts = [fact.question for fact in facts] + [f"{fact.question} {fact.answer}" for fact in facts]
    asked = by.asked([without(fact.question, named(fact.question, by)) for fact in facts])
    return np.concatenate([by.embed(texts), asked]).reshape(VECTORS, len(facts), by.width)
