"""A loaded model as a backend sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from shadownb.engine.inference.adapters import AdapterSource
from shadownb.engine.inference.gate import WeightsGate
from shadownb.engine.rendering import Renderer, Tokenizer

if TYPE_CHECKING:
    from shadownb.engine.ports.weights import Weights


class Loaded(Protocol):
    """What the engine keeps of a model beside its weights."""

    weights: Weights
    tokenizer: Tokenizer
    gate: WeightsGate
    source: str

    @property
    def public_name(self) -> str:
        """The base's name on any machine, where it has one."""

    @property
    def renderer(self) -> Renderer:
        """Makes tokens of conversations, by the chat template that the weights were trained with."""

    def renderer_of(self, source: AdapterSource) -> Renderer:
        """Return the same of an adapter that is not on the model."""

    @property
    def device(self) -> Any:
        """Where the weights are."""
