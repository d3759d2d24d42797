"""Which of transformers' models have a place in GGUF here, and what llama.cpp has to be told of each.

Those that are not here are written by llama.cpp's own converter, in an environment of its own (:mod:`~..exporters.official`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gguf
import numpy as np

from shadownb.engine.gguf.tensors import Array
from shadownb.errors import ExportError

Config = dict[str, Any]
_NEEDED = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "max_position_embeddings")


@dataclass(frozen=True)
class Architecture:
    """One of llama.cpp's architectures as transformers' models are written into it.

    Attributes
    ----------
    name
        As GGUF calls it.
    shifted_norms
        Whether its norms multiply with 1 + weight in transformers, and with weight in llama.cpp.
    more
        Writes what only this one has.
    """

    name: str
    shifted_norms: bool = False
    more: Callable[[gguf.GGUFWriter, Config], None] = lambda writer, config: None

    def describe(self, writer: gguf.GGUFWriter, config: Config) -> None:
        """Write the sizes of a model."""
        heads = config["num_attention_heads"]
        writer.add_block_count(config["num_hidden_layers"])
        writer.add_context_length(config["max_position_embeddings"])
        writer.add_embedding_length(config["hidden_size"])
        writer.add_feed_forward_length(config["intermediate_size"])
        writer.add_head_count(heads)
        writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
        writer.add_layer_norm_rms_eps(config.get("rms_norm_eps", 1e-6))
        writer.add_vocab_size(config["vocab_size"])
        width = config.get("head_dim") or config["hidden_size"] // heads
        writer.add_rope_dimension_count(width)
        writer.add_key_length(width)
        writer.add_value_length(width)
        _rope(writer, config)
        self.more(writer, config)


def _gemma2(writer: gguf.GGUFWriter, config: Config) -> None:
    writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
    writer.add_final_logit_softcapping(config["final_logit_softcapping"])
    writer.add_sliding_window(config["sliding_window"])


def _gemma3(writer: gguf.GGUFWriter, config: Config) -> None:
    if config.get("final_logit_softcapping"):
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])
    writer.add_sliding_window(config["sliding_window"])


def _granite(writer: gguf.GGUFWriter, config: Config) -> None:
    writer.add_attention_scale(config["attention_multiplier"])
    writer.add_embedding_scale(config["embedding_multiplier"])
    writer.add_residual_scale(config["residual_multiplier"])
    writer.add_logit_scale(config["logits_scaling"])


_LLAMA = Architecture("llama")
KNOWN: dict[str, Architecture] = {
    "LlamaForCausalLM": _LLAMA,
    "MistralForCausalLM": _LLAMA,
    "Qwen2ForCausalLM": Architecture("qwen2"),
    "Qwen3ForCausalLM": Architecture("qwen3"),
    "Gemma2ForCausalLM": Architecture("gemma2", True, _gemma2),
    "Gemma3ForCausalLM": Architecture("gemma3", True, _gemma3),
    "GraniteForCausalLM": Architecture("granite", more=_granite),
    "Olmo2ForCausalLM": Architecture("olmo2"),
}


def of(config: Config) -> Architecture:
    """Return the architecture of a model's ``config.json``.

    Raises
    ------
    ExportError
        It is not one of those that are written here, or is built in a way that llama.cpp has no words for.
    """
    name = next(iter(config.get("architectures") or ["?"]))
    found = KNOWN.get(name)
    if found is None:
        raise ExportError(
            f"format='gguf': {name} is not one of the architectures that ShadowNB writes itself.",
            why=f"Those are {', '.join(sorted(KNOWN))}.",
            fix="converter='official' uses llama.cpp's own converter; format='merged' is for engines of transformers' models.",
        )
    missing = [key for key in _NEEDED if not isinstance(config.get(key), int)]
    if missing:
        raise ExportError(f"format='gguf': the config of this {name} says no {missing[0]}.")
    if config.get("attention_bias") and found.name not in ("llama", "qwen2", "granite"):
        raise ExportError(f"format='gguf': llama.cpp's {found.name} has no biases in attention, and this model has.")
    return found


def rope_of(config: Config) -> Config:
    """Return what a config says of its rotary positions, whichever release of transformers wrote it."""
    said: Config = config.get("rope_parameters") or config.get("rope_scaling") or {}
    said = said.get("full_attention", said)
    theta = said.get("rope_theta", config.get("rope_theta", 10000.0))
    return {**said, "rope_theta": theta, "rope_type": said.get("rope_type") or said.get("type") or "default"}


def _rope(writer: gguf.GGUFWriter, config: Config) -> None:
    said = rope_of(config)
    writer.add_rope_freq_base(float(said["rope_theta"]))
    kind = said["rope_type"]
    if kind == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(said["factor"]))
    elif kind == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(float(said["factor"]))
        writer.add_rope_scaling_orig_ctx_len(int(said["original_max_position_embeddings"]))
    elif kind not in ("default", "llama3"):
        raise ExportError(
            f"format='gguf': its positions are scaled by {kind!r}, for which ShadowNB has no words in GGUF.",
            fix="converter='official' uses llama.cpp's own converter.",
        )


def rope_factors(config: Config) -> Array | None:
    """Return by what Llama 3 divides each frequency, shape (width of a head / 2,); None where it divides none."""
    said = rope_of(config)
    if said["rope_type"] != "llama3":
        return None
    width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    lengths = 2 * math.pi * said["rope_theta"] ** (np.arange(0, width, 2, dtype=np.float64) / width)
    factor, low, high = (float(said[key]) for key in ("factor", "low_freq_factor", "high_freq_factor"))
    original = float(said["original_max_position_embeddings"])
    smooth = np.clip((original / lengths - low) / (high - low), 0.0, 1.0)
    found: Array = (1.0 / ((1.0 - smooth) / factor + smooth)).astype(np.float32)
    return found
