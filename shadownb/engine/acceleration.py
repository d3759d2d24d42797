"""``accelerator=``: what makes training faster or smaller here, decided from facts and told as (value, reason).

``auto`` takes what changes nothing but speed: the attention kernel, the fused optimizer, recomputing of activations only
where they would not fit. ``shadow`` adds what trades exactness of the arithmetic for memory: a 4-bit base that would not
fit otherwise, 8-bit optimizer states where they are large, fused kernels for norms and activations. ``none`` is plain
torch, to compare with. What a run truly had is read from the trainer afterwards (``record.actual_setup``), not from here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import psutil

from shadownb.engine import hardware
from shadownb.engine.ports.backend_facts import Choices
from shadownb.engine.ports.training import Plan
from shadownb.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from shadownb.engine.ports.backend import Backend

Accelerator = Literal["auto", "shadow", "none"]
ACCELERATORS = ("auto", "shadow", "none")
Decision = tuple[str, str]  # (value, reason)

# 8-bit states save 6 bytes a weight; below this they save less than the kernels' own buffers cost.
_MANY_TRAINED = 50_000_000
_FITS = 0.85  # of the free memory may be planned for; the rest is fragmentation and the display


@dataclass(frozen=True)
class Facts:
    """What the decisions depend on.

    Attributes
    ----------
    device
        ``cpu``, ``cuda``, ``mps`` or ``xpu``.
    free_gb
        Free memory of the device, in units of 1e9 bytes.
    packages
        Which of the optional packages are installed.
    dtype
        The number format that training computes in.
    always
        What the backend has no choice in.
    """

    device: str
    free_gb: float
    packages: frozenset[str] = frozenset()
    dtype: str = "float32"
    always: Choices = field(default_factory=Choices)


def facts(backend: Backend, device: str, dtype: str) -> Facts:
    """Return the facts about this machine."""
    kind = device.split(":", maxsplit=1)[0]
    free = backend.free_memory_gb(device)
    names = ("flash_attn", "kernels", "bitsandbytes", "liger_kernel")
    installed = frozenset(name for name in names if hardware.has_package(name))
    return Facts(
        kind, psutil.virtual_memory().available / 1e9 if free is None else free, installed, dtype, backend.choices()
    )


def check(accelerator: str) -> None:
    """Raise ConfigError for a value that is not known."""
    if accelerator not in ACCELERATORS:
        raise ConfigError(
            f"accelerator={accelerator!r} is not known.{did_you_mean(accelerator, ACCELERATORS)}",
            fix=f"Use one of {', '.join(ACCELERATORS)}.",
        )


def choose_attention(accelerator: str, known: Facts) -> Decision:
    """Return the attention implementation to load a model with."""
    if known.always.attention is not None:
        return known.always.attention
    if accelerator == "none":
        return "sdpa", "torch's own, because accelerator='none'"
    if known.device != "cuda":
        return "sdpa", f"torch's own kernel is the fast one on {known.device}"
    if known.dtype == "float32":
        return "sdpa", "flash attention computes in 16 bits only, and this model is loaded in 32"
    if "flash_attn" in known.packages:
        return "flash_attention_2", "flash-attn is installed"
    if accelerator == "shadow" and "kernels" in known.packages:
        return "kernels-community/flash-attn2", "flash attention as a prebuilt kernel from the hub"
    return "sdpa", "neither flash-attn nor, with accelerator='shadow', the package kernels is installed"


def choose_quantization(accelerator: str, asked: str | None, weights_gb: float | None, known: Facts) -> Decision:
    """Return ``4bit``, ``8bit`` or an empty string; ``weights_gb`` is the size in 16 bits, None where it is not known."""
    if asked is not None:
        return asked, "asked for"
    if accelerator != "shadow":
        return "", "quantize was left out"
    if known.device != "cuda":
        return "", f"on {known.device} a 4-bit base makes every step slower"
    if weights_gb is None or weights_gb < 0.6 * known.free_gb:
        return "", f"the weights leave room: {known.free_gb:.0f} GB are free"
    if "bitsandbytes" not in known.packages:
        return "", f"{weights_gb:.0f} GB of weights fill {known.free_gb:.0f} GB, but bitsandbytes is not installed"
    return "4bit", f"{weights_gb:.0f} GB of weights would fill the {known.free_gb:.0f} GB that are free"


def choose_optimizer(asked: str, accelerator: str, trained: int, needed_gb: float, known: Facts) -> Decision:
    """Return the name of the optimizer.

    Parameters
    ----------
    trained
        Number of trained weights.
    needed_gb
        Estimated peak memory of the run.
    """
    if asked != "auto":
        return asked, "asked for"
    if known.always.optimizer is not None:
        return known.always.optimizer
    if accelerator == "none":
        return "adamw_torch", "plain, because accelerator='none'"
    small = trained < _MANY_TRAINED
    if accelerator == "shadow" and known.device == "cuda" and "bitsandbytes" in known.packages and not small:
        if needed_gb > _FITS * known.free_gb:
            return (
                "paged_adamw_8bit",
                f"{trained:,} trained weights, and {needed_gb:.0f} GB would not fit: paged 8 bits",
            )
        return "adamw_8bit", f"8-bit states for {trained:,} trained weights"
    fused = f"torch's fused AdamW, one pass over the weights on {known.device}"
    if accelerator != "shadow":
        return "adamw_torch_fused", fused
    why = "8 bits would save little on so few weights" if small else "bitsandbytes' 8 bits are for GPUs"
    return "adamw_torch_fused", f"{fused}; {why}"


def choose_checkpointing(asked: str, accelerator: str, needed_gb: float, known: Facts) -> tuple[bool, str]:
    """Return (whether to recompute activations, reason); ``needed_gb`` is the estimate without recomputing."""
    if asked != "auto":
        return asked == "on", "asked for"
    if accelerator == "none":
        return False, "off, because accelerator='none'"
    if needed_gb <= _FITS * known.free_gb:
        return False, f"about {needed_gb:.1f} GB fit into {known.free_gb:.1f} GB, so recomputing would only cost time"
    return True, f"about {needed_gb:.1f} GB would not fit into {known.free_gb:.1f} GB"


def choose_kernels(accelerator: str, known: Facts) -> tuple[bool, str]:
    """Return (whether fused kernels for norms and activations are used, reason)."""
    if known.always.kernels is not None:
        return known.always.kernels
    if accelerator != "shadow":
        return False, "only with accelerator='shadow'"
    if known.device != "cuda":
        return False, f"they are written in Triton, which {known.device} does not run"
    if "liger_kernel" not in known.packages:
        return False, "liger-kernel is not installed (pip install liger-kernel)"
    return True, "liger-kernel is installed"


def choose_own_kernels(accelerator: str, known: Facts) -> tuple[bool, str]:
    """Return (whether the backend may compute parts of a model in faster ways of its own, reason); it decides which."""
    if known.always.own_kernels is not None:
        return known.always.own_kernels
    if accelerator == "none":
        return False, "plain torch, because accelerator='none'"
    return True, "those that fit the model and are faster on processors of this kind"


def plan(accelerator: str, optim: str, checkpointing: str, *, trained: int, needed_gb: float, known: Facts) -> Plan:
    """Return the plan of a run; the parameters are those of the single decisions."""
    return Plan(
        choose_optimizer(optim, accelerator, trained, needed_gb, known),
        choose_checkpointing(checkpointing, accelerator, needed_gb, known),
        choose_kernels(accelerator, known),
        choose_own_kernels(accelerator, known),
    )
