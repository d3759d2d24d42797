"""Bottleneck adapters: behind every block ``x + up(gelu(down(norm(x))))``, as the torch backend has them and for its reasons."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np
from mlx import nn

from shadownb.engine.backends.mlx.adapters.base import Adapter, Base, Slots
from shadownb.engine.backends.mlx.adapters.stored import StoredAdapter
from shadownb.engine.backends.mlx.head import width_of
from shadownb.engine.ports.reach import Reach
from shadownb.engine.seeds import derived_seed
from shadownb.errors import MethodError, ModelError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.methods import MethodSpec

_NAME, _READS, _EPS = "bottleneck", "rms_norm", 1e-6


class Bottleneck(nn.Module):
    """In 32 bits; shapes (..., hidden) to (..., hidden)."""

    def __init__(self, hidden: int, width: int, seed: int, name: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        draw = np.random.default_rng(derived_seed(seed, "bottleneck", name))
        self.down, self.up = nn.Linear(hidden, width), nn.Linear(width, hidden)
        bound = 1 / math.sqrt(hidden)
        self.down.weight = mx.array(draw.uniform(-bound, bound, (width, hidden)).astype(np.float32))
        self.down.bias = mx.array(draw.uniform(-bound, bound, width).astype(np.float32))
        self.up.weight, self.up.bias = mx.zeros((hidden, width)), mx.zeros((hidden,))

    def __call__(self, x: Any) -> Any:
        read = mx.fast.rms_norm(x.astype(mx.float32), None, _EPS)
        return x + self.up(nn.gelu(self.down(read))).astype(x.dtype)


class BottleneckAdapter(StoredAdapter):
    """One bottleneck behind every block, of width ``lora_r``."""

    kind = "bottleneck"
    noun = "bottleneck adapters"
    stem = "bottleneck"

    def __init__(self, base: Base, width: int, seed: int) -> None:
        self.width = width
        hidden = width_of(base.module)
        slots: Slots = {}
        for name, block in blocks(base.module).items():
            kind: Any = type(block)
            made = Bottleneck(hidden, width, seed, name)
            block[_NAME], block.__class__ = made, _followed(kind)
            for part in ("down", "up"):
                slots |= {f"{name}.{_NAME}.{part}.{key}": (made[part], key) for key in ("weight", "bias")}
        super().__init__(base, slots)

    @classmethod
    def refuse(cls, base: Base, config: TrainConfig, spec: MethodSpec) -> None:
        if not blocks(base.module):
            raise MethodError(
                f"method={config.method!r}: this model has no list of blocks that adapters could go behind.",
                fix="Use method='lora'.",
            )

    @classmethod
    def reach(cls, base: Base, config: TrainConfig, spec: MethodSpec) -> Reach:
        count = len(blocks(base.module))
        return Reach(f"{count:,} networks of width {config.lora_r}, one behind each block", (("the whole model", ""),))

    @classmethod
    def count(cls, base: Base, config: TrainConfig, spec: MethodSpec) -> int:
        hidden = width_of(base.module)
        return len(blocks(base.module)) * (2 * hidden * config.lora_r + config.lora_r + hidden)

    @classmethod
    def attach(cls, base: Base, config: TrainConfig, spec: MethodSpec) -> Adapter:
        return cls(base, config.lora_r, config.seed)

    @classmethod
    def made_like(cls, base: Base, content: dict[str, Any]) -> Adapter:
        if content.get("reads") != _READS:
            raise ModelError(
                "These bottleneck adapters were saved by an earlier version, whose adapters read a block's output as it is.",
                why="On the normalised output, as now, they would answer differently.",
                fix="Train them again.",
            )
        return cls(base, int(content["rank"]), 0)

    def described(self) -> dict[str, Any]:
        return {**super().described(), "rank": self.width, "reads": _READS}

    def shape(self) -> dict[str, Any]:
        return {"lora_r": self.width}


def blocks(module: Any) -> dict[str, Any]:
    """Return the decoder's blocks by name."""
    try:
        wanted = {id(block) for block in module.layers}
    except (AttributeError, TypeError):
        return {}
    return {name: part for name, part in module.named_modules() if id(part) in wanted}


@cache
def _followed(kind: Any) -> Any:
    """Return the class of a block with a network behind it."""

    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = super(made, self).__call__(*args, **kwargs)
        return (self[_NAME](found[0]), *found[1:]) if isinstance(found, tuple) else self[_NAME](found)

    made: Any = type(kind.__name__, (kind,), {"__call__": called})
    return made
