"""A model's ``config.json`` as mlx-lm has to be told it, where it would read something else without a word.

transformers 5 writes ``rope_parameters``, and most models of mlx-lm read ``rope_theta`` and ``rope_scaling`` and take 10,000 where
these are missing: SmolLM2's first loss was 2.08 instead of 1.89. What cannot be told to a model is refused by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from mlx import nn

from shadownb.errors import ModelError

Config = dict[str, Any]
# Fields for the rotations of windowed layers, by what mlx-lm's models call them.
_LOCAL = ("rope_local_base_freq", "rope_local_theta")
_SILU = ("silu", "swish")
# Fields that mlx-lm asks for by another name than transformers 5 writes them.
_SAME = {"num_experts": "num_local_experts", "n_ctx": "n_positions"}
# Models whose code has silu written into it, whatever the config says.
_SILU_ONLY = frozenset({"llama", "mistral", "qwen2", "qwen3", "smollm3", "olmo2", "granite", "qwen3_moe", "mixtral"})


def told(config: Config, names: frozenset[str], classes_of: Callable[[Config], tuple[Any, Any]]) -> Config:
    """Return what has to be changed in a config for mlx-lm to build the model that transformers builds.

    Parameters
    ----------
    names
        The names of the tensors in the model's files.
    classes_of
        mlx-lm's (model, arguments) for a config.

    Raises
    ------
    ModelError
        It cannot be told.
    """
    kind = str(config.get("model_type", ""))
    try:
        taken = frozenset(inspect.signature(classes_of(config)[1]).parameters)
    except (ValueError, KeyError) as error:
        raise ModelError(
            f"mlx-lm has no model of type {kind!r}.", why=str(error), fix="Load it with backend='torch'."
        ) from None
    activation = config.get("hidden_act") or config.get("hidden_activation")
    if kind in _SILU_ONLY and activation not in (None, *_SILU):
        raise _other(kind, f"hidden_act={activation!r}", "its code has silu written into it")
    changes: Config = {
        name: config[theirs]
        for name, theirs in _SAME.items()
        if name in taken and name not in config and theirs in config
    }
    rope = config.get("rope_parameters")
    if isinstance(rope, Mapping) and "rope_parameters" not in taken and "text_config" not in config:
        changes |= _rope(kind, rope, taken)
    if "lm_head.weight" in names and "tie_word_embeddings" not in config and "text_config" not in config:
        changes["tie_word_embeddings"] = False  # mlx-lm's default would drop the head that is there
    return changes


def _rope(kind: str, rope: Mapping[str, Any], taken: frozenset[str]) -> Config:
    if rope and all(isinstance(part, Mapping) for part in rope.values()):
        return _rope_of_layers(kind, rope, taken)
    changes: Config = {}
    theta, share = rope.get("rope_theta"), rope.get("partial_rotary_factor")
    scaling = {name: value for name, value in rope.items() if name not in ("rope_theta", "partial_rotary_factor")}
    if theta is not None:
        changes["rope_theta"] = theta
    if share not in (None, 1, 1.0):
        changes["partial_rotary_factor"] = share
    if scaling.get("rope_type", scaling.get("type", "default")) != "default":
        changes["rope_scaling"] = scaling
    for name, value in changes.items():
        if name not in taken and not (name == "rope_theta" and float(value) == 10_000.0):
            raise _other(kind, f"rope_parameters with {name}={value!r}", f"mlx-lm's model does not read {name}")
    return changes


def _rope_of_layers(kind: str, rope: Mapping[str, Any], taken: frozenset[str]) -> Config:
    """Return the fields for rotations that differ by the kind of layer, as Gemma 3 has them."""
    parts = list(rope.values())
    if all(part == parts[0] for part in parts):
        return _rope(kind, parts[0], taken)
    local = next((name for name in _LOCAL if name in taken), None)
    whole, windowed = rope.get("full_attention"), rope.get("sliding_attention")
    plain = windowed is not None and windowed.get("rope_type", "default") == "default"
    if len(rope) == 2 and whole is not None and windowed is not None and plain and local is not None:
        return {**_rope(kind, whole, taken), local: windowed["rope_theta"]}
    raise _other(kind, f"rope_parameters of {', '.join(rope)}", "mlx-lm's model has one rotation for all layers")


def check_rotations(module: Any, config: Config, changes: Config) -> None:
    """Raise ModelError where a model that was built rotates by another base than its config says.

    Seen on the modules themselves, because a field that is taken need not be used.
    """
    rope = config.get("rope_parameters")
    if not isinstance(rope, Mapping) or "rope_theta" not in changes:
        return
    parts = [part for part in rope.values() if isinstance(part, Mapping)] or [rope]
    meant = {float(part["rope_theta"]) for part in parts if "rope_theta" in part}
    bases = {float(part.base) for _, part in module.named_modules() if isinstance(part, nn.RoPE) and part.base}
    if bases - meant:
        kind = str(config.get("model_type"))
        raise _other(kind, f"rope_theta={sorted(meant)}", f"mlx-lm built it with {sorted(bases)}")


def window_missed(config: Config, caches: list[Any]) -> int | None:
    """Return how far back a model's windowed layers look where mlx-lm has them look at everything; None where it has the windows.

    Up to so many tokens both compute the same: mlx-lm's Gemma 2 and Mistral leave the windows out without a word.

    Parameters
    ----------
    caches
        What mlx-lm makes for an answer: a layer with a window has one of its size.
    """
    said = config.get("text_config") or config
    window, kinds = said.get("sliding_window"), said.get("layer_types")
    if not isinstance(window, int) or said.get("use_sliding_window") is False:
        return None
    meant = kinds.count("sliding_attention") if isinstance(kinds, list) else None
    if meant == 0:
        return None
    parts = [part for cache in caches for part in getattr(cache, "caches", [cache])]
    there = sum(getattr(part, "max_size", None) == window for part in parts)
    return None if there and meant in (None, there) else window


def _other(kind: str, what: str, why: str) -> ModelError:
    return ModelError(
        f"mlx-lm would compute another model than {kind!r} with {what}.",
        why=f"{why[0].upper()}{why[1:]}.",
        fix="Load it with backend='torch'.",
    )
