"""What facts are found by: their words in an index, their meaning as vectors, and what sets them apart from their neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from shadownb.engine.embedding import Embedder
from shadownb.engine.routing.attributes import QUESTIONS
from shadownb.engine.routing.units import Fact
from shadownb.engine.routing.words import names, telling, without


class Common:
    """The common questions as vectors of one embedder."""

    _known: ClassVar[dict[str, Common]] = {}

    def __init__(self, vectors: Any) -> None:
        self.vectors = vectors
        self._middle = vectors.mean(axis=0)

    @classmethod
    def of(cls, embedder: Embedder) -> Common:
        """Return them, made once for an embedder."""
        if embedder.id not in cls._known:
            cls._known[embedder.id] = cls(embedder.embed(QUESTIONS))
        return cls._known[embedder.id]

    def centred(self, vectors: Any) -> Any:
        """Return vectors as they are seen from the middle of common questions, of length 1."""
        moved = vectors - self._middle
        return moved / np.maximum(np.linalg.norm(moved, axis=-1, keepdims=True), 1e-9)

    def seen(self, vector: Any) -> tuple[Any, Any]:
        """Return one vector from the middle, and how near it is to each common question."""
        return self.centred(vector), self.vectors @ vector


class Keys:
    """The keys of facts, in their order.

    Attributes
    ----------
    meaning
        Shape (2, facts, width): of the question, and of question and answer.
    asked
        Shape (facts, width): of the question without the names in it, seen from the middle of common questions.
    common
        The common questions.
    """

    def __init__(self, facts: Sequence[Fact], embedder: Embedder, vectors: Any = None) -> None:
        self.facts, self.embedder = list(facts), embedder
        self.names = [names(fact.question) for fact in self.facts]
        self.known_names = set().union(*self.names) if self.names else set()
        self.words = [telling(fact.question) for fact in self.facts]
        self.said = [{*own, *telling(fact.answer)} for own, fact in zip(self.words, self.facts, strict=True)]
        found = vectors if vectors is not None else vectors_of(self.facts, embedder)
        self.meaning, self._bare = found[:2], found[2]
        self.common = Common.of(embedder)
        self.asked = self.common.centred(self._bare)
        self._index = self._lexical()

    @property
    def vectors(self) -> Any:
        """All vectors, as they are kept in a file: shape (3, facts, width)."""
        return np.concatenate([self.meaning, self._bare[None]])

    def common_of(self, number: int) -> Any:
        """Return how near a fact's bare question is to each common question; shape (common questions,)."""
        return self.common.vectors @ self._bare[number]

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


def vectors_of(facts: Sequence[Fact], by: Embedder) -> Any:
    """Return the vectors of facts, shape (3, facts, width): question, question with answer, and question without names."""
    texts = [fact.question for fact in facts]
    texts += [f"{fact.question} {fact.answer}" for fact in facts]
    texts += [without(fact.question, names(fact.question)) for fact in facts]
    return by.embed(texts).reshape(3, len(facts), by.width)
