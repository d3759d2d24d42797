"""The kernels on the modules of one model, inside a block; outside of it, every module computes as its library made it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from shadownb.engine.backends.torch.kernels import linears, rms_norm, rotary

# In the order in which a reader wants to know them; what each does is in the module of that name.
LINEARS, NORMS, ROTARY, HEAD, ATTENTION = "linears", "rms_norm", "rotary", "head_loss", "wide_attention"
NAMES = (LINEARS, HEAD, NORMS, ROTARY, ATTENTION)

Reader = Callable[[], linears.Layer | None]


class Kernels:
    """What is computed by kernels, of one model.

    Attributes
    ----------
    onednn
        Whether products are oneDNN's.
    on
        The names of those that are on; may be set.
    """

    def __init__(
        self, base: nn.Module, readers: Mapping[nn.Module, Reader], on: frozenset[str] = frozenset(), *, onednn: bool
    ) -> None:
        self.onednn, self.on = onednn, on
        self._ways: dict[str, dict[nn.Module, Callable[..., Any]]] = {
            LINEARS: {
                module: functools.partial(_linear, read, _theirs(module), onednn) for module, read in readers.items()
            },
            NORMS: dict(_norms(base)),
            ROTARY: dict(_rotary(base)),
        }
        self._base, self._readers = base, readers
        self._groups: list[_Together] = []

    def with_products(self, *, onednn: bool) -> Kernels:
        """Return the same kernels with oneDNN's products or torch's own, switched off."""
        return Kernels(self._base, self._readers, onednn=onednn)

    def modules(self, name: str) -> list[nn.Module]:
        """Return the modules that a kernel computes, where it is one for modules."""
        return list(self._ways.get(name, {}))

    def layers(self) -> list[tuple[nn.Module, linears.Layer]]:
        """Return the linear layers with what they compute with."""
        found = ((module, read()) for module, read in self._readers.items())
        return [(module, layer) for module, layer in found if layer is not None]

    def without(self, module: nn.Module) -> Callable[..., Any]:
        """Return what computes a module where no kernel does."""
        return _theirs(module)

    @property
    def computes_by_onednn(self) -> bool:
        """Whether a kernel that is on takes oneDNN's products."""
        return self.onednn and bool(self.on & {LINEARS, HEAD})

    @property
    def adapted(self) -> int:
        """How many layers are computed in one operation with their LoRA pair."""
        return sum(layer.down is not None for _, layer in self.layers()) if LINEARS in self.on else 0

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Have the modules compute so inside the block, which may stand in another one."""
        ways: dict[nn.Module, Callable[..., Any]] = {}
        for name in NAMES:
            ways.update(self._ways.get(name, {}) if name in self.on else {})
        for group in self._groups if LINEARS in self.on else ():
            ways.update(group.ways)
        before = {module: vars(module).get("forward") for module in ways}
        for module, way in ways.items():
            module.forward = way  # type: ignore[method-assign]
        try:
            yield
        finally:
            for group in self._groups:
                group.forget()
            for module, earlier in before.items():
                if earlier is None:
                    del module.forward
                else:
                    module.forward = earlier  # type: ignore[method-assign]

    # -- layers with one input --------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def finding_groups(self) -> Iterator[None]:
        """Look which layers get the same tensor in a forward pass inside the block; they are computed together from then on."""
        self._groups = []
        seen: list[tuple[nn.Module, torch.Tensor]] = []  # holds the inputs, so that no other gets the place of one
        hooks = [
            module.register_forward_pre_hook(lambda module, inputs: seen.append((module, inputs[0])))
            for module in self._readers
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
        groups: dict[int, list[nn.Module]] = {}
        for module, given in seen:
            groups.setdefault(id(given), []).append(module)
        for members in groups.values():
            if len(members) > 1 and len({id(member) for member in members}) == len(members):
                self._groups.append(_Together({member: self._readers[member] for member in members}, self.onednn))


def _linear(
    read: Reader, theirs: Callable[..., Any], onednn: bool, inputs: torch.Tensor, *args: Any, **kwargs: Any
) -> Any:
    layer = read()
    if layer is None or args or kwargs or not _fits(inputs, layer, onednn):
        return theirs(inputs, *args, **kwargs)
    with torch.autocast(inputs.device.type, enabled=False):  # the number formats are all said there
        return linears.computed(inputs, [layer], onednn=onednn)[0]


def _fits(inputs: torch.Tensor, layer: linears.Layer, onednn: bool) -> bool:
    """Return whether format and width fit; where they do not, the library casts, or says so in its own words.

    Without oneDNN a bias of 16 bits would be rounded before the sum.
    """
    once = layer.weight.dtype == torch.float32 or layer.bias is None or onednn
    return once and inputs.dtype == layer.weight.dtype and inputs.shape[-1] == layer.weight.shape[1]


def _theirs(module: nn.Module) -> Callable[..., Any]:
    """Return what computes a module without kernels: a ``forward`` of its own, else its class's."""
    return vars(module).get("forward") or functools.partial(type(module).forward, module)


