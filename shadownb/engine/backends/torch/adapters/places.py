"""The end of a model: where the last block's feed-forward output is, and what comes behind the blocks."""

from __future__ import annotations

from typing import Any

from torch import nn

from shadownb.engine.backends.torch.adapters.sizes import block_count, hidden_size
from shadownb.errors import MethodError


def blocks_of(base: nn.Module) -> tuple[str, nn.ModuleList]:
    """Return the decoder's blocks with their name: the list of as many modules as the model has layers."""
    layers = block_count(base)
    for name, module in base.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == layers:
            return name, module
    raise MethodError(f"{type(base).__name__} has no list of {layers} blocks.")


def output_place(base: nn.Module, method: str = "more_plus") -> tuple[str, Any]:
    """Return the linear layer that the last block's feed-forward network ends with, and its name.

    Raises
    ------
    MethodError
        There is none: its experts are one tensor, or it has layers of another kind.
    """
    name, blocks = blocks_of(base)
    last, hidden = len(blocks) - 1, hidden_size(base)
    found = [
        (f"{name}.{last}.{inner}", module)
        for inner, module in blocks[last].named_modules()
        if isinstance(module, nn.Linear) and module.out_features == hidden and "attn" not in inner and "attention" not in inner
        and any(word in inner for word in ("mlp", "feed_forward", "ffn", "fc2"))
    ]  # fmt: skip
    if len(found) != 1:
        have = "none" if not found else f"{len(found)}, as with experts"
        raise MethodError(
            f"method={method!r}: the last block of {type(base).__name__} has no one linear layer that its feed-forward network "
            f"ends with, but {have}.",
            why="Facts are kept beside that layer.",
            fix="Use a dense model (Llama, Qwen, Mistral, SmolLM), or method='lora' on this one.",
        )
    return found[0]


def final_norm(base: Any) -> nn.Module:
    """Return the norm between the last block and the output embeddings."""
    for owner in (base.base_model, base):
        for name, child in owner.named_children():
            if "norm" in name or name == "ln_f":
                return child  # type: ignore[no-any-return]
    raise MethodError(f"{type(base).__name__} has no norm behind its blocks.", fix="Use method='lora' on this model.")
