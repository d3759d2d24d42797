"""Training on torch: gradients, optimizer, number formats and memory of one attempt; the loop is in :mod:`runs.loop`.

Gradients of fp16 are computed scaled up, so that small ones do not become zero. Where the scale is too high they become
infinite; then the step is skipped and the scale is halved. That is usual in the first steps, and every 2,000 steps, when
the scale is tried higher. It is an error only where no scaling is left that could be the reason.
"""

from __future__ import annotations

import contextlib
import gc
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

from shadownb.engine.backends.torch import adapters, kernels, randomness, record, training_state
from shadownb.engine.backends.torch.arrays import TorchOps, TorchTokens
from shadownb.engine.backends.torch.attention import Packing, choose_packing
from shadownb.engine.backends.torch.gradient_check import GradientCheck
from shadownb.engine.backends.torch.masters import Masters
from shadownb.engine.backends.torch.memory import PeakMemory
from shadownb.engine.backends.torch.optimizers import make_optimizer
from shadownb.engine.backends.torch.passes import Passes
from shadownb.engine.backends.torch.randomness import DropoutClock
from shadownb.engine.backends.torch.remarks import told_of
from shadownb.engine.backends.torch.shards import Processes, Shards
from shadownb.engine.backends.torch.trackers import reporting
from shadownb.engine.objectives import Objective, Remark
from shadownb.engine.ports.decisions import Decision
from shadownb.engine.ports.training import Plan
from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.packing import Bundle
from shadownb.errors import NonFiniteLossError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.ports.loaded import Loaded
    from shadownb.engine.ports.training import TrainingServices

_BATCHES = 1 << 20  # more than a shard has
_HEAD = "head.safetensors"
_NARROW = (torch.bfloat16, torch.float16)


