"""How fast each kernel is beside plain torch on this machine, at a model's own widths: half a second of CPU.

It decides nothing (:mod:`.rule` says why); it shows whether the rule holds on a machine that nobody has timed.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from shadownb.engine.backends.torch.kernels import head_loss, linears, rms_norm, rotary, rule, wide_attention
from shadownb.engine.backends.torch.kernels.installed import (
    ATTENTION,
    HEAD,
    LINEARS,
    NAMES,
    NORMS,
    ROTARY,
    Kernels,
    Reader,
)
from shadownb.engine.backends.torch.randomness import seeded_draws
from shadownb.engine.ports.backend_facts import KernelTrial

_ROWS, _MOST_ROWS_TIMES_WEIGHTS = 128, 1e8  # a wide model's layers are tried on fewer rows
_HEAD_ROWS = 16
_ROUNDS = 5

Ways = tuple[Callable[[], Any], Callable[[], Any]]  # (ours, theirs), forward and back


def speeds(kernels: Kernels, head: nn.Linear | None, names: frozenset[str], *, like: torch.Tensor) -> dict[str, float]:
    """Return how many times as fast as plain torch each of the kernels is for this model, 0 where it cannot be computed.

    ``like`` is a parameter of the base, for its number format and device.
    """
    found = {}
    for name in sorted(names):
        try:
            found[name] = round(_ratio(name, kernels, head, like), 3)
        except RuntimeError:  # of torch: this device has no such operation, or no room for it
            found[name] = 0.0
    return found


def on_this_machine() -> KernelTrial:
    """Return how fast each kernel is on the CPU in 32 bits, on a block of SmolLM2-135M's widths with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    widths = LlamaConfig(
        hidden_size=576, intermediate_size=1536, num_attention_heads=9, num_key_value_heads=3, num_hidden_layers=1,
        vocab_size=8192,
    )  # fmt: skip
    with seeded_draws(0, "trial"):  # a user's generator is not to be moved by it
        model = LlamaForCausalLM(widths).requires_grad_(False)
    layers = [module for module in model.model.modules() if type(module) is nn.Linear]
    readers: dict[nn.Module, Reader] = {layer: functools.partial(linears.Layer, layer.weight) for layer in layers}
    dtype, device = torch.float32, torch.device("cpu")
    kernels = Kernels(model, readers, onednn=rule.takes_onednn(dtype, device))
    names = frozenset({LINEARS, NORMS, ROTARY, HEAD})
    on, _ = rule.chosen(names, dtype, device)
    found = speeds(kernels, model.lm_head, names, like=model.lm_head.weight)
    order = [name for name in NAMES if name in names]
    told = {name: found[name] for name in order}
    return KernelTrial(rule.kind(dtype, device), tuple(n for n in order if n in on), told, tuple(rule.loses(on, found)))


def _ratio(name: str, kernels: Kernels, head: nn.Linear | None, like: torch.Tensor) -> float:
    """Return the time of the plain way over the kernel's, the best of interleaved rounds each, summed over its shapes."""
    made: Mapping[str, Callable[[], Iterator[Ways]]] = {
        LINEARS: lambda: _linears(kernels),
        NORMS: lambda: _norms(kernels),
        ROTARY: lambda: _rotary(like),
        HEAD: lambda: _head(head, kernels.onednn),
        ATTENTION: lambda: _attention(like),
    }
    ours = theirs = 0.0
    # On a CPU the time of this thread, which has its share of every product: what else the machine does is not in it.
    on_cpu = like.device.type == "cpu"
    clock = time.thread_time if on_cpu else time.perf_counter
    with torch.enable_grad():
        for pair in made[name]():
            best = [float("inf"), float("inf")]
            for round_ in range(1 + _ROUNDS):
                for side, way in enumerate(pair):
                    began = clock()
                    way()
                    if not on_cpu:
                        torch.accelerator.synchronize(like.device)
                    if round_:  # the first one loads and compiles
                        best[side] = min(best[side], clock() - began)
            ours, theirs = ours + best[0], theirs + best[1]
    return theirs / ours if ours else 0.0


