"""Does a gradient reach everything that is trained, through everything that is frozen?

Of an operation without a backward pass, torch gives no gradient and a warning; of a ``detach()``, not even that. The rest of the
gradient comes by way of the residual connections, so a loss falls and the run succeeds (of QLoRA on a packed 4-bit base the
norm at step 1 was 0.54 where LoRA had 3.12). So the graph of the first pass is looked at before any weight moves, and again
whenever somebody else had the weights in between: it costs some milliseconds, and numbers are not looked at, because
zeros are legitimate (the first half of a LoRA pair at the start, a pair that DPO has learned).
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from shadownb.engine.backends.torch.adapters import Adapter
from shadownb.errors import GradientError

_UNREGISTERED = ".*an autograd kernel was not registered to the Autograd key"
_FIX = (
    "Update torch, transformers and bitsandbytes, or take another base or method. If a library patches this model, "
    "leave that out."
)


@dataclass(frozen=True)
class _Computed:
    """The output of one module in a pass: its node in the graph and its number there, None where no gradient goes there."""

    name: str
    node: tuple[Any, int] | None
    block: int  # the number of the decoder's block that it is in, -1 outside
    needed: bool  # whether what it was computed from has a gradient


class GradientCheck:
    """Looks at the first pass of a run with an adapter.

    Attributes
    ----------
    reached
        After :meth:`arrived`, the lowest trained layer of each kind, that a gradient has come to.
    absent
        After :meth:`arrived`, the trained layers that the step did not compute.
    """

    def __init__(self, adapter: Adapter) -> None:
        self._surface = adapter
        self._watched = dict(_watched(adapter.module))
        self._blocks = _block_prefix(adapter)
        self._computed: list[_Computed] = []
        self._names: set[str] = set()
        self.reached: list[str] = []
        self.absent: list[str] = []

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Note what the modules compute inside the block, and take torch's warning of a missing backward pass for an error."""
        self._computed = []
        hooks = [module.register_forward_hook(self._note(name)) for name, module in self._watched.items()]
        warnings.filterwarnings("error", message=_UNREGISTERED, category=UserWarning)
        # Taken out by itself at the end: catch_warnings would undo what other threads set meanwhile.
        mine = next(entry for entry in warnings.filters if entry[0] == "error" and _is(entry[1], _UNREGISTERED))
        try:
            yield
        except UserWarning as warning:
            raise _no_backward(str(warning).split(":", 1)[0]) from None
        finally:
            for hook in hooks:
                hook.remove()
            with contextlib.suppress(ValueError):
                warnings.filters.remove(mine)  # type: ignore[attr-defined]
            self._computed = []

    def _note(self, name: str) -> Callable[..., None]:
        block = (
            int(name.removeprefix(self._blocks).split(".")[0]) if self._blocks and name.startswith(self._blocks) else -1
        )

        def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            self._names.add(name)
            first = output[0] if isinstance(output, tuple) and output else output
            given = inputs[0] if inputs else None
            both = isinstance(first, torch.Tensor) and isinstance(given, torch.Tensor)
            if both and first.is_floating_point() and given.is_floating_point() and torch.is_grad_enabled():  # type: ignore[union-attr]
                self._computed.append(_Computed(name, _node(first), block, given.requires_grad))  # type: ignore[arg-type, union-attr]

        return note

    def graph(self, loss: torch.Tensor) -> None:
        """Walk from a loss through the pass that was watched.

        Raises
        ------
        GradientError
            An operation on the way has no backward pass, or something that was computed above the lowest trained layer
            does not lead to the loss.
        """
        computed, self._computed = self._computed, []  # recomputing in the backward pass is not noted
        edges = edges_behind((loss.grad_fn, loss.output_nr)) if loss.grad_fn is not None else set()
        for edge in edges:
            if "NotImplemented" in edge[0].name():
                behind = (part.name for part in computed if part.node and edge in edges_behind(part.node))
                raise _no_backward(next(behind, "the model"))
        if any("CheckpointFunction" in node.name() for node, _ in edges):
            return  # the reentrant kind has a graph of its own in the backward pass; arrived() sees what comes of it
        lowest = min((part.block for part in computed if part.node and part.block >= 0), default=-1)
        for part in computed:
            # Of the lowest block, some layers stand below or beside what is trained; of those above it, none does.
            wanted = part.needed or part.node is not None or part.block > lowest
            if wanted and part.block >= 0 and part.node not in edges:
                raise _cut(part.name)
        if not edges:
            raise _cut("the loss")

    def arrived(self, gradient_of: Callable[[nn.Parameter], torch.Tensor | None]) -> None:
        """Look at what the backward passes of a whole step left.

        Raises
        ------
        GradientError
            A trained weight of a layer that was computed has no gradient.
        """
        trained = {name: p for name, p in self._surface.owned().items() if p.requires_grad}
        owners = {name: self._owner(name) for name in trained}
        missing = [name for name, parameter in trained.items() if gradient_of(parameter) is None]
        absent = {owners[name] for name in missing} - self._names
        may_be_absent = self._surface.kind == "weights"
        cut = [
            n
            for n in missing
            if owners[n] in self._names or not (may_be_absent or (self._blocks and n.startswith(self._blocks)))
        ]
        if cut:
            raise _cut(_lowest(cut))
        self.absent = sorted(name for name in absent if "expert" not in name)  # an expert may have got no token
        there = [name for name in trained if owners[name] not in absent]
        self.reached = sorted(_lowest(names) for names in _by_kind(there).values())

    def _owner(self, parameter: str) -> str:
        """Return the watched module that computes with a parameter."""
        parts = parameter.split(".")
        names = (".".join(parts[:length]) for length in range(len(parts) - 1, 0, -1))
        tuner = [n for n in (".".join(parts[:k]) for k in range(1, len(parts))) if _is_tuner(self._watched.get(n))]
        return tuner[0] if tuner else next((name for name in names if name in self._watched), "")


