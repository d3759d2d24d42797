"""A step in fixed shards: gradients of each are made by themselves and summed in one order, however many processes compute.

How many there are is an option of the run, so that one process and two give the same bits: gloo's own reduction equals an ordered
sum with two processes and not with three or four, sending each shard's gradient to all and adding them up in order does.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import torch
from torch import nn

from shadownb.errors import RunError

_OVER = -1
_PATIENCE = timedelta(days=30)  # a pause keeps the others waiting


class Processes:
    """The processes that share a run's steps; the first alone writes journal and checkpoints and obeys commands.

    They meet once a step, behind their own shards and before gradients are exchanged. One that fails says so there, so that
    all end and none waits for what never comes: :meth:`leave` is called however a training ends.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size
        self._owed = False  # a step was announced, and this process has not met the others in it
        self._parted = False  # somebody has failed, or no step comes any more

    @classmethod
    def joined(cls) -> Processes:
        """Return what this process is among those that torchrun started; alone where nobody did."""
        distributed = torch.distributed
        if not distributed.is_available() or int(os.environ.get("WORLD_SIZE", "1")) < 2:
            return cls()
        if not distributed.is_initialized():
            kind = "nccl" if torch.cuda.is_available() else "gloo"
            distributed.init_process_group(kind, timeout=_PATIENCE)
        return cls(distributed.get_rank(), distributed.get_world_size())

    def announce(self, step: int) -> None:
        """Say to the others which step comes now; only the first process does."""
        if self.size > 1 and self.rank == 0:
            torch.distributed.broadcast(torch.tensor(step), src=0)
            self._owed = True

    def announced(self) -> Iterator[int]:
        """Yield the steps that the first process announces, until it says that it is over."""
        while (step := self._hear()) != _OVER:
            yield step

    def _hear(self) -> int:
        told = torch.tensor(0)
        torch.distributed.broadcast(told, src=0)
        step = int(told)
        self._owed, self._parted = step != _OVER, step == _OVER
        return step

    def merged(self, sums: dict[str, list[float]], before: dict[str, list[float]]) -> dict[str, list[float]]:
        """Meet the others; returns (sum, count) of each metric with what all processes have added to those before.

        Raises
        ------
        RunError
            Another process has failed, and how.
        """
        if self.size == 1:
            return sums
        mine = {
            name: [a - b for a, b in zip(pair, before.get(name, (0.0, 0.0)), strict=True)]
            for name, pair in sums.items()
        }
        total = {name: list(pair) for name, pair in before.items()}
        for part in self._meet(mine):
            for name, pair in part.items():
                known = total.setdefault(name, [0.0, 0.0])
                known[0], known[1] = known[0] + pair[0], known[1] + pair[1]
        return total

    def _meet(self, mine: dict[str, list[float]] | str) -> list[dict[str, list[float]]]:
        """Exchange the metrics of a step, or how this process failed."""
        parts: list[Any] = [{} for _ in range(self.size)]
        torch.distributed.all_gather_object(parts, mine)
        self._owed = False
        for rank, part in enumerate(parts):
            if isinstance(part, str):
                self._parted = True
                raise RunError(
                    f"Process {rank + 1} of {self.size} failed: {part}",
                    why="The processes of a run compute each step together, so none can go on alone.",
                    fix="run.resume() goes on from the newest checkpoint. What that process wrote to its output has more.",
                )
        return parts

    def leave(self, error: BaseException | None) -> None:
        """End this process's part: without an error no step comes any more, with one the others are told and fail as well."""
        if self.size == 1 or self._parted:
            return
        # Where another process is gone altogether, there is nobody to tell.
        with contextlib.suppress(RuntimeError, RunError):
            if self.rank == 0 and not self._owed:
                self.announce(_OVER)
                self._owed = False
            elif error is not None and (self._owed or self._hear() != _OVER):
                self._meet(f"{type(error).__name__}: {error}")
        self._parted = True


class Shards:
    """The gradients of a step's shards.

    Parameters
    ----------
    count
        How many there are.
    parameters
        What has gradients, in the order of the module.
    """

    def __init__(self, count: int, parameters: Sequence[nn.Parameter], processes: Processes) -> None:
        self._count = count
        self._parameters = parameters
        self._processes = processes
        self._found: dict[int, tuple[float, torch.Tensor, torch.Tensor]] = {}

    @property
    def single(self) -> bool:
        """Whether gradients may be summed where they arise."""
        return self._count == 1 and self._processes.size == 1

    def mine(self, examples: int) -> Iterator[tuple[int, slice]]:
        """Yield the shards that this process computes, each with its examples."""
        for shard in range(self._processes.rank, self._count, self._processes.size):
            yield shard, slice(shard * examples // self._count, (shard + 1) * examples // self._count)

    def add(self, shard: int, loss: float) -> None:
        """Take the gradients of a shard off the parameters."""
        there = torch.tensor([float(parameter.grad is not None) for parameter in self._parameters])
        parts = [(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1).float() for p in self._parameters]
        self._found[shard] = loss, torch.cat(parts), there
        for parameter in self._parameters:
            parameter.grad = None

    def summed(self) -> float:
        """Put the sum over all shards on the parameters, in the order of the shards; returns the summed loss."""
        loss, total, there = 0.0, torch.empty(0), torch.zeros(len(self._parameters))
        for shard in range(self._count):
            part, gradients, present = self._of(shard)
            loss += part
            total = gradients if shard == 0 else total + gradients
            there = there + present
        self._found.clear()
        start = 0
        for parameter, has in zip(self._parameters, there.tolist(), strict=True):
            if has:
                parameter.grad = total[start : start + parameter.numel()].view_as(parameter).to(parameter.dtype)
            start += parameter.numel()
        return loss

    def _of(self, shard: int) -> tuple[float, torch.Tensor, torch.Tensor]:
        if self._processes.size == 1:
            return self._found[shard]
        owner = shard % self._processes.size
        if owner == self._processes.rank:
            loss, gradients, there = self._found[shard]
            told = torch.tensor(loss, dtype=torch.float64)
        else:
            like = self._parameters[0]
            gradients = torch.empty(sum(p.numel() for p in self._parameters), device=like.device)
            there, told = torch.empty(len(self._parameters)), torch.tensor(0.0, dtype=torch.float64)
        for sent in (gradients, there, told):
            torch.distributed.broadcast(sent, src=owner)
        return float(told), gradients, there
