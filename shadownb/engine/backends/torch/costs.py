"""What memory and time of a training are counted from, read off the loaded module."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from shadownb.engine.backends.torch import adapters
from shadownb.engine.backends.torch.adapters.sizes import idle_weights
from shadownb.engine.ports.backend import Costs

if TYPE_CHECKING:
    from shadownb.engine.backends.torch.weights import TorchWeights
    from shadownb.engine.config import TrainConfig


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
        layers=get("num_hidden_layers", 12),
        hidden=get("hidden_size", 512),
        vocabulary=get("vocab_size", 32000),
        computed=weights.parameters_total - idle_weights(base),
    )
