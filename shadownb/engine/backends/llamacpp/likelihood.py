"""How likely a GGUF file finds given tokens: each of them, their mean loss, or the whole distribution at their places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from shadownb.engine.backends.llamacpp.file import GgufFile
from shadownb.engine.backends.llamacpp.sampler import Numbers, log_probabilities
from shadownb.engine.backends.llamacpp.sequences import Sequences
from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.masks import NOT_TRAINED
from shadownb.errors import ModelError

_AT_ONCE = 64  # tokens whose logits are read together: of a vocabulary of 150,000 they take 77 MB in 64 bits


def distributions(
    file: GgufFile, rows: Sequence[Rendered], adapter: Path | None
) -> Iterator[tuple[int, list[int], Numbers]]:
    """Yield (number of the row, its next marked tokens, log-probabilities at their places, shape (tokens, vocabulary)).

    Raises
    ------
    ModelError
        A row is longer than the model's positions.
    """
    longest = max((len(row.input_ids) for row in rows), default=0)
    if longest > file.positions:
        raise ModelError(
            f"A row has {longest} tokens, and {file.path.name} attends to at most {file.positions}.",
            fix="Leave longer rows out, or cut them: max_length=.",
        )
    if not rows:
        return
    with Sequences(file, 1, longest, adapter) as room:
        for number, row in enumerate(rows):
            room.clear(0)
            targets = row.labels
            place, end = 0, max((n for n, t in enumerate(targets) if t != NOT_TRAINED), default=0)
            while place < end:
                # Where no next token is marked a whole piece is computed and nothing read.
                ahead = any(target != NOT_TRAINED for target in targets[place + 1 : place + 1 + room.piece])
                size = min(_AT_ONCE if ahead else room.piece, end - place)
                tokens = row.input_ids[place : place + size]
                marked = [n for n in range(size) if targets[place + n + 1] != NOT_TRAINED]
                (logits,) = room.feed([(0, place, tokens, size if marked else 0)])
                if marked:
                    yield number, [targets[place + n + 1] for n in marked], log_probabilities(logits[marked])
                place += size


def token_scores(file: GgufFile, rows: Sequence[Rendered], adapter: Path | None) -> list[list[tuple[float, bool]]]:
    """Return of each row's marked tokens the log-probability in nats, and whether it is the likeliest."""
    found: list[list[tuple[float, bool]]] = [[] for _ in rows]
    for number, tokens, known in distributions(file, rows, adapter):
        best = known.argmax(-1)
        found[number] += [(float(known[n, token]), bool(best[n] == token)) for n, token in enumerate(tokens)]
    return found


def mean_loss(file: GgufFile, rows: Sequence[Rendered], adapter: Path | None) -> float:
    """Return the mean negative log-probability of the marked tokens, of which there is at least one, in nats."""
    scores = [score for row in token_scores(file, rows, adapter) for score, _ in row]
    return -float(np.mean(scores))
