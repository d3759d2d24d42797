"""From examples to log-probabilities: how the pieces of a step, of an evaluation and of a reference are computed."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import cross_entropy

from shadownb.engine import acceleration
from shadownb.engine.backends.torch.attention import Packing, piece_layout, target_logits
from shadownb.engine.backends.torch.batches import StepSampler
from shadownb.engine.backends.torch.objectives import Objective
from shadownb.engine.backends.torch.objectives.base import sum_by_row
from shadownb.engine.backends.torch.pieces import Bundle, Piece, pack, split
from shadownb.engine.backends.torch.surfaces import Surface
from shadownb.engine.rendering.examples import Example

if TYPE_CHECKING:
    from shadownb.engine.backends.torch.session import Session
    from shadownb.engine.config import TrainConfig


class Computing:
    """The part of the trainer that computes; the loop, checkpoints and events are in :class:`EngineTrainer`."""

    args: Any
    accelerator: Any
    config: TrainConfig
    session: Session
    surface: Surface
    objective: Objective
    packing: Packing
    sampler: StepSampler
    rows: Sequence[Example]
    eval_rows: Sequence[Example]
    layers_in_one_operation = 0  # in the newest pass

    if TYPE_CHECKING:

        def compute_loss_context_manager(self) -> contextlib.AbstractContextManager[Any]: ...

    @property
    def _shares(self) -> bool:
        # A shared start is computed once, with one dropout mask for all rows; that would be another training.
        return self.packing.shares_start and self.config.lora_dropout == 0 and not self.session.functional_dropout

    @property
    def _one_operation(self) -> bool:
        wanted, _ = acceleration.choose_adapter_operation(self.session.model.accelerator)
        return wanted and self.accelerator.mixed_precision == "no"  # autocast converts between the two products

    def _split(self, bundles: Sequence[Bundle]) -> list[list[int]]:
        limit = 0 if self.packing.kind == "single" else self.config.max_tokens_per_forward
        return split(bundles, limit, share=self._shares)

    def _pieces(self, examples: Sequence[Example]) -> Iterator[tuple[Piece, list[Example]]]:
        for group in self._split([example.rows for example in examples]):
            members = [examples[number] for number in group]
            rows = [row for example in members for row in example.rows]
            yield pack(rows, share=self._shares, device=self.args.device), members

    def _scored(self, model: Any, bundles: Sequence[Bundle]) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Yield (numbers of bundles, log-probabilities summed by row) of the weights as they are, without gradients."""
        for group in self._split(bundles):
            self.session.control.check()
            piece = pack(
                [row for number in group for row in bundles[number]], share=self._shares, device=self.args.device
            )
            with self.session.weights(), torch.no_grad():
                model.eval()
                with self._computing(model, piece) as nll:
                    sums = sum_by_row(-nll, piece)
            yield group, sums  # without the weights where the caller has not got them: inference may come in between

    @contextlib.contextmanager
    def _computing(self, model: Any, piece: Piece) -> Iterator[torch.Tensor]:
        """Yield the negative log-probabilities of a piece's targets, shape (N,); logits exist only at those positions."""
        # Gradient checkpointing runs the forward pass again in the backward pass, so the layout holds for both.
        with contextlib.ExitStack() as layouts:
            parts = piece.alone() if self.packing.kind == "single" and piece.rows > 1 else [piece]
            yield torch.cat([self._nll(model, part, layouts) for part in parts])

    def _nll(self, model: Any, piece: Piece, layouts: contextlib.ExitStack) -> torch.Tensor:
        called, computed, inputs = self.surface.feed(model, piece)
        layout = layouts.enter_context(piece_layout(self.surface.base, computed, self.packing))
        if self._one_operation:
            self.layers_in_one_operation = layouts.enter_context(self.surface.in_one_operation())
        with self.compute_loss_context_manager():
            return cross_entropy(target_logits(called, computed, inputs, layout), computed.targets, reduction="none")

    def prepare_objective(self) -> None:
        """Let the objective look at the examples with the weights of the start, evaluation examples too."""
        told = functools.partial(self._told, self.surface.module)
        seen = self.sampler.rows_of_first(self.session.total_steps)
        for rows, needed, held_out in ((self.rows, seen, False), (self.eval_rows, range(len(self.eval_rows)), True)):
            if rows:
                self.objective.prepare(rows, told, needed=needed, held_out=held_out)

    def _told(self, model: Any, bundles: Sequence[Bundle]) -> Iterator[tuple[list[int], torch.Tensor]]:
        done = 0
        for numbers, sums in self._scored(model, bundles):
            yield numbers, sums
            done += len(numbers)
            self.session.phase("computing reference", done, len(bundles), self.objective.unit)

    def evaluate_loss(self, model: Any) -> tuple[float, dict[str, float]]:
        """Return the mean loss over the evaluation examples and the objective's metrics there (``eval_...``)."""
        loss_sum, total, done = 0.0, 0, 0
        training, self.objective.since_log = self.objective.since_log, {}
        step = self.config.rows_per_step if self.objective.unit != "tokens" else len(self.eval_rows)
        try:
            for start in range(0, len(self.eval_rows), step):
                part = self.eval_rows[start : start + step]
                with self.session.weights():
                    self.objective.begin(part, functools.partial(self._scored, model), held_out=True)
                for piece, examples in self._pieces(part):
                    self.session.control.check()
                    model.eval()
                    with self.session.weights(), torch.no_grad(), self._computing(model, piece) as nll:
                        loss_sum += float(self.objective.loss(nll, piece, examples, held_out=True))
                    done += len(examples)
                    self.session.phase("evaluating", done, len(self.eval_rows), "rows")
                total += self.objective.count(part)
            metrics = {f"eval_{name}": round(value, 6) for name, value in self.objective.metrics().items()}
        finally:
            self.objective.since_log = training
            model.train()
        return loss_sum / max(1, total), metrics
