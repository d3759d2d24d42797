"""A decoder block of the Llama kind in one function, while an answer is computed: a third of the calls for one token.

Of a step of SmolLM2-135M for one row a third was calls of modules and small operations. Norms, rotary embedding and activation are
those of the library, operation by operation in 16 bits, so that the numbers are, too. Linear layers are called as modules,
whatever adapter is on them; a block with anything else on it (a hook, another norm, a kernel) stays the library's.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn
from torch.nn.functional import rms_norm

FAMILIES = ("Llama", "Mistral", "Qwen2", "Qwen3")
_PARTS = {
    "self_attn": "Attention",
    "mlp": "MLP",
    "input_layernorm": "RMSNorm",
    "post_attention_layernorm": "RMSNorm",
}


def lean(block: nn.Module) -> Any:
    """Return what computes a block for passes of ours; None for modules that are no such block, or have something on them."""
    name, home = type(block).__name__, type(block).__module__
    family = name.removesuffix("DecoderLayer")
    if family not in FAMILIES or family == name or not home.startswith("transformers.models.") or _touched(block):
        return None
    for part, kind in _PARTS.items():
        module = getattr(block, part, None)
        if type(module).__name__ != f"{family}{kind}" or type(module).__module__ != home:
            return None
        if _touched(module) or module._forward_hooks or module._forward_pre_hooks:  # type: ignore[union-attr, arg-type]
            return None
    return functools.partial(_forward, block)


def _touched(module: Any) -> bool:
    return "forward" in vars(module) or "_hf_hook" in vars(module)


def _forward(block: Any, hidden_states: torch.Tensor, *args: Any, **options: Any) -> Any:
    decoding = options.get("decoding")
    if decoding is None or args:
        return type(block).forward(block, hidden_states, *args, **options)
    attention, mlp = block.self_attn, block.mlp
    rows = _normed(block.input_layernorm, hidden_states)
    shape = (*rows.shape[:-1], -1, attention.head_dim)
    query, key = attention.q_proj(rows).view(shape), attention.k_proj(rows).view(shape)
    value = attention.v_proj(rows).view(shape).transpose(1, 2)
    if hasattr(attention, "q_norm"):
        query, key = attention.q_norm(query), attention.k_norm(key)
    heads = query.shape[2]
    turned = _turned(torch.cat((query, key), dim=2), *decoding.angles(*options["position_embeddings"])).transpose(1, 2)
    found = decoding.attend(attention, turned[:, :heads], turned[:, heads:], value, attention.scaling)
    hidden_states = hidden_states + attention.o_proj(found.reshape(*rows.shape[:-1], -1))
    rows = _normed(block.post_attention_layernorm, hidden_states)
    return hidden_states + mlp.down_proj(mlp.act_fn(mlp.gate_proj(rows)) * mlp.up_proj(rows))


def _normed(norm: Any, rows: torch.Tensor) -> torch.Tensor:
    weight: torch.Tensor = norm.weight
    if rows.dtype == weight.dtype == torch.float32:
        return rms_norm(rows, weight.shape, weight, norm.variance_epsilon)
    return weight * rms_norm(rows, weight.shape, None, norm.variance_epsilon)  # rounded twice, as the library does


def _turned(heads: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Return queries and keys (1, tokens, heads, width) turned by their positions."""
    return (heads * cosine).add_(heads.roll(heads.shape[-1] // 2, -1).mul_(sine))


def angles(cosine: torch.Tensor, sine: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosines and sines (1, tokens, 1, width), half of the sines negated: turning is a roll."""
    half = sine.shape[-1] // 2
    return cosine.unsqueeze(2), torch.cat((-sine[..., :half], sine[..., half:]), dim=-1).unsqueeze(2)
