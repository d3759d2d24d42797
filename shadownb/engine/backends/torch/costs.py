"""What memory and time of a training are counted from, read off the loaded module."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import torch

from shadownb.engine.backends.torch import adapters
from shadownb.engine.backends.torch.adapters.sizes import idle_weights
from shadownb.engine.ports.backend import Costs

if TYPE_CHECKING:
    from shadownb.engine.backends.torch.weights import TorchWeights
    from shadownb.engine.config import TrainConfig

# Of the numbers that a block keeps in 16 bits some stay in 32 (norms, the adapter's own). Counted with saved_tensors_hooks on a
# Llama of eight layers: 2.2 to 2.7 bytes for one of fp32's four, by method.
_NARROW_BYTES = 2.4


def costs(weights: TorchWeights, config: TrainConfig, *, from_base: bool) -> Costs:
    """Return the figures of a training on these weights, or on their fresh base."""
    at_start, base = weights.at_start(from_base=from_base), weights.base_module()
    text = weights.module.config.get_text_config() if hasattr(weights.module, "config") else None
    get = functools.partial(getattr, text)
    kept = adapters.KINDS[config.spec.adapter].kept(base, config, config.spec)
    return Costs(
        trainable=adapters.count(*at_start, config),
        reach=adapters.reached(*at_start, config),
        kept_per_token=kept.per_token,
        kept_fixed=kept.fixed,
        kept_bytes=4.0 if weights.dtype == torch.float32 else _NARROW_BYTES,
        layers=get("num_hidden_layers", 12),
        hidden=get("hidden_size", 512),
        vocabulary=get("vocab_size", 32000),
        computed=weights.parameters_total - idle_weights(base),
    )
