"""What some backends can do with models' files, beyond the port that all of them have.

Who wants it asks ``isinstance(backend, ComputesGguf)``; so no module outside of ``backends`` names one of them. Suites:
tests/exports/test_llamacpp.py, tests/exports/test_lineage.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from shadownb.engine.ports.loaded import Loaded
    from shadownb.engine.rendering import Tokenizer


@dataclass(frozen=True)
class Mix:
    """How several models become one.

    Attributes
    ----------
    method
        One of ``adapter_ways`` or ``whole_ways`` of :class:`Combines`.
    weights
        What each counts, in their order.
    density
        Share of each one's changes that TIES and DARE keep, above 0 and at most 1.
    seed
        Of what DARE drops by chance.
    """

    method: str
    weights: Sequence[float]
    density: float
    seed: int


@runtime_checkable
class ComputesGguf(Protocol):
    """A backend that computes GGUF files, and so has the functions that pack numbers into their formats."""

    def missing(self) -> bool:
        """Return whether its library is not here, without loading one."""

    def packed(self, rows: Any, kind: int, importance: Any | None = None) -> Any:
        """Return numbers in one of ggml's formats, as a file holds them: uint8, shape (..., bytes of a row).

        Parameters
        ----------
        rows
            float32, shape (..., numbers of a row).
        kind
            ggml's number of the format.
        importance
            How much an error counts in each column: float32, shape (numbers of a row,); None counts all alike.
        """

    def reads_otherwise(self, file: Path, tokenizer: Tokenizer) -> str:
        """Return where it reads a test text otherwise than the tokenizer does, in words; empty where both agree."""


@runtime_checkable
class Combines(Protocol):
    """A backend that makes one model of several that were trained from one base; ``merge()`` has the options.

    Attributes
    ----------
    adapter_ways
        Names of the ways in which it merges LoRA adapters.
    whole_ways
        Of those for whole models.
    """

    adapter_ways: tuple[str, ...]
    whole_ways: tuple[str, ...]

    def combine_adapters(
        self,
        model: Loaded,
        folders: Sequence[Path],
        target: Path,
        mix: Mix,
    ) -> None:
        """Write one adapter made of several of a base, which is loaded without one.

        Raises
        ------
        ModelError
            They do not fit each other.
        """

    def combine_whole(
        self,
        folders: Sequence[Path],
        base: Path | None,
        target: Path,
        mix: Mix,
    ) -> None:
        """Write one whole model made of several of one architecture.

        Raises
        ------
        ConfigError
            The method needs ``base``, or another number of models.
        ModelError
            They do not fit each other.
        """
