"""What answers behind the front: a model that we load, or another server. One model name of the front is one of these."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol

from shadownb.engine.answering.delivery import Delivery
from shadownb.engine.answering.local import Spent
from shadownb.engine.capture.dialects import Dialect

if TYPE_CHECKING:
    from shadownb.engine.answering.writers import Choice


class Engine(Protocol):
    """Answers requests that name it.

    Attributes
    ----------
    name
        The model name that it answers to.
    engine
        What computes: ``transformers``, ``llama.cpp``, ``vllm``, ...
    """

    name: str
    engine: str

    @property
    def honoured(self) -> frozenset[str]:
        """The options that it has (:data:`~shadownb.engine.answering.fields.OPTIONS`); others are refused by name."""

    async def answer(
        self,
        dialect: Dialect,
        request: dict[str, Any],
        history: list[dict[str, Any]],
        delivery: Delivery,
        *,
        place: AbstractAsyncContextManager[Any],
        spent: Spent,
    ) -> list[Choice]:
        """Deliver the answer to a request, and return its choices; none where it failed, or only passed through."""

    def count_tokens(self, dialect: Dialect, request: dict[str, Any]) -> int:
        """Return the tokens of a request's prompt."""

    async def close(self) -> None:
        """End what is being said."""


class Embeds(Protocol):
    """Makes vectors of texts.

    Attributes
    ----------
    name
        The model name that it answers to.
    """

    name: str

    def vectors(self, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        """Return the vectors and the tokens that were read."""
