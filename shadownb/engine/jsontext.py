"""JSON from strangers: depth and size are bounded where bytes become objects, and what is written is always valid JSON.

Python's own reader takes whatever the stack allows (about a thousand levels here, ten thousand in later versions), and what
walks, copies or hashes the value afterwards needs two or three frames a level: one deep record would then raise
``RecursionError`` wherever it is looked at. So a value that is nested deeper than :data:`MAX_DEPTH`, or longer than
:data:`MAX_BYTES`, is refused here, once, as :class:`Unreadable`. That is a ``ValueError``, so whoever takes text that is no JSON
for text takes this for text as well.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

MAX_DEPTH = 128
"""Levels. Schemas of tools have under 40; other readers stop at 64 (.NET), 100 (protobuf) or 128 (Rust's serde)."""
MAX_BYTES = 128 * 2**20
"""Bytes; twice the longest request that a capture takes unless it is told otherwise."""

_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_SURROGATE_ESCAPE_BYTES = re.compile(_SURROGATE_ESCAPE.pattern.encode())
_HOLDERS = (dict, list, tuple)
_MOST_DIGITS = 4000  # Python refuses to read 4,300, because that takes quadratic time
_SURROGATE = re.compile("[\ud800-\udfff]")
_SHOWN = 60  # characters of a key in an error


class RepeatedKey(ValueError):
    """An object of JSON with the same key twice; the text names the key."""


class Unreadable(ValueError):
    """JSON that is nested too deeply or is too long to be read; the text says which."""


def loads(text: str | bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """Return the value of JSON text.

    Halves of surrogate pairs, which JSON can say and UTF-8 cannot, become U+FFFD. Of a key that stands twice in an object the
    last one counts, as everywhere in Python.

    Raises
    ------
    Unreadable
        It is nested deeper than ``max_depth`` or longer than :data:`MAX_BYTES`.
    ValueError
        It is not JSON.
    """
    value = loads_piece(text, max_depth=max_depth)
    return mended(value) if may_hold_halves(text) else value


def may_hold_halves(text: str | bytes) -> bool:
    """Whether JSON text may hold surrogates: as escapes (whole characters are written so, too), or in a Python text itself."""
    if isinstance(text, bytes):
        return _SURROGATE_ESCAPE_BYTES.search(text) is not None
    return _SURROGATE_ESCAPE.search(text) is not None or (not text.isascii() and _SURROGATE.search(text) is not None)


def loads_piece(text: str | bytes, *, max_depth: int = MAX_DEPTH, unique: bool = False) -> Any:
    """Return the value as :func:`loads` does, halves of surrogate pairs left: the other half may be in the next event.

    With ``unique`` an object with the same key twice is a ``ValueError``.
    """
    if len(text) > MAX_BYTES:
        raise Unreadable(f"it has {len(text):,} bytes, more than the {MAX_BYTES:,} that are read")
    try:
        value = parse(text, unique=unique)
    except UnicodeDecodeError:
        assert isinstance(text, bytes)
        return loads_piece(text.decode("utf-8", "replace"), max_depth=max_depth, unique=unique)
    except RecursionError:
        raise Unreadable(_too_deep(max_depth)) from None
    if _brackets(text) > max_depth:  # with fewer nothing can be nested deeper
        check_depth(value, max_depth)
    return value


def _brackets(text: str | bytes) -> int:
    return text.count("{") + text.count("[") if isinstance(text, str) else text.count(b"{") + text.count(b"[")


def parse(text: str | bytes, *, unique: bool = False) -> Any:
    """Return the value of JSON text, however deep; whole numbers that Python does not read become floats (infinity).

    Parameters
    ----------
    unique
        Refuse an object with the same key twice, of which the last value alone would be left.

    Raises
    ------
    RecursionError
        It is nested deeper than Python's own reader goes.
    ValueError
        It is not JSON.
    """
    hook = unique_keys if unique else None
    try:
        if isinstance(text, bytes) and text[:1] in (b"{", b"[") and text[1:2] not in (b"", b"\0"):
            text = text.decode(
                "utf-8", "surrogatepass"
            )  # as json would find out, which takes it half as long as a short text
        return json.loads(text, object_pairs_hook=hook)
    except (json.JSONDecodeError, UnicodeDecodeError, RepeatedKey):
        raise
    except ValueError:  # more digits than int() takes
        return json.loads(
            text,
            object_pairs_hook=hook,
            parse_int=lambda digits: int(digits) if len(digits) < _MOST_DIGITS else float(digits),
        )


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, for ``object_pairs_hook``. Raises :class:`RepeatedKey` for a key that stands in it twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [key for key, _ in pairs]
        key = json.dumps(next(name for name in names if names.count(name) > 1), ensure_ascii=False)
        raise RepeatedKey(f"key {key if len(key) <= _SHOWN else key[: _SHOWN - 3] + '...'} appears twice")
    return found


def check_depth(value: Any, max_depth: int = MAX_DEPTH) -> None:
    """Raise :class:`Unreadable` where dicts, lists and tuples lie deeper in one another than ``max_depth``."""
    level, depth = ([value] if isinstance(value, _HOLDERS) else []), 0
    while level:
        depth += 1
        if depth > max_depth:
            raise Unreadable(_too_deep(max_depth))
        level = [
            item
            for holder in level
            for item in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(item, _HOLDERS)
        ]


def mended(value: Any) -> Any:
    """Return a value whose texts UTF-8 can write: two halves of a surrogate pair are one character, one alone is U+FFFD."""
    if isinstance(value, str):
        return mended_text(value)
    if isinstance(value, dict):
        return {mended(key): mended(item) for key, item in value.items()}
    return [mended(item) for item in value] if isinstance(value, list) else value


def mended_text(text: str) -> str:
    """Return text that UTF-8 can write; see :func:`mended`."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def dumps(value: Any, *, indent: int | None = None) -> str:
    """Return valid JSON on one line, or indented: NaN and infinities are null, surrogates mended, unknown objects text."""
    try:
        text = (
            _on_one_line(value)
            if indent is None
            else json.dumps(value, ensure_ascii=False, allow_nan=False, default=str, indent=indent)
        )
    except ValueError:  # the one reason left; a cycle is a defect of ours and raises again
        text = json.dumps(_finite(value), ensure_ascii=False, default=str, indent=indent)
    return mended_text(text)


_on_one_line = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=str).encode


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def _too_deep(max_depth: int) -> str:
    return f"it is nested deeper than the {max_depth} levels that are read"
