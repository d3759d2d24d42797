"""A text that a stream sends in pieces, looked at as one: what is taken out of it may lie in many deltas.

Log-probabilities and ids of tokens spell an answer once more; where something was taken out of the answer, they go with it.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

from shadownb.engine.capture.sse import Event, events
from shadownb.engine.jsontext import loads_piece, parse
from shadownb.engine.privacy.literals import Change, changed_inside, changed_strings

# Fields whose strings are pieces of one text when they come in a stream.
PIECES = frozenset(
    {"content", "text", "arguments", "partial_json", "thinking", "reasoning", "reasoning_content", "reasoning_text", "refusal",
     "delta", "input", "transcript"}
)  # fmt: skip
_PIECE = re.compile(rf'"(?:{"|".join(sorted(PIECES))})"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)"'.encode(), re.DOTALL)
_SEVERAL = re.compile(rb'"(?:index|output_index|content_index)"\s*:\s*[1-9]')
_PLACES = ("type", "index", "output_index", "content_index", "item_id")
_SPELT = re.compile(rb"logprobs|token_ids|output_ids")


def joined(body: bytes) -> bytes:
    """Return the pieces of a stream one after the other, as they stand in it."""
    return b"".join(_PIECE.findall(body))


def has_several_texts(body: bytes) -> bool:
    """Whether the pieces of more than one text may lie between each other."""
    return _SEVERAL.search(body) is not None


def texts(body: bytes) -> list[bytes]:
    """Return each text that a stream sends in pieces, whole."""
    found: dict[Any, list[tuple[dict[str, Any], str, int]]] = {}
    for event in events(body):
        with contextlib.suppress(ValueError):
            _collect_event(loads_piece(event.data), found, 0)
    return ["".join(h[key] for h, key, _ in leaves).encode("utf-8", "surrogatepass") for leaves in found.values()]


def clean_stream(body: bytes, change: Change) -> bytes:
    """Return a stream with ``change`` applied to each text in it as a whole; the first of its pieces then has all of it."""
    stream = [(event, _object(event)) for event in events(body)]
    found: dict[Any, list[tuple[dict[str, Any], str, int]]] = {}
    for number, (_, data) in enumerate(stream):
        _collect_event(data, found, number)
    touched: set[int] = set()
    for leaves in found.values():
        whole = "".join(holder[key] for holder, key, _ in leaves)
        new = changed_inside(whole, change)
        if new != whole:
            for place, (holder, key, number) in enumerate(leaves):
                holder[key] = new if place == 0 else ""
                touched.add(number)
    lines: list[bytes] = []
    same = not touched
    for number, (event, data) in enumerate(stream):
        given = event.data.decode("utf-8", "surrogateescape")
        if data is None:  # no object, or one that is not read: nothing in it was looked at as a piece
            new = changed_inside(given, change)
        else:
            text = json.dumps(data) if number in touched else given
            new = changed_strings(text, change, PIECES)
        same = same and new == given
        if event.name:
            name = changed_inside(event.name, change)
            same = same and name == event.name
            lines.append(b"event: " + name.encode("utf-8", "replace"))
        lines += [*(b"data: " + line for line in new.encode("utf-8", "surrogateescape").split(b"\n")), b""]
    return body if same else b"\n".join([*lines, b""])


def without_spelling(body: bytes, *, sse: bool) -> bytes:
    """Return an answer without log-probabilities and ids of tokens. Raises ``ValueError`` where it has some and cannot be read."""
    if not _SPELT.search(body):
        return body
    if not sse:
        return _dumped(_without(parse(body)))
    lines: list[bytes] = []
    for event in events(body):
        if event.name:
            lines.append(b"event: " + event.name.encode())
        kept = _dumped(_without(parse(event.data))) if _SPELT.search(event.data) else event.data
        lines += [*(b"data: " + line for line in kept.split(b"\n")), b""]
    return b"\n".join([*lines, b""])


def _object(event: Event) -> dict[str, Any] | None:
    """Return the object of an event; None for one that is none, is not read, or says a field twice."""
    try:
        value = loads_piece(event.data)
        if not isinstance(value, dict):
            return None
        json.loads(event.data.decode("utf-8", "replace"), object_pairs_hook=_once)
    except ValueError:
        return None
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field stands twice")
    return found


def _collect_event(data: Any, texts: dict[Any, list[tuple[dict[str, Any], str, int]]], number: int) -> None:
    if isinstance(data, dict):
        _collect(data, tuple(str(data.get(place)) for place in _PLACES), texts, number)


def _collect(value: Any, place: tuple[Any, ...], texts: dict[Any, list[tuple[Any, str, int]]], number: int) -> None:
    """Put every piece of text under the key of the text it belongs to."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str) and key in PIECES:
                texts.setdefault((*place, key), []).append((value, key, number))
            elif isinstance(item, dict | list):
                _collect(item, (*place, key), texts, number)
    elif isinstance(value, list):
        for at, item in enumerate(value):
            index = item.get("index", at) if isinstance(item, dict) else at
            _collect(item, (*place, str(index)), texts, number)


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: type(item)()
            if _SPELT.search(key.encode("utf-8", "replace")) and isinstance(item, list | dict)
            else _without(item)
            for key, item in value.items()
        }
    return [_without(item) for item in value] if isinstance(value, list) else value


def _dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
