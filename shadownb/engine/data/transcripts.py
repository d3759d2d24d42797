"""Conversations that are no list of messages: text with its turns marked, lists of texts, lists of question and answer.

Each becomes a plain list of messages with ``role`` and ``content``; nothing between two marks is lost.
"""

from __future__ import annotations

import json
import re
from typing import Any

from shadownb.engine.data.columns import PROMPTS, RESPONSES
from shadownb.engine.messages import is_message_list
from shadownb.engine.messages.values import from_json_text, plain_name

Message = dict[str, Any]

_ROLES = {"human": "user", "instruction": "user", **dict.fromkeys(("response", "gpt", "bot", "model"), "assistant")}
# Strict first: where a text has Anthropic's blank line before each mark, a mark inside a turn is the turn's own text.
_STYLES = tuple(
    re.compile(pattern)
    for pattern in (
        r"<\|im_start\|>(?P<role>[^\n<]*)\n",  # whatever role stands there: an unknown one must not vanish into the turn before
        r"<\|start_header_id\|>(?P<role>[^\n<|]*)<\|end_header_id\|>\n\n",  # Llama 3
        r"<start_of_turn>(?P<role>[^\n<]*)\n",  # Gemma
        r"<\|(?P<role>system|user|assistant|tool)\|>\n",  # Zephyr, Phi
        r"(?:\A\s*|\n\n)(?P<role>System|Human|Assistant):",
        r"(?:\A|\s*)### (?P<role>System|Human|Assistant):",
        r"(?:\A\s*|\n+)(?P<role>SYSTEM|USER|ASSISTANT|FUNCTION RESPONSE):",
        r"(?:\A\s*|\n+)(?P<role>System|Human|User|Assistant):",
    )
)
_BEGINS = re.compile(r"\s*(?:<\|begin_of_text\|>|<bos>|<s>)?\s*")
_ENDS = re.compile(
    r"(?:\s*(?:<\|endoftext\|>|<\|im_end\|>|</s>|<\|eot_id\|>|<\|eom_id\|>|<\|end_of_text\|>|<end_of_turn>|<eos>|<\|end\|>))+\s*\Z"
)
_LLAMA3_DATES = re.compile(
    r"\ACutting Knowledge Date: [^\n]*\nToday Date: [^\n]*\n*"
)  # which its template writes itself
_LLAMA2 = re.compile(
    r"\s*(?:<s>)?\s*\[INST\](?:\s*<<SYS>>(?P<system>.*?)<</SYS>>)?(?P<user>.*?)\[/INST\](?P<assistant>.*?)(?=</s>|<s>|\[INST\]|\Z)(?:</s>)?",
    re.DOTALL,
)
_FUNCTION_CALL = re.compile(r"<functioncall>\s*(\{.*\})\s*\Z", re.DOTALL)


def turns_of(text: str) -> list[Message] | None:
    """Return the messages of a text whose turns are marked from its first word on; None for any other text."""
    if "[/INST]" in text:
        return _llama2(text)
    for style in _STYLES:
        marks = list(style.finditer(text))
        if not marks or not _BEGINS.fullmatch(text[: marks[0].start()]):
            continue
        roles = [_role(mark["role"]) for mark in marks]
        if not {"user", "assistant"} <= set(roles):
            continue
        ends = [*(mark.start() for mark in marks[1:]), len(text)]
        said = [_ENDS.sub("", text[mark.end() : end]).strip() for mark, end in zip(marks, ends, strict=True)]
        turns = [_turn(role, content) for role, content in zip(roles, said, strict=True)]
        if turns[0]["role"] == "system":
            turns[0]["content"] = _LLAMA3_DATES.sub("", turns[0]["content"])
            turns = turns if turns[0]["content"] else turns[1:]
        return turns
    return None


def _role(mark: str) -> str:
    word = mark.strip().lower()
    return "tool" if word == "function response" else _ROLES.get(word, word)


def _turn(role: str, content: str) -> Message:
    """Return one turn; glaive writes a call as JSON whose arguments stand between single quotes."""
    call = _FUNCTION_CALL.search(content) if role == "assistant" else None
    if call is None:
        return {"role": role, "content": content}
    quoted = re.fullmatch(r"\{\s*\"name\":\s*(\"[^\"]+\"),\s*\"arguments\":\s*'(.*)'\s*\}", call[1], re.DOTALL)
    arguments = from_json_text(quoted[2].replace("\\'", "'")) if quoted else None
    function = {"name": json.loads(quoted[1]), "arguments": arguments} if quoted else from_json_text(call[1])
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), (dict, str)):
        return {"role": role, "content": content}
    return {"role": role, "content": content[: call.start()].strip(), "tool_calls": [{"function": function}]}


