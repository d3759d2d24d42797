"""JSON that an SDK cut off: tracers limit the length of an attribute and cut in the middle of the JSON that it holds.

Taken for text, its debris (``[{"role": "assistant", "parts": [{"type": "te``) would be the answer that is trained. What can be read
of it is read, so that the conversation can be looked at, and the call counts as broken off.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from shadownb.engine.jsontext import MAX_DEPTH, loads
from shadownb.engine.traces.spans import Attributes, Event, Span

# Attributes that hold a prompt, an answer or tools as JSON. Texts of single messages are none: a user may paste half an object.
STRUCTURES = (
    "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions", "gen_ai.tool.definitions",
    "gen_ai.request.tools", "gen_ai.prompt", "gen_ai.completion", "gen_ai.event.content", "llm.input_messages",
    "llm.output_messages", "llm.request.messages", "llm.response.messages", "llm.prompts", "llm.responses", "llm.completions",
    "llm.tools", "ai.prompt.messages", "ai.prompt", "ai.prompt.tools", "ai.response.toolCalls", "request_data", "response_data",
    "input.value", "output.value", "langfuse.observation.input", "langfuse.observation.output", "message", "tool_calls",
)  # fmt: skip
_OF_MESSAGES = re.compile(
    r'"(?:role|content|contents|parts|messages|choices|input|output|type|text|kwargs|generations|name|function|tool_calls|model)"'
)
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},]|"', re.DOTALL)
_TRIES = 12


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


def is_cut(value: Any) -> bool:
    """Whether a text is the beginning of JSON that has no end."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return False
    try:
        json.loads(value)
    except json.JSONDecodeError as error:
        return error.msg.startswith("Unterminated string") or error.pos >= len(value.rstrip()) - 12
    except (ValueError, RecursionError):
        return False
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
        whole = re.sub(r"\\(?:u[0-9a-fA-F]{0,3})?$", "", text) if not text.endswith("\\\\") else text
        places.append((-1, f'{whole}"{ending}'))
    else:
        places.append((len(text), ending))
    for at, rest in reversed(places[-_TRIES:]):
        try:
            return loads(rest if at < 0 else text[:at] + rest)
        except ValueError:
            continue
    return None


def _mended(attributes: Attributes, found: list[str]) -> Attributes:
    changed: dict[str, Any] = {}
    for name in STRUCTURES:
        value = attributes.get(name)
        if is_cut(value) and _OF_MESSAGES.search(value[:300]):
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
