"""Training on torch: one attempt, put together of passes, gradients and updates; the loop is in :mod:`runs.loop`.

:mod:`.passes` has the forward passes, :mod:`.steps` the gradients of a step, :mod:`.updates` what moves the weights.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from shadownb.engine.backends.texts import not_finite
from shadownb.engine.backends.torch import adapters, randomness, record
from shadownb.engine.backends.torch.adapters import lora_operation
from shadownb.engine.backends.torch.arrays import TorchOps, TorchTokens
from shadownb.engine.backends.torch.attention import Packing, choose_packing
from shadownb.engine.backends.torch.gradient_check import GradientCheck
from shadownb.engine.backends.torch.kernels import choosing, liger
from shadownb.engine.backends.torch.memory import PeakMemory
from shadownb.engine.backends.torch.passes import Passes
from shadownb.engine.backends.torch.randomness import DropoutClock
from shadownb.engine.backends.torch.remarks import told_of
from shadownb.engine.backends.torch.shards import Processes
from shadownb.engine.backends.torch.steps import StepGradients
from shadownb.engine.backends.torch.trackers import listening
from shadownb.engine.backends.torch.updates import WeightUpdates
from shadownb.engine.backends.torch.values import Values
from shadownb.engine.objectives import Objective, Remark
from shadownb.engine.ports.decisions import Decision
from shadownb.engine.ports.training import Listener, Plan
from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.packing import Bundle

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.ports.loaded import Loaded
    from shadownb.engine.ports.training import TrainingServices

_NARROW = (torch.bfloat16, torch.float16)
_KERNELS = "kernels.json"


class TorchTraining:
    """An adapter being trained; see :class:`shadownb.engine.ports.training.TrainingSession`."""

    def __init__(
        self, model: Loaded, config: TrainConfig, rows: Sequence[Rendered], services: TrainingServices
    ) -> None:
        weights: Any = model.weights
        module, adapter = weights.at_start(from_base=False)
        adapters.check(module, adapter, config)
        start = adapters.Start(model.public_name, model.source, rows, services.check)
        self.adapter = adapters.prepare(module, adapter, config, start)
        weights.attach(self.adapter)
        self.continues = adapter is not None
        self.services = services
        self.tokenizer = model.tokenizer
        self.module, self.base = self.adapter.module, self.adapter.base
        self.device: torch.device = weights.device
        self.config = self.adapter.effective_config(config)
        self._weights = weights
        self._packing: Packing | None = None
        self._kernels: Decision = ("none", "not decided yet")
        self.ops = TorchOps(self.device)
        self.autocast = weights.dtype if self.device.type == "cuda" and weights.dtype in _NARROW else None
        self.processes = Processes.joined()
        self.dropout = DropoutClock(config.seed)
        self.gradients = GradientCheck(self.adapter)

    @contextlib.contextmanager
    def opened(self, plan: Plan, objective: Objective) -> Iterator[None]:
        """Have everything that steps need inside the block, and give the model back as it was found."""
        with contextlib.ExitStack() as stack:
            if not self.base.is_activation_checkpointing:
                stack.callback(self.base.activation_checkpointing_disable)  # or the next run would have it unasked
            if plan.kernels[0]:
                with self.services.weights():
                    liger.fuse(self.base)
            if self.device.type in ("cuda", "xpu"):
                stack.enter_context(torch.accelerator.device_index(self.device.index))  # of this thread
            head, own = None, self.adapter.score
            if "value" in objective.needs and own is None:
                head = Values.beside(self.base.get_output_embeddings(), self.device, objective.head)
            self.passes = self._make_passes(objective, own or head)
            with self.services.weights():
                self._kernels = choosing.choose(self.passes, self._weights.dtype, plan.own_kernels)
            if plan.checkpointing[0]:
                self.module.activation_checkpointing_enable()
            scaler = self.make_scaler()
            trained, optimizer = self.adapter.owned(), plan.optimizer[0]
            self.updates = WeightUpdates(self.module, trained, self.config, optimizer, scaler=scaler, head=head)
            self.memory = PeakMemory(self.device)
            self._steps = self._make_steps()
            stack.callback(self._close)
            stack.push(lambda _, error, __: self.processes.leave(error))
            stack.enter_context(randomness.owned_dropout(self.module, self.dropout))
            yield

    def _make_passes(self, objective: Objective, head: Callable[[torch.Tensor], torch.Tensor] | None) -> Passes:
        config, packing = self.config, self.packing
        # A shared start is computed once, with one dropout mask for all rows; that would be another training.
        one_mask = config.lora_dropout > 0 or bool(randomness.functional_dropout(self.base))
        readers = lora_operation.linears(self.adapter.module, self.base.get_output_embeddings())
        return Passes(
            self.adapter,
            packing,
            self.device,
            config.max_tokens_per_forward,
            packing.shares_start and not one_mask,
            choosing.find(self.base, readers, self._weights.dtype, self.device),
            autocast=self.autocast,
            needs=objective.needs,
            head=head,
            temperature=objective.temperature,
        )

    def _make_steps(self) -> StepGradients:
        return StepGradients(
            self.passes,
            self.updates,
            self.config.shards,
            self.processes,
            ops=self.ops,
            dropout=self.dropout,
            check=self.gradients,
            memory=self.memory,
            services=self.services,
        )

    def _close(self) -> None:
        self.updates.close()
        self.module.eval()

    def make_scaler(self) -> torch.amp.GradScaler | None:
        """Return what scales the gradients of fp16; None for other formats."""
        return torch.amp.GradScaler(self.device.type) if self.autocast is torch.float16 else None  # type: ignore[attr-defined]

    # -- facts ------------------------------------------------------------------------------------------------------

    @property
    def packing(self) -> Packing:
        """How several rows go through the model in one pass; looked at once, on the model itself."""
        if self._packing is None:
            with self.services.weights():
                self._packing = choose_packing(self.base, prefixed=self.adapter.prefix() is not None)
        return self._packing

    def decisions(self) -> dict[str, Decision]:
        """Return what was decided by looking at the model."""
        return {"packing": (self.packing.kind, self.packing.reason), "kernels": self._kernels}

    def remarks(self) -> Iterator[Remark]:
        """Yield what is to be said of training this on this model."""
        yield from told_of(self.adapter, self.config)

    @property
    def trained_parameters(self) -> int:
        """How many numbers belong to what is trained."""
        return sum(parameter.numel() for parameter in self.adapter.owned().values())

    @property
    def may_skip(self) -> bool:
        """Whether a step can be skipped because its gradients do not fit into fp16."""
        return self.updates.scaler is not None

    @property
    def peak_memory_gb(self) -> float:
        """The most memory seen so far, in units of 1e9 bytes."""
        return self.memory.peak_gb

    @property
    def separate(self) -> bool:
        """Whether what is trained exists apart from the whole model."""
        return self.adapter.separate

    def listening(
        self, callbacks: Sequence[Any], folder: Path, total_steps: int, step: int
    ) -> contextlib.AbstractContextManager[Listener]:
        """Have the trackers of ``report_to`` and the user's callbacks ready inside the block; yields who is told."""
        return listening(self, callbacks, folder, total_steps, step)

    # -- back to where it was -----------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, torch.Tensor]:
        """Return a copy of what is trained, for :meth:`restore`."""
        return adapters.snapshot(self.adapter.owned())

    def restore(self, kept: dict[str, torch.Tensor]) -> None:
        """Put a copy back."""
        adapters.restore(self.adapter.owned(), kept)

    def forget_gradients(self) -> None:
        """Drop what a broken step left."""
        self.module.zero_grad(set_to_none=True)

    def followed(self) -> Iterator[int]:
        """Yield the steps that the first process computes, until it says that no more come."""
        yield from self.processes.announced()

    # -- a step -----------------------------------------------------------------------------------------------------

    def compute(self, examples: Sequence[Example], objective: Objective, *, step: int, total: int) -> float:
        """Return the step's loss and leave its gradients; all of them or, where it raises, none."""
        self.module.train()
        return self._steps.compute(examples, objective, step=step, total=total)

    def update(self, rate: float) -> float | None:
        """Clip and move the weights; returns the norm before clipping, None where the scale of fp16 made it infinite."""
        return self.updates.apply(rate, after=self._steps.step)

    # -- without gradients ------------------------------------------------------------------------------------------

    def losses(self, examples: Sequence[Example], objective: Objective) -> Iterator[tuple[float, int]]:
        """Yield (summed loss, number of examples) batch by batch."""
        for batch, members in self.passes.batches(examples):
            self.services.check()
            with self._looking_only(), self.passes.tokens(batch) as tokens:
                loss = float(objective.loss(self.ops, tokens, members, held_out=True))
            yield loss, len(members)

    def score(self, bundles: Sequence[Bundle]) -> Iterator[tuple[list[int], TorchTokens]]:
        """Yield (numbers of bundles, their tokens) batch by batch, of the weights as they are."""
        for batch, numbers in self.passes.bundles(bundles):
            self.services.check()
            with self._looking_only(), self.passes.tokens(batch) as tokens:
                scored = tokens
            # Without the weights, where the caller has not got them: inference may come in between.
            yield numbers, scored

    @contextlib.contextmanager
    def _looking_only(self) -> Iterator[None]:
        with self.services.weights(), torch.no_grad():
            self.module.eval()
            yield

    # -- kept -------------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the optimizer's state, the scale of the gradients, the 32-bit copies, and which kernels computed them."""
        self.updates.save(folder)
        (folder / _KERNELS).write_text(json.dumps(choosing.recorded(self.passes.kernels)), encoding="utf-8")

    def load(self, folder: Path, *, own: bool) -> None:
        """Read what :meth:`save` wrote; of another run everything but the rates and the decay.

        The run's own kernels go on, whatever the rule says here: a resume is exact.
        """
        self.updates.load(folder, own=own)
        if not own or not (folder / _KERNELS).is_file():
            return
        record = json.loads((folder / _KERNELS).read_text(encoding="utf-8"))
        if missing := choosing.resume(self.passes, self._weights.dtype, record):
            self.services.warn(
                f"The run goes on with other kernels than those that it began with: {missing}.",
                why="They round in another order, so the last bits of its losses are not what they would have been.",
                fix="Nothing needs to be done; for the same bits, resume it on the machine and with the torch that it began with.",
                code="other-kernels",
            )

    def save_weights(self, folder: Path) -> None:
        """Write what is trained, as it loads on its own."""
        self.adapter.save(folder)

    def load_weights(self, folder: Path) -> None:
        """Read what :meth:`save_weights` wrote into the weights that are trained."""
        self.adapter.load_into(folder)

    def check_finite(self) -> None:
        """Raise NonFiniteLossError where a trained weight is NaN or infinite."""
        if not all(bool(torch.isfinite(tensor).all()) for tensor in self.adapter.owned().values()):
            raise not_finite("weights", math.nan, after=self._steps.step + 1, rate=self.updates.rate)

    def checkpoint_bytes(self) -> int:
        """Return the room for weights, two optimizer moments in 32 bits, and a copy in 32 where the weights have 16."""
        tensors = self.adapter.owned().values()
        return sum(t.numel() * (12 if t.element_size() >= 4 else t.element_size() + 12) for t in tensors)

    def digest(self) -> str:
        """Return the sha256 of what is trained."""
        return adapters.digest(self.adapter.owned())

    def actual_setup(self) -> dict[str, Any]:
        """Return what the training truly had, read from the objects and not from the plan."""
        return record.actual_setup(self)
