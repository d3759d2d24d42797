"""What memory and time of a training are counted from, read off the loaded model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shadownb.engine.backends.mlx import adapters
from shadownb.engine.backends.mlx.adapters import targets
from shadownb.engine.ports.backend_facts import Costs

if TYPE_CHECKING:
    from shadownb.engine.backends.mlx.weights import MlxWeights
    from shadownb.engine.config import TrainConfig


def costs(weights: MlxWeights, config: TrainConfig, *, from_base: bool) -> Costs:
    """Return the figures of a training on these weights, or on their fresh base."""
    base, adapter, said = weights.plain(own=False), None if from_base else weights.adapter, weights.config
    hidden = int(said.get("hidden_size", said.get("n_embd", 512)))
    inner = int(said.get("intermediate_size") or 4 * hidden)
    layers = int(said.get("num_hidden_layers", said.get("n_layer", 12)))
    spec = config.spec
    # A Llama-like block of frozen weights keeps 6 widths and 3 inner ones of each token; layers with gradients their inputs, too.
    kept = 6 * hidden + 3 * inner + (0 if spec.adapter in ("bias", "bottleneck") else 3 * hidden + inner)
    kept += 7 * config.lora_r if spec.adapter == "lora" else 0
    fixed = 0
    if dict(spec.options).get("use_dora"):
        shapes = [targets.shape(layer) for layer in targets.resolve(base, config).layers.values()]
        fixed = 2 * sum(before * after for before, after in shapes)  # the base's weights and the changed ones
    return Costs(
        trainable=adapters.count(base, adapter, config),
        reach=adapters.reached(base, adapter, config),
        kept_per_token=kept,
        kept_fixed=fixed,
        kept_bytes=4.0 if str(weights.dtype).endswith("float32") else 2.4,
        layers=layers,
        hidden=hidden,
        vocabulary=int(said.get("vocab_size", 32000)),
        computed=weights.parameters_total - _idle(base, said),
    )


def _idle(base: Any, said: dict[str, Any]) -> int:
    """Return how many weights of experts have no part in a token's pass."""
    read = int(said.get("num_experts_per_tok") or 1)
    kinds = (targets.SwitchLinear, targets.QuantizedSwitchLinear)
    experts = [m.weight for _, m in base.module.named_modules() if isinstance(m, kinds)]
    return sum(int(w.size) * max(0, w.shape[0] - read) // int(w.shape[0]) for w in experts)
