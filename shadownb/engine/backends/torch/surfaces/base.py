"""Surface: what a method adds to a model or unfreezes, and how that is saved, put back and switched off.

A model carries at most one. Training on continues on the surface that is there; another shape or kind is refused,
because a run record that says rank 32 over weights of rank 4 would be false.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn
from transformers import PreTrainedModel

from shadownb.engine.rendering import Rendered
from shadownb.errors import ExportError, MethodError

if TYPE_CHECKING:
    from shadownb.engine.backends.torch.pieces import Piece
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.methods import MethodSpec


@dataclass(frozen=True)
class Start:
    """What a surface may draw on when it is made.

    Attributes
    ----------
    base_name
        The base's name on any machine, kept in what is saved.
    source
        Where the base's own files are.
    rows
        The rendered training rows.
    """

    base_name: str
    source: str = ""
    rows: Sequence[Rendered] = field(default=(), repr=False)


@dataclass(frozen=True)
class Kept:
    """Numbers kept for the backward pass: for each token in each block, and as often as there are layers to adapt."""

    per_token: int
    fixed: int = 0


class Surface:
    """One trainable surface on one module.

    Attributes
    ----------
    module
        The model with the surface on it, as the trainer and peft see it.
    """

    kind: ClassVar[str]
    # Whether the base is no longer there to answer for itself, so that a second copy must.
    replaces_base: ClassVar[bool] = False
    # Whether what was trained exists apart from the whole model, so that save(fmt="adapter") has something to write.
    separate: ClassVar[bool] = True
    noun: ClassVar[str]  # as in "this model carries ..."

    def __init__(self, module: Any) -> None:
        self.module = module

    # -- made, found, refused ---------------------------------------------------------------------------------------

    @classmethod
    def refuse(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> None:
        """Raise MethodError where this base cannot carry the surface."""

    @classmethod
    def count(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> int:
        """Return how many weights the surface would train."""
        raise NotImplementedError

    @classmethod
    def kept(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> Kept:
        """Return what a forward pass keeps for the backward pass."""
        return Kept(frozen_block(base))

    @classmethod
    def attach(cls, base: Any, config: TrainConfig, spec: MethodSpec, start: Start) -> Surface:
        """Put a new surface on a bare base."""
        raise NotImplementedError

    @classmethod
    def strip(cls, base: nn.Module) -> None:
        """Take off a base whatever an :meth:`attach` that failed half-way left on it."""

    @classmethod
    def reads(cls, folder: Path) -> bool:
        """Return whether a folder holds a saved surface of this kind."""
        raise NotImplementedError

    @classmethod
    def attach_saved(cls, base: Any, folder: Path) -> Surface:
        """Put a saved surface on a bare base, trainable."""
        raise NotImplementedError

    # -- trained ----------------------------------------------------------------------------------------------------

    @property
    def base(self) -> PreTrainedModel:
        """The transformers model underneath."""
        module = self.module.get_base_model() if hasattr(self.module, "get_base_model") else self.module
        assert isinstance(module, PreTrainedModel)
        return module

    def owned(self) -> dict[str, nn.Parameter]:
        """Return the parameters that belong to the surface, by name, in a fixed order."""
        raise NotImplementedError

    def unfreeze(self, config: TrainConfig) -> None:
        """Make exactly the surface's parameters trainable."""
        self.module.requires_grad_(False)
        for parameter in self.owned().values():
            parameter.requires_grad_(True)

    def check(self, config: TrainConfig, spec: MethodSpec) -> None:
        """Raise MethodError where a method or its options do not fit what is there."""

    def effective_config(self, config: TrainConfig) -> TrainConfig:
        """Return the config with the settings that the surface really has."""
        return config

    def base_parameters(self) -> dict[str, torch.Tensor]:
        """Return the base's own parameters under the names they have without a surface."""
        mine = {id(parameter) for parameter in self.owned().values()}
        return {
            name.replace(".base_layer.", ".").replace(".original_module.", "."): parameter.detach()
            for name, parameter in self.base.named_parameters()
            if id(parameter) not in mine
        }

    @property
    def shares_segments(self) -> bool:
        """Whether a start that several rows share can be computed once."""
        return True

    def feed(self, module: Any, piece: Piece) -> tuple[Any, Piece, dict[str, Any]]:
        """Return (what to call, the piece as it is computed, the inputs of the forward pass)."""
        return module, piece, {"input_ids": piece.input_ids}

    # -- answers ----------------------------------------------------------------------------------------------------

    @property
    def speaker(self) -> Any:
        """The module whose ``generate`` is called."""
        return self.module

    def prefix(self) -> torch.Tensor | None:
        """Return embeddings that stand before every prompt, shape (1, n, hidden), or None."""
        return None

    @contextlib.contextmanager
    def switched_off(self) -> Iterator[None]:
        """Let the base answer inside the block."""
        yield

    # -- kept -------------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the surface so that it loads on its own."""
        raise NotImplementedError

    def load_into(self, folder: Path) -> None:
        """Copy saved tensors into this surface. Raises ModelError where they do not fit."""
        raise NotImplementedError

    def remove(self) -> Any:
        """Return the base as it was before."""
        raise NotImplementedError

    def merged(self) -> PreTrainedModel:
        """Return a copy of the model that carries the trained state in its own weights."""
        raise ExportError(
            f"fmt='merged': what was trained here ({self.kind}) is no part of the base's weights.",
            why="It computes something that no weight of the base could.",
            fix="Use fmt='adapter'; shadownb.load(path) puts it on the base again.",
        )


