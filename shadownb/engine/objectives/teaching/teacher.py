"""What a teacher does: answers questions, and says how likely it finds each token of an answer.

The kinds of teachers are known by the registry (``teacher``), since those that are models stand on a higher floor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.masks import Rendered

Numbers = npt.NDArray[Any]


@dataclass(frozen=True)
class Likely:
    """What a teacher says of the trained tokens of a row.

    Attributes
    ----------
    ids
        Shape (n, k): the tokens that it finds likeliest in each place; None is the whole vocabulary, in its order.
    logs
        Shape (n, k), float32: their log-probabilities in nats, at the temperature that was asked for.
    said
        Shape (n,): the log-probability of the row's own token in each place, at temperature 1.
    """

    ids: Numbers | None
    logs: Numbers
    said: Numbers


@dataclass(frozen=True)
class Taught:
    """A row that a teacher is asked about, and the example that it comes from."""

    row: Rendered
    example: Example


class Teacher(Protocol):
    """One teacher of one run.

    Attributes
    ----------
    name
        What it is called in messages.
    tells
        Whether it says how likely given tokens are; where it does not, ``why`` says why.
    answers
        Whether it answers questions itself.
    identity
        Tells it from others: a run that goes on has the same one.
    """

    name: str
    tells: bool
    why: str
    answers: bool

    @property
    def identity(self) -> str: ...

    def say(
        self, asked: Sequence[Example], *, most: int, temperature: float, seed: int, stopped: Callable[[], bool]
    ) -> list[dict[str, Any]]:
        """Return its answer to the question of each example, as a message; one that was stopped is left out at the end.

        Raises
        ------
        ShadowError
            It cannot be asked.
        """

    def likely(self, rows: Sequence[Taught], k: int, temperature: float) -> list[Likely]:
        """Return what it says of each row's trained tokens; ``k`` is how many of the likeliest, 0 all.

        Raises
        ------
        ShadowError
            It cannot be asked, or does not tell so many.
        """

    def close(self) -> None:
        """Give back what it alone holds."""


def narrowed(logs: Numbers, targets: Sequence[int], k: int, temperature: float) -> Likely:
    """Return whole distributions as what is asked of a teacher.

    Parameters
    ----------
    logs
        Log-probabilities at temperature 1, shape (n, vocabulary).
    targets
        The row's own token in each place.
    """
    said = logs[np.arange(len(targets)), list(targets)]
    if temperature != 1.0:
        logs = logs / temperature
        logs = logs - logs.max(axis=1, keepdims=True)
        logs = logs - np.log(np.exp(logs).sum(axis=1, keepdims=True))
    if not k or k >= logs.shape[1]:
        return Likely(None, logs.astype(np.float32), said)
    ids = np.argpartition(logs, logs.shape[1] - k, axis=1)[:, -k:]
    return Likely(ids, np.take_along_axis(logs, ids, axis=1).astype(np.float32), said)


def joined(parts: Sequence[Likely]) -> Likely:
    """Return what was said of the pieces of a row as one."""
    ids = [part.ids for part in parts if part.ids is not None]
    return Likely(
        np.concatenate(ids) if ids else None,
        np.concatenate([part.logs for part in parts]),
        np.concatenate([part.said for part in parts]),
    )
