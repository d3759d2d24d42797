"""Changing the texts in JSON without taking it apart: every string and every long number is looked at where it stands.

A parsed object would not do: of a key that stands twice it has one value, what is nested too deeply has none at all, and what is
no JSON to the last byte has none either; and what was not looked at must not be kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection

from shadownb.engine.jsontext import loads

Change = Callable[[str], str]

_TOKEN = re.compile(r'(:\s*)?"([^"\\]*(?:\\.[^"\\]*)*)"(?=(\s*:)?)|-?\d[\d.eE+\-]{7,}', re.DOTALL)
_FIELD_NAME = re.compile(r"[A-Za-z_]*")  # names of the wire, and most of others; no rule is meant for them


def rewritten(body: bytes, change: Change) -> bytes:
    """Return a body with ``change`` applied to every text in it, also to the strings of JSON that is itself a text (as the
    arguments of a tool call are). Unchanged texts keep their bytes.
    """
    text = body.decode("utf-8", "surrogateescape")
    new = changed_inside(text, change)
    return body if new == text else new.encode("utf-8", "surrogateescape")


def changed_inside(text: str, change: Change) -> str:
    """Return a text after ``change``; where it is JSON, its strings after it."""
    if text.lstrip()[:1] not in ("{", "["):
        return change(text)
    try:
        loads(text)
    except ValueError:  # perhaps JSON up to some place, or too deep: looked at in both ways
        return change(changed_strings(text, change))
    return changed_strings(text, change)


def changed_strings(text: str, change: Change, leave: Collection[str] = ()) -> str:
    """Return JSON text with ``change`` applied to its strings, other than the values of the fields in ``leave``."""
    names: dict[str, str] = {}
    field = ""

    def replace(match: re.Match[str]) -> str:
        nonlocal field
        raw = match[2]
        if raw is None:
            new = change(match[0])
            return match[0] if new == match[0] else json.dumps(new)
        if match[3] is not None:
            field = raw
            return match[0] if _FIELD_NAME.fullmatch(raw) else f"{match[1] or ''}{_quoted(raw, _name(raw))}"
        if match[1] and field in leave:
            return match[0]
        return f"{match[1] or ''}{_quoted(raw, changed_inside(_plain(raw), change))}"

    def _name(raw: str) -> str:
        """Return the new name of a field; two that look alike now are still two."""
        plain = _plain(raw)
        if plain not in names:
            new = change(plain)
            while new != plain and (new in names.values() or f'"{new}"' in text):
                new += "_"
            names[plain] = new
        return names[plain]

    return _TOKEN.sub(replace, text)


def _plain(raw: str) -> str:
    if "\\" not in raw:
        return raw
    try:
        return str(json.loads(f'"{raw}"', strict=False))
    except ValueError:
        return raw


def _quoted(raw: str, new: str) -> str:
    if new == _plain(raw):
        return f'"{raw}"'
    return json.dumps(new, ensure_ascii=any("\ud800" <= character <= "\udfff" for character in new))
