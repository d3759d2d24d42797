"""What a backend, or its weights, may be able to do beyond its port; whoever needs it looks with ``isinstance``.

So one that cannot says nothing, and what needs it is refused by name. Suite: tests/ports/test_backend.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from shadownb.engine.rendering import Rendered

if TYPE_CHECKING:
    from shadownb.engine.inference.types import Use
    from shadownb.engine.methods import MethodSpec
    from shadownb.engine.ports.loaded import Loaded
    from shadownb.engine.ports.speaker import Speaker


@runtime_checkable
class TellsTokens(Protocol):
    """A backend that can tell, too, how likely a model finds each of given tokens."""

    def token_scores(self, model: Loaded, rows: Sequence[Rendered], use: Use) -> list[list[tuple[float, bool]]]:
        """Return of each row's trained tokens the log-probability in nats, and whether it is the likeliest in its place."""


@runtime_checkable
class TellsValues(Protocol):
    """A backend that can ask a reward model."""

    def values(self, model: Loaded, rows: Sequence[Rendered]) -> list[list[float]]:
        """Return what its head says where each row's marked tokens come next, so of all that stands before them."""


@runtime_checkable
class LacksMethods(Protocol):
    """A backend that does not have every method; one that is not such is taken to have them all.

    One that trains nothing says so by ``trains = False``, too: tables of methods leave it out.
    """

    @staticmethod
    def lacks(spec: MethodSpec) -> str | None:
        """Return why a method is not there, on whatever model: a clause that follows "because"; None where it is.

        It is asked of the class, for tables and menus, before any model is loaded: nothing of the framework is imported for it.
        """


@runtime_checkable
class Speaks(Protocol):
    """A backend that can answer many callers of a server together; one without is asked by threads that take turns."""

    def speaker(self, model: Loaded) -> Speaker:
        """Return what answers them; whoever asks for it closes it."""


@runtime_checkable
class SavesExact(Protocol):
    """Weights that can be written in 32 bits with what was trained in them, whatever format they are held in."""

    def save_exact(self, folder: Path) -> None:
        """Write as :meth:`~.weights.Weights.save_whole` does, with nothing rounded into 16 bits."""


@runtime_checkable
class TellsActivations(Protocol):
    """A backend that can tell how much each input of a linear layer is used on given rows."""

    def activations(self, model: Loaded, rows: Sequence[Rendered], use: Use) -> dict[str, Any]:
        """Return of each linear layer, by its name in the model, the mean square of each input: float32, shape (inputs,)."""


@runtime_checkable
class TellsDistributions(Protocol):
    """A backend that can tell the whole distribution where a marked token comes next, so that two models can be compared."""

    def distributions(
        self, model: Loaded, rows: Sequence[Rendered], use: Use
    ) -> Iterator[tuple[int, Sequence[int], Any]]:
        """Yield pieces of rows, in order: (number of the row, its next marked tokens, log-probabilities at their places).

        The log-probabilities are natural logarithms, a numpy array of shape (tokens, vocabulary).
        """
