"""How likely a model finds rows that it is not trained on: the mean loss of their marked tokens.

On the rows of a task it says how well it is known, on unrelated text how much training made the model forget.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import cross_entropy

from shadownb.engine.backends.torch.attention import batch_layout, choose_packing, target_logits
from shadownb.engine.backends.torch.generation.borrowing import borrowed, own_side
from shadownb.engine.backends.torch.packed_batch import pack
from shadownb.engine.inference.types import Use
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.packing import split

if TYPE_CHECKING:
    from shadownb.engine.ports.loaded import Loaded

_PIECE_TOKENS = 2048


def mean_loss(model: Loaded, examples: Sequence[Example], use: Use) -> float:
    """Return the mean negative log-probability of the trained tokens, of which there is at least one, in nats."""
    total, count = 0.0, 0
    rows = [row for example in examples for row in example.rows]
    weights: Any = model.weights
    with model.gate.inference():
        view, adapter = weights.view(use), weights.adapter_of(use)
        base: Any = view.model.get_base_model() if hasattr(view.model, "get_base_model") else view.model
        packing = choose_packing(base, prefixed=adapter is not None and adapter.prefix() is not None)
        limit = 0 if packing.kind == "single" else _PIECE_TOKENS
        with borrowed(view.model, own_side(use), view.switched_off), torch.no_grad():
            for group in split([(row,) for row in rows], limit, share=packing.shares_start):
                batch = pack([rows[number] for number in group], share=packing.shares_start, device=base.device)
                called, computed, inputs = view.model, batch, {"input_ids": batch.input_ids}
                if adapter is not None:
                    called, computed, inputs = adapter.feed(adapter.module, batch)
                with batch_layout(base, computed, packing) as layout:
                    logits = target_logits(called, computed, inputs, layout)
                total += float(cross_entropy(logits, computed.targets, reduction="sum"))
                count += computed.targets.numel()
    return total / count
