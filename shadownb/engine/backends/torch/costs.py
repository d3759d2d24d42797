"""What memory and time of a training are counted from, read off the loaded module."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch

from shadownb.engine import objectives
from shadownb.engine.backends.torch import adapters
from shadownb.engine.backends.torch.adapters.sizes import idle_weights
from shadownb.engine.backends.torch.kernels import head_loss, rule
from shadownb.engine.backends.torch.kernels.installed import HEAD
from shadownb.engine.ports.backend import Costs

if TYPE_CHECKING:
    from shadownb.engine.backends.torch.weights import TorchWeights
    from shadownb.engine.config import TrainConfig

# Of the numbers that a block keeps in 16 bits some stay in 32 (norms, the adapter's own). Counted with saved_tensors_hooks on a
# Llama of eight layers: 2.2 to 2.7 bytes for one of fp32's four, by method.
_NARROW_BYTES = 2.4
# What models do to logits behind their head: a cap, a scale. A kernel that never has all of them cannot do that.
_BEHIND_THE_HEAD = ("final_logit_softcapping", "logit_scale", "logits_scaling")


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
        logits_at_once=head_loss.CHUNK if _by_kernel(weights, config, text) else None,
    )


def _by_kernel(weights: TorchWeights, config: TrainConfig, text: object) -> bool:
    """Return whether head and loss will be one operation with a frozen head: only what can be known before a run looks."""
    base: Any = weights.base_module()
    return (
        HEAD in rule.chosen(frozenset({HEAD}), weights.dtype, weights.device)[0]
        and type(base.get_output_embeddings()) is torch.nn.Linear
        and not config.spec.changes_base_weights
        and not config.train_embeddings
        and not objectives.get(config.spec.objective).needs
        and getattr(config.objective_options, "temperature", 1.0) == 1.0
        and not any(getattr(text, name, None) for name in _BEHIND_THE_HEAD)
    )
