"""Attention over a batch: each segment sees itself and what its rows start with, and nothing else.

Registered with transformers' attention interface under its own name and switched on only around a training forward
pass. Rows are computed one by one with torch's own kernel, so that work grows with the rows' lengths squared and not with
the batch's (a dense mask over 2,048 tokens costs four times the linear layers of a 135M model).

What an architecture's config says about its attention is not enough to know: some libraries' models take position ids and
build their mask without them, so that packed rows would see each other (Falcon), and an argument that only one model hands
to its attention would be left out. So a packing is tried on the model itself before it is used (:func:`_holds`).
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

from shadownb.engine.backends.torch.generation.borrowing import borrowed
from shadownb.engine.backends.torch.kernels import wide_attention
from shadownb.engine.backends.torch.packed_batch import PackedBatch, pack
from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.masks import NOT_TRAINED
from shadownb.errors import ModelError

NAME = "shadownb_rows"
_WIDE = "shadownb_rows_in_32_bits"

# Logits of a row that sees another one are off by 0.016 (a random BioGPT) to 0.5 of their spread (SmolLM2-135M); those of
# a row that does not, by less than 1e-6 in 32 bits.
_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.05, torch.float16: 0.05}
_TRIED_START, _TRIED_OWN = 16, 8  # tokens that both rows of the trial share, and that are one row's own


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
    """Return how rows can be packed for this model; ``prefixed`` rows have learned embeddings before them.

    Computes two short rows to be sure, so whoever calls holds the gate.
    """
    for found in _candidates(model):
        if prefixed and found.kind == "positions":
            return Packing("single", "each row needs the learned prompt before it")
        if found.kind == "single" or _holds(model, found):
            return found
    return Packing("single", f"{model.config.model_type} lets rows that share a pass see each other")


def _candidates(model: PreTrainedModel) -> Iterator[Packing]:
    """Yield what the config allows, the fastest first."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ())
    if state := kinds - {"full_attention", "sliding_attention", "chunked_attention"}:
        yield Packing(
            "single", f"{config.model_type} has layers that carry state over rows ({', '.join(sorted(state))})"
        )
        return
    if not getattr(model, "_supports_sdpa", False):
        yield Packing("single", f"{config.model_type} computes attention without torch's kernel")
        return
    if "flash" in str(config._attn_implementation):
        yield Packing("positions", f"{config._attn_implementation} keeps packed rows apart by itself")
        return
    special = [
        name
        for name in ("sliding_window", "attn_logit_softcapping", "attention_chunk_size")
        if getattr(config, name, None)
    ]
    if not special and getattr(model, "_supports_attention_backend", False) and not kinds - {"full_attention"}:
        yield Packing("rows", "rows are computed one behind the other, a common start once")
        special = ["arguments of its own"]
    yield Packing("positions", f"{config.model_type} has its own attention ({', '.join(special) or 'no interface'})")


def _holds(model: PreTrainedModel, packing: Packing) -> bool:
    """Return whether a row behind another one gets the numbers here that it gets alone."""
    vocabulary = model.config.get_text_config().vocab_size
    tokens = [number * 7919 % vocabulary for number in range(1, 1 + _TRIED_START + 2 * _TRIED_OWN)]
    start, own = tokens[:_TRIED_START], (tokens[_TRIED_START:-_TRIED_OWN], tokens[-_TRIED_OWN:])
    not_start = [NOT_TRAINED] * (_TRIED_START + 1)
    other = Rendered([*start, *own[0]], [NOT_TRAINED] * (_TRIED_START + _TRIED_OWN))
    row = Rendered([*start, *own[1]], [*not_start, *own[1][1:]])
    with borrowed(model, "tuned"), torch.no_grad():
        try:
            behind = _logits_of([other, row], model, packing)
        except ModelError:
            return False
        alone = _logits_of([row], model, Packing("single", "alone"))
    spread = (alone - alone.mean(-1, keepdim=True)).norm(dim=-1)
    off = (behind - alone).norm(dim=-1) / spread.clamp_min(1e-6)
    # The median, because one token that a mixture of experts sends elsewhere by a rounding says nothing about the rest.
    return bool(off.median() < _TOLERANCE.get(model.dtype, 0.05))


def _logits_of(rows: list[Rendered], model: PreTrainedModel, packing: Packing) -> torch.Tensor:
    batch = pack(rows, share=packing.shares_start, device=model.device)
    with batch_layout(model, batch, packing) as layout:
        return target_logits(model, batch, {"input_ids": batch.input_ids}, layout)


