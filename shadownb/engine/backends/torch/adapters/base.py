"""Adapter: what a method adds to a model or unfreezes, and how that is saved, put back and switched off.

A model carries at most one. Training on continues on the adapter that is there; another shape or kind is refused,
because a run record that says rank 32 over weights of rank 4 would be false.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn
from transformers import PreTrainedModel

from shadownb.engine.backends.texts import not_mergeable, other_kind, other_shape
from shadownb.engine.backends.torch.adapters import experts
from shadownb.engine.backends.torch.adapters.reach import Reach
from shadownb.engine.backends.torch.adapters.sizes import Kept, frozen_block
from shadownb.engine.rendering import Rendered

if TYPE_CHECKING:
    from shadownb.engine.backends.torch.packed_batch import PackedBatch
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.methods import MethodSpec


@dataclass(frozen=True)
class Start:
    """What an adapter may draw on when it is made.

    Attributes
    ----------
    base_name
        The base's name on any machine, kept in what is saved.
    source
        Where the base's own files are.
    rows
        The rendered training rows.
    check
        Called between the layers of what takes long; raises where a stop was asked for.
    """

    base_name: str
    source: str = ""
    rows: Sequence[Rendered] = field(default=(), repr=False)
    check: Callable[[], None] = field(default=lambda: None, repr=False)


class Adapter:
    """One trainable adapter on one module.

    Attributes
    ----------
    module
        The model with the adapter on it, as the trainer and peft see it.
    """

    kind: ClassVar[str]
    # Whether the base is no longer there to answer for itself, so that a second copy must.
    replaces_base: ClassVar[bool] = False
    # Whether what was trained exists apart from the whole model, so that save(fmt="adapter") has something to write.
    separate: ClassVar[bool] = True
    # Whether a training adds to what is there and leaves that as it is.
    grows: ClassVar[bool] = False
    noun: ClassVar[str]  # as in "this model carries ..."

    def __init__(self, module: Any) -> None:
        self.module = module

    # -- made, found, refused ---------------------------------------------------------------------------------------

    @classmethod
    def refuse(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> None:
        """Raise MethodError where this base cannot carry the adapter."""

    @classmethod
    def count(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> int:
        """Return how many weights the adapter would train."""
        raise NotImplementedError

    @classmethod
    def reach(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> Reach:
        """Return what the adapter trains on this base, and what stays frozen."""
        raise NotImplementedError

    @classmethod
    def kept(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> Kept:
        """Return what a forward pass keeps for the backward pass."""
        return Kept(frozen_block(base))

    @classmethod
    def attach(cls, base: Any, config: TrainConfig, spec: MethodSpec, start: Start) -> Adapter:
        """Put a new adapter on a bare base."""
        raise NotImplementedError

    @classmethod
    def strip(cls, base: nn.Module) -> None:
        """Take off a base whatever an :meth:`attach` that failed half-way left on it."""

    @classmethod
    def changes(cls, base: nn.Module) -> set[str]:
        """Return the names of the base's own parameters that the adapter changes where they are."""
        return set()

    @classmethod
    def reads(cls, folder: Path) -> bool:
        """Return whether a folder holds a saved adapter of this kind."""
        raise NotImplementedError

    @classmethod
    def attach_saved(cls, base: Any, folder: Path) -> Adapter:
        """Put a saved adapter on a bare base, trainable."""
        raise NotImplementedError

    # -- trained ----------------------------------------------------------------------------------------------------

    @property
    def base(self) -> PreTrainedModel:
        """The transformers model underneath."""
        module = self.module.get_base_model() if hasattr(self.module, "get_base_model") else self.module
        assert isinstance(module, PreTrainedModel)
        return module

    def owned(self) -> dict[str, nn.Parameter]:
        """Return the parameters that belong to the adapter, by name, in a fixed order."""
        raise NotImplementedError

    def unfreeze(self, config: TrainConfig) -> None:
        """Make exactly the adapter's parameters trainable."""
        self.module.requires_grad_(False)
        for parameter in self.owned().values():
            parameter.requires_grad_(True)

    def shape(self) -> dict[str, Any]:
        """Return the options that what is there has fixed, with their values."""
        return {}

    def check(self, config: TrainConfig, spec: MethodSpec) -> None:
        """Raise MethodError where a method or its options do not fit what is there."""
        self.check_kind(config, spec)
        for option, value in self.shape().items():
            if option in config.model_fields_set and getattr(config, option) != value:
                raise other_shape(option, getattr(config, option), self.noun, value)

    def check_kind(self, config: TrainConfig, spec: MethodSpec) -> None:
        """Raise MethodError where a method trains something else."""
        if spec.adapter != self.kind:
            raise other_kind(config.method, self.noun)

    def effective_config(self, config: TrainConfig) -> TrainConfig:
        """Return the config with the settings that the adapter really has."""
        shape = self.shape()
        return config.replace(**shape) if shape else config

    def reached(self, config: TrainConfig, spec: MethodSpec) -> Reach:
        """Return what training on would train, and what stays frozen."""
        return self.reach(self.base, self.effective_config(config), spec)

    def base_parameters(self) -> dict[str, torch.Tensor]:
        """Return the base's own parameters under the names they have without an adapter."""
        mine = {id(parameter) for parameter in self.owned().values()}
        return {
            experts.bare(name): parameter.detach()
            for name, parameter in self.base.named_parameters()
            if id(parameter) not in mine
        }

    def feed(self, module: Any, batch: PackedBatch) -> tuple[Any, PackedBatch, dict[str, Any]]:
        """Return (what to call, the batch as it is computed, the inputs of the forward pass)."""
        return module, batch, {"input_ids": batch.input_ids}

    # -- answers ----------------------------------------------------------------------------------------------------

    @property
    def virtual_tokens(self) -> int:
        """How many learned embeddings stand before every row and prompt."""
        return 0

    @property
    def speaker(self) -> Any:
        """The module whose ``generate`` is called."""
        return self.module

    def prefix(self) -> torch.Tensor | None:
        """Return embeddings that stand before every prompt, shape (1, n, hidden), or None."""
        return None

    @property
    def score(self) -> Any:
        """What makes a reward of hidden states, (N, width) to (N,), where that is what was trained; else None."""
        return None

    routed: ClassVar[Any] = None  # a method where what answers a row depends on its question: (questions) -> a block
    asks: ClassVar[Any] = None  # a method beside it: (question) -> the stored questions that are answered in its place

    @contextlib.contextmanager
    def switched_off(self) -> Iterator[None]:
        """Let the base answer inside the block."""
        yield

    # -- kept -------------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the adapter so that it loads on its own."""
        raise NotImplementedError

    def load_into(self, folder: Path) -> None:
        """Copy saved tensors into this adapter. Raises ModelError where they do not fit."""
        raise NotImplementedError

    def remove(self) -> Any:
        """Return the base as it was before."""
        raise NotImplementedError

    def merged(self) -> PreTrainedModel:
        """Return a copy of the model that carries the trained state in its own weights."""
        raise not_mergeable(self.kind)