class _Together:
    """Layers that get the same tensor: the first one that is called computes all, the others find their output waiting."""

    def __init__(self, readers: Mapping[nn.Module, Reader], onednn: bool) -> None:
        self._readers, self._onednn = readers, onednn
        self._alone = {
            module: functools.partial(_linear, read, _theirs(module), onednn) for module, read in readers.items()
        }
        self._first = next(iter(readers))
        self._inputs: torch.Tensor | None = None
        self._waiting: dict[nn.Module, torch.Tensor] = {}
        self.ways = {module: functools.partial(self._forward, module) for module in readers}

    def forget(self) -> None:
        self._inputs, self._waiting = None, {}

    def _forward(self, module: nn.Module, inputs: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if self._inputs is inputs and module in self._waiting:
            output = self._waiting.pop(module)
            if not self._waiting:
                self._inputs = None
            return output
        layers = [read() for read in self._readers.values()]
        known = [layer for layer in layers if layer is not None and _fits(inputs, layer, self._onednn)]
        if module is not self._first or args or kwargs or len(known) < len(layers):
            return self._alone[module](inputs, *args, **kwargs)
        with torch.autocast(inputs.device.type, enabled=False):
            outputs = linears.computed(inputs, known, onednn=self._onednn)
        self._inputs, self._waiting = inputs, dict(zip(self._readers, outputs, strict=True))
        return self._waiting.pop(module)


def _norms(base: nn.Module) -> Iterator[tuple[nn.Module, Callable[..., Any]]]:
    """Yield the RMS norms; one module of a class and width is looked at for all of them."""
    known: dict[Any, float | None] = {}
    for module in base.modules():
        weight = getattr(module, "weight", None)
        if (
            not type(module).__name__.endswith("RMSNorm")
            or not isinstance(weight, nn.Parameter)
            or "forward" in vars(module)
        ):
            continue
        key = (type(module), tuple(weight.shape), rms_norm.eps_of(module), weight.dtype)
        if key not in known:
            known[key] = rms_norm.offset_of(module)
        if (offset := known[key]) is not None:
            yield module, functools.partial(_norm, module, offset)


def _norm(module: Any, offset: float, inputs: torch.Tensor) -> torch.Tensor:
    eps = rms_norm.eps_of(module)
    assert eps is not None
    return rms_norm.computed(inputs, module.weight, eps, offset=offset)


def _rotary(base: nn.Module) -> Iterator[tuple[nn.Module, Callable[..., Any]]]:
    """Yield the attention layers that turn halves; one of each class is looked at for all of them."""
    known: dict[type, bool] = {}
    for module in base.modules():
        kind = type(module)
        if "forward" not in vars(module):
            if kind not in known:
                known[kind] = rotary.is_rotary(module)
            if known[kind]:
                yield module, rotary.attention_with(module)
