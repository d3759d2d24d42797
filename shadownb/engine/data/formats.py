"""The row formats: how a row is recognised and how it becomes the canonical form that everything else reads.

A canonical row is ``{"messages": [...], "tools"?: [...], "train_from"?: int}``, ``{"text": str}``,
``{"prompt": [...], "chosen": [...], "rejected": [...], "tools"?: [...]}``, or ``{"prompt": [...], "completion": [...],
"label": bool, "tools"?: [...]}`` with lists of canonical messages.
``train_from`` is the index of the first message that may be trained: a prompt/completion row trains its completion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from shadownb.engine.data.messages import RowProblem, canonical_messages, canonical_tools, is_message_list

Row = dict[str, Any]

PROMPT_COLUMNS = ("instruction", "question", "prompt", "query", "input")
RESPONSE_COLUMNS = ("output", "answer", "response", "completion", "target")


def detect_row(row: Row) -> str:
    """Return the format that the columns of one row show; ``raw`` where none is known."""
    if _verdict(row.get("label")) is not None and ("completion" in row or "messages" in row):
        return "unpaired_preference"
    if row.get("messages") is not None:
        return "chat"
    if row.get("conversations") is not None:
        return "sharegpt"
    if "chosen" in row and "rejected" in row:
        return "preference"
    if is_message_list(row.get("prompt")) and is_message_list(row.get("completion")):
        return "prompt_completion"
    if _column(row, PROMPT_COLUMNS) and _column(row, RESPONSE_COLUMNS):
        return "instruction"
    # A known column whose value is missing still says what the row was meant to be.
    known = (("messages", "chat"), ("conversations", "sharegpt"), ("text", "text"))
    return next((name for column, name in known if column in row), "raw")


def detect(rows: Iterable[Row]) -> tuple[str, list[str]]:
    """Return the format of most rows (the earlier one in a tie) and the format of each row."""
    each = [detect_row(row) for row in rows]
    return Counter(each).most_common(1)[0][0], each


def canonical_row(row: Row, format: str) -> Row:
    """Return ``row`` in canonical form.

    Raises
    ------
    RowProblem
        If the row cannot be used as ``format``; the text is the reason for the report.
    """
    return CANONICAL[format](row)


def _column(row: Row, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in row), None)


def _with_tools(row: Row, canonical: Row) -> Row:
    tools = canonical_tools(row.get("tools"))
    return {**canonical, "tools": tools} if tools else canonical


def _with_system(row: Row, messages: list[Row]) -> list[Row]:
    """Return messages that begin with the text of the row's system column, where they have no system message."""
    system = row.get("system")
    if isinstance(system, str) and system.strip() and messages[0]["role"] != "system":
        return [{"role": "system", "content": system}, *messages]
    return messages


def _prompt_text(row: Row, column: str) -> str:
    """Return the text of a prompt column, with that of an input column behind it."""
    prompt = _text(row, column)
    extra = row.get("input") if column != "input" else None
    return f"{prompt}\n\n{extra}" if isinstance(extra, str) and extra.strip() else prompt


def _conversation(row: Row, column: str) -> Row:
    messages = _with_system(row, canonical_messages(row.get(column), what=column))
    if not any(message["role"] == "assistant" for message in messages):
        raise RowProblem(f"{column} has no assistant message, so there is nothing to train")
    return _with_tools(row, {"messages": messages})


def _chat(row: Row) -> Row:
    return _conversation(row, "messages")


def _sharegpt(row: Row) -> Row:
    return _conversation(row, "conversations")


def _prompt_completion(row: Row) -> Row:
    prompt = _with_system(row, canonical_messages(row.get("prompt"), what="prompt"))
    completion = canonical_messages(row.get("completion"), what="completion")
    if not any(message["role"] == "assistant" for message in completion):
        raise RowProblem("completion has no assistant message, so there is nothing to train")
    return _with_tools(row, {"messages": prompt + completion, "train_from": len(prompt)})


def _instruction(row: Row) -> Row:
    prompt_column = _column(row, PROMPT_COLUMNS)
    response_column = _column(row, RESPONSE_COLUMNS)
    if prompt_column is None or response_column is None:
        missing = "prompt" if prompt_column is None else "response"
        names = PROMPT_COLUMNS if prompt_column is None else RESPONSE_COLUMNS
        raise RowProblem(f"no {missing} column ({', '.join(names)})")
    prompt = _prompt_text(row, prompt_column)
    response = _text(row, response_column)
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
    return _with_tools(row, {"messages": _with_system(row, messages)})


def _text_row(row: Row) -> Row:
    return {"text": _text(row, "text")}


