"""Tokens from logits: one uniform number a token and row, and no sort of the whole vocabulary.

A row's token is where its number falls in the distribution, so a seed gives the same answer in any thread, beside any other
rows, and base and tuned weights share their luck (:mod:`shadownb.engine.inference.draws`). Of 32 rows over 49,152 tokens the
whole sort took 95 ms of one AVX-512 core and noise for every token 22; softmax and search take 1. Whether top_p keeps a token is a
sum over what is likelier, for which nothing has to be sorted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import pad
from transformers import GenerationConfig

from shadownb.engine.inference.rows import Row
from shadownb.engine.inference.types import Sampling

_RUN = 256  # tokens whose probabilities are summed first, so that only one run of a row is gone through token by token
_TRIES = 3  # of drawing from all tokens what top_p keeps; one fails by a chance of at most 1 - top_p
_FAR = -80.0  # exp of it is a normal number of 32 bits
_CANDIDATES = 128  # that are sorted first after those


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
    """Takes a token for each row, in the order of the options as transformers has it: penalties, temperature, top_k, top_p, min_p.

    What a row's form forbids has no chance from the beginning.
    """

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
        scores = self._changed(rows, logits)
        if asked.greedy:
            tokens = scores.argmax(-1)
        else:
            if asked.temperature != 1:
                scores = scores / asked.temperature
            luck = torch.tensor([row.draws.random() for row in rows], dtype=torch.float64)
            tokens = self._drawn(rows, scores, luck).to(logits.device)
        known: list[float | None] = [None] * len(rows)
        if asked.logprobs or asked.top_logprobs:
            total = _log_total(logits)
            known = (logits.gather(1, tokens[:, None])[:, 0] - total).tolist()
            if asked.top_logprobs:
                self._note_likeliest(rows, logits, total)
        return tokens.tolist(), known

    def _note_likeliest(self, rows: Sequence[Row], logits: torch.Tensor, total: torch.Tensor) -> None:
        best, tokens = logits.topk(min(self._sampling.top_logprobs, logits.shape[1]))
        for row, ids, values in zip(rows, tokens.tolist(), (best - total[:, None]).tolist(), strict=True):
            if row.reason is None and row.tops is not None:
                row.tops.append(list(zip(ids, values, strict=True)))

    def _changed(self, rows: Sequence[Row], logits: torch.Tensor) -> torch.Tensor:
        """Return the logits that are sampled from: penalties and biases added, and what is forbidden left no chance."""
        asked = self._sampling
        counted = asked.presence_penalty != 0 or asked.frequency_penalty != 0
        bound = [row for row in rows if row.matcher is not None and row.reason is None]
        if not (asked.repetition_penalty != 1 or counted or asked.logit_bias or asked.ignore_eos or bound):
            return logits
        scores = logits.clone()
        if asked.repetition_penalty != 1:
            self._penalise(rows, scores)
        if counted:
            self._penalise_counts(rows, scores)
        if asked.logit_bias:
            ids = [token for token, _ in asked.logit_bias if token < scores.shape[1]]
            scores[:, ids] += torch.tensor(
                [b for t, b in asked.logit_bias if t < scores.shape[1]], device=scores.device
            )
        if asked.ignore_eos:
            for row, own in zip(rows, scores, strict=True):
                own[[token for token in row.stop_ids if token < len(own)]] = float("-inf")
        if bound:
            for row, own in zip(rows, scores, strict=True):
                if row.matcher is not None and row.reason is None:
                    own.masked_fill_(~torch.from_numpy(row.matcher.allowed(len(own))).to(own.device), float("-inf"))
        return scores

    def _penalise(self, rows: Sequence[Row], scores: torch.Tensor) -> None:
        penalty = self._sampling.repetition_penalty
        for row, own in zip(rows, scores, strict=True):
            seen = torch.tensor(row.prompt + row.ids, device=scores.device)
            before = own[seen]
            own[seen] = torch.where(before < 0, before * penalty, before / penalty)

    def _penalise_counts(self, rows: Sequence[Row], scores: torch.Tensor) -> None:
        """Take off what OpenAI's penalties do: only the answer's own tokens count."""
        for row, own in zip(rows, scores, strict=True):
            if row.ids:
                times = torch.bincount(torch.tensor(row.ids, device=own.device), minlength=len(own))
                own.sub_(self._sampling.presence_penalty * (times > 0) + self._sampling.frequency_penalty * times)

    def _drawn(self, rows: Sequence[Row], scores: torch.Tensor, luck: torch.Tensor) -> torch.Tensor:
        top_k, top_p = min(self._sampling.top_k, scores.shape[1]), self._sampling.top_p
        if top_k:
            best, tokens = scores.topk(top_k)
            return _nucleus(self._likely(best.softmax(-1)), tokens, top_p, luck)
        shares = self._likely(scores.softmax(-1))
        return at_share(shares, luck) if top_p == 1 else self._from_nucleus(rows, shares, luck)

    def _likely(self, shares: torch.Tensor) -> torch.Tensor:
        """Return shares without those that min_p leaves out. What is likelier than a kept one is kept, so top_p sees no change."""
        min_p = self._sampling.min_p
        return shares if min_p == 0 else shares.where(shares >= min_p * shares.max(-1, keepdim=True).values, 0)

    def _from_nucleus(self, rows: Sequence[Row], shares: torch.Tensor, luck: torch.Tensor) -> torch.Tensor:
        """Draw from the likeliest tokens that together hold top_p, shape (rows,) on the CPU.

        A token drawn from all is one of them where what is likelier holds less than top_p; else it is drawn again. That gives
        the same distribution as sorting first, in a few passes over the row, unless top_p is small.
        """
        top_p = self._sampling.top_p
        found = at_share(shares, luck)
        left = torch.arange(len(rows))
        for _ in range(_TRIES):
            part, drawn = (shares, found) if len(left) == len(rows) else (shares[left.to(shares.device)], found[left])
            likelier = part > part.gather(1, drawn[:, None].to(part.device))
            left = left[(part.where(likelier, 0).sum(-1) >= top_p).cpu()]
            if not len(left):
                return found
            again = torch.tensor([rows[row].draws.random() for row in left.tolist()], dtype=torch.float64)
            found[left] = at_share(shares[left.to(shares.device)], again)
        return self._sorted(rows, shares, found, left)

    def _sorted(
        self, rows: Sequence[Row], shares: torch.Tensor, found: torch.Tensor, left: torch.Tensor
    ) -> torch.Tensor:
        """Draw for the rows that are ``left`` from their candidates, as few of the vocabulary as hold top_p."""
        luck = torch.tensor([rows[row].draws.random() for row in left.tolist()], dtype=torch.float64)
        width, top_p = _CANDIDATES, self._sampling.top_p
        while len(left):
            best, tokens = shares[left.to(shares.device)].topk(min(width, shares.shape[1]))
            enough = (best.sum(-1) >= top_p).cpu() | (width >= shares.shape[1])
            done = enough.to(shares.device)
            found[left[enough]] = _nucleus(best[done], tokens[done], top_p, luck[enough])
            left, luck, width = left[~enough], luck[~enough], width * 8
        return found


def _log_total(logits: torch.Tensor) -> torch.Tensor:
    """Return the logsumexp of each row, shape (rows,).

    Where the largest is far above the others their exp is denormal, with which torch's logsumexp of 64 rows over 49,152 tokens
    takes 92 ms of one AVX-512 core instead of 5; what is cut here is less than 1e-30 of the sum.
    """
    most = logits.amax(-1, keepdim=True)
    return (logits - most).clamp_min_(_FAR).exp_().sum(-1).log_().add_(most[:, 0])


def _nucleus(shares: torch.Tensor, tokens: torch.Tensor, top_p: float, luck: torch.Tensor) -> torch.Tensor:
    """Draw from the likeliest tokens that together hold ``top_p``; both are (rows, candidates), likeliest first."""
    exact = shares.cpu().double()
    kept = exact.where(exact.cumsum(-1) - exact < top_p, 0)
    return tokens.cpu().gather(1, _place(kept, luck * kept.sum(-1))[:, None])[:, 0]


def at_share(shares: torch.Tensor, luck: torch.Tensor) -> torch.Tensor:
    """Return in which token of ``shares`` (rows, vocabulary) the number of each row falls, (rows,) on the CPU.

    ``luck`` (rows,) is in [0, 1); tokens lie in the order of their ids, and one with no share is never returned.
    """
    runs = pad(shares, (0, -shares.shape[1] % _RUN)).view(len(shares), -1, _RUN)
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
