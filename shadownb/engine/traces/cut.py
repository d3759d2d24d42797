"""JSON that an SDK cut off: tracers limit the length of an attribute and cut in the middle of the JSON that it holds.

Taken for text, its debris (``[{"role": "assistant", "parts": [{"type": "te``) would be the answer that is trained. What can be read
of it is read, so that the conversation can be looked at, and the call counts as broken off.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from shadownb.engine.jsontext import MAX_DEPTH, loads, loads_piece
from shadownb.engine.traces.spans import Attributes, Event, Span
from shadownb.engine.trajectories.identity import message_text

# Attributes that hold a prompt, an answer or tools as JSON, always or often. Texts of single messages are in neither list: a user
# may paste half an object.
_JSON = (
    "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions", "gen_ai.tool.definitions",
    "gen_ai.request.tools", "llm.input_messages", "llm.output_messages", "llm.request.messages", "llm.response.messages",
    "llm.tools", "ai.prompt.messages", "ai.prompt.tools", "ai.response.toolCalls", "request_data", "response_data", "tool_calls",
)  # fmt: skip
_OFTEN = (
    "gen_ai.prompt", "gen_ai.completion", "gen_ai.event.content", "llm.prompts", "llm.responses", "llm.completions", "ai.prompt",
    "input.value", "output.value", "langfuse.observation.input", "langfuse.observation.output", "message",
)  # fmt: skip
_OF_MESSAGES = re.compile(
    r'"(?:role|content|contents|parts|messages|choices|input|output|type|text|kwargs|generations|name|function|tool_calls|model)"'
)
_HALF = re.compile(r"t(?:ru?)?|f(?:a(?:ls?)?)?|n(?:ul?)?|-?[0-9]*\.?[0-9]*(?:[eE][+-]?)?|\\(?:u[0-9a-fA-F]{0,3})?")
# Fields whose value is a text, of which the beginning is worth something; half a role or type is none.
_TEXTS = (
    "content",
    "text",
    "arguments",
    "thinking",
    "reasoning",
    "reasoning_content",
    "value",
    "output",
    "input",
    "response",
)
_FIELD = re.compile(r'"([^"\\]*)"\s*:\s*$')
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},]|"', re.DOTALL)
_HIDDEN = re.compile(r"__REDACTED__|[\[<(]+redacted[\]>)]+|[\[<(]+truncated[^\n]{0,60}[\]>)]+", re.IGNORECASE)
_CUT_MARK = re.compile(r"[\[<(]+(?:output |text |content )?truncated[^\n\])>]{0,60}[\]>)]+\s*$", re.IGNORECASE)
_TRIES = 12
_LIMITS = frozenset(
    [2**n for n in range(7, 20)] + [2**n - 1 for n in range(11, 18)] + [k * 10**n for n in (2, 3, 4) for k in range(1, 10)]
    + [12_000, 12_288, 15_000, 16_000, 25_000, 32_000, 64_000, 100_000, 128_000]
)  # fmt: skip
_CONTENT = re.compile(
    r"content|text|prompt|completion|message|input|output|value|arguments|request|response|instructions"
)


def without_cuts(span: Span) -> tuple[Span, list[str]]:
    """Return a span in which what can be read of JSON that was cut off stands in its place, and where that was."""
    found: list[str] = []
    attributes = _mended(span.attributes, found)
    events = [Event(event.name, _mended(event.attributes, found), _body(event.body, found)) for event in span.events]
    if found:
        span.attributes, span.events = attributes, events
    names = span.attributes.keys()
    found += [name for name in names if name.endswith(".arguments") and is_cut(span.attributes.get(name))]
    return span, found


def length_limit(spans: Iterable[Span]) -> int | None:
    """Return the length at which the texts of these spans were cut; None where nothing says that they were.

    A limit leaves a mark: nothing is longer, and what is as long has exactly the length that somebody chose. That a longest text
    has one of these lengths by chance happens once in thousands of exports; below 1,000 characters two texts have to.
    """
    longest: set[str] = set()
    for span in spans:
        for attributes in (span.attributes, *(event.attributes for event in span.events)):
            for text in attributes.to_dict().values():
                if isinstance(text, str) and len(text) >= len(next(iter(longest), "")):
                    longest = longest if longest and len(text) == len(next(iter(longest))) else set()
                    longest.add(text)
    limit = len(next(iter(longest), ""))
    return limit if limit in _LIMITS and (limit >= 1000 or len(longest) > 1) else None


def as_long_as(span: Span, limit: int | None) -> list[str]:
    """Return the attributes that hold content and are exactly as long as the limit."""
    if limit is None:
        return []
    held = [span.attributes, *(event.attributes for event in span.events)]
    return [
        n
        for a in held
        for n, text in a.to_dict().items()
        if isinstance(text, str) and len(text) == limit and _CONTENT.search(n)
    ]


def hidden_in(messages: list[dict[str, Any]], answers: list[dict[str, Any]]) -> list[str]:
    """Return which contents an instrumentation hid, or marked as cut off: their placeholder would be what is trained.

    A tool's result may end so of itself: agents shorten those.
    """
    told = [m for m in messages if m.get("role") != "tool"]
    found = [f"a {m.get('role')} message" for m in [*told, *answers] if _HIDDEN.fullmatch(message_text(m).strip())]
    return found + ["the answer" for m in answers if _CUT_MARK.search(message_text(m)[-200:])]


def is_cut(value: Any) -> bool:
    """Return whether a text is the beginning of JSON that has no end. Raises ``Unreadable`` where it is nested too deeply."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return False
    try:
        loads_piece(value)
    except json.JSONDecodeError as error:
        rest = value[error.pos :].strip()
        return error.msg.startswith("Unterminated string") or not rest or _HALF.fullmatch(rest) is not None
    return False


