"""The parts that formats are made of: what was asked, the answer, a conversation, system text, tools.

Each takes its columns from the row, so that what no part took is known to be unread.
"""

from __future__ import annotations

import re
from typing import Any

from shadownb.engine.data.columns import BESIDE, CALLS, HISTORIES, PROMPTS, RESPONSES, SYSTEMS, TOOLS, Columns
from shadownb.engine.data.transcripts import as_messages, asked_in, history_of, tools_in, turns_of
from shadownb.engine.messages import RowProblem, canonical_messages, canonical_tools, is_message_list
from shadownb.engine.messages.calls import tagged_calls
from shadownb.engine.messages.canonical import is_call_list
from shadownb.engine.messages.texts import joined
from shadownb.engine.messages.values import REASONINGS, from_json_text, is_empty, is_switch

Row = dict[str, Any]
Message = dict[str, Any]

# A question stands beside these; beside another question it is one of two, and nobody knows which is meant.
_INSTRUCTIONS = ("instruction", "prompt")
_PASSAGE = 40  # characters


def conversation(row: Columns, column: str) -> list[Message]:
    """Return the messages of a conversation column, whatever form it has."""
    raw = as_messages(row.take(column))
    if isinstance(raw, (list, tuple)) and row.filled(TOOLS) is not None:
        raw = [part for n, item in enumerate(raw) for part in _without_tags(item, f"{row.title(column)}[{n}]")]
    return canonical_messages(raw, what=row.title(column), unread=row.unread)


def _without_tags(item: Any, where: str) -> list[Any]:
    """Return a message whose calls stand in its text (Hermes) with these as calls, and each result in tags as a message."""
    key = next((key for key in ("content", "value") if isinstance(item, dict) and isinstance(item.get(key), str)), None)
    if key is None or not is_empty(item.get("tool_calls")):
        return [item]
    role, text = str(item.get("role", item.get("from"))).lower(), item[key]
    if role in ("assistant", "gpt") and (found := tagged_calls(text)) is not None:
        return [{**item, key: found[0], "tool_calls": found[1]}]
    if role in ("assistant", "gpt") and _OPENS_CALL.search(text):
        raise RowProblem(f"{where} has a <tool_call> that cannot be read as one")
    if role == "tool" and _RESULTS.fullmatch(text):
        return [{**item, key: result.strip()} for result in _RESULT.findall(text)]
    return [item]


_OPENS_CALL = re.compile(r"^<tool_call>\s*\{", re.MULTILINE)
_RESULT = re.compile(r"<tool_response>(.*?)</tool_response>", re.DOTALL)
_RESULTS = re.compile(r"\s*(?:<tool_response>(?:(?!</tool_response>).)*</tool_response>\s*)+", re.DOTALL)


def asked(row: Columns) -> list[Message]:
    """Return the messages of the prompt columns, history first; none where there is none."""
    column = row.filled(PROMPTS)
    if column is None:
        said = row.filled(HISTORIES)  # SHP: what was written so far is the prompt
        said = said if said is not None and isinstance(row.see(said), str) else None
        return [{"role": "user", "content": text_of(row, said)}] if said is not None else []
    value = row.see(column)
    value = (asked_in(value) if isinstance(value, str) else None) or as_messages(value, alone=False)
    if is_message_list(value):
        row.take(column)
        return [*_history(row), *canonical_messages(value, what=row.title(column), unread=row.unread)]
    if isinstance(value, dict) and is_message_list(value.get("messages")):  # OpenAI's preference rows
        row.take(column)
        row.unread.keys(row.title(column), value, ("messages", "tools"))
        row.tools = list(value.get("tools") or ())
        return canonical_messages(value["messages"], what=row.title(column), unread=row.unread)
    return [*_history(row), {"role": "user", "content": _prompt_text(row, column)}]


def _history(row: Columns) -> list[Message]:
    column = row.filled(HISTORIES)
    turns = history_of(row.see(column)) if column is not None else None
    if column is None or turns is None:
        return []
    row.take(column)
    return canonical_messages(turns, what=row.title(column), unread=row.unread)


def _prompt_text(row: Columns, column: str) -> str:
    """Return the text of a prompt column, with what stands beside it behind it."""
    texts = [text_of(row, column)]
    for name in BESIDE:
        extra = row.see(name)
        if name == column or is_empty(extra):
            continue
        if name in PROMPTS and name != "input" and column not in _INSTRUCTIONS:
            continue
        if not isinstance(extra, str):  # a number would be nothing but metadata, and the question one without it
            raise RowProblem(f"{row.title(name)} is of type {type(extra).__name__}, not text")
        row.take(name)
        if not any(_holds(text, extra) for text in texts):
            texts.append(joined(extra, row.title(name)))
    return "\n\n".join(texts)