def _llama2(text: str) -> list[Message] | None:
    turns: list[Message] = []
    at = 0
    while (match := _LLAMA2.match(text, at)) is not None and match.end() > at:
        if match["system"] and match["system"].strip():
            turns.append({"role": "system", "content": match["system"].strip()})
        turns += [{"role": role, "content": match[role].strip()} for role in ("user", "assistant")]
        at = match.end()
    if turns and not turns[-1]["content"]:
        turns.pop()  # the last question waits for its answer
    return turns if turns and not text[at:].strip() else None


def asked_in(text: str) -> list[Message] | None:
    """Return the messages of a prompt whose turns are marked; None for other text, and where it ends in an answer.

    The last mark may be the one that asks for the answer (``Assistant:``). Behind a dialogue that is quoted in a prompt its
    question follows, in what would be the last answer.
    """
    turns = turns_of(text)
    if turns and turns[-1] == {"role": "assistant", "content": ""}:
        turns.pop()
    return turns if turns and turns[-1]["role"] in ("user", "tool") else None


def as_messages(value: Any, *, alone: bool = True) -> Any:
    """Return a column's value as a list of messages where it is a conversation in another form, else ``value`` as it is.

    ``alone`` says that the column is there for conversations. In a prompt or an answer, marks in a text and lists of texts
    may be what is talked about.
    """
    value = from_json_text(value)
    if isinstance(value, str):
        return (turns_of(value) if alone else None) or value
    if isinstance(value, dict) and is_message_list([value]):
        return _from_lists(value) or [value]
    if not alone or not isinstance(value, (list, tuple)) or not value or is_message_list(value):
        return value
    if len(value) > 1 and all(isinstance(entry, str) for entry in value):
        return [{"role": ("user", "assistant")[n % 2], "content": entry} for n, entry in enumerate(value)]
    pairs = [_pair(entry) for entry in value]
    return [turn for pair in pairs if pair for turn in pair] if all(pairs) else value


def _from_lists(value: Message) -> list[Message] | None:
    """Return the messages of ``{"role": [...], "content": [...]}``, as a sequence of datasets gives them."""
    lists = list(value.values())
    if not all(isinstance(held, (list, tuple)) and len(held) == len(lists[0]) for held in lists):
        return None
    return [dict(zip(value, entries, strict=True)) for entries in zip(*lists, strict=True)]


def history_of(value: Any) -> list[Message] | None:
    """Return the turns before a question: pairs of question and answer, or messages; None where it is neither."""
    value = from_json_text(value)
    if isinstance(value, (list, tuple)) and all(_is_text_pair(entry) for entry in value):
        return [{"role": role, "content": text} for q, a in value for role, text in (("user", q), ("assistant", a))]
    if isinstance(value, (list, tuple)) and len(value) % 2 and all(isinstance(entry, str) for entry in value):
        return None  # questions without their answers, for one
    value = as_messages(value)
    return list(value) if is_message_list(value) else None


def _is_text_pair(entry: Any) -> bool:
    return isinstance(entry, (list, tuple)) and len(entry) == 2 and all(isinstance(text, str) for text in entry)


def _pair(entry: Any) -> list[Message] | None:
    """Return the two messages of ``{"input": ..., "output": ...}``; other keys stay with the first, to be told as unread."""
    if not isinstance(entry, dict):
        return None
    names = {plain_name(str(key)): key for key in entry}
    question = next((names[name] for name in PROMPTS if name in names), None)
    answer = next((names[name] for name in RESPONSES if name in names), None)
    if (
        not isinstance(entry.get(question), str)
        or not isinstance(entry.get(answer), str)
        or {"role", "content"} & names.keys()
    ):
        return None
    rest = {key: value for key, value in entry.items() if key not in (question, answer)}
    return [{"role": "user", "content": entry[question], **rest}, {"role": "assistant", "content": entry[answer]}]


def tools_in(system: str) -> tuple[str, list[Any]]:
    """Return (text without them, schemas) of a system text that lists functions as JSON objects, as glaive's does."""
    text, tools, at = "", [], 0
    decoder = json.JSONDecoder()
    if "following functions" not in system:
        return system, []
    while (start := system.find("{", at)) >= 0:
        try:
            found, end = decoder.raw_decode(system, start)
        except (ValueError, RecursionError):
            return system, []
        if not isinstance(found, dict) or not isinstance(found.get("name"), str):
            return system, []
        tools.append(found)
        text += system[at:start].rstrip()
        at = end
    return (text + system[at:]).strip(), tools
