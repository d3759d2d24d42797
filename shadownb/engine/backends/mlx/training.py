"""Training on MLX: one attempt; the loop is in :mod:`runs.loop`. See :class:`shadownb.engine.ports.training.TrainingSession`.

Whoever calls holds the gate and waits; what is computed runs in the thread of :mod:`.worker`, pass by pass, and each pass is
evaluated before the next.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlx.core as mx

from shadownb.engine.backends.mlx import adapters, passes, recomputing, worker
from shadownb.engine.backends.mlx.adapters.lora import LoraAdapter
from shadownb.engine.backends.mlx.arrays import MlxOps, MlxTokens
from shadownb.engine.backends.mlx.head import width_of
from shadownb.engine.backends.mlx.memory import PeakMemory
from shadownb.engine.backends.mlx.updates import HEAD, WeightUpdates
from shadownb.engine.backends.texts import not_finite, untrained_layers
from shadownb.engine.objectives import Objective, Remark
from shadownb.engine.objectives.base import ScalarHead
from shadownb.engine.ports.decisions import Decision
from shadownb.engine.ports.training import Listener, Plan
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.packing import Bundle

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.objectives.arrays import Need
    from shadownb.engine.ports.loaded import Loaded
    from shadownb.engine.ports.training import TrainingServices


@dataclass
class Clock:
    """Where a run stands, for its dropout layers."""

    seed: int
    step: int = 0
    batch: int = 0
    running: bool = False


class MlxTraining:
    """An adapter being trained."""

    may_skip = False
    updates: WeightUpdates

    def __init__(self, model: Loaded, config: TrainConfig, services: TrainingServices) -> None:
        weights: Any = model.weights
        adapters.check(weights.plain(own=False), weights.adapter, config)
        self.continues = weights.adapter is not None
        if weights.adapter is None:
            weights.attach(weights.prepared(config, model.public_name))
        self.adapter: adapters.Adapter = weights.adapter
        self.adapter.begin(config)
        self.services = services
        self.config = self.adapter.effective_config(config)
        self.ops = MlxOps()
        self._device = weights.device
        self._clock = Clock(config.seed)
        self._needs: frozenset[Need] = frozenset()
        self._temperature = 1.0
        self._step = 0
        self._memory = PeakMemory(on_gpu=self._device.type != "cpu")
        self._recomputed = False
        self._looked = False
        self._head = ScalarHead()

    @contextlib.contextmanager
    def opened(self, plan: Plan, objective: Objective) -> Iterator[None]:
        """Have everything that steps need inside the block, and give the model back as it was found."""
        module, self._needs, self._temperature = self.adapter.module, objective.needs, objective.temperature
        width = width_of(module) if "value" in objective.needs else None
        name, self._recomputed = plan.optimizer[0], plan.checkpointing[0]
        self._head = objective.head
        rate = objective.head.rate
        self.updates = worker.run(lambda: WeightUpdates(self.adapter, self.config, name, width=width, head_rate=rate))
        blocks = list(adapters.blocks(module).values())
        with recomputing.recomputed(blocks) if self._recomputed else contextlib.nullcontext():
            try:
                self._tell_clock(self._clock)
                yield
            finally:
                self._tell_clock(None)
                del self.updates

    def _tell_clock(self, clock: Clock | None) -> None:
        if isinstance(self.adapter, LoraAdapter):
            for layer in self.adapter.wrapped.values():
                layer.dropout.clock = clock

    # -- facts ------------------------------------------------------------------------------------------------------

    @property
    def trained_parameters(self) -> int:
        """How many numbers belong to what is trained."""
        return sum(int(array.size) for array in self.adapter.owned().values())

    @property
    def separate(self) -> bool:
        """Whether what is trained exists apart from the whole model."""
        return self.adapter.separate

    @property
    def peak_memory_gb(self) -> float:
        """The most memory seen so far, in units of 1e9 bytes."""
        return self._memory.peak_gb

    def remarks(self) -> Iterator[Remark]:
        """Yield what is to be said of training this on this model: nothing beyond what its reach says."""
        yield from ()

    def decisions(self) -> dict[str, Decision]:
        """Return what was decided by looking at the model."""
        why = "rotations of mlx-lm count from the start of a row, so rows of similar length are filled up to one width"
        return {"packing": ("filled up", why)}

    @contextlib.contextmanager
    def listening(self, callbacks: Sequence[Any], folder: Path, total_steps: int, step: int) -> Iterator[Listener]:
        """Yield who is told: nobody, since trackers and callbacks are refused here."""
        yield Listener()

    # -- back to where it was -----------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Return what is trained, for :meth:`restore`; arrays never change, so it costs nothing."""
        return self.adapter.owned()

    def restore(self, kept: dict[str, Any]) -> None:
        """Put it back."""
        self.adapter.put(kept)

    def forget_gradients(self) -> None:
        """Drop what a broken step left."""
        if hasattr(self, "updates"):
            self.updates.grads = None

    def followed(self) -> Iterator[int]:
        """Yield nothing: one process trains."""
        yield from ()

    # -- a step -----------------------------------------------------------------------------------------------------

    def compute(self, examples: Sequence[Example], objective: Objective, *, step: int, total: int) -> float:
        """Return the step's loss and leave its gradients; all of them or, where it raises, none."""
        return worker.run(lambda: self._compute(examples, objective, step, total))

    def _compute(self, examples: Sequence[Example], objective: Objective, step: int, total: int) -> float:
        self.updates.grads = None
        self._step = self._clock.step = step
        value = 0.0
        self._clock.running = True
        try:
            for number, (batch, members) in enumerate(passes.batches(examples, self.config.max_tokens_per_forward)):
                self.services.check()
                self._clock.batch = number
                value += self._pass(batch, members, objective, total)
                self._memory.look()
            if not math.isfinite(value):
                raise not_finite("loss", value, after=step, rate=self.updates.rate)
        except BaseException:
            self.updates.grads = None
            raise
        finally:
            self._clock.running = False
        self._tell_absent()
        if objective.head_alone:
            self.updates.keep_heads_gradients()
        return value

    def _pass(self, batch: passes.Batch, members: list[Example], objective: Objective, total: int) -> float:
        trained = self.updates.arrays()

        def loss(arrays: dict[str, Any]) -> Any:
            self.updates.put(arrays)
            return objective.loss(self.ops, self._tokens(batch, arrays), members, held_out=False).value / total

        try:
            value, grads = mx.value_and_grad(loss)(trained)
        finally:
            self.updates.put(trained)
        self.updates.add(grads, value)
        return float(value.item())

    def _tokens(self, batch: passes.Batch, arrays: dict[str, Any]) -> MlxTokens:
        head = None
        if self.updates.head:
            weight, bias = arrays[f"{HEAD}weight"], arrays[f"{HEAD}bias"]

            def head(hidden: Any) -> Any:
                if self._head.normalised:
                    hidden = hidden / mx.maximum(mx.linalg.norm(hidden, axis=-1, keepdims=True), 1e-12)
                return hidden @ weight + bias

        return passes.tokens(self.adapter.module, batch, self._needs, head, self._temperature)

    def _tell_absent(self) -> None:
        """Say once which layers got no gradient at all: they have no part in answers to text."""
        if self._looked or self.updates.grads is None:
            return
        by_layer: dict[str, bool] = {}
        for name, grad in self.updates.grads.items():
            layer = name.rsplit(".", 1)[0]
            by_layer[layer] = by_layer.get(layer, False) or bool(mx.any(grad != 0).item())
        layers = {layer: got for layer, got in by_layer.items() if not layer.startswith(HEAD[:-1])}
        if not any(layers.values()):
            return  # a step that moves the scalar head alone says nothing of them
        self._looked = True
        absent = [layer for layer, got in layers.items() if not got]
        if absent:
            what, more = untrained_layers(absent)
            self.services.warn(what, **more)

    def update(self, rate: float) -> float | None:
        """Clip and move the weights; returns the norm before clipping."""
        return worker.run(lambda: self.updates.apply(rate, after=self._step))

    # -- without gradients ------------------------------------------------------------------------------------------

    def losses(self, examples: Sequence[Example], objective: Objective) -> Iterator[tuple[float, int]]:
        """Yield (summed loss, number of examples) batch by batch."""
        limit = self.config.max_tokens_per_forward
        for group in passes.grouped([example.rows for example in examples], limit):
            members = [examples[number] for number in group]

            def loss(members: list[Example] = members) -> float:
                batch = passes.filled_up([row for example in members for row in example.rows])
                found = self._tokens(batch, self.updates.head)
                return float(objective.loss(self.ops, found, members, held_out=True).value.item())

            self.services.check()
            with self.services.weights():
                value = worker.run(loss)
            yield value, len(members)

    def score(self, bundles: Sequence[Bundle]) -> Iterator[tuple[list[int], MlxTokens]]:
        """Yield (numbers of bundles, their tokens) batch by batch, of the weights as they are."""
        for group in passes.grouped(bundles, self.config.max_tokens_per_forward):
            rows = [row for number in group for row in bundles[number]]

            def scored(rows: list[Any] = rows) -> MlxTokens:
                return self._tokens(passes.filled_up(rows), self.updates.head).evaluated()

            self.services.check()
            with self.services.weights():
                found = worker.run(scored)
            yield group, found

    # -- kept -------------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the optimizer's state, the 32-bit copies and the head."""
        worker.run(lambda: self.updates.save(folder))

    def load(self, folder: Path, *, own: bool) -> None:
        """Read what :meth:`save` wrote; rates and decay are never read."""
        worker.run(lambda: self.updates.load(folder))

    def save_weights(self, folder: Path) -> None:
        """Write what is trained, as it loads on its own."""
        worker.run(lambda: self.adapter.save(folder))

    def load_weights(self, folder: Path) -> None:
        """Read what :meth:`save_weights` wrote into the weights that are trained."""

        def there() -> None:
            self.adapter.load_into(folder)
            mx.eval(self.adapter.owned())

        worker.run(there)

    def check_finite(self) -> None:
        """Raise NonFiniteLossError where a trained weight is NaN or infinite."""
        owned = self.adapter.owned()
        if not worker.run(lambda: all(bool(mx.all(mx.isfinite(array)).item()) for array in owned.values())):
            raise not_finite("weights", math.nan, after=self._step + 1, rate=self.updates.rate)

    def checkpoint_bytes(self) -> int:
        """Return the room for weights, two optimizer moments in 32 bits, and a copy in 32 where the weights have 16."""
        arrays = self.adapter.owned().values()
        return sum(int(a.size) * (12 if a.dtype == mx.float32 else a.dtype.size + 12) for a in arrays)

    def digest(self) -> str:
        """Return the sha256 of what is trained."""
        return worker.run(lambda: adapters.digest(self.adapter.owned()))

    def actual_setup(self) -> dict[str, Any]:
        """Return what the training truly had, read from the objects and not from the plan."""
        owned = self.adapter.owned()
        moved = {**owned, **self.updates.copies}
        quantized = sum(hasattr(part, "bits") for _, part in self.adapter.module.named_modules())
        return {
            "optimizer": f"mlx.{type(self.updates.optimizer).__name__}",
            "attention": "mlx's own",
            "gradient_checkpointing": self._recomputed,
            "quantized_layers": quantized,
            "trained_dtypes": sorted({str(array.dtype).removeprefix("mlx.core.") for array in moved.values()}),
            "trained_parameters": self.trained_parameters,
            "device": str(self._device),
            "processes": 1,
        }
