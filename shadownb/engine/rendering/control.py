"""Text that people wrote stays text: nothing in it becomes one of the tokens that give a conversation its form.

A control token is one that the tokenizer marks as special, or another added token that the chat template writes. Where a
message spells one out, a mark is put behind its first character before the template sees it. In the rendered text the
marks are taken out again, and each is a border between two pieces that are encoded on their own, so that no piece
spells the token. The template may quote, escape or move the text; the mark goes along.

What the assistant and the system say may use the markup that stands inside a turn (``<think>``, ``<tool_call>``, ...) as
tokens, as the model writes it; what begins or ends a turn is text there as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from shadownb.engine.rendering.tokenizer import Tokenizer, backend_of

# Letters without case that templates leave alone and no quoting escapes; one that does not occur in the row is taken.
_MARKS = tuple(map(chr, range(0x3400, 0x3500)))
_INNER = re.compile("think|reason", re.IGNORECASE)  # a prompt may end in <think>, which the reply then closes
_Put = Callable[[str], str]


class ControlTokens:
    """Which tokens of a tokenizer give a conversation its form.

    Parameters
    ----------
    template
        The chat template.
    turns
        Conversations without tools, rendered: what begins and ends turns is read from them.
    """

    def __init__(self, tokenizer: Tokenizer, template: str, turns: Iterable[str]) -> None:
        added = {token.content: token for token in tokenizer.added_tokens_decoder.values()}
        special = {text for text, token in added.items() if token.special} | set(tokenizer.all_special_tokens)
        written = {text for text in added if text in template and not text[0].isalnum() and not text[-1].isalnum()}
        named = {tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token, tokenizer.unk_token}
        self.all = frozenset(text for text in special | written if len(text) > 1 and text.strip())
        plain = "".join(turns)
        self.special = frozenset(self.all & special)
        self.of_turns = frozenset(
            text for text in self.special if text in named or (text in plain and not _INNER.search(text))
        )
        self._any = _pattern(self.all)
        self._turn = _pattern(self.of_turns)
        backend = backend_of(tokenizer)
        self._backend = backend if backend is not None and backend.normalizer is not None else None

    def guard(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]] | None, str]:
        """Return messages and tools with marks in what must stay text, and the mark; "" where nothing needed one."""
        mark = next(mark for mark in _MARKS if not _occurs(mark, [messages, tools]))

        def everywhere(text: str) -> str:
            return self._marked(text, self._any, mark)

        def turns(text: str) -> str:
            return self._marked(text, self._turn, mark)

        guarded = [_guarded(message, everywhere, turns) for message in messages]
        schemas = _each(tools, everywhere)
        if guarded == messages and schemas == tools:
            return messages, tools, ""
        return guarded, schemas, mark

    def _marked(self, text: str, tokens: re.Pattern[str] | None, mark: str) -> str:
        if tokens is None:
            return text
        while tokens.search(text):  # tokens may overlap: what is left of one may be another
            text = tokens.sub(lambda match: match[0][0] + mark + match[0][1:], text)
        return self._normalized(text, tokens, mark)

    def _normalized(self, text: str, tokens: re.Pattern[str], mark: str) -> str:
        """Mark what becomes a control token only when the tokenizer has normalised it, full-width letters for one."""
        backend = self._backend
        if backend is None or backend.normalizer is None:
            return text
        if not tokens.search(backend.normalizer.normalize_str(text)):
            return text
        found = backend.encode(text, add_special_tokens=False)
        starts = [
            start
            for token, (start, end) in zip(found.tokens, found.offsets, strict=True)
            if end - start > 1 and tokens.fullmatch(token)
        ]
        for start in reversed(starts):
            text = text[: start + 1] + mark + text[start + 1 :]
        return text


def unmark(text: str, mark: str) -> tuple[str, list[int]]:
    """Return a text without its marks, and the places in it where they were."""
    if not mark:
        return text, []
    escaped = f"\\u{ord(mark):04x}"
    parts = re.split(f"{mark}|{re.escape(escaped)}", text)
    places, at = [], 0
    for part in parts[:-1]:
        at += len(part)
        places.append(at)
    return "".join(parts), places


def _pattern(tokens: Iterable[str]) -> re.Pattern[str] | None:
    longest_first = sorted(tokens, key=len, reverse=True)
    if not longest_first:
        return None
    starts = "".join(sorted({re.escape(token[0]) for token in longest_first}))
    # Thousands of tokens may be reserved; only where one can begin are they tried.
    return re.compile(f"(?=[{starts}])(?:{'|'.join(map(re.escape, longest_first))})")


def _guarded(message: dict[str, Any], everywhere: _Put, turns: _Put) -> dict[str, Any]:
    spoken = message["role"] in ("assistant", "system")
    return {
        key: value
        if key == "role"
        else _each(value, turns if spoken and key not in ("tool_calls", "name", "tool_call_id") else everywhere)
        for key, value in message.items()
    }


def _each(value: Any, put: _Put) -> Any:
    """Return a value with every string in it changed, keys of objects as well."""
    if isinstance(value, str):
        return put(value)
    if isinstance(value, dict):
        return {
            put(key) if isinstance(key, str) and key not in _KEYS else key: _each(v, put) for key, v in value.items()
        }
    if isinstance(value, list):
        return [_each(entry, put) for entry in value]
    return value


# Names that templates ask for; none of them spells a token.
_KEYS = frozenset(
    {"type", "text", "function", "name", "arguments", "parameters", "properties", "required", "description"}
)


def _occurs(mark: str, value: Any) -> bool:
    if isinstance(value, str):
        return mark in value or f"\\u{ord(mark):04x}" in value
    if isinstance(value, dict):
        return any(_occurs(mark, key) or _occurs(mark, entry) for key, entry in value.items())
    if isinstance(value, list):
        return any(_occurs(mark, entry) for entry in value)
    return False
