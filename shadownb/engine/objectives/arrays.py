"""What a loss is written over: a backend's own arrays, a dozen functions of them, and the trained tokens of whole examples.

So a formula is written once and has the same gradients in torch, in MLX and in whatever comes. ``A`` is a backend's array type.
Beside the functions here a formula may use ``+ - * / **``, comparisons, negation, indexing with slices, numbers and masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypeVar

A = TypeVar("A")

# What an objective can ask of the forward pass, beside the log-probability of each target.
Need = Literal["entropy", "top_k", "logits", "hidden", "value"]
NEEDS: tuple[Need, ...] = ("entropy", "top_k", "logits", "hidden", "value")


class Ops(Protocol[A]):
    """Functions of arrays, each as numpy's of the same name, and differentiable where that makes sense."""

    def exp(self, x: A) -> A: ...
    def log(self, x: A) -> A: ...
    def log_sigmoid(self, x: A) -> A: ...
    def sigmoid(self, x: A) -> A: ...
    def relu(self, x: A) -> A: ...
    def abs(self, x: A) -> A: ...
    def where(self, condition: A, x: A, y: A) -> A: ...
    def minimum(self, x: A, y: A) -> A: ...
    def clip(self, x: A, low: float | None, high: float | None) -> A: ...
    def sum(self, x: A, axis: int | None = None) -> A: ...
    def mean(self, x: A) -> A: ...
    def stack(self, parts: Sequence[A]) -> A: ...

    def stop(self, x: A) -> A:
        """Return the values without their history, so that no gradient goes there."""

    def numbers(self, values: Any) -> A:
        """Return a 32-bit array of (nested) Python numbers on the device of the weights, bools as a mask."""

    def listed(self, x: A) -> Any:
        """Return (nested) Python numbers."""


class Tokens(Protocol[A]):
    """The trained tokens of some whole examples, in an order that only the backend knows.

    A packed tree is not in the order of its rows, so numbers of rows and tokens come in by ``over`` and ``spread`` and go out by
    ``by_row`` and ``listed``.

    Attributes
    ----------
    logp
        Shape (N,): the log-probability of each target; with gradients where weights are trained.
    rows
        How many rows the tokens are of.
    """

    @property
    def logp(self) -> A: ...

    @property
    def rows(self) -> int: ...

    def by_row(self, values: A) -> A:
        """Sum (N,) values to (rows,)."""

    def over(self, values: Sequence[float]) -> A:
        """Give each token the number of its row: (rows,) to (N,)."""

    def spread(self, values: Sequence[Sequence[Any]]) -> A:
        """Give each token its own number, or its own k: a list a row, in the order of the row, to (N,) or (N, k)."""

    def listed(self, values: A) -> list[list[float]]:
        """Return (N,) values as a list a row, in the order of the row."""

    # Only where the objective says that it needs them:

    @property
    def entropy(self) -> A:
        """Shape (N,): the entropy of each distribution, in nats."""

    def top_k(self, k: int) -> tuple[A, A]:
        """Return the k most likely tokens of each position and their log-probabilities, both (N, k)."""

    def logp_of(self, ids: Sequence[Sequence[Sequence[int]]]) -> A:
        """Return the log-probabilities of k given tokens at each position, shape (N, k): where logits or the top k are kept.

        ``ids`` are lists of k a token, a list a row, in the order of the row: what a teacher found likely there.
        """

    @property
    def logits(self) -> A:
        """Shape (N, vocabulary), in 32 bits."""

    @property
    def hidden(self) -> A:
        """Shape (N, width): what the output embeddings are multiplied with."""

    @property
    def value(self) -> A:
        """Shape (N,): what the scalar head says; the head is trained and part of a checkpoint's training state."""