def frozen_block(base: nn.Module) -> int:
    """Return the numbers that a Llama-like block of frozen weights keeps for each token.

    Counted with saved-tensor hooks on SmolLM2-135M: 8,125 to 8,373 for 6 x 576 + 3 x 1,536 = 8,064.
    """
    return 6 * hidden_size(base) + 3 * inner_size(base)


def layer_inputs(base: nn.Module) -> int:
    """Return the numbers that a block keeps beyond that where gradients of its linear layers are computed: their inputs."""
    return 3 * hidden_size(base) + inner_size(base)


def block_count(base: nn.Module) -> int:
    """Return the number of blocks."""
    return int(base.config.get_text_config().num_hidden_layers)  # type: ignore[union-attr, operator]


def inner_size(base: nn.Module) -> int:
    """Return the width of the feed-forward layers."""
    config = base.config.get_text_config()  # type: ignore[union-attr, operator]
    return int(getattr(config, "intermediate_size", None) or 4 * hidden_size(base))


def hidden_size(base: nn.Module) -> int:
    """Return the width of the residual stream."""
    return int(base.config.get_text_config().hidden_size)  # type: ignore[union-attr, operator]


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """Return the trainable parameters by name, in a fixed order."""
    return {name: p for name, p in sorted(module.named_parameters()) if p.requires_grad}


def snapshot(tensors: dict[str, nn.Parameter]) -> dict[str, torch.Tensor]:
    """Return copies, to go back to if the run is discarded."""
    return {name: parameter.detach().clone() for name, parameter in tensors.items()}


def restore(module: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Put a :func:`snapshot` back."""
    parameters = dict(module.named_parameters())
    with torch.no_grad():
        for name, tensor in tensors.items():
            parameters[name].copy_(tensor)


def digest(tensors: dict[str, Any]) -> str:
    """Return the sha256 over names, dtypes, shapes and bytes of tensors."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous().cpu()
        sha.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        sha.update(memoryview(tensor.view(-1).view(torch.uint8).numpy()))
    return sha.hexdigest()


def other_kind(method: str, have: str) -> MethodError:
    """Return the error for a model that carries something else."""
    return MethodError(
        f"method={method!r}: this model carries {have}, which this method does not train.",
        why="A model carries one trained state; two on top of each other could not be told apart.",
        fix="Load a fresh model, or save this one with model.save(path, fmt='merged') and load that folder.",
    )
