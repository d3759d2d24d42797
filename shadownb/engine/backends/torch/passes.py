"""From examples to log-probabilities: how the rows of a step, of an evaluation and of a reference are computed in batches."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

from shadownb.engine.backends.torch.adapters import Adapter
from shadownb.engine.backends.torch.arrays import TorchTokens, Watched
from shadownb.engine.backends.torch.attention import Packing, batch_layout, target_outputs
from shadownb.engine.backends.torch.kernels import head_loss
from shadownb.engine.backends.torch.kernels.installed import ATTENTION, HEAD, Kernels
from shadownb.engine.backends.torch.packed_batch import PackedBatch, pack
from shadownb.engine.objectives.arrays import Need
from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.packing import Bundle, split


@dataclass
class Passes:
    """The forward passes of a model with an adapter on it.

    Attributes
    ----------
    max_tokens
        Most tokens of a batch.
    shares
        Whether what rows start with is computed once for all of them.
    autocast
        The 16-bit format that a GPU computes in; None computes in the weights' own.
    kernels
        What is computed in another way than the model's modules do, and which of that is on.
    needs
        What the objective needs of a pass beside log-probabilities.
    head
        The scalar head, where the objective needs values: (N, width) to (N,).
    temperature
        What logits are divided by.
    """

    adapter: Adapter
    packing: Packing
    device: torch.device
    max_tokens: int
    shares: bool
    kernels: Kernels
    autocast: torch.dtype | None = None
    needs: frozenset[Need] = frozenset()
    head: Callable[[torch.Tensor], torch.Tensor] | None = None
    temperature: float = 1.0

    def batches(self, examples: Sequence[Example]) -> Iterator[tuple[PackedBatch, list[Example]]]:
        """Yield the batches of examples, each with the examples whose rows are in it, in that order."""
        for group in self._split([example.rows for example in examples]):
            members = [examples[number] for number in group]
            yield self.packed([row for example in members for row in example.rows]), members

    def bundles(self, bundles: Sequence[Bundle]) -> Iterator[tuple[PackedBatch, list[int]]]:
        """Yield the batches of bundles of rows, each with the numbers of its bundles."""
        for group in self._split(bundles):
            yield self.packed([row for number in group for row in bundles[number]]), group

    def _split(self, bundles: Sequence[Bundle]) -> list[list[int]]:
        limit = 0 if self.packing.kind == "single" else self.max_tokens
        return split(bundles, limit, share=self.shares)

    def packed(self, rows: Sequence[Rendered]) -> PackedBatch:
        return pack(rows, share=self.shares, device=self.device)

    @contextlib.contextmanager
    def tokens(self, batch: PackedBatch) -> Iterator[TorchTokens]:
        """Yield the trained tokens of a batch; logits exist only at those positions, and stay only where they are needed."""
        # Gradient checkpointing runs the forward pass again in the backward pass, so the layout holds for both.
        with contextlib.ExitStack() as layouts:
            found = [self._part(part, layouts) for part in self.parts(batch)]
            yield TorchTokens(-torch.cat([nll for nll, _ in found]), batch, _joined([watched for _, watched in found]))

    def _part(self, batch: PackedBatch, layouts: contextlib.ExitStack) -> tuple[torch.Tensor, Watched]:
        layouts.enter_context(self.kernels.applied())
        hidden = layouts.enter_context(self._hidden()) if self.needs & {"hidden", "value"} else []
        # One node has no place for a division of the logits.
        head = self.head_layer if HEAD in self.kernels.on and self.temperature == 1.0 else None
        with self.without_head() if head is not None else contextlib.nullcontext():
            logits, targets = self._logits(batch, layouts)
        if head is not None:
            nll = head_loss.computed(logits, head.weight, head.bias, targets, onednn=self.kernels.onednn)
        else:
            logits = logits if self.temperature == 1.0 else logits / self.temperature
            nll = cross_entropy(logits.float(), targets, reduction="none")
        kept = hidden[-1][0] if hidden else None
        return nll, Watched(
            self.needs,
            logits.float() if self.needs_logits else None,
            kept.float() if kept is not None and "hidden" in self.needs else None,
            self.head(kept.float()) if kept is not None and self.head is not None else None,
        )

    def _logits(self, batch: PackedBatch, layouts: contextlib.ExitStack) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the model gives for a batch's targets, shape (N, vocabulary), and the targets."""
        called, computed, inputs = self.adapter.feed(self.adapter.module, batch)
        wide = ATTENTION in self.kernels.on
        layout = layouts.enter_context(batch_layout(self.adapter.base, computed, self.packing, wide=wide))
        with self._cast():
            return target_outputs(called, computed, inputs, layout), computed.targets

    def logits(self, batch: PackedBatch) -> Iterator[torch.Tensor]:
        """Yield the logits of a batch, of each of its rows where these are computed one by one."""
        for part in self.parts(batch):
            with contextlib.ExitStack() as layouts:
                yield self._logits(part, layouts)[0]

    def parts(self, batch: PackedBatch) -> list[PackedBatch]:
        """Return what goes through the model in a pass each: the batch, or its rows one by one."""
        return batch.alone() if self.packing.kind == "single" and batch.rows > 1 else [batch]

    @property
    def needs_logits(self) -> bool:
        """Whether the objective needs logits themselves, or what is made of them."""
        return bool(self.needs & {"logits", "entropy", "top_k"})

    @property
    def head_layer(self) -> torch.nn.Linear | None:
        """The output head, where it is a linear layer and nothing else."""
        head = self.adapter.base.get_output_embeddings()
        return head if type(head) is torch.nn.Linear and "forward" not in vars(head) else None

    @contextlib.contextmanager
    def without_head(self, given: list[torch.Tensor] | None = None) -> Iterator[None]:
        """Inside the block, the head hands on what it gets, and notes it."""

        def hand_on(hidden: torch.Tensor) -> torch.Tensor:
            if given is not None:
                given.append(hidden)
            return hidden

        head = self.adapter.base.get_output_embeddings()
        assert head is not None
        head.forward = hand_on
        try:
            yield
        finally:
            del head.forward

    @contextlib.contextmanager
    def _hidden(self) -> Iterator[list[torch.Tensor]]:
        """Yield a list that gets what the output embeddings are multiplied with, shape (1, N, width), at each pass."""
        seen: list[torch.Tensor] = []
        hook = self.adapter.base.get_output_embeddings().register_forward_pre_hook(
            lambda _, inputs: seen.append(inputs[0])
        )
        try:
            yield seen
        finally:
            hook.remove()

    def _cast(self) -> contextlib.AbstractContextManager[object]:
        if self.autocast is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.autocast)


def _joined(parts: list[Watched]) -> Watched:
    """Return what several passes left as one."""
    if len(parts) == 1:
        return parts[0]
    columns = ([getattr(part, name) for part in parts] for name in ("logits", "hidden", "value"))
    return Watched(parts[0].needs, *(torch.cat(column) if column[0] is not None else None for column in columns))
