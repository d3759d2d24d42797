"""Canonical rows in the shape that trl's trainers read."""

from __future__ import annotations

import contextlib
import functools
import threading
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from shadownb.engine.backends.trl.known import Trainer
from shadownb.errors import DataError

if TYPE_CHECKING:
    from shadownb.engine.ports.guest import GuestRun

Row = dict[str, Any]

_LOOKED_AT = 16  # rows between two looks for a stop


def shaped(rows: Sequence[Row], known: Trainer, columns: Sequence[str]) -> list[Row]:
    """Return rows as a trainer reads them, with columns of the data set beside.

    Conversations whose only answer is their end are prompt and completion there, so that the completion alone is trained;
    others are ``messages``.

    Raises
    ------
    DataError
        A row has no question, or the rows are of two kinds that cannot stand in one table.
    """
    made = list(_conversations(rows) if known.rows == "conversations" else _others(rows, known))
    kinds = {tuple(sorted(name for name in row if name != "tools")) for row in made}
    if len(kinds) > 1:
        raise DataError(
            f"The rows are of several kinds: {'; '.join(', '.join(kind) for kind in sorted(kinds))}.",
            fix="Train one kind at a time.",
        )
    tools = any(row.get("tools") for row in made)
    return [
        {
            **{name: value for name, value in row.items() if name != "tools"},
            **({"tools": row.get("tools")} if tools else {}),
            **{name: given["columns"][name] for name in columns},
        }
        for row, given in zip(made, rows, strict=True)
    ]


def trains_every_turn(rows: Sequence[Row]) -> bool:
    """Whether conversations are given as ``messages``, of which trl trains every token unless told otherwise."""
    return any("messages" in row and not _one_answer(row["messages"]) for row in rows)


def _conversations(rows: Sequence[Row]) -> Iterator[Row]:
    whole = trains_every_turn(rows)
    for row in rows:
        if "messages" not in row:
            yield {"text": row["text"]}
        elif whole:
            yield {"messages": row["messages"], "tools": row.get("tools")}
        else:
            yield {"prompt": row["messages"][:-1], "completion": row["messages"][-1:], "tools": row.get("tools")}


def _one_answer(messages: list[Row]) -> bool:
    roles = [message["role"] for message in messages]
    return len(roles) > 1 and roles[-1] == "assistant" and "assistant" not in roles[:-1]


def _others(rows: Sequence[Row], known: Trainer) -> Iterator[Row]:
    for number, row in enumerate(rows):
        if known.rows == "messages":
            yield {"messages": row["messages"], "tools": row.get("tools")}
        elif known.rows == "prompts":
            messages = row["messages"]
            prompt = messages[:-1] if messages[-1]["role"] == "assistant" else messages
            if not prompt:
                raise DataError(
                    f"Row {number + 1} has no question.", fix="Leave it out: the model answers questions here."
                )
            yield {"prompt": prompt, "tools": row.get("tools")}
        else:
            yield {
                name: row[name]
                for name in ("prompt", "chosen", "rejected", "completion", "label", "tools")
                if name in row
            }


def as_table(rows: Sequence[Row]) -> Any:
    """Return rows as a table of ``datasets`` in memory, which says of each exactly what it said before.

    Raises
    ------
    DataError
        Columns of Arrow would add empty keys to some rows (arguments of different tools), and templates would write them.
    """
    from datasets import Dataset

    made = Dataset.from_list(list(rows), on_mixed_types="use_json")
    for number, (given, kept) in enumerate(zip(rows, made, strict=True)):
        if given != kept:
            raise DataError(
                f"Row {number + 1} cannot be given to trl as it is.",
                why="Its messages or tools have keys that other rows have not, and a table would add empty ones.",
                fix="Train it with one of shadownb.methods.available(), which read rows one by one.",
            )
    return made


@contextlib.contextmanager
def stoppable_preparation(run: GuestRun) -> Iterator[None]:
    """Let a trainer render and cut its rows without the weights, and a stop end that.

    All of them do so by ``Dataset.map`` while they are made, with the weights held for what else they do to the model.
    """
    from datasets import Dataset

    thread, plain_map = threading.get_ident(), Dataset.map

    @functools.wraps(plain_map)
    def watched(self: Any, function: Any = None, *given: Any, **named: Any) -> Any:
        if threading.get_ident() != thread or function is None or run.gate.holder != "training":
            return plain_map(self, function, *given, **named)
        done = 0

        @functools.wraps(function)
        def looking(*row: Any, **told: Any) -> Any:
            nonlocal done
            if done % _LOOKED_AT == 0:
                run.check()
                run.phase("preparing data", done, len(self), "rows")
            done += 1
            return function(*row, **told)

        named.setdefault("new_fingerprint", uuid.uuid4().hex[:16])  # or the function is pickled to make one of it
        run.gate.exit_training()
        try:
            return plain_map(self, looking, *given, **named)
        finally:
            run.gate.enter_training()

    Dataset.map = watched
    try:
        yield
    finally:
        Dataset.map = plain_map
