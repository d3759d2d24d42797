"""A memory of facts: each has low-rank factors beside the last block's feed-forward output, and a question says whose are added.

No weight is changed. A row of a batch whose question asks for nothing that is stored is left as it is, bit for bit; another has
``scale * B(A x)`` of its own expert added. The factors lie one behind the other in a file that is mapped into memory, so a
memory of ten thousand takes what the asked ones take.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from shadownb.engine.backends.torch.adapters.base import Adapter, Start
from shadownb.engine.backends.torch.adapters.memory import Hook, MemoryAdapter, Tensors
from shadownb.engine.backends.torch.adapters.places import output_place
from shadownb.engine.backends.torch.adapters.reach import Reach
from shadownb.engine.backends.torch.adapters.sizes import Kept, frozen_block
from shadownb.engine.backends.torch.adapters.stored import StoredAdapter

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.methods import MethodSpec


class _Branch(Hook):
    """Adds what the experts of the rows say."""

    adapter: FactsAdapter

    def __call__(self, _: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor | None:
        return self.adapter.added(inputs[0], output)


class FactsAdapter(MemoryAdapter):
    """Experts by fact on the output of the last block's feed-forward network: factors (rank, inner) and (hidden, rank) of each."""

    kind = "facts"
    noun = "a memory of facts"
    stem = "facts"
    sides = ("down", "up")
    trains_facts = True

    def __init__(self, module: Any, base_name: str, rank: int, alpha: int) -> None:
        super().__init__(module, base_name)
        self.rank, self.alpha = rank, alpha
        self.name, self.place = output_place(module)
        self._hooks = [self.place.register_forward_hook(_Branch(self))]

    # -- made, found, refused ---------------------------------------------------------------------------------------

    @classmethod
    def refuse(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> None:
        output_place(base, config.method)

    @classmethod
    def reach(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> Reach:
        name, _ = output_place(base, config.method)
        return Reach(f"an expert of rank {config.lora_r} for each fact, beside {name}", (("the whole model", ""),))

    @classmethod
    def count(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> int:
        _, place = output_place(base, config.method)
        return int(config.lora_r * (place.in_features + place.out_features))

    @classmethod
    def kept(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> Kept:
        return Kept(frozen_block(base))

    @classmethod
    def attach(cls, base: Any, config: TrainConfig, spec: MethodSpec, start: Start) -> Adapter:
        return cls(base, start.base_name, config.lora_r, config.lora_alpha)

    @classmethod
    def made_like(cls, base: Any, content: dict[str, Any]) -> StoredAdapter:
        return cls(base, content.get("base_model", ""), int(content["rank"]), int(content["alpha"]))

    def shape(self) -> dict[str, Any]:
        return {"lora_r": self.rank, "lora_alpha": self.alpha}

    def owned(self) -> dict[str, nn.Parameter]:
        every = {**self._tensors_of, **{unit: factors for unit, (_, factors) in self._learning.items()}}
        sides = zip(("down", "up"), zip(*every.values(), strict=True), strict=True) if every else ()
        return {
            f"{unit}.{side}": nn.Parameter(tensor, requires_grad=False)
            for side, tensors in sides
            for unit, tensor in zip(every, tensors, strict=True)
        }

    @property
    def scale(self) -> float:
        """What an expert's sum is multiplied with."""
        return self.alpha / self.rank

    def added(self, x: torch.Tensor, output: torch.Tensor) -> torch.Tensor | None:
        """Return the output of the place with what the rows' experts add; None where they add nothing.

        What is added behind the last attention meets its own token alone, so of several prompts in one sequence the last tokens do.

        Parameters
        ----------
        x, output
            Shapes (rows, tokens, inner) and (rows, tokens, hidden); or one sequence for all rows.
        """
        if self._rows is None:
            return None
        whole = output.clone()
        for unit, sequence, tokens in self.places(x.shape[0], x.shape[1]):
            down, up = (side.to(x.device) for side in self._tensors_of[unit])
            added = (x[sequence, tokens].float() @ down.T) @ up.T * self.scale
            whole[sequence, tokens] = (output[sequence, tokens].float() + added).to(output.dtype)
        return whole

    # -- kept -------------------------------------------------------------------------------------------------------

    def packed(self, tensors: Sequence[Tensors]) -> dict[str, torch.Tensor]:
        sides = zip(self.sides, zip(*tensors, strict=True), strict=True) if tensors else ()
        return {side: torch.stack([tensor.detach().cpu() for tensor in each]) for side, each in sides}

    def unpacked(self, tensors: dict[str, torch.Tensor], count: int) -> list[Tensors] | None:
        if not count:
            return []
        shapes = {"down": (count, self.rank, self.place.in_features), "up": (count, self.place.out_features, self.rank)}
        if any(side not in tensors or tuple(tensors[side].shape) != shape for side, shape in shapes.items()):
            return None
        return list(zip(*(tensors[side] for side in self.sides), strict=True))

    def described(self) -> dict[str, Any]:
        return {**super().described(), "rank": self.rank, "alpha": self.alpha, "place": self.name}
