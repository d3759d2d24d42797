"""The clipped loss of policy gradients, over a pass of whole answers; the formulas are those of trl's trainers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from shadownb.engine.rendering.examples import Example

if TYPE_CHECKING:
    from shadownb.engine.objectives.arrays import Ops, Tokens
    from shadownb.engine.objectives.policy.gradient import PolicyGradient


def summed_loss(objective: PolicyGradient, ops: Ops[Any], tokens: Tokens[Any], examples: Sequence[Example]) -> Any:
    """Return the summed loss; what it is divided by is the objective's ``count``.

    An example has ``advantage``, and its ``old`` and ``reference`` log-probabilities or None, which stands for those of now.
    """
    own = objective.own
    lengths = [max(1, sum(row.predicted_tokens for row in example.rows)) for example in examples]
    shares = [1.0 / length if own.loss_type == "grpo" else 1.0 for length in lengths]
    advantages = [float(example.columns["advantage"]) for example in examples]
    apart = tokens.logp - _kept(ops, tokens, "old", examples)
    if own.loss_type == "rloo":
        ratio = ops.exp(_by_example(ops, tokens, apart, examples))
        total = -ops.sum(clipped_gain(objective, ops, ratio, ops.numbers(advantages)))
    elif own.importance_sampling_level == "sequence":
        mean = _by_example(ops, tokens, apart, examples) / ops.numbers([float(length) for length in lengths])
        weights = ops.numbers([share * length for share, length in zip(shares, lengths, strict=True)])
        total = -ops.sum(clipped_gain(objective, ops, ops.exp(mean), ops.numbers(advantages)) * weights)
    else:
        gain = clipped_gain(objective, ops, ops.exp(apart), _over(tokens, advantages, examples))
        total = -ops.sum(gain * _over(tokens, shares, examples))
    if objective.divergence_in_loss:
        away = _kept(ops, tokens, "reference", examples) - tokens.logp
        divergence = ops.exp(away) - away - 1  # Schulman's estimate, which is never negative
        objective.note(ops, "kl", divergence)
        total = total + own.beta * ops.sum(divergence * _over(tokens, shares, examples))
    return total


def clipped_gain(objective: PolicyGradient, ops: Ops[Any], ratio: Any, advantage: Any) -> Any:
    """Return what an answer, or a token, is gained by: advantage times ratio, which counts within the bounds alone."""
    own = objective.own
    low, high = 1 - own.epsilon, 1 + own.high
    held = ops.clip(ratio, low, high) * advantage
    still = ops.stop(ratio)
    nothing = still * 0
    below = ops.where(still < low, ops.where(advantage < 0, nothing + 1, nothing), nothing)
    above = ops.where(still > high, ops.where(advantage > 0, nothing + 1, nothing), nothing)
    for name, values in (
        ("ratio", still),
        ("clip_ratio_low", below),
        ("clip_ratio_high", above),
        ("clip_ratio", below + above),
    ):
        objective.note(ops, name, values)
    bounded = ratio if own.delta is None else ops.clip(ratio, None, own.delta)
    return ops.minimum(bounded * advantage, held)


def _kept(ops: Ops[Any], tokens: Tokens[Any], name: str, examples: Sequence[Example]) -> Any:
    """Return kept log-probabilities of the tokens, (N,); where an example has none, those of now."""
    kept = [example.columns.get(name) for example in examples]
    return ops.stop(tokens.logp) if any(one is None for one in kept) else tokens.spread(_by_row(kept))


def _by_row(kept: Iterable[Any]) -> list[list[float]]:
    """Return numbers of examples row by row; one of a single row may have them without a list around."""
    return [row for one in kept for row in (one if one and isinstance(one[0], list) else [one])]


def _over(tokens: Tokens[Any], values: Sequence[float], examples: Sequence[Example]) -> Any:
    """Give each token the number of its example, (N,)."""
    return tokens.over([value for value, example in zip(values, examples, strict=True) for _ in example.rows])


def _by_example(ops: Ops[Any], tokens: Tokens[Any], values: Any, examples: Sequence[Example]) -> Any:
    """Sum (N,) values to (examples,)."""
    sums, found, start = tokens.by_row(values), [], 0
    if all(len(example.rows) == 1 for example in examples):
        return sums
    for example in examples:
        found.append(ops.sum(sums[start : start + len(example.rows)]))
        start += len(example.rows)
    return ops.stack(found)
