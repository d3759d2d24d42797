"""The rows of one optimizer step as pieces without padding.

All rows of a step are computed in as few forward passes as ``max_tokens_per_forward`` allows. In a piece the rows lie one
behind the other in a single sequence, and what they all start with (the system prompt of a task that is done over and
over) stands there once. Attention keeps the rows apart (:mod:`.attention`), logits are computed only where a token is
trained. Losses are summed and divided by the step's trained tokens, so the split into pieces changes nothing but rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from shadownb.engine.rendering import Rendered

IGNORED = -100

# A shared start shorter than this costs more in bookkeeping than it saves.
_MIN_SHARED = 16


@dataclass(frozen=True)
class Piece:
    """Rows packed into one sequence of T tokens.

    Attributes
    ----------
    input_ids, position_ids
        Shape (1, T), int64.
    shared
        Length of the common start at the front; 0 for none.
    lengths
        Lengths of the rows behind it, without that start; ``shared + sum(lengths) == T``.
    keep
        Shape (N,): positions whose next token is trained.
    targets
        Shape (N,): those next tokens.
    row_tokens
        Tokens of the rows as they would be without sharing.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    shared: int
    lengths: tuple[int, ...]
    keep: torch.Tensor
    targets: torch.Tensor
    row_tokens: int


def trained_tokens(row: Rendered) -> int:
    """Return how many tokens of a row are predicted and counted (the first token has nothing before it)."""
    return sum(1 for label in row.labels[1:] if label != IGNORED)


def split(rows: Sequence[Rendered], max_tokens: int, *, share: bool) -> Iterator[list[Rendered]]:
    """Yield groups of rows whose packed length is at most ``max_tokens`` (a longer row is alone).

    Rows are taken in order of length, so that a group's attention is even; the order within a step has no effect on the
    sum of the losses.
    """
    group: list[Rendered] = []
    total = 0
    shared = common_start(rows) if share else 0
    for row in sorted(rows, key=lambda r: len(r.input_ids)):
        length = len(row.input_ids) - (shared if group else 0)
        if group and total + length > max_tokens:
            yield group
            group, total = [], 0
            length = len(row.input_ids)
        group.append(row)
        total += length
    if group:
        yield group


def pack(rows: Sequence[Rendered], *, share: bool, device: torch.device | str = "cpu") -> Piece:
    """Pack rows into one piece."""
    shared = common_start(rows) if share else 0
    ids: list[int] = list(rows[0].input_ids[:shared])
    positions: list[int] = list(range(shared))
    lengths, keep, targets = [], [], []
    for row in rows:
        offset = len(ids) - shared  # of position `shared` of this row in the piece
        for position in range(max(shared, 0), len(row.input_ids) - 1):
            if row.labels[position + 1] != IGNORED:
                keep.append(offset + position)
                targets.append(row.labels[position + 1])
        ids.extend(row.input_ids[shared:])
        positions.extend(range(shared, len(row.input_ids)))
        lengths.append(len(row.input_ids) - shared)
    return Piece(
        input_ids=torch.tensor([ids], device=device),
        position_ids=torch.tensor([positions], device=device),
        shared=shared,
        lengths=tuple(lengths),
        keep=torch.tensor(keep, dtype=torch.long, device=device),
        targets=torch.tensor(targets, dtype=torch.long, device=device),
        row_tokens=sum(len(row.input_ids) for row in rows),
    )


def common_start(rows: Sequence[Rendered]) -> int:
    """Return how many first tokens all rows share, none of which (nor the next) is trained; 0 if not worth it."""
    if len(rows) < 2:
        return 0
    first = rows[0].input_ids
    shared = min(len(row.input_ids) for row in rows) - 1
    for row in rows:
        ids = row.input_ids
        trained = next((i for i, label in enumerate(row.labels) if label != IGNORED), len(ids))
        # The token before the first trained one predicts it, so it must be the row's own.
        shared = max(0, min(shared, trained - 1))
        if ids[:shared] != first[:shared]:
            shared = next(i for i in range(shared) if ids[i] != first[i])
    return shared if shared >= _MIN_SHARED else 0
