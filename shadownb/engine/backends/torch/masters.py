"""32-bit copies of what is trained in 16 bits; the optimizer moves the copies, and the weights are those, rounded.

Near 0.1 two neighbouring bf16 numbers are 0.0005 apart, so that updates of 0.0001 would be rounded away one by one. And a
gradient scaler refuses to unscale fp16 gradients. Adapters are made in 32 bits and need no copies; whole weights, biases
and embeddings of a 16-bit base do. The model itself keeps its number format, so that answers, files and hashes are of the
weights it was loaded in; only a checkpoint's training state holds the copies.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from shadownb.engine.backends.torch.adapters.tensors import for_file

FILE = "masters.safetensors"
_NARROW = (torch.float16, torch.bfloat16)


class Masters:
    """The copies of those of ``parameters`` that have 16 bits, by name; empty where none has."""

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self._trained = {name: p for name, p in parameters.items() if p.requires_grad and p.dtype in _NARROW}
        self._copies = {name: nn.Parameter(p.detach().float()) for name, p in self._trained.items()}
        self._by_parameter = {self._trained[name]: copy for name, copy in self._copies.items()}
        self._hooks: list[Any] = []
        for parameter in self._by_parameter:
            hook = parameter.register_post_accumulate_grad_hook(self._take_gradient)  # type: ignore[no-untyped-call]
            self._hooks.append(hook)

    def moved(self, module: nn.Module) -> list[nn.Parameter]:
        """Return what the optimizer moves for a module's parameters, in their order."""
        return [self._by_parameter.get(parameter, parameter) for parameter in module.parameters()]

    def gradient(self, parameter: nn.Parameter) -> torch.Tensor | None:
        """Return the gradient of a parameter, or of its copy."""
        return self._by_parameter.get(parameter, parameter).grad

    def put_into(self, optimizer: torch.optim.Optimizer) -> None:
        """Let a fresh optimizer move the copies."""
        if not self._copies:
            return
        for group in optimizer.param_groups:
            group["params"] = [self._by_parameter.get(parameter, parameter) for parameter in group["params"]]
        optimizer.register_step_post_hook(lambda *_: self._round())
        if type(optimizer).__module__.startswith("bitsandbytes"):
            self._repeat_overrides()

    def forget_gradients(self) -> None:
        """Begin a step."""
        for copy in self._copies.values():
            copy.grad = None

    def save(self, folder: Path) -> None:
        """Write the copies, if there are any."""
        if self._copies:
            save_file(for_file(self._copies), folder / FILE)

    def load(self, folder: Path) -> None:
        """Put copies back, bit for bit; without a file they stay what the 16-bit weights are."""
        if self._copies and (folder / FILE).is_file():
            tensors = load_file(folder / FILE)
            with torch.no_grad():
                for name, copy in self._copies.items():
                    copy.copy_(tensors[name])

    def leave(self) -> None:
        """Take the hooks off the parameters and let go of the copies."""
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._trained, self._copies, self._by_parameter = [], {}, {}, {}

    def _take_gradient(self, parameter: torch.Tensor) -> None:
        """Add a batch's gradient to the copy's, in 32 bits, and free it."""
        assert isinstance(parameter, nn.Parameter) and parameter.grad is not None
        copy = self._by_parameter[parameter]
        copy.grad = parameter.grad.float() if copy.grad is None else copy.grad.add_(parameter.grad)
        parameter.grad = None

    def _round(self) -> None:
        with torch.no_grad():
            for name, parameter in self._trained.items():
                parameter.copy_(self._copies[name])

    def _repeat_overrides(self) -> None:
        """Say of the copies, too, what transformers told bitsandbytes of the embeddings: their states stay in 32 bits."""
        import bitsandbytes

        manager: Any = bitsandbytes.optim.GlobalOptimManager.get_instance()
        for module, attribute, config in list(manager.module_weight_config_triple):
            copy = self._by_parameter.get(getattr(module, attribute))
            if copy is not None:
                manager.register_module_override(SimpleNamespace(weight=copy), "weight", config)
