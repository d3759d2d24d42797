"""Deleting a person from recordings: the whole conversations in which they are written of."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from shadownb.engine.capture import pieces
from shadownb.engine.jsontext import dumps

if TYPE_CHECKING:
    from shadownb.engine.capture.call import Call
    from shadownb.engine.capture.store import CaptureStore
    from shadownb.engine.privacy.erasing import Wanted

_AT_ONCE = 500  # ids in one query


def stands_in(call: Call, wanted: Wanted, damaged: list[str]) -> bool:
    """Return whether a text stands in a call, wherever: its columns, its request, its answer, also in pieces of a stream.

    The ids of calls of which request or answer cannot be looked at are added to ``damaged``.
    """
    notes = [score.note for score in call.scores]
    columns = (call.title, call.session, call.model, call.headers, call.error, call.response_id, call.tags, *notes)
    if any(wanted.is_in(part if isinstance(part, str) else dumps(part)) for part in columns if part):
        return True
    try:
        request, response = call.request_body, call.response_body
    except zlib.error:  # nothing can be read of it, so nothing can be found
        damaged.append(call.id)
        return False
    if wanted.is_in_body(request) or wanted.is_in_body(response):
        return True
    streamed = bool(call.extra.get("sse", call.stream))
    return streamed and any(wanted.is_in_body(text) for text in pieces.texts(response))


def conversations_with(store: CaptureStore, fits: Callable[[Call], bool]) -> list[str]:
    """Return the ids of the calls that fit, and of all others of the conversations that these belong to."""
    found = {call.id: call.seq for call in store.iterate() if fits(call)}
    if not found:
        return []
    store.index.catch_up()
    return list(dict.fromkeys([*found, *store.index.conversations_with(list(found.values()))]))


def delete_calls(store: CaptureStore, ids: list[str]) -> int:
    """Delete calls by their ids, however many; returns how many there were."""
    return sum(store.delete(*ids[begin : begin + _AT_ONCE]) for begin in range(0, len(ids), _AT_ONCE))
