"""Whose facts they are: what the verbs need of a model."""

from __future__ import annotations

from typing import Any, Protocol

from shadownb.engine.inference import WeightsGate


class Owner(Protocol):
    """A loaded model that can be trained and asked; :class:`shadownb.Model` is one."""

    name: str
    gate: WeightsGate

    @property
    def adapter(self) -> Any: ...

    @property
    def adapter_kind(self) -> str | None: ...

    @property
    def active_run(self) -> Any: ...

    @property
    def weights(self) -> Any: ...

    @property
    def trained_on(self) -> Any: ...

    @property
    def train(self) -> Any: ...

    @property
    def generate(self) -> Any: ...

    @property
    def chat(self) -> Any: ...

    @property
    def require_loaded(self) -> Any: ...

    @property
    def catch_up(self) -> Any: ...

    @property
    def save_tokenizer(self) -> Any: ...

    @property
    def edited(self) -> Any: ...