def _holds(text: str, part: str) -> bool:
    """Whether a text says a part of it already: all of it, or a passage that is long enough to be no chance."""
    return part.strip() == text.strip() or (len(part.strip()) >= _PASSAGE and part.strip() in text)


def answer(row: Columns, missing: str | None = None) -> list[Message]:
    """Return the messages of the response columns, with the reasoning and the calls that stand beside the text."""
    calls = row.filled(CALLS)
    column = _response(row) or (row.first(RESPONSES) if calls is None else None) or (missing if calls is None else None)
    found: Message = {"role": "assistant"}
    if column is not None:
        value = row.see(column)
        turns = as_messages(value, alone=False)
        if is_message_list(turns):
            row.take(column)
            return canonical_messages(turns, what=row.title(column), unread=row.unread)
        if column == "answers" and is_call_list(value):
            found["tool_calls"] = from_json_text(row.take(column))
        elif isinstance(value, dict) and set(value) <= {"text", "answer_start"}:  # SQuAD
            found["content"] = _only_text(row, column)
        else:
            found["content"] = text_of(row, column)
    if calls is not None:
        found["tool_calls"] = row.take(calls)
    reasoning = row.filled(REASONINGS)
    if reasoning is not None and isinstance(row.see(reasoning), str) and not is_switch(row.see(reasoning)):
        found["reasoning_content"] = row.take(reasoning)
    (message,) = canonical_messages([found], what="answer", unread=row.unread)
    return [message]


def _response(row: Columns) -> str | None:
    """Return the response column to train: the first that holds something, or one that has it within a longer text."""
    names = [name for name in RESPONSES if row.has(name) and not is_empty(row.see(name))]
    texts = {name: row.see(name) for name in names if isinstance(row.see(name), str)}
    if len(texts) == len(names) > 1:
        whole = max(texts, key=lambda name: len(texts[name]))
        if all(re.search(rf"(?<!\w){re.escape(text.strip())}(?!\w)", texts[whole]) for text in texts.values()):
            for name in names:
                row.take(name)
            return whole
    return names[0] if names else None


def _only_text(row: Columns, column: str) -> str:
    texts = {text.strip() for text in row.see(column).get("text") or () if isinstance(text, str)}
    if len(texts) != 1:
        raise RowProblem(f"{row.title(column)} holds {len(texts)} different texts, not one")
    row.take(column)
    return texts.pop()


def side(row: Columns, column: str, *, one_answer: bool = False) -> list[Message]:
    """Return the messages of one side of a preference pair, given as messages, as a transcript, or as one answer.

    ``one_answer`` says that text is no transcript, whatever is marked in it.
    """
    value = row.see(column)
    marked = turns_of(value) if isinstance(value, str) and not one_answer else None
    value = marked or as_messages(value, alone=False)
    if isinstance(value, (list, tuple)):
        row.take(column)
        return canonical_messages(value, what=row.title(column), unread=row.unread)
    return [{"role": "assistant", "content": text_of(row, column)}]


def text_of(row: Columns, column: str) -> str:
    """Return a column's text. Raises :class:`RowProblem` where it is missing, empty or no text."""
    value, title = row.take(column), row.title(column)
    if value is None:
        raise RowProblem(f"{title} is missing")
    if not isinstance(value, str):
        raise RowProblem(f"{title} is of type {type(value).__name__}, not text")
    if not value.strip():
        raise RowProblem(f"{title} is empty")
    return joined(value, title)


def with_system(row: Columns, messages: list[Message]) -> list[Message]:
    """Return messages that begin with the text of the row's system column; where they begin with another one, with both."""
    column = row.filled(SYSTEMS)
    if column is None or not isinstance(row.see(column), str):
        return messages
    text = joined(row.take(column), row.title(column)).removeprefix("SYSTEM: ")
    own = messages[0]["content"] if messages[0]["role"] == "system" else ""
    if not own.strip():
        return [{"role": "system", "content": text}, *messages[messages[0]["role"] == "system" :]]
    if text.strip() in own:
        return messages
    return [{**messages[0], "content": f"{text.rstrip()}\n\n{own}"}, *messages[1:]]


def with_tools(row: Columns, canonical: Row) -> Row:
    """Return a canonical row with the schemas of its tools column, or of those that its system text lists (glaive)."""
    column = row.filled(TOOLS) or row.first(TOOLS)
    given = row.take(column) if column is not None else row.tools
    if given in (None, "", []):
        key = "messages" if "messages" in canonical else "prompt"
        first = canonical[key][0]
        text, given = tools_in(first["content"]) if first["role"] == "system" else ("", [])
        if given:
            canonical = {**canonical, key: [{**first, "content": text}, *canonical[key][1:]]}
    tools = canonical_tools(given, row.unread, row.title(column) if column is not None else "tools")
    return {**canonical, "tools": tools} if tools else canonical
