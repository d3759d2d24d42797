"""Message trees to conversations: OpenAssistant's rows, flat (one message a row) or nested (one tree a row).

A tree becomes one row for each of its last answers. To one question only the answer that people ranked best is followed, and an
answer that several rows share is trained in the first of them. What is left out (answers ranked lower, deleted messages) is
counted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from shadownb.engine.data.loaded import Loaded
from shadownb.engine.data.report import UnreadColumn
from shadownb.engine.messages.values import is_empty
from shadownb.errors import DataError

Row = dict[str, Any]
_USED = ("message_id", "parent_id", "role", "text", "rank", "deleted", "replies", "parent", "message_tree_id")
LOWER = "answers that were ranked lower, with what follows them"
DELETED = "deleted messages"
ORPHAN = "messages without their parent"
UNANSWERED = "messages that no answer follows"


def is_tree(rows: list[Row]) -> bool:
    """Whether most rows are messages of a tree, or whole trees."""
    return 2 * sum(_is_flat(row) or _is_nested(row) for row in rows) > len(rows)


def _is_flat(row: Row) -> bool:
    return {"message_id", "parent_id", "text", "role"} <= row.keys()


def _is_nested(row: Row) -> bool:
    prompt = row.get("prompt")
    return isinstance(prompt, dict) and "replies" in prompt and isinstance(prompt.get("text"), str)


def conversations(loaded: Loaded) -> Loaded:
    """Return the conversations of a set of message trees, numbered by the row of their last message."""
    messages = list(_messages(loaded))
    known = {message["message_id"] for message, _ in messages}
    replies: defaultdict[Any, list[tuple[Row, int]]] = defaultdict(list)
    left: Counter[str] = Counter()
    for message, number in messages:
        parent = message.get("parent_id")
        parent = None if is_empty(parent) else parent
        left[ORPHAN] += parent is not None and parent not in known
        replies[parent].append((message, number))
    found = Loaded(
        place=loaded.place, unreadable=list(loaded.unreadable), arrow=loaded.arrow, beside=list(loaded.beside)
    )
    trained: set[Any] = set()
    stack: list[tuple[list[Row], int]] = [([message], number) for message, number in reversed(replies[None])]
    while stack:
        path, number = stack.pop()
        if path[-1].get("deleted") is True:
            left[DELETED] += 1
            continue
        following = _best(replies.get(path[-1]["message_id"], []), left)
        path_end = (
            path if path[-1]["role"] == "assistant" else path[:-1]
        )  # a question without an answer teaches nothing
        left[UNANSWERED] += not following and path_end is not path
        fresh = {message["message_id"] for message in path_end if message["role"] == "assistant"} - trained
        if not following and fresh:
            found.rows.append({"messages": [_turn(message, trained) for message in path_end]})
            found.numbers.append(number)
            trained |= fresh
        stack += [([*path, message], n) for message, n in reversed(following)]
    if not found.rows:
        raise DataError(
            f"None of the {len(messages):,} messages is a question with an answer.",
            why="They look like message trees (message_id, parent_id, text, role), but no answer has a parent among them.",
            fix="Load the whole trees, or pass format='text' to train each message as a plain text.",
        )
    found.beside += [UnreadColumn(name, count, "left out") for name, count in left.items() if count]
    for row, number in zip(loaded.rows, loaded.numbers, strict=True):
        if not _is_flat(row) and not _is_nested(row):
            found.refuse(number, "no message of a tree, as most rows are")
    return found


def _messages(loaded: Loaded) -> Iterator[tuple[Row, int]]:
    for row, number in zip(loaded.rows, loaded.numbers, strict=True):
        if _is_flat(row):
            yield row, number
        elif _is_nested(row):
            beside = {key: value for key, value in row.items() if key not in ("prompt", "message_tree_id")}
            beside = {
                key if key not in row["prompt"] else f"{key} (of the tree)": value for key, value in beside.items()
            }
            stack: list[tuple[Row, Any]] = [({**beside, **row["prompt"]}, None)]
            at = 0
            while stack:
                message, parent = stack.pop()
                at += 1
                identifier = message.get("message_id") or f"{number}.{at}"
                yield {"role": None, **message, "message_id": identifier, "parent_id": parent}, number
                stack += [(reply, identifier) for reply in reversed(message.get("replies") or ())]


def _best(replies: list[tuple[Row, int]], left: Counter[str]) -> list[tuple[Row, int]]:
    """Return the replies to follow: every question, and of ranked answers the first."""
    alive = [entry for entry in replies if entry[0].get("deleted") is not True]
    left[DELETED] += len(replies) - len(alive)
    ranked = [
        entry for entry in alive if isinstance(entry[0].get("rank"), (int, float)) and entry[0]["role"] == "assistant"
    ]
    if not ranked:
        return alive
    best = min(ranked, key=lambda entry: entry[0]["rank"])
    left[LOWER] += len(ranked) - 1
    return [entry for entry in alive if entry is best or entry not in ranked]


def _turn(message: Row, trained: set[Any]) -> Row:
    turn = {key: value for key, value in message.items() if key not in _USED or key in ("role", "text")}
    return {**turn, "weight": 0} if message["message_id"] in trained else turn