def _numbers(*shape: int, like: torch.Tensor) -> torch.Tensor:
    count = int(torch.tensor(shape).prod())
    return torch.linspace(-9, 9, count, device=like.device).sin().view(shape).to(like.dtype).requires_grad_()


def _there_and_back(way: Callable[..., Any], *given: torch.Tensor, trained: list[torch.Tensor] | None = None) -> Any:
    def both() -> None:
        outputs = way(*given)
        outputs = outputs if isinstance(outputs, tuple | list) else [outputs]
        # Not of a sum: its gradient is one number for all, with strides of zero, which products are slow with.
        torch.autograd.grad(outputs, [*given, *(trained or [])], [o.detach() for o in outputs], allow_unused=True)

    return both


def _linears(kernels: Kernels) -> Iterator[Ways]:
    shapes: dict[Any, tuple[nn.Module, linears.Layer]] = {}
    for module, layer in kernels.layers():
        shapes.setdefault((layer.weight.shape, layer.down is not None), (module, layer))
    for module, layer in sorted(shapes.values(), key=lambda pair: -pair[1].weight.numel())[:3]:
        rows = max(16, min(_ROWS, int(_MOST_ROWS_TIMES_WEIGHTS / layer.weight.numel())))
        given = _numbers(rows, layer.weight.shape[1], like=layer.weight)
        trained = [p for p in (layer.weight, layer.down, layer.up) if p is not None and p.requires_grad]
        theirs = kernels.without(module)

        def ours(x: torch.Tensor, layer: linears.Layer = layer) -> Any:
            return linears.computed(x, [layer], onednn=kernels.onednn)

        yield _there_and_back(ours, given, trained=trained), _there_and_back(theirs, given, trained=trained)


def _norms(kernels: Kernels) -> Iterator[Ways]:
    module: Any = kernels.modules(NORMS)[0]
    given, eps = _numbers(_ROWS, len(module.weight), like=module.weight), rms_norm.eps_of(module)
    assert eps is not None
    yield (
        _there_and_back(lambda x: rms_norm.computed(x, module.weight, eps), given),
        _there_and_back(module.forward, given),
    )


def _rotary(like: torch.Tensor) -> Iterator[Ways]:
    query, key = (_numbers(1, _ROWS, heads, 64, like=like).transpose(1, 2) for heads in (8, 4))
    angles = _numbers(1, _ROWS, 64, like=like).detach()

    def with_angles(way: Callable[..., Any]) -> Any:
        return _there_and_back(lambda q, k: way(q, k, angles.cos(), angles.sin()), query, key)

    yield with_angles(rotary.computed), with_angles(rotary.plain)


def _head(head: nn.Linear | None, onednn: bool) -> Iterator[Ways]:
    assert head is not None
    hidden = _numbers(_HEAD_ROWS, head.weight.shape[1], like=head.weight)
    targets = torch.arange(_HEAD_ROWS, device=head.weight.device)

    def ours(x: torch.Tensor) -> torch.Tensor:
        return head_loss.computed(x, head.weight, head.bias, targets, onednn=onednn)

    yield (
        _there_and_back(ours, hidden),
        _there_and_back(lambda x: head_loss.plain(x, head.weight, head.bias, targets), hidden),
    )


def _attention(like: torch.Tensor) -> Iterator[Ways]:
    given = [_numbers(1, 64, 8, 64, like=like).transpose(1, 2) for _ in range(3)]
    yield tuple(  # type: ignore[misc]
        _there_and_back(lambda q, k, v, way=way: way(q, k, v, is_causal=True), *given)  # type: ignore[misc]
        for way in (wide_attention.computed, wide_attention.plain)
    )
