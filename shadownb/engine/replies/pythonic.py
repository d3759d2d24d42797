"""Calls in Python's form: ``[name(key='value', other=3), ...]``, as LFM2 and Llama 4 write them.

Read by hand and not by :mod:`ast`, because templates put texts between quotes without escapes, and values as JSON.
"""

from __future__ import annotations

import ast
import math
import re
from typing import Any

from shadownb.engine.jsontext import mended
from shadownb.engine.replies.decoders import NAME, BadCall, Call, json_calls, load_json, shown


def python_calls(body: str, *, escapes: bool = True) -> list[Call]:
    """Read ``[name(key='value', other=3), ...]``, as LFM2 writes its calls.

    Parameters
    ----------
    escapes
        Whether strings have Python's escapes. Some templates put the text between quotes as it is.
    """
    text = body.strip()
    if text.startswith("{") or (text.startswith("[") and text[1:].lstrip().startswith("{")):
        return json_calls(text)
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    calls: list[Call] = []
    at = 0
    while at < len(inner.rstrip()):
        head = re.compile(r"[\s,]*(" + NAME + r")\(").match(inner, at)
        if not head:
            raise BadCall(f"{shown(inner[at:])} is no call")
        arguments, at = _keywords(inner, head.end(), escapes)
        calls.append((head.group(1), arguments))
    if not calls:
        raise BadCall("it holds no call")
    return calls


_KEY = re.compile(r"[\s,]*(\w+)\s*=\s*")
_TEXT_ENDS = re.compile(r"\s*(?:,\s*\w+\s*=|\)\s*(?:,\s*[\w.]+\(|\]?\s*\Z))")
_PYTHON_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)


def _keywords(text: str, at: int, escapes: bool) -> tuple[dict[str, Any], int]:
    """Return the keyword arguments from ``at`` on, and where the call's closing bracket ends."""
    found: dict[str, Any] = {}
    while True:
        closing = re.compile(r"[\s,]*\)").match(text, at)
        if closing:
            return found, closing.end()
        key = _KEY.match(text, at)
        if not key:
            raise BadCall(f"{shown(text[at:])} is no argument with a name")
        if key.group(1) in found:
            raise BadCall(f"{shown(key.group(1))} stands in it twice")
        found[key.group(1)], at = _python_value(text, key.end(), escapes)


def _python_value(text: str, at: int, escapes: bool) -> tuple[Any, int]:
    quote = text[at : at + 1]
    if quote in ("'", '"') and not escapes:
        end = text.find(quote, at + 1)
        while end >= 0 and not _TEXT_ENDS.match(text, end + 1):
            end = text.find(quote, end + 1)
        if end < 0:
            raise BadCall("a string in it is not closed")
        return text[at + 1 : end], end + 1
    end, depth = at, 0
    while end < len(text) and (depth or text[end] not in ",)"):
        string = _PYTHON_STRING.match(text, end) if text[end] in "'\"" else None
        if string:
            end = string.end()
            continue
        depth += (text[end] in "([{") - (text[end] in ")]}")
        end += 1
    if depth or end == len(text):
        raise BadCall("it breaks off within a value")
    return _literal(text[at:end].strip()), end


def _literal(text: str) -> Any:
    """Return a value written as JSON or as Python has it."""
    try:
        return load_json(text)
    except BadCall:
        pass
    try:
        # Raw line breaks are no Python, but models write them.
        return _as_json(ast.literal_eval(text.replace("\n", "\\n") if text[:1] in "'\"" else text))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        raise BadCall(f"{shown(text)} is no value") from None


def _as_json(value: Any) -> Any:
    """Return a Python value as JSON has it. Raises ``ValueError`` for sets, bytes, infinity, and keys that are no text."""
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _as_json(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(entry) for entry in value]
    if value is None or isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return mended(value)
    raise ValueError(f"{type(value).__name__} is no value of JSON")


def interpreter_calls(body: str) -> list[Call]:
    """Read what follows ``<|python_tag|>``: JSON, or ``tool.call(...)`` of a built-in tool."""
    built_in = re.fullmatch(r"\s*(\w+)\.call(\(.*\))\s*", body, re.DOTALL)
    if built_in:
        return python_calls(built_in.group(1) + built_in.group(2))
    if not body.lstrip().startswith(("{", "[")):
        raise BadCall("it is code for an interpreter, and not a call")
    return json_calls(body)
