"""From examples to log-probabilities: rows of similar length, filled up to one width, through the model in one pass.

mlx-lm's rotations count from the start of a row and take no positions, so rows cannot lie one behind the other as in the torch
backend. What a row is filled up with stands behind it, where nothing of the row sees it, and counts in no loss. Logits exist only
where a token is trained.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np

from shadownb.engine.backends.mlx.arrays import MlxTokens
from shadownb.engine.backends.mlx.arrays import number as as_number
from shadownb.engine.backends.mlx.head import chosen
from shadownb.engine.objectives.arrays import Need
from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.masks import NOT_TRAINED
from shadownb.engine.rendering.packing import Bundle

Head = Callable[[Any], Any]


@dataclass(frozen=True)
class Batch:
    """Rows that are computed together.

    Attributes
    ----------
    ids
        Shape (rows, width).
    keep, targets
        Shape (N,): places in the rows laid end to end whose next token is trained, and those tokens.
    counts
        How many trained tokens each row has.
    """

    ids: Any
    keep: Any
    targets: Any
    counts: list[int]


def batches(examples: Sequence[Example], max_tokens: int) -> Iterator[tuple[Batch, list[Example]]]:
    """Yield the batches of examples, each with the examples whose rows are in it, in that order."""
    for group in grouped([example.rows for example in examples], max_tokens):
        members = [examples[number] for number in group]
        yield filled_up([row for example in members for row in example.rows]), members


def grouped(bundles: Sequence[Bundle], max_tokens: int) -> list[list[int]]:
    """Return the numbers of the bundles of each batch: alike in length, at most ``max_tokens`` with what fills them up.

    The order within a step has no effect on the sum of the losses.
    """
    widths = [max(len(row.input_ids) for row in bundle) for bundle in bundles]
    groups: list[list[int]] = []
    rows = 0
    for number in sorted(range(len(bundles)), key=lambda n: widths[n]):
        if groups and (rows + len(bundles[number])) * widths[number] <= max_tokens:
            groups[-1].append(number)
            rows += len(bundles[number])
        else:
            groups.append([number])
            rows = len(bundles[number])
    return groups


def filled_up(rows: Sequence[Rendered]) -> Batch:
    """Return rows as one batch."""
    width = max(len(row.input_ids) for row in rows)
    ids = np.zeros((len(rows), width), np.int32)
    keep: list[int] = []
    targets: list[int] = []
    counts = []
    for number, row in enumerate(rows):
        ids[number, : len(row.input_ids)] = row.input_ids
        trained = [place for place in range(len(row.input_ids) - 1) if row.labels[place + 1] != NOT_TRAINED]
        keep += [number * width + place for place in trained]
        targets += [row.labels[place + 1] for place in trained]
        counts.append(len(trained))
    return Batch(mx.array(ids), mx.array(keep, mx.int32), mx.array(targets, mx.int32), counts)


def tokens(
    module: Any,
    batch: Batch,
    needs: frozenset[Need] = frozenset(),
    head: Head | None = None,
    temperature: float = 1.0,
) -> MlxTokens:
    """Return the trained tokens of a batch, of logits divided by ``temperature``; nothing is evaluated."""
    with chosen(module, batch.keep) as seen:
        logits = module(batch.ids)[0].astype(mx.float32)
    logits = logits if temperature == 1.0 else logits / temperature
    hidden = seen[-1].astype(mx.float32) if needs & {"hidden", "value"} else None
    value = head(hidden) if head is not None and "value" in needs else None
    return MlxTokens(logits, batch.targets, batch.counts, needs, hidden, value)


def mean_loss(module: Any, examples: Sequence[Example], max_tokens: int) -> float:
    """Return the mean negative log-probability of the trained tokens, in nats."""
    total, count = 0.0, 0
    for batch, _ in batches([Example((row,)) for example in examples for row in example.rows], max_tokens):
        if sum(batch.counts):
            total -= as_number(mx.sum(tokens(module, batch).logp.value))
            count += sum(batch.counts)
    return total / count


def token_scores(module: Any, rows: Sequence[Rendered], max_tokens: int) -> list[list[tuple[float, bool]]]:
    """Return of each row's marked tokens the log-probability in nats, and whether it is the likeliest in its place."""
    found: list[list[tuple[float, bool]]] = [[] for _ in rows]
    for group in grouped([(row,) for row in rows], max_tokens):
        batch = filled_up([rows[number] for number in group])
        if not sum(batch.counts):
            continue
        told = tokens(module, batch, frozenset({"logits"}))
        likeliest = mx.argmax(told.logits.value, axis=-1) == batch.targets
        mx.eval(told.logp.value, likeliest)
        pairs = zip(told.logp.value.tolist(), likeliest.tolist(), strict=True)
        for number, count in zip(group, batch.counts, strict=True):
            found[number] = list(itertools.islice(pairs, count))
    return found


def distribution(module: Any, row: Rendered) -> tuple[list[int], Any]:
    """Return a row's marked tokens and the log-probabilities of all tokens in their places, a numpy array."""
    batch = filled_up([row])
    logits = tokens(module, batch, frozenset({"logits"})).logits.value
    mx.eval(logits)
    logs = np.array(logits, np.float64)
    logs -= logs.max(axis=-1, keepdims=True)
    return batch.targets.tolist(), logs - np.log(np.exp(logs).sum(axis=-1, keepdims=True))
