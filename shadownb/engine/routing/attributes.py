"""What can be asked of a thing: 265 common questions in several wordings each, which tell whether two questions ask the same.

Two questions about one thing are near each other whatever they ask, because the thing is the same and both are short; and two
wordings of one question may be far apart. So questions are compared by what they are like: each is described by how near it comes
to every attribute of ``attributes.txt`` (price, weight, door code ...), and descriptions are compared. Before that the directions
in which wordings of one attribute differ are shrunk (within-class whitening), and 128 directions that part attributes are kept.
"""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from shadownb.engine.embedding import Embedder

_HERE = Path(__file__).parent
_DIRECTIONS = 128  # 192 and 256 part the tuning facts no better
_RIDGE = 0.3  # of the mean variance within an attribute
_IT = re.compile(r"\bit\b")
# What a thing may be, so that its kind in a question counts for little.
_KINDS = (
    "pump", "lamp", "kettle", "gate", "clock", "ferry", "server", "museum", "hotel", "river", "bridge", "printer", "tractor",
    "library", "school", "tower", "film", "song", "book", "team", "club", "medicine", "drink", "cheese", "bread", "road", "lake",
    "island", "village", "planet", "engine", "router", "contract", "plan", "account", "insurance", "project", "course", "exam",
    "flight", "train", "bus", "ship", "hut", "garden", "greenhouse", "dog", "horse", "bird", "fish", "tree", "plant", "metal",
    "company", "shop", "restaurant", "theatre", "festival", "race", "law", "tax", "form", "key", "door", "machine", "phone",
    "camera", "bicycle", "scooter", "van", "truck",
)  # fmt: skip


def wordings_of_attributes() -> tuple[list[str], Any]:
    """Return all wordings, as they stand and with kinds of things in them, and the number of the attribute of each."""
    drawn = random.Random(0)
    texts: list[str] = []
    numbers: list[int] = []
    for number, line in enumerate((_HERE / "attributes.txt").read_text(encoding="utf-8").splitlines()):
        for form in (each.strip() for each in line.split("|")):
            forms = [form]
            for _ in range(2):
                kind = drawn.choice(_KINDS)
                if _IT.search(form):
                    put = drawn.choice([f"the it {kind}", f"the {kind} it", f"it {kind}"])
                    forms.append(_IT.sub(put, form, count=1).replace("the it", "it"))
            for each in dict.fromkeys(forms):
                texts.append(each)
                numbers.append(number)
    return texts, np.array(numbers)


class Attributes:
    """The attributes as vectors of one embedder.

    Attributes
    ----------
    count
        How many attributes there are.
    """

    _known: ClassVar[dict[str, Attributes]] = {}

    def __init__(self, tensors: dict[str, Any], numbers: Any) -> None:
        self._middle = tensors["middle"].astype(np.float32)
        self._turn = tensors["turn"].astype(np.float32)  # (width, directions)
        self._forms = _unit(tensors["forms"].astype(np.float32))  # (wordings, directions)
        self._numbers = numbers
        self.count = int(numbers.max()) + 1
        self._starts = np.flatnonzero(np.diff(numbers, prepend=-1))  # the wordings of an attribute stand together

    @classmethod
    def of(cls, embedder: Embedder) -> Attributes:
        """Return them: read where they are shipped for an embedder, else made in some seconds, once in a process."""
        if embedder.id not in cls._known:
            _, numbers = wordings_of_attributes()
            tensors = _shipped(_HERE / f"attributes-{embedder.id}.safetensors", embedder.width, len(numbers))
            cls._known[embedder.id] = cls(tensors or cls.fitted(embedder), numbers)
        return cls._known[embedder.id]

    @classmethod
    def fitted(cls, embedder: Embedder) -> dict[str, Any]:
        """Return the tensors of an embedder, as ``python benchmarks/facts_router.py --attributes`` writes them to be shipped."""
        texts, numbers = wordings_of_attributes()
        vectors = embedder.embed(texts).astype(np.float64)
        middle = vectors.mean(axis=0)
        centred = vectors - middle
        centres = np.stack([centred[numbers == number].mean(axis=0) for number in range(numbers.max() + 1)])
        apart = centred - centres[numbers]
        within = apart.T @ apart / len(apart)
        values, axes = np.linalg.eigh(within + _RIDGE * np.trace(within) / len(within) * np.eye(len(within)))
        whiten = (axes * values**-0.5) @ axes.T
        _, _, directions = np.linalg.svd(centres @ whiten, full_matrices=False)
        turn = whiten @ directions[:_DIRECTIONS].T
        forms = _unit(centred @ turn)
        forms = np.round(127 * forms / np.abs(forms).max()).astype(np.int8)  # made to length 1 again when they are read
        return {"middle": middle.astype(np.float32), "turn": turn.astype(np.float16), "forms": forms}

    def near(self, vectors: Any, but_nearer_than: float | None = None) -> Any:
        """Return how near questions without names come to each attribute; shape (questions, attributes).

        ``but_nearer_than`` leaves out wordings that are nearly the question itself: for fitting weights on questions that
        wordings here may have been taken from.
        """
        found = _unit((vectors - self._middle) @ self._turn) @ self._forms.T
        if but_nearer_than is not None:
            found = np.where(found > but_nearer_than, -1.0, found)
        return np.maximum.reduceat(found, self._starts, axis=1)


def described(near: Any) -> Any:
    """Return what :meth:`Attributes.near` gave as descriptions whose product says how alike two questions are."""
    return _unit(near - near.mean(axis=-1, keepdims=True))


def _shipped(file: Path, width: int, wordings: int) -> dict[str, Any]:
    """Return the tensors of a file; none where it is missing, damaged, or of another attributes.txt, for they can be made anew."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors: dict[str, Any] = load_file(file)
        shapes = [tensors[name].shape for name in ("middle", "turn", "forms")]
    except (SafetensorError, OSError, KeyError):
        return {}
    return tensors if shapes == [(width,), (width, _DIRECTIONS), (wordings, _DIRECTIONS)] else {}


def _unit(vectors: Any) -> Any:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
