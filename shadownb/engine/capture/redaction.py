"""Redaction: what is taken out of the recorded copy. The bytes that pass through are never touched.

The proxy's own token and the upstream's key are always taken out. ``redact=`` adds ready rules by name and functions
``text -> text``. What a stream splits over many deltas is found too: the deltas of one text are looked at as one and,
if something is taken out of it, stored as one. Log-probabilities spell an answer once more, token by token; where
something was taken out of the answer, they go with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from shadownb.engine.capture.rules import RULES, Rule
from shadownb.engine.capture.sse import events
from shadownb.errors import ConfigError, did_you_mean

Frames = list[tuple[float, bytes]]

_SHORTEST_SECRET = 12

# Fields whose strings are pieces of one text when they come in a stream.
_PIECES = frozenset(
    {"content", "text", "arguments", "partial_json", "thinking", "reasoning", "reasoning_content", "refusal", "delta"}
)
_PIECE = re.compile(rf'"(?:{"|".join(sorted(_PIECES))})"\s*:\s*"((?:[^"\\]|\\.)*)"'.encode())
_FIELD_NAME = re.compile(r"[A-Za-z_]*")  # names of the wire, and most of others; no rule is meant for them


class Redactor:
    """Applies rules to what is recorded.

    Parameters
    ----------
    rules
        Names of ready rules (``email``, ``card``, ``key``, ``phone``), functions ``text -> text``, or one of these.
    secrets
        Strings that are always replaced, in every byte that is stored. One of less than 12 characters is none: local
        servers take ``EMPTY`` or ``ollama`` as a key, and those words stay in what is recorded.

    Raises
    ------
    ConfigError
        A name is not one of the ready rules.
    """

    def __init__(self, rules: str | Rule | Iterable[str | Rule] | None = None, *, secrets: Iterable[str] = ()) -> None:
        given = [rules] if isinstance(rules, str) or callable(rules) else list(rules or ())
        self.names: list[str] = []
        chosen: list[tuple[int, Rule]] = []
        for rule in given:
            if callable(rule):
                self.names.append(getattr(rule, "__name__", "function"))
                chosen.append((-1, rule))
            elif rule in RULES:
                self.names.append(rule)
                chosen.append((list(RULES).index(rule), RULES[rule]))
            else:
                raise ConfigError(
                    f"redact={rule!r} is not a rule.{did_you_mean(str(rule), list(RULES))}",
                    fix=f"Use {', '.join(map(repr, RULES))}, or a function that takes text and returns it.",
                )
        self._rules = [rule for _, rule in sorted(chosen, key=lambda pair: pair[0])]
        self._secrets = sorted(
            {form for s in secrets if len(s) >= _SHORTEST_SECRET for form in _forms(s)}, key=len, reverse=True
        )

    def __bool__(self) -> bool:
        return bool(self._rules)

    def text(self, text: str | None) -> str | None:
        """Return one text after all rules; None where one raises: what could not be looked at is not kept."""
        if text is None:
            return None
        try:
            return self._apply(text)
        except Exception:
            return None

    def known(self, text: str | None) -> str | None:
        """Return text without the strings that are always replaced."""
        for secret in self._secrets if text else ():
            text = text.replace(secret, "[key]")  # type: ignore[union-attr]
        return text

    def exchange(
        self, request: bytes, frames: Frames, *, sse: bool
    ) -> tuple[bytes, Frames, bool, dict[str, Any] | None]:
        """Return request and frames as they may be stored, whether a rule changed them, and what went wrong.

        A rule that raises keeps both bodies out of the store: what could not be looked at is not kept.
        """
        request, frames = self._without_secrets(request), self._frames_without_secrets(frames)
        body = b"".join(piece for _, piece in frames)
        if not self._rules and not (sse and self._may_spell_a_secret(body)):
            return request, frames, False, None
        try:
            new_request = self._json_body(request) if self._rules else request
            new_body = self._stream(body) if sse else self._json_body(body, answer=True)
        except Exception as error:
            failure = {
                "message": f"redact raised {type(error).__name__}; the bodies were not stored",
                "type": "redaction",
            }
            return b"", [], True, failure
        changed = bool(self._rules) and (new_request != request or new_body != body)
        if new_body != body:
            frames = [(frames[0][0], b""), (frames[-1][0], new_body)]
        return new_request, frames, changed, None

    # -- bodies ---------------------------------------------------------------------------------------------------

    def _without_secrets(self, body: bytes) -> bytes:
        for secret in self._secrets:
            body = body.replace(secret.encode(), b"[key]")
        return body

    def _frames_without_secrets(self, frames: Frames) -> Frames:
        body = b"".join(piece for _, piece in frames)
        if not any(secret.encode() in body for secret in self._secrets):
            return frames
        return [(frames[0][0], b""), (frames[-1][0], self._without_secrets(body))]

    def _may_spell_a_secret(self, body: bytes) -> bool:
        """Whether a stream may hold a known string in pieces: its characters occur there, one after the other.

        Cheap, and never wrongly False; the longer a text, the more often it is True for nothing.
        """
        said = b"".join(_PIECE.findall(body)) if self._secrets else b""
        return any(_is_spelt(secret.encode(), said) for secret in self._secrets)

    def _json_body(self, body: bytes, *, answer: bool = False) -> bytes:
        try:
            value = json.loads(body)
        except ValueError:
            text = body.decode("utf-8", "replace")
            return body if (new := self._apply(text)) == text else new.encode()
        new = self._walk(value)
        if new == value:
            return body
        return json.dumps(_without_logprobs(new) if answer else new, ensure_ascii=False).encode("utf-8", "replace")

    def _walk(self, value: Any, *, in_stream: bool = False) -> Any:
        """Apply to every string; in an event only to those that are whole there, pieces are looked at as one text."""
        if isinstance(value, str):
            return self._apply_inside(value)
        if isinstance(value, dict):
            found: dict[str, Any] = {}
            for key, item in value.items():
                name = key if _FIELD_NAME.fullmatch(key) else self._apply(key)
                while name in found:  # two that look alike now are still two
                    name += "_"
                found[name] = item if in_stream and _is_piece(key, item) else self._walk(item, in_stream=in_stream)
            return found
        if isinstance(value, list):
            return [self._walk(item, in_stream=in_stream) for item in value]
        if isinstance(value, int | float) and not isinstance(value, bool) and len(str(value)) > 7:
            return value if (new := self._apply(str(value))) == str(value) else new
        return value

    def _apply_inside(self, text: str) -> str:
        """Apply to a text, or to the strings of the JSON it is (as the arguments of a tool call are)."""
        if text.lstrip()[:1] in ("{", "["):
            try:
                value = json.loads(text)
            except ValueError:
                return self._apply(text)
            new = self._walk(value)
            return text if new == value else json.dumps(new, ensure_ascii=False)
        return self._apply(text)

    def _apply(self, text: str) -> str:
        for rule in self._rules:
            text = rule(text)
            if not isinstance(text, str):
                raise TypeError("a rule must return text")
        return self.known(text) or ""

    def _stream(self, body: bytes) -> bytes:
        stream = [(event, event.json()) for event in events(body)]
        channels: dict[Any, list[tuple[Any, Any]]] = {}
        for _, data in stream:
            _collect(data, tuple(str(data.get(k)) for k in ("type", *_PLACES)), channels)
        changed = False
        for leaves in channels.values():
            whole = "".join(holder[key] for holder, key in leaves)
            new = self._apply_inside(whole)
            if new != whole:
                changed = True
                for number, (holder, key) in enumerate(leaves):
                    holder[key] = new if number == 0 else ""
        cleaned = [self._walk(data, in_stream=True) for _, data in stream]
        if not changed and all(clean == data for clean, (_, data) in zip(cleaned, stream, strict=True)):
            return body
        lines: list[bytes] = []
        for clean, (event, _) in zip(cleaned, stream, strict=True):
            if event.name:
                lines.append(b"event: " + event.name.encode())
            kept = json.dumps(_without_logprobs(clean), ensure_ascii=False).encode("utf-8", "replace")
            lines += [b"data: " + (kept if clean else event.data), b""]
        return b"\n".join([*lines, b""])


_PLACES = ("index", "output_index", "content_index", "item_id")


def _collect(value: Any, place: tuple[Any, ...], channels: dict[Any, list[tuple[Any, Any]]]) -> None:
    """Put every piece of text under the key of the text it belongs to."""
    if isinstance(value, dict):
        for key, item in value.items():
            if _is_piece(key, item):
                channels.setdefault((*place, key), []).append((value, key))
            elif isinstance(item, dict | list):
                _collect(item, (*place, key), channels)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            index = item.get("index", number) if isinstance(item, dict) else number
            _collect(item, (*place, str(index)), channels)


def _is_piece(key: str, value: Any) -> bool:
    return isinstance(value, str) and key in _PIECES


def _without_logprobs(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: type(item)() if key == "logprobs" and isinstance(item, list | dict) else _without_logprobs(item)
            for key, item in value.items()
        }
    return [_without_logprobs(item) for item in value] if isinstance(value, list) else value


def _forms(secret: str) -> tuple[str, ...]:
    """Return a string as JSON may write it."""
    return secret, json.dumps(secret)[1:-1], secret.replace("/", "\\/")


def _is_spelt(secret: bytes, text: bytes) -> bool:
    at = 0
    for byte in secret:
        at = text.find(byte, at) + 1
        if not at:
            return False
    return True