def _text(row: Row, column: str) -> str:
    value = row.get(column)
    if value is None:
        raise RowProblem(f"{column} is missing")
    if not isinstance(value, str):
        raise RowProblem(f"{column} is of type {type(value).__name__}, not text")
    if not value.strip():
        raise RowProblem(f"{column} is empty")
    return value


def _preference(row: Row) -> Row:
    prompt = _prompt(row)
    chosen, rejected = _side(row, "chosen", "assistant"), _side(row, "rejected", "assistant")
    if not prompt:
        shared = 0
        while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
            shared += 1
        prompt, chosen, rejected = chosen[:shared], chosen[shared:], rejected[shared:]
        if not prompt:
            raise RowProblem(f"no prompt: neither a column ({', '.join(PROMPT_COLUMNS)}) nor a shared beginning")
    else:
        prompt, chosen = _unrepeated(prompt, chosen)
        prompt, rejected = _unrepeated(prompt, rejected)
    for name, side in (("chosen", chosen), ("rejected", rejected)):
        if not any(message["role"] == "assistant" for message in side):
            raise RowProblem(f"{name} has no assistant message after the prompt")
    if chosen == rejected:
        raise RowProblem("chosen and rejected are the same")
    return _with_tools(row, {"prompt": _with_system(row, prompt), "chosen": chosen, "rejected": rejected})


def _unpaired(row: Row) -> Row:
    verdict = _verdict(row.get("label"))
    if verdict is None:
        raise RowProblem(f"label is {row.get('label')!r}, not true or false")
    if row.get("completion") is None and row.get("messages") is not None:
        messages = canonical_messages(row["messages"])
        last = next((n for n in range(len(messages) - 1, -1, -1) if messages[n]["role"] == "user"), None)
        prompt, completion = ([], messages) if last is None else (messages[: last + 1], messages[last + 1 :])
    else:
        prompt = _prompt(row)
        completion = _side(row, "completion", "assistant")
        prompt, completion = _unrepeated(prompt, completion) if prompt else (prompt, completion)
    if not prompt:
        raise RowProblem(f"no prompt: neither a column ({', '.join(PROMPT_COLUMNS)}) nor a user message")
    if not any(message["role"] == "assistant" for message in completion):
        raise RowProblem("completion has no assistant message, so there is nothing to train")
    return _with_tools(row, {"prompt": _with_system(row, prompt), "completion": completion, "label": verdict})


def _verdict(value: Any) -> bool | None:
    """Return a label as true or false; None where it is neither."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return bool(value) if isinstance(value, bool | int | float) and value in (0, 1) else None


def _prompt(row: Row) -> list[Row]:
    """Return the messages of the first prompt column that is there; none where there is none."""
    column = next((name for name in PROMPT_COLUMNS if row.get(name) is not None), None)
    if column is None:
        return []
    return _messages(row, column) or [{"role": "user", "content": _prompt_text(row, column)}]


def _side(row: Row, column: str, role: str) -> list[Row]:
    return _messages(row, column) or [{"role": role, "content": _text(row, column)}]


def _messages(row: Row, column: str) -> list[Row]:
    """Return the messages that a column holds; none where it holds text."""
    value = row.get(column)
    if isinstance(value, dict):
        value = [value]
    if is_message_list(value) or isinstance(value, (list, tuple)):
        return canonical_messages(value, what=column)
    return []


def _unrepeated(prompt: list[Row], side: list[Row]) -> tuple[list[Row], list[Row]]:
    """Return (prompt, answer) of a side that may repeat the prompt, perhaps with other white space or a system message.

    A system message stands before the prompt, whichever of the two had it.
    """
    system = side[:1] if side[0]["role"] == "system" else []
    own = prompt[:1] if prompt[0]["role"] == "system" else []
    turns, rest = prompt[len(own) :], side[len(system) :]
    if not _same(rest[: len(turns)], turns) or (own and system and not _same(own, system)):
        return prompt, side
    return (own or system) + turns, rest[len(turns) :]


def _same(first: list[Row], second: list[Row]) -> bool:
    """Whether messages are the same but for white space."""

    def bare(messages: list[Row]) -> list[Row]:
        return [{**message, "content": message["content"].split()} for message in messages]

    return bare(first) == bare(second)


def _raw(row: Row) -> Row:
    raise RowProblem(f"no known column (it has: {', '.join(map(str, row)) or 'none'})")


CANONICAL: dict[str, Callable[[Row], Row]] = {
    "chat": _chat,
    "sharegpt": _sharegpt,
    "preference": _preference,
    "unpaired_preference": _unpaired,
    "instruction": _instruction,
    "text": _text_row,
    "prompt_completion": _prompt_completion,
    "raw": _raw,
}
FORMATS = tuple(CANONICAL)
