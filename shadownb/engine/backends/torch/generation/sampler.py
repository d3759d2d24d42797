"""Tokens from logits: one uniform number a token and row, and no sort of the whole vocabulary.

A row's token is where its number falls in the distribution, so a seed gives the same answer in any thread, beside any other
rows, and base and tuned weights share their luck (:mod:`shadownb.engine.inference.draws`). Of 32 rows over 49,152 tokens the
whole sort took 95 ms of one AVX-512 core and noise for every token 22; softmax and search take 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import pad
from transformers import GenerationConfig

from shadownb.engine.backends.torch.generation.rows import Row
from shadownb.engine.inference.types import Sampling

_RUN = 256  # tokens whose probabilities are summed first, so that only one run of a row is gone through token by token
_CANDIDATES = 128  # that top_p looks at first; most distributions have their share in fewer


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


class Sampler:
    """Takes a token for each row, in the order of the options as transformers has it: penalty, temperature, top_k, top_p."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling

    def take(self, rows: Sequence[Row], logits: torch.Tensor) -> tuple[list[int], list[float | None]]:
        """Return each row's next token and, where asked for, its log-probability in the model's own distribution.

        Parameters
        ----------
        logits
            As the model gives them, in 32 bits, shape (rows, vocabulary); stay as they are.
        """
        asked = self._sampling
        scores = logits if asked.repetition_penalty == 1 else self._penalised(rows, logits)
        if asked.greedy:
            tokens = scores.argmax(-1)
        else:
            if asked.temperature != 1:
                scores = scores / asked.temperature
            luck = torch.tensor([row.draws.random() for row in rows], dtype=torch.float64)
            tokens = self._drawn(scores, luck).to(logits.device)
        known: list[float | None] = [None] * len(rows)
        if asked.logprobs:
            known = (logits.gather(1, tokens[:, None])[:, 0] - logits.logsumexp(1)).tolist()
        return tokens.tolist(), known

    def _penalised(self, rows: Sequence[Row], logits: torch.Tensor) -> torch.Tensor:
        scores, penalty = logits.clone(), self._sampling.repetition_penalty
        for row, own in zip(rows, scores, strict=True):
            seen = torch.tensor(row.prompt + row.ids, device=logits.device)
            before = own[seen]
            own[seen] = torch.where(before < 0, before * penalty, before / penalty)
        return scores

    def _drawn(self, scores: torch.Tensor, luck: torch.Tensor) -> torch.Tensor:
        top_k, top_p = min(self._sampling.top_k, scores.shape[1]), self._sampling.top_p
        if not top_k and top_p == 1:
            return at_share(scores.softmax(-1), luck)
        if top_k:
            best, tokens = scores.topk(top_k)
            return _nucleus(best.softmax(-1), tokens, top_p, luck)
        shares, found = scores.softmax(-1), torch.empty(len(scores), dtype=torch.long)
        left, width = torch.arange(len(scores)), _CANDIDATES
        while len(left):
            width = min(width, scores.shape[1])
            best, tokens = shares[left.to(shares.device)].topk(width)
            enough = (best.sum(-1) >= top_p).cpu() | (width == scores.shape[1])
            done = enough.to(shares.device)
            found[left[enough]] = _nucleus(best[done], tokens[done], top_p, luck[left[enough]])
            left, width = left[~enough], width * 8
        return found


def _nucleus(shares: torch.Tensor, tokens: torch.Tensor, top_p: float, luck: torch.Tensor) -> torch.Tensor:
    """Draw from the likeliest tokens that together hold ``top_p``; both are (rows, candidates), likeliest first."""
    exact = shares.cpu().double()
    kept = exact.where(exact.cumsum(-1) - exact < top_p, 0)
    return tokens.cpu().gather(1, _place(kept, luck * kept.sum(-1))[:, None])[:, 0]


def at_share(shares: torch.Tensor, luck: torch.Tensor) -> torch.Tensor:
    """Return in which token of ``shares`` (rows, vocabulary) the number of each row falls, (rows,) on the CPU.

    ``luck`` (rows,) is in [0, 1); tokens lie in the order of their ids, and one with no share is never returned.
    """
    runs = pad(shares, (0, -shares.shape[1] % _RUN)).unflatten(1, (-1, _RUN))
    sums = runs.sum(-1).cpu().double()  # in 64 bits: in 32 the tail of a large vocabulary would be too coarse
    target = luck * sums.sum(-1)
    run = _place(sums, target)
    before = (sums.cumsum(-1) - sums).gather(1, run[:, None])[:, 0]
    inside = runs[torch.arange(len(run), device=runs.device), run.to(runs.device)].cpu().double()
    return run * _RUN + _place(inside, target - before)


def _place(shares: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the first place where the sum of ``shares`` (rows, places) is above ``target`` (rows,)."""
    ends = shares.cumsum(-1)
    last = torch.nextafter(
        ends[:, -1], torch.zeros((), dtype=ends.dtype)
    )  # the sums of runs and tokens differ by rounding
    return torch.searchsorted(ends, target.clamp_min(0).minimum(last)[:, None], right=True)[:, 0]
