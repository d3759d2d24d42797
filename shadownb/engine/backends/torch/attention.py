"""Attention over a piece: each segment sees itself and what its rows start with, and nothing else.

Registered with transformers' attention interface under its own name and switched on only around a training forward
pass. Rows are computed one by one with torch's own kernel, so that work grows with the rows' lengths squared and not with
the piece's (a dense mask over 2,048 tokens costs four times the linear layers of a 135M model).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from shadownb.engine.backends.torch.pieces import Piece

NAME = "shadownb_rows"


@dataclass(frozen=True)
class Packing:
    """How a model takes several rows in one sequence, and why."""

    kind: str  # "rows": this module; "positions": the model's own, told by position ids; "single": one row a pass
    reason: str

    @property
    def shares_start(self) -> bool:
        """Whether a common start can stand once for several rows."""
        return self.kind == "rows"


def choose_packing(model: PreTrainedModel, *, prefixed: bool = False) -> Packing:
    """Return how rows can be packed for this architecture; ``prefixed`` rows have learned embeddings before them."""
    found = _packing_of(model)
    if prefixed and found.kind == "positions":
        return Packing("single", "each row needs the learned prompt before it")
    return found


def _packing_of(model: PreTrainedModel) -> Packing:
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ())
    if kinds - {"full_attention", "sliding_attention", "chunked_attention"} or not getattr(
        model, "_supports_sdpa", False
    ):
        return Packing("single", f"{config.model_type} carries state from token to token, so rows cannot share a pass")
    if "flash" in str(config._attn_implementation):
        return Packing("positions", f"{config._attn_implementation} keeps packed rows apart by itself")
    special = [
        name
        for name in ("sliding_window", "attn_logit_softcapping", "attention_chunk_size")
        if getattr(config, name, None)
    ]
    if special or not getattr(model, "_supports_attention_backend", False) or kinds - {"full_attention"}:
        return Packing(
            "positions", f"{config.model_type} has its own attention ({', '.join(special) or 'no interface'})"
        )
    return Packing("rows", "rows are computed one behind the other, a common start once")


@contextlib.contextmanager
def piece_layout(model: PreTrainedModel, piece: Piece, packing: Packing) -> Iterator[dict[str, Any]]:
    """Make the model's attention follow ``piece`` inside the block, which holds forward and backward pass.

    Yields the keyword arguments for the forward pass; transformers hands them on to the attention function.
    """
    if packing.kind != "rows":
        yield {}
        return
    _register()
    config = model.config.get_text_config()
    before = config._attn_implementation
    config._attn_implementation_internal = NAME
    try:
        yield {"row_layout": piece}
    finally:
        config._attn_implementation_internal = before


def _rows_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    row_layout: Piece,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within rows. Shapes: query (1, heads, T, dim), key and value (1, kv heads, T, dim); returns (1, T, heads, dim)."""
    grouped = query.shape[1] != key.shape[1]
    common: dict[str, Any] = {"scale": scaling, "dropout_p": dropout, "enable_gqa": grouped}
    outputs = []
    for segment in row_layout.segments:
        own = slice(segment.start, segment.start + segment.length)
        q, k, v = (tensor[:, :, own] for tensor in (query, key, value))
        if segment.behind:
            seen = [slice(start, start + length) for start, length in segment.behind]
            k = torch.cat([*(key[:, :, part] for part in seen), k], dim=2)
            v = torch.cat([*(value[:, :, part] for part in seen), v], dim=2)
            mask = _causal_behind(k.shape[2] - segment.length, segment.length, query.device)
            outputs.append(scaled_dot_product_attention(q, k, v, attn_mask=mask, **common))
        else:
            outputs.append(scaled_dot_product_attention(q, k, v, is_causal=True, **common))
    return torch.cat(outputs, dim=2).transpose(1, 2).contiguous(), None


@functools.lru_cache(maxsize=256)
def _causal_behind(shared: int, length: int, device: torch.device) -> torch.Tensor:
    """Return the (length, shared + length) mask of a segment behind ``shared`` tokens: True where it may look."""
    return torch.ones(length, shared + length, dtype=torch.bool, device=device).tril(shared)


def _no_mask(*_: Any, **__: Any) -> None:
    return None


def _register() -> None:
    AttentionInterface.register(NAME, _rows_attention)
    AttentionMaskInterface.register(NAME, _no_mask)
