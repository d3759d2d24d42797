"""What memory and time of a training are counted from, read off the loaded module."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch

from shadownb.engine import objectives
from shadownb.engine.backends.torch import adapters
from shadownb.engine.backends.torch.adapters import lora_operation
from shadownb.engine.backends.torch.adapters.sizes import idle_weights
from shadownb.engine.backends.torch.kernels import head_loss, rule
from shadownb.engine.backends.torch.kernels.installed import HEAD, LINEARS
from shadownb.engine.ports.backend_facts import Costs

if TYPE_CHECKING:
    from shadownb.engine.backends.torch.weights import TorchWeights
    from shadownb.engine.config import TrainConfig

# In 32 bits: the probabilities that the kernel keeps for the backward pass, their gradient there, and what is made of it.
_COPIES_OF_A_TRAINED_HEAD = 3
# What models do to logits behind their head: a cap, a scale. A kernel that never has all of them cannot do that.
_BEHIND_THE_HEAD = ("final_logit_softcapping", "logit_scale", "logits_scaling")


def costs(weights: TorchWeights, config: TrainConfig, *, from_base: bool) -> Costs:
    """Return the figures of a training on these weights, or on their fresh base."""
    at_start, base = weights.at_start(from_base=from_base), weights.base_module()
    trains_head = config.spec.changes_base_weights or config.train_embeddings
    text = weights.module.config.get_text_config() if hasattr(weights.module, "config") else None
    get = functools.partial(getattr, text)
    kept = adapters.KINDS[config.spec.adapter].kept(base, config, config.spec)
    by_kernel = _by_kernel(weights, config, text)
    hidden, vocabulary = get("hidden_size", 512), get("vocab_size", 32000)
    computed = weights.parameters_total - idle_weights(base)
    return Costs(
        trainable=adapters.count(*at_start, config),
        reach=adapters.reached(*at_start, config),
        kept_per_token=kept.per_token,
        kept_fixed=kept.fixed,
        kept_bytes=4.0 if weights.dtype == torch.float32 else kept.narrow_bytes,
        layers=get("num_hidden_layers", 12),
        hidden=hidden,
        vocabulary=vocabulary,
        computed=computed,
        logits_at_once=head_loss.CHUNK if by_kernel and not trains_head else None,
        logits_copies=_COPIES_OF_A_TRAINED_HEAD if by_kernel and trains_head else None,
        speedup=_speedup(weights, computed - vocabulary * hidden),
    )


def _speedup(weights: TorchWeights, blocks: int) -> float:
    """Return what the kernel of linear layers makes of a step, by their share of the weights that the blocks compute with.

    The others make hardly more than the noise of it. Experts and layers of a model's own classes stay as they are.
    """
    base: Any = weights.base_module()
    layers: Any = lora_operation.linears(base, base.get_output_embeddings())
    share: float = min(1.0, sum(layer.weight.numel() for layer in layers) / max(1, blocks))
    return 1 / (1 - share + share / rule.speedup(LINEARS, weights.dtype, weights.device))


def _by_kernel(weights: TorchWeights, config: TrainConfig, text: object) -> bool:
    """Return whether head and loss will be one operation: only what can be known before a run looks."""
    base: Any = weights.base_module()
    return (
        HEAD in rule.chosen(frozenset({HEAD}), weights.dtype, weights.device)[0]
        and type(base.get_output_embeddings()) is torch.nn.Linear
        and not objectives.get(config.spec.objective).needs
        and getattr(config.objective_options, "temperature", 1.0) == 1.0
        and not any(getattr(text, name, None) for name in _BEHIND_THE_HEAD)
    )
