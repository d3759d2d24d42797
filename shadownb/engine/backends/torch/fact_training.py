"""Training of facts: groups of experts on cached activations; see :class:`shadownb.engine.ports.training.TrainingSession`."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from shadownb.engine.backends.texts import not_finite
from shadownb.engine.backends.torch.adapters.facts import FactsAdapter
from shadownb.engine.backends.torch.adapters.places import final_norm
from shadownb.engine.backends.torch.adapters.tensors import for_file
from shadownb.engine.backends.torch.fact_group import FactGroup, Seen, Tail
from shadownb.engine.backends.torch.memory import PeakMemory
from shadownb.engine.backends.torch.memory_training import MemoryTraining, unit_of
from shadownb.engine.embedding import embedder
from shadownb.engine.objectives import Objective
from shadownb.engine.ports.training import Plan
from shadownb.engine.rendering.examples import Example
from shadownb.engine.routing import Unit
from shadownb.engine.seeds import derived_seed
from shadownb.errors import CheckpointError, MethodError

_TENSORS, _STATE = "facts.safetensors", "facts.json"
_FALLS_TO = 0.1  # of the rate, in an expert's last step
# How far a cached pass may be from the model's own, in nats, by the number format.
_APART = {torch.float32: 2e-3, torch.bfloat16: 0.3, torch.float16: 0.1}


class FactTraining(MemoryTraining):
    """Units of facts being learned, a group of experts at a time."""

    adapter: FactsAdapter

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._steps_each = self.config.objective_options.expert_steps
        self._unit_size = self.config.objective_options.unit_size
        self._group: FactGroup | None = None
        self._units: list[Unit] = []  # of the group
        self._kept: dict[str, torch.Tensor] | None = None  # moments of a checkpoint, for the group that goes on
        self._step = 0
        self._rate = 0.0
        self._at_once = 0  # the most experts that were trained together

    @contextlib.contextmanager
    def opened(self, plan: Plan, objective: Objective) -> Iterator[None]:
        """Have everything that steps need inside the block."""
        self.passes = self._make_passes(objective, None)
        self._kernels = ("none", "a step of facts meets the last block only")
        self.memory = PeakMemory(self.device)
        self._tail = Tail(final_norm(self.base), self.base.get_output_embeddings())
        self.module.eval()
        try:
            yield
        finally:
            self._group = None

    # -- a step -----------------------------------------------------------------------------------------------------

    def compute(self, examples: Sequence[Example], objective: Objective, *, step: int, total: int) -> float:
        """Return the mean loss of the experts of a step, each over its own tokens, and leave their gradients."""
        self._step = step
        units = [
            unit_of(examples[start : start + self._unit_size]) for start in range(0, len(examples), self._unit_size)
        ]
        if self._group is None or units != self._units:
            self._begin(units, examples, done=step % self._steps_each)
        assert self._group is not None
        losses = self._group.compute()
        self.memory.look()
        value = float(losses.mean())
        if not math.isfinite(value):
            raise not_finite("loss", value, after=step, rate=self._rate)
        return value

    def update(self, rate: float) -> float | None:
        """Move the experts; returns the norm of their gradients."""
        assert self._group is not None
        done = self._step % self._steps_each
        falls = 1 - (1 - _FALLS_TO) * done / max(1, self._steps_each - 1)
        self._rate = rate * falls
        norm = self._group.update(self._rate, done)
        if not math.isfinite(norm):
            raise not_finite("gradient norm", norm, after=self._step, rate=self._rate)
        if done + 1 == self._steps_each:
            self.check_finite()
            self.adapter.learned()
            self._group, self._units = None, []
        return norm

    def _begin(self, units: list[Unit], examples: Sequence[Example], *, done: int) -> None:
        """Begin the experts of units, or go on with them where a checkpoint was of the middle of their steps."""
        seen = self._look(units, examples)
        if done:
            if self._kept is None or self.adapter.learning != units:
                raise CheckpointError(
                    "The checkpoint is of the middle of other facts than those that come now.",
                    fix="Start a new run; what the checkpoint has learned is in it: shadownb.load(checkpoint).",
                )
            factors = [self.adapter.being_learned(unit.id) for unit in units]
        else:
            factors = [self._fresh(unit) for unit in units]
        down, up = (torch.stack(side).to(self.device) for side in zip(*factors, strict=True))
        self._group = FactGroup(seen, self._tail, down, up, self.adapter.scale)
        if done and self._kept is not None:
            self._group.moments = {name: tensor.to(self.device) for name, tensor in self._kept.items()}
        self._units, self._kept, self._at_once = units, None, max(self._at_once, len(units))
        sides = zip(self._group.down.detach(), self._group.up.detach(), strict=True)
        self.adapter.begin(list(zip(units, sides, strict=True)))

    def _fresh(self, unit: Unit) -> tuple[torch.Tensor, torch.Tensor]:
        """Return new factors, drawn from the seed and the unit: who is trained beside it changes nothing."""
        generator = torch.Generator().manual_seed(derived_seed(self.config.seed, "fact", unit.id) % 2**63)
        inner, hidden, rank = self.adapter.place.in_features, self.adapter.place.out_features, self.adapter.rank
        bound = 1 / math.sqrt(inner)  # kaiming_uniform with a of the root of 5, as LoRA starts
        return torch.empty(rank, inner).uniform_(-bound, bound, generator=generator), torch.zeros(hidden, rank)

    def _look(self, units: Sequence[Unit], examples: Sequence[Example]) -> list[Seen]:
        """Compute once what the trained positions of units see."""
        parts: list[list[Seen]] = [[] for _ in units]
        number_of = {example.id: number // self._unit_size for number, example in enumerate(examples)}
        norm = final_norm(self.base)
        got: dict[str, torch.Tensor] = {}
        hooks = [
            self.adapter.place.register_forward_pre_hook(lambda _, inputs: got.update(inner=inputs[0])),
            norm.register_forward_pre_hook(lambda _, inputs: got.update(stream=inputs[0])),
        ]
        try:
            for example in examples:
                self.services.check()
                for batch, _ in self.passes.bundles([(row,) for row in example.rows]):
                    for part in batch.alone() if self.packing.kind == "single" and batch.rows > 1 else [batch]:
                        with self._looking_only(), self.adapter.speaking(()), self.passes.tokens(part) as tokens:
                            logp = tokens.logp
                        seen = Seen(
                            got["inner"][0, part.keep].float(), got["stream"][0, part.keep].float(), part.targets
                        )
                        self._check_same(seen, logp)
                        parts[number_of[example.id]].append(seen)
        finally:
            for hook in hooks:
                hook.remove()
        return [
            Seen(*(torch.cat([getattr(each, name) for each in part]) for name in ("inner", "stream", "targets")))
            for part in parts
        ]

    def _check_same(self, seen: Seen, logp: torch.Tensor) -> None:
        """Refuse a model whose end is more than a norm and a head, or whose blocks do not simply add to the stream."""
        with torch.no_grad():
            logits = self._tail(seen.stream).float()
            mine = torch.log_softmax(logits, -1).gather(-1, seen.targets[:, None])[:, 0]
        apart = float((mine - logp).abs().max())
        if not apart <= _APART.get(self._weights.dtype, 0.3):
            raise MethodError(
                f"method={self.config.method!r} does not know how {type(self.base).__name__} ends.",
                why=f"Its log-probabilities are {apart:.2g} nats away from those of its last norm and output head.",
                fix="Use method='lora' on this model.",
            )

    # -- without gradients ------------------------------------------------------------------------------------------

    def losses(self, examples: Sequence[Example], objective: Objective) -> Iterator[tuple[float, int]]:
        """Yield (summed loss, 1) example by example, each answered by the expert that its question is routed to."""
        for example in examples:
            self.services.check()
            row = example.rows[0]
            with self._looking_only(), self.adapter.routed([example.columns["question"]]):
                for batch, _ in self.passes.bundles([(row,)]):
                    with self.passes.tokens(batch) as tokens:
                        loss = float(-tokens.logp.sum())
            yield loss * len(example.rows), 1  # as if in every wording: the count is of all

    # -- facts ------------------------------------------------------------------------------------------------------

    @property
    def trained_parameters(self) -> int:
        """How many numbers one expert has."""
        place = self.adapter.place
        return int(self.adapter.rank * (place.in_features + place.out_features))

    def forget_gradients(self) -> None:
        """Drop what a broken step left."""
        self._group = None

    def actual_setup(self) -> dict[str, Any]:
        """Return what the training truly had."""
        return {
            "optimizer": "shadownb.Adam, one for each expert",
            "place": self.adapter.name,
            "packing": self.packing.kind,
            "trained_dtypes": ["float32"],
            "trained_parameters": self.trained_parameters,
            "facts_at_once": self._at_once,
            "device": str(self.device),
            "embedder": embedder().id,
        }

    # -- kept -------------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the moments of the group that is being trained."""
        group = self._group
        (folder / _STATE).write_text(json.dumps({"units": [unit.id for unit in self._units]}), encoding="utf-8")
        if group is not None:
            save_file(for_file(group.moments), folder / _TENSORS)

    def load(self, folder: Path, *, own: bool) -> None:
        """Read them again."""
        self._kept = load_file(folder / _TENSORS) if (folder / _TENSORS).is_file() else None

    def load_weights(self, folder: Path) -> None:
        """Read what is stored."""
        self.adapter.load_into(folder)
        self._group = None

    def check_finite(self) -> None:
        """Raise NonFiniteLossError where a factor of the group is NaN or infinite."""
        group = self._group
        if group is not None and not all(bool(torch.isfinite(side).all()) for side in (group.down, group.up)):
            raise not_finite("weights", math.nan, after=self._step + 1, rate=self._rate)

    def checkpoint_bytes(self) -> int:
        """Return the room for all experts, and the moments of a group."""
        return 4 * self.trained_parameters * (len(self.adapter.units) + 2 * max(1, len(self._units)))
