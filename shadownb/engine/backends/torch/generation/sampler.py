"""Reproducible sampling inside the library's decoding loop.

``transformers`` samples with the global generator. Here its own warpers run first (temperature, top-k, top-p), then
``PrivateSampler`` adds Gumbel noise from one private generator a row, and the loop's argmax picks the sample. So a seed
gives the same answer in any thread, beside any other rows of a batch, and base and tuned weights share their luck.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from shadownb.engine.inference.types import Sampling


class ExactConfig(GenerationConfig):
    """A generation config that takes nothing over from the model's own one.

    A model's file may ask for a repetition penalty, a top-k or suppressed tokens; what a user set is all that counts.
    """

    def update(self, defaults_only: bool = False, allow_custom_entries: bool = False, **kwargs: Any) -> dict[str, Any]:
        """Ignore the model's defaults (the only call that carries custom entries); take everything else."""
        if defaults_only and allow_custom_entries:
            return {}
        unused: dict[str, Any] = super().update(
            defaults_only=defaults_only, allow_custom_entries=allow_custom_entries, **kwargs
        )
        return unused


def row_seed(seed: int, row: int) -> int:
    """Mix a seed and a row number into 63 bits that differ everywhere."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{row}".encode(), digest_size=8).digest(), "big") >> 1


class PrivateSampler(LogitsProcessor):
    """Turns the loop's argmax into a draw: ``argmax(scores + Gumbel)`` is distributed as ``softmax(scores)``.

    Parameters
    ----------
    seed
        Of the whole call.
    rows
        Number of each batch row within the call.
    """

    def __init__(self, seed: int, rows: Sequence[int], device: torch.device) -> None:
        # float64 noise, because float32 uniforms are too coarse for the tail of a large vocabulary; MPS has none.
        self._dtype = torch.float32 if device.type == "mps" else torch.float64
        self._generators = [torch.Generator(device).manual_seed(row_seed(seed, row)) for row in rows]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Add noise to ``scores`` of shape (rows, vocabulary)."""
        noise = torch.empty(scores.shape, dtype=self._dtype, device=scores.device)
        for row, generator in enumerate(self._generators):
            noise[row].exponential_(generator=generator)
        return scores - noise.log_().to(scores.dtype)


class TokenLogProbs(LogitsProcessor):
    """Keeps a step's logits as the model gives them until it is known which token was taken; the first of its chain."""

    def __init__(self) -> None:
        self._logits: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Keep ``scores`` of shape (rows, vocabulary), which no later processor writes into."""
        self._logits = scores
        return scores

    def of(self, taken: torch.Tensor) -> list[float]:
        """Return the log-probability of the token that each row took, in nats; ``taken`` has shape (rows,)."""
        logits, self._logits = self._logits, None
        assert logits is not None
        found: list[float] = (logits.gather(1, taken[:, None])[:, 0] - logits.logsumexp(1)).tolist()
        return found


def processors(
    sampling: Sampling,
    seed: int,
    rows: Sequence[int],
    device: torch.device,
    *,
    padding: torch.Tensor | None = None,
    log_probs: TokenLogProbs | None = None,
) -> LogitsProcessorList:
    """Return what makes a batch's tokens of its logits; nothing where the likeliest token is taken as it is.

    Parameters
    ----------
    padding
        How many tokens before each row are none of its own, shape (rows,).
    log_probs
        Sees the logits before anything else does.
    """
    chain = LogitsProcessorList()
    if log_probs is not None:
        chain.append(log_probs)
    if sampling.repetition_penalty != 1:
        chain.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty, prompt_ignore_length=padding))
    if sampling.greedy:
        return chain
    if sampling.temperature != 1:
        chain.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        chain.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        chain.append(TopPLogitsWarper(sampling.top_p))
    chain.append(PrivateSampler(seed, rows, device))
    return chain
