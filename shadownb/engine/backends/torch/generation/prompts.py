"""Prompts before their first token: computed in one pass as a tree, so that what several start with is computed once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch

from shadownb.engine.backends.torch.generation.attending import Filling
from shadownb.engine.backends.torch.generation.borrowing import Routed, View
from shadownb.engine.backends.torch.generation.seen import Block
from shadownb.engine.backends.torch.packed_batch import PackedBatch
from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.masks import NOT_TRAINED
from shadownb.engine.rendering.packing import Tree

# Tokens of reading that a block has to save in every step. Looking at one more group takes about 60 us a layer, reading a
# token's keys and values of three heads 0.1 us (one AVX-512 core).
WORTH_SHARING = 512

Span = tuple[int, int]  # (start, length) in the pass


@dataclass(frozen=True)
class Prompt:
    """A prompt that was computed.

    Attributes
    ----------
    logits
        Of its last token, in 32 bits, shape (vocabulary,).
    blocks
        What its rows see together with others, in order.
    keys, values
        Of the rest, shape (layers, heads, tokens, width of a head).
    length
        Positions that it takes, a learned prompt before it included.
    """

    logits: torch.Tensor
    blocks: tuple[Block, ...]
    keys: torch.Tensor
    values: torch.Tensor
    length: int


def fill(
    view: View, asked: Mapping[tuple[int, ...], int], worth_sharing: int = WORTH_SHARING, routed: Routed | None = None
) -> dict[tuple[int, ...], Prompt]:
    """Compute prompts, each with the number of rows that go on from it; the attention is ours already."""
    tree = Tree([Rendered(list(ids), [NOT_TRAINED] * len(ids)) for ids in asked], share=True)
    leaves = [tree.leaves[number] for number in range(len(asked))]
    piece = _piece(tree, [leaf.start + leaf.length - 1 for leaf in leaves], view.model.device)
    chains: list[list[Span]] = [[*leaf.behind, (leaf.start, leaf.length)] for leaf in leaves]
    inputs, prefix = {"input_ids": piece.input_ids}, view.prefix()
    if prefix is not None:
        learned = prefix.shape[1]
        words = view.model.get_input_embeddings()(piece.input_ids)
        piece, inputs = (
            piece.behind_prefix(learned),
            {"inputs_embeds": torch.cat((prefix.to(words.dtype), words), dim=1)},
        )
        chains = [[(0, learned), *((start + learned, length) for start, length in chain)] for chain in chains]
    filling = Filling(piece)
    with routed(list(asked), piece.keep.tolist()) if routed is not None else nullcontext():
        found = view.model(
            **inputs, position_ids=piece.position_ids, logits_to_keep=piece.keep, use_cache=False, decoding=filling
        )
    keys, values = filling.seen()
    cut = _cut(chains, list(asked.values()), worth_sharing)
    blocks = {spans: Block(_part(keys, spans), _part(values, spans)) for shared, _ in cut for spans in shared}
    return {
        ids: Prompt(
            logits,
            tuple(blocks[spans] for spans in shared),
            _part(keys, own),
            _part(values, own),
            sum(length for _, length in chain),
        )
        for ids, logits, (shared, own), chain in zip(asked, found.logits[0].float(), cut, chains, strict=True)
    }


def _piece(tree: Tree, ends: Sequence[int], device: torch.device) -> PackedBatch:
    nothing = torch.empty(0, dtype=torch.long)
    return PackedBatch(
        input_ids=torch.tensor([tree.ids], device=device),
        position_ids=torch.tensor([tree.positions], device=device),
        segments=tuple(tree.segments),
        keep=torch.tensor(ends, device=device),
        targets=nothing,
        owners=nothing,
        rows=len(ends),
    )


def _cut(
    chains: Sequence[Sequence[Span]], rows: Sequence[int], worth_sharing: int
) -> list[tuple[list[tuple[Span, ...]], tuple[Span, ...]]]:
    """Return of each prompt the runs of spans that are worth a block, and those that each row has for itself."""
    users: Counter[Span] = Counter()
    for chain, count in zip(chains, rows, strict=True):
        users.update(dict.fromkeys(chain, count))
    found = []
    for chain in chains:
        shared: list[tuple[Span, ...]] = []
        pending: list[Span] = []
        for span, behind in zip(chain, [*(users[each] for each in chain[1:]), 1], strict=True):
            pending.append(span)
            saved = (users[span] - 1) * sum(length for _, length in pending)
            if users[span] > behind and saved >= worth_sharing:
                shared.append(tuple(pending))
                pending = []
        found.append((shared, tuple(pending)))
    return found


def _part(tensor: torch.Tensor, spans: Sequence[Span]) -> torch.Tensor:
    """Return the tokens of spans, of a tensor (layers, heads, tokens, width), as a copy that keeps nothing else alive."""
    parts = [tensor[:, :, start : start + length] for start, length in spans]
    return torch.cat(parts, dim=2) if parts else tensor[:, :, :0].clone()