def _watched(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield adapted layers whole, and all other modules that have weights of their own."""
    inside = "\n"
    for name, child in module.named_modules():
        if name.startswith(inside):
            continue
        if isinstance(child, BaseTunerLayer):
            inside = f"{name}."
            yield name, child
        elif name and any(True for _ in child.parameters(recurse=False)):
            yield name, child


def _is_tuner(module: nn.Module | None) -> bool:
    return isinstance(module, BaseTunerLayer)


def _block_prefix(adapter: Adapter) -> str:
    """Return how the names of the modules in the decoder's blocks begin, an empty string where it has no list of them."""
    layers = adapter.base.config.get_text_config().num_hidden_layers
    lists = (n for n, m in adapter.module.named_modules() if isinstance(m, nn.ModuleList) and len(m) == layers)
    return next((f"{name}." for name in lists), "")


def _node(output: torch.Tensor) -> tuple[Any, int] | None:
    """Return an output's place in the graph: of a view, that of what it shows, because adding to it in place replaces its own.

    Layers that are computed as one are one node, each with its own number: query may lead to the loss where key does not.
    """
    base = output._base if output._is_view() else None
    shown = output if base is None or base.grad_fn is None else base
    return None if shown.grad_fn is None else (shown.grad_fn, shown.output_nr)


def edges_behind(edge: tuple[Any, int]) -> set[tuple[Any, int]]:
    """Return the places in the graph, as (node, number of its output), that a gradient comes to from one of them."""
    found, walked, waiting = {edge}, {edge[0]}, [edge[0]]
    while waiting:
        for following, number in waiting.pop().next_functions:
            if following is not None:
                found.add((following, number))
                if following not in walked:
                    walked.add(following)
                    waiting.append(following)
    return found


def _by_kind(names: list[str]) -> dict[str, list[str]]:
    """Return names that differ in the block's number alone, together."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(re.sub(r"\.\d+\.", ".#.", name), []).append(name)
    return kinds


def _lowest(names: list[str]) -> str:
    return min(names, key=lambda name: [int(number) for number in re.findall(r"\.(\d+)\.", name)])


def _is(pattern: Any, text: str) -> bool:
    return str(getattr(pattern, "pattern", pattern)) == text


def _no_backward(where: str) -> GradientError:
    return GradientError(
        f"No gradient goes through {where}: it computes with an operation that has no backward pass.",
        why="What is trained below it would get only a part of its gradient, and the run would look as if it worked. "
        "No weight has been moved by it.",
        fix=_FIX,
    )


def _cut(where: str) -> GradientError:
    return GradientError(
        f"No gradient comes to {where}: the graph is cut between it and the loss, or before it.",
        why="It is computed above or at what is trained, so the gradient would lack its part. No weight has been moved by it.",
        fix=_FIX,
    )
