"""The biases that the base has, and nothing else (BitFit)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlx.utils import tree_unflatten

from shadownb.engine.backends.mlx.adapters.base import Adapter, Base, Slots
from shadownb.engine.backends.mlx.adapters.stored import StoredAdapter
from shadownb.engine.ports.reach import Reach
from shadownb.errors import MethodError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.methods import MethodSpec


class BiasAdapter(StoredAdapter):
    """The twin's own bias vectors are trained."""

    kind = "bias"
    noun = "trained biases"
    stem = "bitfit"

    @classmethod
    def refuse(cls, base: Base, config: TrainConfig, spec: MethodSpec) -> None:
        if not _biases(base):
            kind = base.files.config.get("model_type", "this model")
            raise MethodError(
                f"method={config.method!r} trains bias vectors, and {kind} has none.",
                why="Models of the Llama family are built without biases.",
                fix="The smallest thing that works here is method='lora' with lora_r=1 and target_modules='attention'.",
            )

    @classmethod
    def reach(cls, base: Base, config: TrainConfig, spec: MethodSpec) -> Reach:
        return Reach(f"{len(_biases(base)):,} bias vectors", (("everything else", ""),))

    @classmethod
    def count(cls, base: Base, config: TrainConfig, spec: MethodSpec) -> int:
        return sum(int(owner[key].size) for owner, key in _biases(base).values())

    @classmethod
    def attach(cls, base: Base, config: TrainConfig, spec: MethodSpec) -> Adapter:
        return cls(base, _biases(base))

    @classmethod
    def made_like(cls, base: Base, content: dict[str, Any]) -> Adapter:
        return cls(base, _biases(base))

    def merged(self, twin: Any) -> Any:
        twin.update(tree_unflatten(list(self.owned().items())))
        return twin


def _biases(base: Base) -> Slots:
    """Return where the biases are that the files have, too; what quantised layers call their biases are none."""
    return {
        f"{name}.bias": (layer, "bias")
        for name, layer in base.module.named_modules()
        if "bias" in layer and base.kept_as(f"{name}.bias", layer["bias"])
    }
