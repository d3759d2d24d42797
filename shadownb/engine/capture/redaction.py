"""Redaction: what is taken out of the recorded copy. The bytes that pass through are never touched.

The proxy's own token and the upstream's key are always taken out. ``redact=`` adds ready rules by name and functions
``text -> text``. An address that a stream splits over many deltas is found too: the deltas of one text are looked at
as one and, if a rule changes it, stored as one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from shadownb.engine.capture.sse import events
from shadownb.errors import ConfigError, did_you_mean

Rule = Callable[[str], str]
Frames = list[tuple[float, bytes]]

_EMAIL = re.compile(r"[A-Za-z0-9._%+\-]{1,64}@(?:[A-Za-z0-9\-]{1,63}\.)+[A-Za-z]{2,24}")
_PHONE = re.compile(
    r"(?<![\w.+])(?:\+\d{1,3}(?:[\s.\-/]?\(?\d{1,9}\)?){1,5}"  # +49 30 1234567
    r"|\(\d{2,5}\)[\s.\-/]?\d{2,8}(?:[\s.\-/]\d{2,8}){0,4}"  # (030) 123 45 67
    r"|0\d{1,5}[\s.\-/]\d{2,8}(?:[\s.\-/]\d{2,8}){0,4}"  # 030 1234567
    r"|\d{3}[\s.\-]\d{3}[\s.\-]\d{4})(?!\w)"  # 555-123-4567
)
_CARD = re.compile(r"(?<!\d)(?:\d[ \-]?){12,18}\d(?!\d)")
_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:sk|pk|rk)[-_](?:[A-Za-z0-9]+[-_])*[A-Za-z0-9]{16,}[\w\-]*"  # OpenAI, Anthropic, Stripe
    r"|(?<![A-Za-z0-9])(?:ghp|gho|ghu|ghs|ghr|hf|glpat|xox[abprs]|github_pat)[-_][A-Za-z0-9_\-]{16,}"
    r"|(?<![A-Za-z0-9])AKIA[0-9A-Z]{16}(?![0-9A-Z])|(?<![A-Za-z0-9])AIza[0-9A-Za-z_\-]{35}"
    r"|eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}"  # a JSON web token
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----"
    r"|(?<=Bearer )[A-Za-z0-9._~+/\-]{16,}=*"
)
# Fields whose strings are pieces of one text when they come in a stream.
_PIECES = frozenset(
    {"content", "text", "arguments", "partial_json", "thinking", "reasoning", "reasoning_content", "refusal", "delta"}
)


def _luhn(digits: str) -> bool:
    doubled = [int(d) * (2 if place % 2 else 1) for place, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def _card(match: re.Match[str]) -> str:
    digits = re.sub(r"\D", "", match.group())
    return "[card]" if 13 <= len(digits) <= 19 and _luhn(digits) else match.group()


def _phone(match: re.Match[str]) -> str:
    return "[phone]" if 8 <= len(re.sub(r"\D", "", match.group())) <= 15 else match.group()


RULES: dict[str, Rule] = {
    "email": lambda text: _EMAIL.sub("[email]", text),
    "card": lambda text: _CARD.sub(_card, text),
    "key": lambda text: _KEY.sub("[key]", text),
    "phone": lambda text: _PHONE.sub(_phone, text),  # last: a card number looks like one
}


class Redactor:
    """Applies rules to what is recorded.

    Parameters
    ----------
    rules
        Names of ready rules (``email``, ``card``, ``key``, ``phone``), functions ``text -> text``, or one of these.
    secrets
        Strings that are always replaced, in every byte that is stored.

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
        self._secrets = sorted({s for s in secrets if s}, key=len, reverse=True)

    def __bool__(self) -> bool:
        return bool(self._rules)

    def text(self, text: str | None) -> str | None:
        """Return one text after all rules."""
        if text is None:
            return None
        for rule in self._rules:
            text = rule(text)
        return self.known(text)

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
        if not self._rules:
            return request, frames, False, None
        try:
            new_request = self._json_body(request)
            body = b"".join(piece for _, piece in frames)
            new_body = self._stream(body) if sse else self._json_body(body)
        except Exception as error:
            failure = {
                "message": f"redact raised {type(error).__name__}; the bodies were not stored",
                "type": "redaction",
            }
            return b"", [], True, failure
        changed = new_request != request or new_body != body
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

    def _json_body(self, body: bytes) -> bytes:
        try:
            value = json.loads(body)
        except ValueError:
            text = body.decode("utf-8", "replace")
            return body if (new := self._apply(text)) == text else new.encode()
        new = self._walk(value)
        return body if new == value else json.dumps(new, ensure_ascii=False).encode("utf-8", "replace")

    def _walk(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._apply_inside(value)
        if isinstance(value, dict):
            return {key: self._walk(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._walk(item) for item in value]
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
        return text

    def _stream(self, body: bytes) -> bytes:
        stream = [(event, event.json()) for event in events(body)]
        channels: dict[Any, list[tuple[Any, Any]]] = {}
        for _, data in stream:
            _collect(data, (str(data.get("type")), *(data.get(k) for k in _PLACES)), channels)
        changed = False
        for leaves in channels.values():
            whole = "".join(holder[key] for holder, key in leaves)
            new = self._apply_inside(whole)
            if new != whole:
                changed = True
                for number, (holder, key) in enumerate(leaves):
                    holder[key] = new if number == 0 else ""
        lines: list[bytes] = []
        for event, data in stream:
            clean = _walk_others(data, self._walk) if data else data
            changed = changed or clean != data
            if event.name:
                lines.append(b"event: " + event.name.encode())
            lines += [
                b"data: " + (json.dumps(clean, ensure_ascii=False).encode("utf-8", "replace") if data else event.data),
                b"",
            ]
        return b"\n".join([*lines, b""]) if changed else body


_PLACES = ("index", "output_index", "content_index", "item_id")


def _collect(value: Any, place: tuple[Any, ...], channels: dict[Any, list[tuple[Any, Any]]]) -> None:
    """Put every piece of text under the key of the text it belongs to."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str) and key in _PIECES:
                channels.setdefault((*place, key), []).append((value, key))
            elif isinstance(item, dict | list):
                _collect(item, (*place, key), channels)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            index = item.get("index", number) if isinstance(item, dict) else number
            _collect(item, (*place, index), channels)


def _walk_others(value: Any, walk: Callable[[Any], Any]) -> Any:
    """Apply to every string that is whole in its event; pieces have been looked at as one text."""
    if isinstance(value, dict):
        return {
            key: item if isinstance(item, str) and key in _PIECES else _walk_others(item, walk)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_walk_others(item, walk) for item in value]
    return walk(value)
