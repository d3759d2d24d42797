"""Random numbers that belong to a run.

A run in a thread must not disturb the user's generators, and the user must not disturb the run. So nothing here draws from
the global generators: adapter weights come from a generator of the run's seed, and a dropout mask is a function of
(seed, step, batch, layer). There is then no random state to save, and a resumed run draws what it would have drawn.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from shadownb.engine.seeds import derived_seed

if TYPE_CHECKING:
    from shadownb.engine.backends.torch.packed_batch import PackedBatch


def generator(*parts: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a private generator seeded by :func:`~shadownb.engine.seeds.derived_seed`."""
    return torch.Generator(device=device).manual_seed(derived_seed(*parts))


class _SeededDraws(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Gives every random operation that names no generator one of our own; a mode belongs to its thread alone."""

    def __init__(self, *parts: int | str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._parts = parts
        self._generators: dict[torch.device, torch.Generator] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if torch.Tag.nondeterministic_seeded in func.tags and kwargs.get("generator") is None:
            drawn = [a for a in args if isinstance(a, torch.Tensor)]
            device = torch.device(kwargs.get("device") or (drawn[0].device if drawn else "cpu"))
            with_generator = _taking_generator(func)
            if with_generator is not None and device.type != "meta":
                kwargs["generator"] = self._generator(device)
                return with_generator(*args, **kwargs)
        return func(*args, **kwargs)

    def _generator(self, device: torch.device) -> torch.Generator:
        if device not in self._generators:
            self._generators[device] = generator(*self._parts, device=device)
        return self._generators[device]


def _taking_generator(func: Any) -> Any:
    """Return the operation, or its overload, that takes a generator; None where there is none (fused dropout)."""
    if any(argument.name == "generator" for argument in func._schema.arguments):
        return func
    overload = "generator" if func._overloadname == "default" else f"{func._overloadname}_generator"
    return getattr(func.overloadpacket, overload) if overload in func.overloadpacket.overloads() else None


def seeded_draws(*parts: int | str) -> contextlib.AbstractContextManager[Any]:
    """In this thread, let everything drawn inside the block come from a private generator of these parts.

    For library code that draws without taking a generator (the initialisers of adapters).
    """
    return _SeededDraws(*parts)


class RunDropout(nn.Module):
    """Dropout whose mask depends only on the run's seed, the position in the run, and the layer.

    The same mask is drawn again when activations are recomputed (gradient checkpointing), and in a resumed run.
    """

    def __init__(self, p: float, layer: str, clock: DropoutClock) -> None:
        super().__init__()
        self.p = p
        self.layer = layer
        self.clock = clock

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.p == 0.0:
            return x
        draw = generator(self.clock.seed, self.clock.step, self.clock.batch, self.layer, device=x.device)
        drawn = self.clock.drawn(x.shape[-2]) if x.dim() == 3 and x.shape[0] == 1 else None
        if drawn is None:
            keep = torch.empty_like(x).bernoulli_(1.0 - self.p, generator=draw)
        else:
            whole, places = drawn
            keep = x.new_empty(1, whole, x.shape[-1]).bernoulli_(1.0 - self.p, generator=draw)[:, places]
        return x * keep.div_(1.0 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}, layer={self.layer}"


class DropoutClock:
    """Where a run stands, for its dropout layers: the step, and the batch with how its rows lie.

    A mask is drawn for whole rows: which tokens are computed (what stands behind a row's last target is not) must change no
    number of it, or each such change of ours would be another run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.step = 0
        self.batch = 0
        self._drawn: dict[int, tuple[int, torch.Tensor]] = {}

    def begin(self, batch: int, parts: Sequence[PackedBatch], virtual_tokens: int) -> None:
        """Say what is computed next: a batch of this number, in parts, each behind so many learned embeddings."""
        self.batch, self._drawn = batch, {}
        for part in parts:
            if part.places is not None:
                learned = torch.arange(virtual_tokens, device=part.places.device)
                places = torch.cat((learned, part.places + virtual_tokens))
                self._drawn[len(places)] = (virtual_tokens + part.whole, places)

    def drawn(self, tokens: int) -> tuple[int, torch.Tensor] | None:
        """Return (for how many tokens a mask is drawn, which of them are computed); None where that is for all of them."""
        return self._drawn.get(tokens)


@contextlib.contextmanager
def owned_dropout(model: nn.Module, clock: DropoutClock) -> Iterator[int]:
    """Replace every active dropout module by :class:`RunDropout` inside the block; yields how many."""
    replaced: list[tuple[nn.Module, str, nn.Module]] = []
    for path, parent in list(model.named_modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Dropout) and child.p > 0:
                replaced.append((parent, name, child))
                setattr(parent, name, RunDropout(child.p, f"{path}.{name}", clock).train(child.training))
    try:
        yield len(replaced)
    finally:
        for parent, name, child in replaced:
            setattr(parent, name, child)


def initialise_lora(weight_a: torch.Tensor, weight_b: torch.Tensor, draw: torch.Generator) -> None:
    """Fill a LoRA pair as peft does by default: A uniform as in ``nn.Linear``, B zero."""
    with torch.no_grad():
        bound = math.sqrt(6.0 / ((1 + 5) * weight_a.shape[1]))
        values = torch.empty(weight_a.shape, dtype=torch.float32).uniform_(-bound, bound, generator=draw)
        weight_a.copy_(values)
        weight_b.zero_()


def functional_dropout(model: nn.Module) -> list[str]:
    """Return settings of the model that draw from the global generator inside a function, where no module can be replaced."""
    config = getattr(model, "config", None)
    return [name for name in ("attention_dropout", "attn_pdrop") if float(getattr(config, name, 0.0) or 0.0) > 0]
