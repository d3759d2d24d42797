"""Optimizers by the names that transformers gives them, as far as they train here; or whatever a callable makes.

The classes are torch's, transformers' and bitsandbytes', with the settings that transformers gives them. Of its other names
some need packages for a machine that is not here (apex, NPU, XLA), some need targets that no option sets (GaLore, APOLLO), and
some need to be told when the model answers (schedule-free): those are refused by name instead of failing in the first step.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from shadownb.engine.importable import load_by_name
from shadownb.errors import ConfigError, did_you_mean

Groups = list[dict[str, Any]]
_ADAM: dict[str, Any] = {"betas": (0.9, 0.999), "eps": 1e-8}
_MIX: dict[str, Any] = {"betas": (0.9, 0.999, 0.9999), "alpha": 5.0, "eps": 1e-8}
_NOT_DECAYED = [r"bias", r"layernorm", r"rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)"]


def _adafactor(groups: Groups) -> torch.optim.Optimizer:
    from transformers.optimization import Adafactor

    return Adafactor(groups, lr=0.0, scale_parameter=False, relative_step=False)  # type: ignore[no-any-return]


def _bitsandbytes(groups: Groups, kind: str, **options: Any) -> torch.optim.Optimizer:
    import bitsandbytes

    made: torch.optim.Optimizer = getattr(bitsandbytes.optim, kind)(groups, lr=0.0, **options)
    return made


def _bits(kind: str, bits: int, options: dict[str, Any], *, paged: bool = False) -> Callable[[Groups], Any]:
    return functools.partial(_bitsandbytes, kind=kind, optim_bits=bits, is_paged=paged, **options)


_LION: dict[str, Any] = {"betas": (0.9, 0.999)}

# The rate is set before each step, so what they are made with does not matter.
OPTIMIZERS: dict[str, Callable[[Groups], torch.optim.Optimizer]] = {
    "adamw_torch": lambda groups: torch.optim.AdamW(groups, lr=0.0, **_ADAM),
    "adamw_torch_fused": lambda groups: torch.optim.AdamW(groups, lr=0.0, fused=True, **_ADAM),
    "adafactor": _adafactor,
    "sgd": lambda groups: torch.optim.SGD(groups, lr=0.0),
    "adagrad": lambda groups: torch.optim.Adagrad(groups, lr=0.0),
    "rmsprop": lambda groups: torch.optim.RMSprop(groups, lr=0.0),
    "adamw_8bit": _bits("AdamW", 8, _ADAM),
    "adamw_bnb_8bit": _bits("AdamW", 8, _ADAM),
    "paged_adamw_8bit": _bits("AdamW", 8, _ADAM, paged=True),
    "paged_adamw_32bit": _bits("AdamW", 32, _ADAM, paged=True),
    "ademamix": _bits("AdEMAMix", 32, _MIX),
    "ademamix_8bit": _bits("AdEMAMix", 8, _MIX),
    "paged_ademamix_8bit": _bits("AdEMAMix", 8, _MIX, paged=True),
    "paged_ademamix_32bit": _bits("AdEMAMix", 32, _MIX, paged=True),
    "lion_8bit": _bits("Lion", 8, _LION),
    "lion_32bit": _bits("Lion", 32, _LION),
    "paged_lion_8bit": _bits("Lion", 8, _LION, paged=True),
    "paged_lion_32bit": _bits("Lion", 32, _LION, paged=True),
    "rmsprop_bnb": functools.partial(_bitsandbytes, kind="RMSprop", optim_bits=32),
    "rmsprop_bnb_8bit": functools.partial(_bitsandbytes, kind="RMSprop", optim_bits=8),
    "rmsprop_bnb_32bit": functools.partial(_bitsandbytes, kind="RMSprop", optim_bits=32),
}


def check_optimizer(asked: str) -> str:
    """Return the name, or raise ConfigError where it is no optimizer that trains here.

    ``module:attribute`` names a callable that takes torch's parameter groups and returns an optimizer.
    """
    if asked == "auto" or asked in OPTIMIZERS:
        return asked
    if ":" in asked:
        _imported(asked)
        return asked
    raise ConfigError(
        f"optim={asked!r} is not an optimizer that trains here.{did_you_mean(asked, [*OPTIMIZERS])}",
        fix=f"Use auto or one of {', '.join(OPTIMIZERS)}; or 'module:function', which gets the parameter groups and "
        "returns a torch optimizer.",
    )


def make_optimizer(name: str, module: nn.Module, weight_decay: float) -> torch.optim.Optimizer:
    """Return the optimizer of a module's trainable tensors; biases and norms do not decay."""
    from transformers.trainer_pt_utils import get_parameter_names

    decayed = set(get_parameter_names(module, [nn.LayerNorm], _NOT_DECAYED))
    trained = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    groups: Groups = [
        {"params": [p for n, p in trained if n in decayed], "weight_decay": weight_decay},
        {"params": [p for n, p in trained if n not in decayed], "weight_decay": 0.0},
    ]
    if ":" in name:
        return _from_callable(name, groups)
    optimizer = OPTIMIZERS[name](groups)
    if type(optimizer).__module__.startswith("bitsandbytes") and "8bit" in name:
        _keep_embeddings_in_32_bits(module)
    return optimizer


def _from_callable(name: str, groups: Groups) -> torch.optim.Optimizer:
    made = _imported(name)(groups)
    if not isinstance(made, torch.optim.Optimizer):
        raise ConfigError(
            f"optim={name!r} returned a {type(made).__name__}, not a torch optimizer.",
            fix="Return an instance of torch.optim.Optimizer made of the parameter groups it is given.",
        )
    return made


def _imported(name: str) -> Callable[[Groups], Any]:
    found = load_by_name("optim", name)
    if not callable(found):
        raise ConfigError(
            f"optim={name!r} is a {type(found).__name__}, which cannot be called.", fix="Name a function."
        )
    return found  # type: ignore[no-any-return]


def _keep_embeddings_in_32_bits(module: nn.Module) -> None:
    import bitsandbytes

    manager: Any = bitsandbytes.optim.GlobalOptimManager.get_instance()
    for part in module.modules():
        if isinstance(part, nn.Embedding):
            manager.register_module_override(part, "weight", {"optim_bits": 32})