@contextlib.contextmanager
def batch_layout(
    model: PreTrainedModel, batch: PackedBatch, packing: Packing, *, wide: bool = False
) -> Iterator[dict[str, Any]]:
    """Make the model's attention follow ``batch`` inside the block, which holds forward and backward pass.

    Yields keyword arguments for the forward pass, which transformers hands on to the attention function. ``wide`` computes
    attention in 32 bits, where that is this module's.
    """
    if packing.kind == "single":
        yield {}  # a row alone has the positions that every model counts by itself, and some take none
        return
    if packing.kind == "positions":
        yield {"position_ids": batch.position_ids}
        return
    _register()
    config = model.config.get_text_config()
    before = config._attn_implementation
    config._attn_implementation_internal = _WIDE if wide else NAME
    try:
        yield {"position_ids": batch.position_ids, "row_layout": batch}
    finally:
        config._attn_implementation_internal = before


def target_logits(called: Any, batch: PackedBatch, inputs: dict[str, Any], layout: dict[str, Any]) -> torch.Tensor:
    """Return the logits that predict a batch's targets, in 32 bits, shape (N, vocabulary); no others are computed."""
    return target_outputs(called, batch, inputs, layout).float()


def target_outputs(called: Any, batch: PackedBatch, inputs: dict[str, Any], layout: dict[str, Any]) -> torch.Tensor:
    """Return what a model gives as logits at the positions of a batch's targets, in its own number format, shape (N, ...).

    Parameters
    ----------
    called, inputs
        What :meth:`Adapter.feed` returned: the module to call, and the tokens or embeddings for it.
    layout
        What :func:`batch_layout` yielded.
    """
    found: torch.Tensor = called(**inputs, logits_to_keep=batch.keep, use_cache=False, **layout).logits[0]
    return found


def _rows_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    row_layout: PackedBatch,
    is_causal: bool | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within rows. Shapes: query (1, heads, T, dim), key and value (1, kv heads, T, dim); returns (1, T, heads, dim).

    Raises
    ------
    ModelError
        The model hands over something that changes its attention, such as a cap, a window or sinks.
    """
    # Flags say what to return; positions are in the queries and keys already.
    unknown = [n for n, v in others.items() if v is not None and not isinstance(v, bool) and n != "position_ids"]
    if unknown or is_causal is False:
        raise ModelError(
            f"{type(module).__name__} computes attention with {', '.join(unknown) or 'is_causal=False'}.",
            why="Attention within packed rows does not know it, and leaving it out would train another model.",
        )
    grouped = query.shape[1] != key.shape[1]
    common: dict[str, Any] = {"scale": scaling, "dropout_p": dropout, "enable_gqa": grouped}
    lengths = [segment.length for segment in row_layout.segments]
    # Split once, not sliced row by row: the gradient of each slice would be a tensor of the whole batch's size.
    split = zip(*(torch.split(tensor, lengths, dim=2) for tensor in (query, key, value)), strict=True)
    parts = {segment.start: part for segment, part in zip(row_layout.segments, split, strict=True)}
    outputs = []
    for segment in row_layout.segments:
        q, k, v = parts[segment.start]
        if segment.behind:
            seen = [parts[start] for start, _ in segment.behind]  # always whole segments
            k = torch.cat([*(part[1] for part in seen), k], dim=2)
            v = torch.cat([*(part[2] for part in seen), v], dim=2)
            mask = _causal_behind(k.shape[2] - segment.length, segment.length, query.device)
            outputs.append(scaled_dot_product_attention(q, k, v, attn_mask=mask, **common))
        else:
            outputs.append(scaled_dot_product_attention(q, k, v, is_causal=True, **common))
    return torch.cat(outputs, dim=2).transpose(1, 2).contiguous(), None


_wide_rows_attention = wide_attention.widened(_rows_attention)


@functools.lru_cache(maxsize=256)
def _causal_behind(shared: int, length: int, device: torch.device) -> torch.Tensor:
    """Return the (length, shared + length) mask of a segment behind ``shared`` tokens: True where it may look."""
    return torch.ones(length, shared + length, dtype=torch.bool, device=device).tril(shared)


def _no_mask(*_: Any, **__: Any) -> None:
    return None


def _register() -> None:
    for name, attend in ((NAME, _rows_attention), (_WIDE, _wide_rows_attention)):
        AttentionInterface.register(name, attend)
        AttentionMaskInterface.register(name, _no_mask)
