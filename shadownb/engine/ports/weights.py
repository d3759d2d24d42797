"""The port of loaded weights: what the engine asks of what a backend has loaded, whatever computes it.

Suite: tests/ports/test_backend.py; what only some weights can is in :mod:`.abilities`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from shadownb.engine.inference.adapters import AdapterId, AdapterSource


@dataclass(frozen=True)
class ResidentAdapter:
    """An adapter in memory that is not on the model.

    Attributes
    ----------
    name
        What it was asked for by.
    bytes
        How much memory it takes beside the base.
    """

    id: AdapterId
    name: str
    bytes: int


class Weights(Protocol):
    """Loaded weights: a base, at most one trained state on it, and adapters beside that which only answer.

    Whoever changes or reads them holds the model's gate; these methods take none. Which run and step the trained state is of
    is not known here: whoever keeps the model keeps that.

    An adapter beside it (:class:`~shadownb.engine.inference.AdapterSource`) is never trained, saved or merged, and belongs to no
    run. It is told from others by its identity alone, may come as files or as tensors, and is read when it is first asked. A
    backend keeps as many as is good for it, tells which and how large they are, and may keep none: then :meth:`check_beside`
    refuses, with the reason.

    Attributes
    ----------
    module
        The backend's own object, with what it carries; None once unloaded.
    adapter
        The backend's own object of the trained state; None for the bare base.
    """

    @property
    def module(self) -> Any: ...

    @property
    def adapter(self) -> Any: ...

    @property
    def kind(self) -> str | None:
        """What is trained on it (a method's ``adapter``); None for the bare base."""

    @property
    def separate(self) -> bool:
        """Whether what was trained exists apart from the whole model."""

    @property
    def replaces_base(self) -> bool:
        """Whether the base is no longer there to answer for itself."""

    @property
    def virtual_tokens(self) -> int | None:
        """How many learned embeddings stand before every row; None for the bare base."""

    @property
    def device(self) -> Any:
        """Where the weights are; ``str()`` of it names the place, ``type`` its kind."""

    @property
    def positions(self) -> int | None:
        """How many positions the architecture has; None where it sets no limit."""

    @property
    def parameters_total(self) -> int:
        """Number of weights of the base."""

    @property
    def base_bytes(self) -> int:
        """Bytes of the base's weights in memory."""

    @property
    def unread_bytes(self) -> int:
        """Bytes of the base's weights that are mapped from their files and were not read into memory yet."""

    @property
    def merges_dense(self) -> bool:
        """Whether :meth:`save_whole` writes 16 or 32 bits for what the base holds in fewer, so that no adapter is rounded away."""

    def load_adapter(self, folder: Path) -> None:
        """Put the trained state that a folder holds on the base, in the place of whatever is there, trainable."""

    def detach_adapter(self) -> None:
        """Take off what was trained, so that the bare base is there again."""

    def save(self, folder: Path) -> None:
        """Write what was trained, apart from the base."""

    def save_whole(self, folder: Path) -> None:
        """Write a whole model with what was trained in its weights; this one stays as it is.

        Raises
        ------
        ExportError
            It cannot be merged.
        """

    def identity(self) -> list[Any] | None:
        """Return what tells the trained state from all others, from its tensors themselves; None for the bare base."""

    @property
    def resident(self) -> Sequence[ResidentAdapter]:
        """The adapters beside the trained state that are in memory; may be asked without the gate."""

    def check_beside(self, source: AdapterSource) -> None:
        """Raise ModelError where an adapter cannot answer beside what is here, with the reason and the next step.

        What its tensors alone can tell, as that they are of another shape, is found when it is first asked.
        """

    def free_resident(self) -> None:
        """Free the adapters beside the trained state."""

    def verify_base(self) -> tuple[bool, str]:
        """Compare the base in memory with its files; returns (whether all are equal, what was compared).

        Loads the base a second time, so it takes the gate by itself where it needs it.
        """

    def unload(self) -> None:
        """Free the weights, and the adapters beside them."""
