"""How long rows are as trl renders them: its trainers cut what is over ``max_length`` and say nothing of it.

Two of them go on with rows of whose answers nothing is left then, and their loss is not a number; those rows are left out here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shadownb.engine.backends.trl.known import Trainer

if TYPE_CHECKING:
    from shadownb.engine.ports.guest import GuestRun

Row = dict[str, Any]

_LOOKED_AT = 16  # rows between two looks for a stop
_ANSWERS = ("completion", "chosen", "rejected", "reference")


@dataclass(frozen=True)
class Fitted:
    """Rows that a trainer is given.

    Attributes
    ----------
    rows
        Those with at least one token of an answer within ``max_length``; all, where the trainer leaves out the others itself.
    cut
        How many of all rows are longer.
    """

    rows: list[Row]
    cut: int


def fitted(rows: Sequence[Row], known: Trainer, tokenizer: Any, run: GuestRun) -> Fitted:
    """Return the rows that fit in ``run.max_length``, and how many are longer than it."""
    kept, cut = [], 0
    for number, row in enumerate(rows):
        if number % _LOOKED_AT == 0:
            run.check()
            run.phase("preparing data", number, len(rows), "rows")
        longest = max(_lengths(row, tokenizer))
        cut += longest > run.max_length
        if longest <= run.max_length or not known.keeps_empty or _prompt(row, tokenizer) < run.max_length:
            kept.append(row)
    return Fitted(kept, cut)


def _lengths(row: Row, tokenizer: Any) -> Iterator[int]:
    """Yield the tokens of each sequence that is made of a row."""
    if "text" in row:
        yield len(tokenizer(row["text"])["input_ids"]) + 1  # and the end
    elif "messages" in row:
        yield _rendered(row["messages"], row, tokenizer)
    else:
        answers = [row[name] for name in _ANSWERS if name in row]
        for answer in answers:
            yield _rendered([*row["prompt"], *answer], row, tokenizer)
        if not answers:
            yield _prompt(row, tokenizer)


def _prompt(row: Row, tokenizer: Any) -> int:
    return _rendered(row["prompt"], row, tokenizer, add_generation_prompt=True) if "prompt" in row else 0


def _rendered(messages: list[Row], row: Row, tokenizer: Any, **options: Any) -> int:
    return len(tokenizer.apply_chat_template(messages, tools=row.get("tools") or None, return_dict=False, **options))
