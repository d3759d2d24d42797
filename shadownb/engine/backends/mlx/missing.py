"""Which methods are not there on MLX, and why; asked before anything of MLX is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shadownb.engine.methods import MethodSpec

_ADAPTERS = {
    "layers": "it trains adapters of another kind than LoRA, whose layers are peft's",
    "prompt": "it trains embeddings that stand before the prompt, and few of mlx-lm's models take any beside tokens",
    "reward": "it trains a head that gives a number, which stands beside peft's adapter",
    "facts": "it trains experts of facts, whose passes are torch's",
}
HERE = ("lora", "bias", "bottleneck", "weights")  # the kinds of adapters that are here


def lacks(spec: MethodSpec) -> str | None:
    """Return why a method is not there on MLX; None where it is."""
    if spec.guest:
        return f"{spec.guest}'s trainers train torch's modules"
    if spec.adapter not in HERE:
        return _ADAPTERS.get(spec.adapter, f"it trains {spec.adapter!r}, which nothing here adapts")
    if spec.adapter == "lora" and spec.tuner != "LORA":
        return f"its adapters are peft's {spec.tuner}, and those here are LoRA and DoRA"
    return None
