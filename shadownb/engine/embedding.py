"""Sentences as vectors whose product says how alike they are in meaning, by a model that is loaded when first asked."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Protocol

from shadownb.engine import registry

DEFAULT = "minilm"

_loaded: dict[str, Embedder] = {}
_loading = threading.Lock()


class Embedder(Protocol):
    """Makes vectors of texts.

    Attributes
    ----------
    id
        Tells its vectors from those of any other, so that an index of one is never searched with another.
    width
        How many numbers a vector has.
    """

    id: str
    width: int

    def embed(self, texts: Sequence[str]) -> Any:
        """Return a numpy array of shape (texts, width), float32, each row of length 1, so that a product is a cosine.

        A text gives the same vector whatever stands beside it. Only the beginning of a long text counts (256 tokens for MiniLM).
        """

    def asked(self, texts: Sequence[str]) -> Any:
        """Return vectors as :meth:`embed` does, of what is asked: near each other where two questions ask the same of a thing.

        The thing's names are taken out before, and ``it`` stands for them.
        """

    def knows(self, word: str) -> bool:
        """Return whether a word is one of its vocabulary; of others it knows the letters alone."""

    def tokens(self, texts: Sequence[str]) -> int:
        """Return how many tokens of these texts count, those that mark beginning and end included."""


def embedder(name: str = DEFAULT) -> Embedder:
    """Return the embedder of a name, loaded at the first call in a process.

    Raises
    ------
    ConfigError
        None has this name.
    MissingDependencyError, ModelNotFoundError
        Its files are not on this machine and cannot be fetched.
    """
    with _loading:
        if name not in _loaded:
            _loaded[name] = registry.resolve("embedder", name)()
        return _loaded[name]