def repaired(text: str) -> Any:
    """Return what can be read of JSON that was cut off; None where nothing can."""
    stack: list[str] = []
    places: list[tuple[int, str]] = []  # where it could have ended, and what would have to follow
    open_at = -1
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if sign in "[{":
            stack.append("]" if sign == "[" else "}")
            places.append((token.end(), "".join(reversed(stack))))
        elif sign in "]}":
            if not stack or stack.pop() != sign:
                return None
        elif sign == ",":
            places.append((token.start(), "".join(reversed(stack))))
        elif sign == '"':
            open_at = token.start()
            break
        if len(stack) > MAX_DEPTH:
            return None
    ending = "".join(reversed(stack))
    if open_at >= 0:
        field = _FIELD.search(text[:open_at])
        if field is not None and field[1] not in _TEXTS:
            return _read(text, places)
        whole = re.sub(r"\\(?:u[0-9a-fA-F]{0,3})?$", "", text) if not text.endswith("\\\\") else text
        places.append((-1, f'{whole}"{ending}'))
    else:
        places.append((len(text), ending))
    return _read(text, places)


def _read(text: str, places: list[tuple[int, str]]) -> Any:
    for at, rest in reversed(places[-_TRIES:]):
        try:
            return _without_empty_end(loads(rest if at < 0 else text[:at] + rest))
        except ValueError:
            continue
    return None


def _without_empty_end(value: Any) -> Any:
    """Return a value without the empty objects that the cut left at its end."""
    if isinstance(value, list) and value:
        last = _without_empty_end(value[-1])
        return value[:-1] if last in ({}, []) else [*value[:-1], last]
    if isinstance(value, dict) and value:
        name = next(reversed(value))
        last = _without_empty_end(value[name])
        rest = {key: item for key, item in value.items() if key != name}
        return rest if last in ({}, []) else {**rest, name: last}
    return value


def _mended(attributes: Attributes, found: list[str]) -> Attributes:
    changed: dict[str, Any] = {}
    for name in (*_JSON, *_OFTEN):
        value = attributes.get(name)
        if is_cut(value) and (name in _JSON or _OF_MESSAGES.search(value[:300])):
            changed[name] = repaired(value)
            found.append(name)
    return Attributes({**attributes.to_dict(), **changed}) if changed else attributes


def _body(body: Any, found: list[str]) -> Any:
    if isinstance(body, Mapping):
        held = Attributes(body)
        return _mended(held, found).to_dict()
    if is_cut(body) and _OF_MESSAGES.search(body[:300]):
        found.append("body")
        return repaired(body)
    return body
