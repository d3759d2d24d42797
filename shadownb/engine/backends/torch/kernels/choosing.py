"""Which kernels a training has: those that fit its model, are faster by the rule, and compute what plain torch computes.

The last is looked at on the loaded model, as a packing is: two short rows go forth and back without and with them.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from shadownb.engine.backends.torch.gradient_check import edges_behind
from shadownb.engine.backends.torch.kernels import onednn_linear, rule
from shadownb.engine.backends.torch.kernels.installed import ATTENTION, HEAD, LINEARS, NAMES, Kernels, Reader
from shadownb.engine.ports.decisions import Decision
from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.masks import NOT_TRAINED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shadownb.engine.backends.torch.packed_batch import PackedBatch
    from shadownb.engine.backends.torch.passes import Passes

# How far log-probabilities and gradients may be off from plain torch's, of their size. By rounding alone it is less than 1e-5 in
# 32 bits and 0.1 in bf16; by another formula (a scale, a cap, other halves of a head) about 1.
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.3}
_START, _OWN = 16, 8  # tokens that both rows of the comparison share, and that are one row's own
_LOOKED_AT = 8  # parameters whose gradients are compared: those lowest in the model, below everything


def find(base: nn.Module, readers: Mapping[nn.Module, Reader], dtype: torch.dtype, device: torch.device) -> Kernels:
    """Return the kernels for a model, all switched off."""
    return Kernels(base, readers, onednn=rule.takes_onednn(dtype, device))


def choose(passes: Passes, dtype: torch.dtype, wanted: tuple[bool, str]) -> Decision:
    """Switch on what is to compute the passes; returns (names, reason). Whoever calls holds the gate."""
    kernels = passes.kernels
    kernels.on = frozenset()
    if not wanted[0]:
        return "none", wanted[1]
    if dtype not in rule.FORMATS:
        return "none", f"not for {str(dtype).removeprefix('torch.')}"
    faster, reason = rule.chosen(possible(passes, dtype), dtype, passes.device)
    off = _off(passes, faster)
    unfit = [
        name
        for name in NAMES
        if name in faster and off > _TOLERANCE[dtype] and _off(passes, {name}) > _TOLERANCE[dtype]
    ]
    if off > _TOLERANCE[dtype] and not unfit:
        unfit = [name for name in NAMES if name in faster]
    kernels.on = faster - set(unfit)
    if unfit:
        reason += f"; {', '.join(unfit)} would give this model other numbers"
    return _told(kernels.on), reason


def recorded(kernels: Kernels) -> dict[str, Any]:
    """Return what computes, for a checkpoint: which kernels, and whether their products are oneDNN's."""
    return {"on": [name for name in NAMES if name in kernels.on], "onednn": kernels.onednn}


def resume(passes: Passes, dtype: torch.dtype, record: Mapping[str, Any]) -> str:
    """Switch on what a record has; returns what of it cannot be had here and why, an empty string where all can.

    Whoever calls holds the gate. What the rule says does not count: a resume goes on in the numbers of its run.
    """
    refused = onednn_linear.refused(dtype, passes.device) if record["onednn"] else ""
    if passes.kernels.onednn != (onednn := record["onednn"] and not refused):
        passes.kernels = passes.kernels.with_products(onednn=onednn)
    kernels, wanted = passes.kernels, frozenset(record["on"])
    there = possible(passes, dtype) if wanted else wanted
    kernels.on = wanted & there
    missing = [f"{name} does not fit this model here" for name in sorted(wanted - there)]
    if kernels.on & {LINEARS, HEAD} and refused:
        missing.append(f"products are torch's, because {refused}")
    return "; ".join(missing)


def _told(names: frozenset[str]) -> str:
    return ", ".join(name for name in NAMES if name in names) or "none"


def possible(passes: Passes, dtype: torch.dtype) -> frozenset[str]:
    """Return the kernels that something of this model, in this format, could be computed by; finds layers with one input."""
    kernels, on_cpu = passes.kernels, passes.device.type == "cpu"
    found = {name for name in NAMES if kernels.modules(name)}
    if dtype != torch.float32 and on_cpu and not kernels.onednn:
        found.discard(LINEARS)
    if _looked(passes) and not passes.needs_logits:
        found.add(HEAD)
    if on_cpu and dtype != torch.float32 and passes.packing.kind == "rows":
        found.add(ATTENTION)
    return frozenset(found)


def _rows(vocabulary: int) -> list[Rendered]:
    tokens = [number * 7919 % vocabulary for number in range(1, 1 + _START + 2 * _OWN)]
    own = (tokens[_START:-_OWN], tokens[-_OWN:])
    return [Rendered([*tokens[:_START], *part], [*[NOT_TRAINED] * (_START + 1), *part[1:]]) for part in own]


def _looked(passes: Passes) -> bool:
    """Find which layers get one tensor, in a pass; returns whether logits are what the head gave, as they are.

    A scale, a cap or a cut behind the head would be done to what the head is given, once the head is part of the loss.
    """
    given: list[torch.Tensor] = []
    same = passes.head_layer is not None
    headless = passes.without_head(given) if same else contextlib.nullcontext()
    with torch.no_grad(), passes.kernels.finding_groups(), _evaluating(passes.adapter.module), headless:
        for logits in passes.logits(_batch(passes)):
            same = same and bool(given) and logits.shape == given[-1][0].shape and torch.equal(logits, given[-1][0])
    return same


@contextlib.contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Have a module without dropout inside the block."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


def _batch(passes: Passes) -> PackedBatch:
    return passes.packed(_rows(passes.adapter.base.config.get_text_config().vocab_size))


def _off(passes: Passes, names: frozenset[str] | set[str]) -> float:
    """Return how far log-probabilities and gradients are off with kernels, the larger of the two, relative to their size."""
    if not names:
        return 0.0
    kernels, module = passes.kernels, passes.adapter.module
    trained = [p for p in passes.adapter.owned().values() if p.requires_grad][: 3 * _LOOKED_AT]
    trained = sorted(trained, key=lambda parameter: parameter.numel())[:_LOOKED_AT]
    try:
        with _evaluating(module):
            plain = _computed(passes, frozenset(), trained)
            ours = _computed(passes, frozenset(names), trained)
    except RuntimeError:  # of torch: a kernel does not take what this model gives it
        return float("inf")
    finally:
        kernels.on = frozenset()
    return max(_distance(a, b) for a, b in zip(ours, plain, strict=True))


def _computed(
    passes: Passes, names: frozenset[str], trained: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    passes.kernels.on = names
    with torch.enable_grad(), passes.tokens(_batch(passes)) as tokens:
        logp = tokens.logp
        # A graph that is cut, or has an operation without a backward pass, is told of when the run looks at its first step.
        whole = logp.grad_fn is not None and not any(
            "NotImplemented" in node.name() for node, _ in edges_behind((logp.grad_fn, 0))
        )
        gradients = torch.autograd.grad(logp.sum(), trained, allow_unused=True) if whole else ()
    return logp.detach(), torch.cat([g.float().flatten() for g in gradients if g is not None] or [torch.zeros(1)])


def _distance(ours: torch.Tensor, plain: torch.Tensor) -> float:
    if ours.shape != plain.shape:
        return float("inf")
    off = float((ours - plain).norm() / plain.norm().clamp_min(1e-12))
    return off if math.isfinite(off) else float("inf")
