"""Attention while rows are decoded: over the tokens of a row itself, and once over what several rows start with.

Registered with transformers' attention interface under its own name and switched on only around our passes. Each part is
computed by torch's kernel, which also gives the logarithm of the sum that its weights are divided by; by that the parts are put
together exactly. 64 rows behind 8 prompts of 400 tokens took 3.5 ms a layer with a copy of its prompt for each row, and 0.7
with each prompt once (SmolLM2-135M's heads, one AVX-512 core).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface

from shadownb.engine.backends.torch import attention
from shadownb.engine.backends.torch.generation.blocks import angles
from shadownb.engine.backends.torch.generation.borrowing import bare
from shadownb.engine.backends.torch.generation.seen import Group, OwnTokens, hidden_behind
from shadownb.engine.backends.torch.packed_batch import PackedBatch
from shadownb.errors import ModelError

NAME = "shadownb_decoding"


class Pass:
    """One forward pass; layers come in their order."""

    def __init__(self) -> None:
        self._angles: tuple[torch.Tensor, torch.Tensor] | None = None

    def angles(self, cosine: torch.Tensor, sine: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return :func:`.blocks.angles`, computed once for all layers."""
        if self._angles is None:
            self._angles = angles(cosine, sine)
        return self._angles

    def attend(
        self, module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
    ) -> torch.Tensor:
        """Return (1, tokens, heads, width) of (1, heads, tokens, width); keys and values have heads of their own number."""
        raise NotImplementedError


class Filling(Pass):
    """A pass over prompts, packed as in training, that keeps their keys and values."""

    def __init__(self, piece: PackedBatch) -> None:
        super().__init__()
        self._piece = piece
        self._keys: list[torch.Tensor] = []
        self._values: list[torch.Tensor] = []

    def attend(
        self, module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
    ) -> torch.Tensor:
        self._keys.append(key[0])
        self._values.append(value[0])
        return attention._rows_attention(module, query, key, value, None, scaling, row_layout=self._piece)[0]

    def seen(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return keys and values, shape (layers, heads, tokens, width)."""
        return torch.stack(self._keys), torch.stack(self._values)


class Stepping(Pass):
    """A pass over the last token of each row."""

    def __init__(self, own: OwnTokens, groups: Sequence[Group]) -> None:
        super().__init__()
        self._own, self._groups, self._layer = own, groups, 0
        lengths = own.lengths
        own.reserve(len(lengths), max(lengths) + 1)
        self._longest = max(lengths) + 1
        self._even = min(lengths) + 1 == self._longest
        self._rows, self._at = torch.arange(len(lengths)), torch.tensor(lengths)
        self._mask = None if self._even else hidden_behind([n + 1 for n in lengths], self._longest, own.keys)

    def attend(
        self, module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
    ) -> torch.Tensor:
        layer, self._layer = self._layer, self._layer + 1
        count, heads = key.shape[2], key.shape[1]
        keys, values = self._own.keys[layer], self._own.values[layer]
        if self._even:
            keys[:count, :, self._longest - 1] = key[0].transpose(0, 1)
            values[:count, :, self._longest - 1] = value[0].transpose(0, 1)
        else:
            keys[self._rows, :, self._at] = key[0].transpose(0, 1)
            values[self._rows, :, self._at] = value[0].transpose(0, 1)
        asked = (
            query[0].transpose(0, 1).reshape(count, heads, -1, query.shape[-1])
        )  # (rows, kv heads, queries of each, width)
        found, size = _kernel(
            asked, keys[:count, :, : self._longest], values[:count, :, : self._longest], self._mask, scaling
        )
        if self._groups:
            found = found.float()
            for group in self._groups:
                found, size = _with(group, layer, asked, found, size, scaling)
            found = found.to(query.dtype)
        return found.reshape(1, count, query.shape[1], -1)


def _with(
    group: Group, layer: int, asked: torch.Tensor, found: torch.Tensor, size: torch.Tensor, scaling: float | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Add to what rows found, (rows, heads, queries, width), what they find in the blocks of a group."""
    _, heads, queries, width = asked.shape
    blocks = len(group.blocks)
    each = asked[group.gather].view(blocks, group.width, heads, queries, width).transpose(1, 2)
    there, there_size = _kernel(
        each.reshape(blocks, heads, group.width * queries, width),
        group.keys[layer],
        group.values[layer],
        group.mask,
        scaling,
    )
    there = there.reshape(blocks, heads, group.width, queries, width).transpose(1, 2).flatten(0, 1)[group.back].float()
    there_size = there_size.reshape(blocks, heads, group.width, queries).transpose(1, 2).flatten(0, 1)[group.back]
    if len(group.rows) == len(found):
        return _together(found, size, there, there_size)
    mine, mine_size = _together(found[group.rows], size[group.rows], there, there_size)
    return found.index_copy(0, group.rows, mine), size.index_copy(0, group.rows, mine_size)


def _together(
    one: torch.Tensor, one_size: torch.Tensor, other: torch.Tensor, other_size: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    share = torch.sigmoid(other_size - one_size)[..., None]
    return torch.lerp(one, other, share), torch.logaddexp(one_size, other_size)


def _kernel(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scaling: float | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what queries find and the logarithm of their sum, shapes (n, heads, queries, width) and (n, heads, queries)."""
    found: tuple[torch.Tensor, torch.Tensor] = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, attn_mask=mask, scale=scaling
    )
    return found


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    decoding: Pass,
    is_causal: bool | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    # Flags say what to return; positions are in the queries and keys already.
    unknown = [n for n, v in others.items() if v is not None and not isinstance(v, bool) and n != "position_ids"]
    if unknown or is_causal is False:
        raise ModelError(
            f"{type(module).__name__} computes attention with {', '.join(unknown) or 'is_causal=False'}.",
            why="Our decoder does not know it.",
        )
    return decoding.attend(module, query, key, value, scaling), None


def _no_mask(*_: Any, **__: Any) -> None:
    return None


@contextlib.contextmanager
def attending(model: Any) -> Iterator[None]:
    """Let the attention of a transformers or peft model be that of the passes inside the block."""
    config = bare(model).config.get_text_config()
    before = config._attn_implementation
    config._attn_implementation_internal = NAME
    try:
        yield
    finally:
        config._attn_implementation_internal = before


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, _no_mask)
