"""Which kernels are on: a rule by kind of processor, number format and what is trained, with the figures that it rests on.

It is no trial at a run's start. Two homes, or a thread and a process, that measure while the machine does something else would
come to other kernels, and so to other last bits; what a run computes is to be a function of the run and the machine.
:mod:`.trial` measures on the machine at hand, for ``shadownb doctor`` and ``benchmarks/parts.py``, which say where the rule loses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

from shadownb.engine.backends.torch.kernels import onednn_linear
from shadownb.engine.backends.torch.kernels.installed import ATTENTION, HEAD, LINEARS, NAMES, NORMS, ROTARY

FORMATS = (torch.float32, torch.bfloat16)
_FASTER = 1.02  # below that, two timings of the same work differ as much
# What takes less memory need only be as fast within the noise: one row's probabilities in the place of all logits' (34 of 668 MB of
# a LoRA step), and of norms that are trained their input alone (63 of 711 MB of a step of whole weights).
_AS_FAST = 0.95
_SMALLER = frozenset({HEAD, NORMS, ROTARY})
_LOSES = 0.9  # in a trial of some milliseconds

# How many times as fast a whole step is with a kernel as with all others but it, in CPU seconds: SmolLM2-135M, LoRA of rank 16, 8
# rows of the shipped task, one thread of an AMD EPYC, medians of 4 or 5 rounds that are within 5 % of each other
# (benchmarks/parts.py --only-kernels). Whole weights and DoRA gain alike; of a 4-bit base, whose products are bitsandbytes',
# 1.09 in all. AVX2 is the same processor with ATEN_CPU_CAPABILITY=avx2 and ONEDNN_MAX_CPU_ISA=AVX2.
MEASURED: dict[str, dict[str, float]] = {
    "AVX512 in float32": {LINEARS: 1.54, HEAD: 1.02, NORMS: 1.00, ROTARY: 1.00},
    "AVX2 in float32": {LINEARS: 1.06, HEAD: 1.02, NORMS: 0.99, ROTARY: 0.98},
    "bf16 units in bfloat16": {LINEARS: 1.13, HEAD: 1.01, NORMS: 0.99, ROTARY: 1.01, ATTENTION: 1.20},
}
# Where nobody has measured: what was there before the others, with torch's own products.
_UNKNOWN = {torch.float32: frozenset({LINEARS})}


def chosen(possible: frozenset[str], dtype: torch.dtype, device: torch.device) -> tuple[frozenset[str], str]:
    """Return (which of the possible kernels are on, why) for a model's number format and device."""
    figures = MEASURED.get(kind(dtype, device))
    if figures is None:
        found = possible & _UNKNOWN.get(dtype, frozenset())
        return found, f"no others, because none were timed on {kind(dtype, device)}"
    found = frozenset(name for name in possible if figures[name] >= least(name))
    told = ", ".join(f"{name} {figures[name]:.2f}" for name in NAMES if name in possible)
    return (
        found,
        f"a step is so many times as fast with each on {kind(dtype, device)}: {told or 'nothing fits this model'}",
    )


def speedup(name: str, dtype: torch.dtype, device: torch.device) -> float:
    """Return how many times as fast a step is with a kernel, 1 where it is off or nobody has timed it."""
    on, _ = chosen(frozenset({name}), dtype, device)
    return MEASURED.get(kind(dtype, device), {}).get(name, 1.0) if on else 1.0


def loses(on: Iterable[str], speeds: Mapping[str, float]) -> list[str]:
    """Return the kernels that are on though a trial on this machine found them slower than plain torch."""
    return [name for name in NAMES if name in on and name in speeds and speeds[name] < _LOSES]


def least(name: str) -> float:
    """Return how many times as fast as plain torch a kernel has to be."""
    return _AS_FAST if name in _SMALLER else _FASTER


def takes_onednn(dtype: torch.dtype, device: torch.device) -> bool:
    """Return whether products are to be oneDNN's: where they can be had, on a processor on which they were timed."""
    return kind(dtype, device) in MEASURED and not onednn_linear.refused(dtype, device)


def kind(dtype: torch.dtype, device: torch.device) -> str:
    """Return the kind of processor by which figures are known, in words: of a CPU, what it computes a number format with."""
    name = str(dtype).removeprefix("torch.")
    if device.type != "cpu":
        return f"{device.type} in {name}"
    with_ = torch.backends.cpu.get_cpu_capability()
    if dtype == torch.bfloat16:
        with_ = "bf16 units" if _has_bf16_units() else f"{with_} without bf16 units"
    without = " without oneDNN" if onednn_linear.refused(dtype, device) else ""
    return f"{with_} in {name}{without}"


def _has_bf16_units() -> bool:
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # knows ONEDNN_MAX_CPU_ISA, too
    except (AttributeError, RuntimeError):  # a private operator
        return False
