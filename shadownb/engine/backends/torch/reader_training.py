"""Training of a memory that is read: facts are stored as they come, and the reader learns to find their places in other wordings.

The model is only looked at, once for each wording, so a step is a product of states that are known already. Its loss is that of
finding the place of each answer token among those of all facts of the step, in nats: what the reader would lose by reading there.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy, normalize

from shadownb.engine.backends.texts import not_finite
from shadownb.engine.backends.torch.adapters.reader import SHARP, ReaderAdapter
from shadownb.engine.backends.torch.memory import PeakMemory
from shadownb.engine.backends.torch.memory_training import MemoryTraining, unit_of
from shadownb.engine.backends.torch.updates import WeightUpdates
from shadownb.engine.embedding import embedder
from shadownb.engine.objectives import Objective
from shadownb.engine.ports.training import Plan
from shadownb.engine.rendering.examples import Example

_KEPT_BYTES = 1 << 29  # of states; what does not fit is looked at again
_LOWEST, _BELOW, _FOLLOWS = (
    0.02,
    0.1,
    0.1,
)  # the floor: so far below that quantile of what is found, by so much of the way a step


class ReaderTraining(MemoryTraining):
    """Facts being stored, and the reader of all being trained."""

    adapter: ReaderAdapter

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._trains = self.config.objective_options.reader_steps > 0
        self._seen: dict[str, list[torch.Tensor]] = {}  # directions of each row of an example, by its id
        self._seen_bytes = 0
        self._step = 0

    @contextlib.contextmanager
    def opened(self, plan: Plan, objective: Objective) -> Iterator[None]:
        """Have everything that steps need inside the block."""
        self.passes = self._make_passes(objective, None)
        self._kernels = ("none", "the model is only looked at")
        self.memory = PeakMemory(self.device)
        self.module.eval()
        reader = self.adapter.reader
        for parameter in (reader.down, reader.up):
            parameter.requires_grad_(True)
        trained = {"down": reader.down, "up": reader.up}
        self.updates = WeightUpdates(reader, trained, self.config, plan.optimizer[0], scaler=None, head=None)
        try:
            yield
        finally:
            self.updates.close()
            reader.requires_grad_(False)
            self._seen.clear()

    # -- a step -----------------------------------------------------------------------------------------------------

    def compute(self, examples: Sequence[Example], objective: Objective, *, step: int, total: int) -> float:
        """Store the facts that are new, return the step's loss and leave its gradients."""
        self._step = step
        self.updates.forget_gradients()
        units = [unit_of([example]) for example in examples]
        states = [self._look(example) for example in examples]
        reader = self.adapter.reader
        if reader.fresh:
            reader.centre.copy_(torch.cat([rows[0] for rows in states]).mean(0))
        for unit, rows, example in zip(units, states, examples, strict=True):
            if not self.adapter.has(unit):
                self.adapter.put(unit, rows[0], _targets(example))
        keys = [self.adapter.keys(unit.id) for unit in units]
        loss = self._loss(keys, states)
        value = float(loss.detach()) / total
        if not math.isfinite(value):
            raise not_finite("loss", value, after=step, rate=self.updates.rate)
        if self._trains:
            (loss / total).backward()  # type: ignore[no-untyped-call]
        self.memory.look()
        return value

    def _loss(self, keys: Sequence[torch.Tensor], states: Sequence[Sequence[torch.Tensor]]) -> torch.Tensor:
        """Return the summed loss of finding each place among all keys."""
        reader = self.adapter.reader
        there = reader(torch.cat(list(keys)))
        start, losses = 0, []
        for own, rows in zip(keys, states, strict=True):
            right = torch.arange(start, start + len(own), device=self.device)
            for row in rows:
                losses.append(cross_entropy(reader(row) @ there.T * SHARP, right, reduction="sum"))
            start += len(own)
        return torch.stack(losses).sum()

    def update(self, rate: float) -> float | None:
        """Move the reader; returns the norm of its gradients, 0 where it stays as it is."""
        if not self._trains:
            return 0.0
        norm = self.updates.apply(rate, after=self._step)
        self.adapter.changed()
        return norm

    def _look(self, example: Example) -> list[torch.Tensor]:
        """Return the directions of the states before each answer token, of each wording; shapes (n, hidden)."""
        if example.id in self._seen:
            return self._seen[example.id]
        got: dict[str, torch.Tensor] = {}
        rows = []
        hook = self.adapter.block.register_forward_hook(
            lambda _, __, output: got.update(state=output[0] if isinstance(output, tuple) else output)
        )
        try:
            for row in example.rows:  # each alone, so that a resume has the same bits
                self.services.check()
                for batch, _ in self.passes.bundles([(row,)]):
                    with self._looking_only(), self.adapter.speaking(()), self.passes.tokens(batch):
                        rows.append(normalize(got["state"][0, batch.keep].float(), dim=-1))
        finally:
            hook.remove()
        size = sum(4 * row.numel() for row in rows)
        if self._seen_bytes + size <= _KEPT_BYTES:
            self._seen[example.id] = rows
            self._seen_bytes += size
        return rows

    # -- without gradients ------------------------------------------------------------------------------------------

    def losses(self, examples: Sequence[Example], objective: Objective) -> Iterator[tuple[float, int]]:
        """Yield (summed loss, number of examples) for as many as a step has, each among the others; none of them is stored."""
        size = max(1, self.config.rows_per_step)
        for start in range(0, len(examples), size):
            group = examples[start : start + size]
            states = [self._look(example) for example in group]
            with torch.no_grad():
                keys = [rows[0].to(torch.float16) for rows in states]
                yield float(self._loss(keys, states)), len(group)

    # -- facts ------------------------------------------------------------------------------------------------------

    @property
    def trained_parameters(self) -> int:
        """How many numbers the reader has that are trained."""
        return 2 * self.adapter.reader.down.numel()

    def forget_gradients(self) -> None:
        """Drop what a broken step left."""
        self.adapter.reader.zero_grad(set_to_none=True)

    def actual_setup(self) -> dict[str, Any]:
        """Return what the training truly had."""
        optimizer = type(self.updates.optimizer)
        return {
            "optimizer": f"{optimizer.__module__}.{optimizer.__qualname__}",
            "place": self.adapter.name,
            "packing": self.packing.kind,
            "trained_dtypes": ["float32"],
            "trained_parameters": self.trained_parameters if self._trains else 0,
            "device": str(self.device),
            "embedder": embedder().id,
        }

    # -- kept -------------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the optimizer's state."""
        self.updates.save(folder)

    def load(self, folder: Path, *, own: bool) -> None:
        """Read it again."""
        self.updates.load(folder, own=own)

    def check_finite(self) -> None:
        """Raise NonFiniteLossError where a number of the reader is NaN or infinite."""
        reader = self.adapter.reader
        if not all(bool(torch.isfinite(each).all()) for each in (reader.down, reader.up)):
            raise not_finite("weights", math.nan, after=self._step + 1, rate=self.updates.rate)

    def checkpoint_bytes(self) -> int:
        """Return the room for what is stored, the reader and two moments of it."""
        return sum(p.numel() * p.element_size() for p in self.adapter.owned().values()) + 8 * self.trained_parameters


def _targets(example: Example) -> torch.Tensor:
    row = example.rows[0]
    return torch.tensor([label for label in row.labels[1:] if label != -100], dtype=torch.int64)
