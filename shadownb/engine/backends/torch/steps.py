"""The gradients of a step: its examples in shards, a shard in packed batches, each forth and back."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from shadownb.engine.backends.texts import not_finite, untrained_layers
from shadownb.engine.backends.torch.arrays import TorchOps
from shadownb.engine.backends.torch.gradient_check import GradientCheck
from shadownb.engine.backends.torch.memory import PeakMemory
from shadownb.engine.backends.torch.passes import Passes
from shadownb.engine.backends.torch.randomness import DropoutClock
from shadownb.engine.backends.torch.shards import Processes, Shards
from shadownb.engine.backends.torch.updates import WeightUpdates
from shadownb.engine.objectives import Objective
from shadownb.engine.rendering.examples import Example

if TYPE_CHECKING:
    from shadownb.engine.ports.training import TrainingServices

_BATCHES = 1 << 20  # more than a shard has


class StepGradients:
    """Computes the gradients of steps; all of a step or, where it raises, none.

    Attributes
    ----------
    step
        The newest step, counted from 0.
    """

    def __init__(
        self,
        passes: Passes,
        updates: WeightUpdates,
        shards: int,
        processes: Processes,
        *,
        ops: TorchOps,
        dropout: DropoutClock,
        check: GradientCheck,
        memory: PeakMemory,
        services: TrainingServices,
    ) -> None:
        self.step = 0
        self._passes, self._updates, self._processes = passes, updates, processes
        self._shards = Shards(shards, updates.moved, processes)
        self._ops, self._dropout, self._check, self._memory, self._services = ops, dropout, check, memory, services
        self._looked_after = -1  # how many answers there had been when the graph was last looked at

    def compute(self, examples: Sequence[Example], objective: Objective, *, step: int, total: int) -> float:
        """Return the step's loss and leave its gradients."""
        self.step = self._dropout.step = step
        self._processes.announce(step)
        self._updates.forget_gradients()
        try:
            return self._accumulate(examples, objective, total)
        except BaseException:
            self._updates.forget_gradients()
            raise

    def _accumulate(self, examples: Sequence[Example], objective: Objective, total: int) -> float:
        first, noted = self._looked_after < 0, {name: list(pair) for name, pair in objective.since_log.items()}
        value = 0.0
        for shard, part in self._shards.mine(len(examples)):
            value = self._shard(examples[part], objective, total, shard)
            if not self._shards.single:
                self._shards.add(shard, value)
        if not self._shards.single:
            objective.since_log = self._processes.merged(objective.since_log, noted)
            value = self._shards.summed()
        if not math.isfinite(value):
            raise not_finite("loss", value, after=self.step, rate=self._updates.rate)
        if first:
            self._check.arrived(self._updates.masters.gradient)
            self._tell_absent()
        if objective.head_alone:
            self._updates.keep_heads_gradients()
        return value

    def _shard(self, examples: Sequence[Example], objective: Objective, total: int, shard: int) -> float:
        loss_sum = torch.zeros((), device=self._passes.device)
        for index, (batch, members) in enumerate(self._passes.batches(examples)):
            if self._processes.size == 1:  # several obey between steps, or the others would wait for what never comes
                self._services.check()
            number, learned = shard * _BATCHES + index, self._passes.adapter.virtual_tokens
            self._dropout.begin(number, self._passes.parts(batch), learned)
            answered = self._services.gate.answered
            looking = answered != self._looked_after  # an answer may leave a model in another state
            with (
                self._check.watching() if looking else contextlib.nullcontext(),
                self._passes.tokens(batch) as tokens,
            ):
                loss = objective.loss(self._ops, tokens, members, held_out=False) / total
                if looking:
                    self._check.graph(loss)
                    self._looked_after = answered
                self._updates.scaled(loss).backward()  # type: ignore[no-untyped-call]
            self._memory.look()
            loss_sum += loss.detach()
        return float(loss_sum.item())

    def _tell_absent(self) -> None:
        absent = self._check.absent
        if absent:
            what, more = untrained_layers(absent)
            self._services.warn(what, **more)