class TorchTraining:
    """An adapter being trained; see :class:`shadownb.engine.ports.training.TrainingSession`."""

    optimizer: torch.optim.Optimizer

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
        self.ops = TorchOps(self.device)
        self.autocast = weights.dtype if self.device.type == "cuda" and weights.dtype in _NARROW else None
        self.processes = Processes.joined()
        self.masters = Masters({})
        self.head: torch.nn.Linear | None = None
        self.dropout = DropoutClock(config.seed)
        self.gradients = GradientCheck(self.adapter)
        self._looked_after = -1  # how many answers there had been when the graph was last looked at
        self._step = 0
        self._rate = 0.0

    @contextlib.contextmanager
    def opened(self, plan: Plan, objective: Objective) -> Iterator[None]:
        """Have everything that steps need inside the block, and give the model back as it was found."""
        gc.collect()  # what loading left would count as the run's memory
        with contextlib.ExitStack() as stack:
            if not self.base.is_activation_checkpointing:
                stack.callback(self.base.activation_checkpointing_disable)  # or the next run would have it unasked
            if plan.kernels[0]:
                with self.services.weights():
                    kernels.fuse(self.base)
            if self.device.type in ("cuda", "xpu"):
                stack.enter_context(torch.accelerator.device_index(self.device.index))  # of this thread
            self.head = self._make_head() if "value" in objective.needs else None
            self.passes = self._make_passes(plan, objective)
            if plan.checkpointing[0]:
                self.module.activation_checkpointing_enable()
            self.scaler = self.make_scaler()
            self.optimizer = make_optimizer(plan.optimizer[0], self.module, self.config.weight_decay)
            self.masters = Masters(self.adapter.owned())
            self.masters.put_into(self.optimizer)
            if self.head is not None:
                self.optimizer.add_param_group({"params": list(self.head.parameters()), "weight_decay": 0.0})
            # In the order of the module, in which the norm of all gradients is summed.
            self._moved = [parameter for parameter in self.masters.moved(self.module) if parameter.requires_grad]
            self._moved += self.head.parameters() if self.head is not None else ()
            self._shards = Shards(self.config.shards, self._moved, self.processes)
            self.memory = PeakMemory(self.device)
            stack.callback(self._close)
            stack.callback(self.processes.end)
            stack.enter_context(randomness.owned_dropout(self.module, self.dropout))
            yield

    def _make_passes(self, plan: Plan, objective: Objective) -> Passes:
        config, packing = self.config, self.packing
        # A shared start is computed once, with one dropout mask for all rows; that would be another training.
        one_mask = config.lora_dropout > 0 or bool(randomness.functional_dropout(self.base))
        return Passes(
            self.adapter,
            packing,
            self.device,
            config.max_tokens_per_forward,
            shares=packing.shares_start and not one_mask,
            autocast=self.autocast,
            one_operation=plan.adapter_operation[0] and self.autocast is None,  # autocast converts between the products
            needs=objective.needs,
            head=self.head,
        )

    def _make_head(self) -> torch.nn.Linear:
        """Return a head that says 0 of everything, so that the first step's values are known."""
        width = self.base.get_output_embeddings().weight.shape[1]
        head = torch.nn.Linear(int(width), 1, device=self.device)
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
        return head

    def _close(self) -> None:
        self.masters.leave()
        self.module.zero_grad(set_to_none=True)
        self.module.eval()
        del self.optimizer

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
        return {"packing": (self.packing.kind, self.packing.reason)}

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
        return self.scaler is not None

    @property
    def peak_memory_gb(self) -> float:
        """The most memory seen so far, in units of 1e9 bytes."""
        return self.memory.peak_gb

    @property
    def separate(self) -> bool:
        """Whether what is trained exists apart from the whole model."""
        return self.adapter.separate

    def reported(
        self, folder: Path, total_steps: int, step: int
    ) -> contextlib.AbstractContextManager[Callable[[dict[str, Any]], None] | None]:
        """Have the trackers of ``report_to`` ready inside the block; yields what to tell a step's numbers."""
        return reporting(self, folder, total_steps, step)

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
        self._step = self.dropout.step = step
        self.processes.announce(step)
        self._forget()
        self.module.train()
        try:
            return self._accumulate(examples, objective, total)
        except BaseException:
            self._forget()
            raise

    def _accumulate(self, examples: Sequence[Example], objective: Objective, total: int) -> float:
        first, noted = self._looked_after < 0, {name: list(pair) for name, pair in objective.since_log.items()}
        value = 0.0
        for shard, part in self._shards.mine(len(examples)):
            value = self._shard(examples[part], objective, total, shard)
            if not self._shards.single:
                self._shards.add(shard, value)
        if not self._shards.single:
            value = self._shards.summed()
            objective.since_log = self.processes.merged(objective.since_log, noted)
        if not math.isfinite(value):
            raise self._not_finite("loss", value)
        if first:
            self.gradients.arrived(self.masters.gradient)
            self._tell_absent()
        return value

    def _shard(self, examples: Sequence[Example], objective: Objective, total: int, shard: int) -> float:
        loss_sum = torch.zeros((), device=self.device)
        for index, (batch, members) in enumerate(self.passes.batches(examples)):
            if self.processes.size == 1:  # several obey between steps, or the others would wait for what never comes
                self.services.check()
            self.dropout.batch = shard * _BATCHES + index
            answered = self.services.gate.answered
            looking = answered != self._looked_after  # an answer may leave a model in another state
            with (
                self.gradients.watching() if looking else contextlib.nullcontext(),
                self.passes.tokens(batch) as tokens,
            ):
                loss = objective.loss(self.ops, tokens, members, held_out=False) / total
                if looking:
                    self.gradients.graph(loss)
                    self._looked_after = answered
                (self.scaler.scale(loss) if self.scaler is not None else loss).backward()  # type: ignore[no-untyped-call]
            self.memory.look()
            loss_sum += loss.detach()
        return float(loss_sum.item())

    def update(self, rate: float) -> float | None:
        """Clip and move the weights; returns the norm before clipping, None where the scale of fp16 made it infinite."""
        self._rate = rate
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        norm = self.clip()
        finite = math.isfinite(norm)
        if not finite and (self.scaler is None or self.scaler.get_scale() <= 1.0):
            raise self._not_finite("gradient norm", norm)  # before the optimizer moves, so the weights stay good
        if self.scaler is not None:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            self.optimizer.step()
        self._forget()
        return norm if finite else None

    def clip(self) -> float:
        """Clip the gradients to ``max_grad_norm``; returns their norm before."""
        norm = torch.nn.utils.clip_grad_norm_(self._moved, self.config.max_grad_norm or math.inf)
        return float(norm.item())

    def _forget(self) -> None:
        self.module.zero_grad(set_to_none=True)
        self.masters.forget_gradients()
        if self.head is not None:
            self.head.zero_grad(set_to_none=True)

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
        """Write the optimizer's state, the scale of the gradients and the 32-bit copies."""
        training_state.save_optimizer(self.optimizer, folder)
        if self.scaler is not None:
            training_state.save_json(folder, training_state.SCALER, self.scaler.state_dict())
        self.masters.save(folder)
        if self.head is not None:
            save_file(self.head.state_dict(), folder / _HEAD)

    def load(self, folder: Path, *, own: bool) -> None:
        """Read what :meth:`save` wrote; of another run everything but the rates and the decay."""
        self.masters.load(folder)
        if self.head is not None and (folder / _HEAD).is_file():
            self.head.load_state_dict(load_file(folder / _HEAD))
        decays = [group["weight_decay"] for group in self.optimizer.param_groups]
        training_state.load_optimizer(self.optimizer, folder, self.config.optim)
        if not own:
            for group, decay in zip(self.optimizer.param_groups, decays, strict=True):
                group["weight_decay"] = decay
        if self.scaler is not None and (folder / training_state.SCALER).is_file():
            self.scaler.load_state_dict(training_state.load_json(folder, training_state.SCALER))

    def save_weights(self, folder: Path) -> None:
        """Write what is trained, as it loads on its own."""
        self.adapter.save(folder)

    def load_weights(self, folder: Path) -> None:
        """Read what :meth:`save_weights` wrote into the weights that are trained."""
        self.adapter.load_into(folder)

    def check_finite(self) -> None:
        """Raise NonFiniteLossError where a trained weight is NaN or infinite."""
        if not all(bool(torch.isfinite(tensor).all()) for tensor in self.adapter.owned().values()):
            raise self._not_finite("weights", math.nan, after=self._step + 1)

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

    # -- told -------------------------------------------------------------------------------------------------------

    def _tell_absent(self) -> None:
        absent = self.gradients.absent
        if absent:
            self.services.warn(
                f"{len(absent)} trained layers were not computed in the first step, first {absent[0]}.",
                why="They have no part in answers to text, so nothing was trained there.",
                fix="Leave them out with target_modules, so that the adapter is no larger than it needs to be.",
                code="untrained-layers",
            )

    def _not_finite(self, what: str, value: float, after: int | None = None) -> NonFiniteLossError:
        done = self._step if after is None else after
        if done == 0:
            return NonFiniteLossError(
                f"The {what} became {value} in the first step, before anything was trained.",
                why="No update has been made, so it comes from the base's weights or from the rows of that step.",
                fix="Ask the model something: if that fails as well, load it again, a 16-bit one with dtype='float32'. "
                "Otherwise look at the first rows with dataset.inspect(model).",
            )
        return NonFiniteLossError(
            f"The {what} became {value} after step {done} (learning_rate={self._rate:.2g} there).",
            why="The model has the weights of the newest checkpoint again, or of the start; nothing was overwritten.",
            fix="Lower learning_rate, set max_grad_norm=1.0, or look at the rows of that step with dataset.inspect().",
        )
