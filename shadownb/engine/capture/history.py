"""The whole conversation of a call that names an earlier answer, or a conversation, instead of repeating it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from shadownb.engine.capture.call import Call
    from shadownb.engine.ports.capture_store import CaptureStore

_LONGEST_CHAIN = 10_000  # a store cannot hold a longer one by accident; guards against a loop
_LOOKED_BACK = 256  # calls; a client names items of the conversation that it is in
_REMEMBERED = 1024  # calls; a loop of 200 calls would else be read 20,000 times


class Added(NamedTuple):
    """What one call of a chain added (its own turns and its answer), and the call before it."""

    parent: str | None
    turns: list[dict[str, Any]]
    broken: bool  # it has no answer, or goes on from a call that is not in the store


class History:
    """The chains of a store; what a call added is remembered, because the chain is walked anew for each of its calls."""

    def __init__(self, store: CaptureStore[Call]) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Added] = OrderedDict()
        self._outputs: OrderedDict[str, list[Any]] = OrderedDict()

    def up_to(self, call_id: str | None) -> list[dict[str, Any]]:
        """Return the turns up to and with a call, oldest first, without instructions; what is not in the store is missing."""
        chain: list[Added] = []
        seen: set[str] = set()
        while call_id is not None and call_id not in seen and len(chain) < _LONGEST_CHAIN:
            seen.add(call_id)
            added = self._added(call_id)
            if added is None:
                break
            chain.append(added)
            call_id = added.parent
        return [dict(turn) for added in reversed(chain) for turn in added.turns]

    def items(self, call: Call) -> dict[str, dict[str, Any]]:
        """Return the items of earlier answers that a call's request names, by their ids, as far as they are in the store."""
        wanted = set(call.references)
        found: dict[str, dict[str, Any]] = {}
        earlier = self._store.calls(before=call.seq, dialect="responses", newest_first=True, limit=_LOOKED_BACK)
        for other in earlier:
            if len(found) == len(wanted):
                break
            for item in self._output(other):
                if isinstance(item, dict) and item.get("id") in wanted:
                    found.setdefault(item["id"], item)
        return found

    def _output(self, call: Call) -> list[Any]:
        with self._lock:
            known = self._outputs.get(call.id)
        if known is None:
            output = call.response.get("output")
            known = output if isinstance(output, list) else []
            with self._lock:
                self._outputs[call.id] = known
                if len(self._outputs) > _REMEMBERED:
                    self._outputs.popitem(last=False)
        return known

    def is_whole(self, call_id: str | None) -> bool:
        """Return whether the turns up to a call are all known: it and those it goes on from are in the store, and none of them
        names one that is not."""
        seen: set[str] = set()
        while call_id is not None and call_id not in seen and len(seen) < _LONGEST_CHAIN:
            seen.add(call_id)
            added = self._added(call_id)
            if added is None or added.broken:
                return False
            call_id = added.parent
        return True

    def forget(self) -> None:
        """Forget what was read: calls were deleted."""
        with self._lock:
            self._known.clear()
            self._outputs.clear()

    def _added(self, call_id: str) -> Added | None:
        with self._lock:
            if call_id in self._known:
                self._known.move_to_end(call_id)
                return self._known[call_id]
        call = self._store.find(call_id)
        if call is None:
            return None
        answer = call.response_message
        turns = call.own_messages[call.leading :] + ([answer] if answer is not None else [])
        names_one = call.parent is None and bool(call.request.get("previous_response_id"))
        added = Added(call.parent, turns, names_one or (answer is None and not call.adds_only))
        with self._lock:
            self._known[call_id] = added
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return added


def whole_messages(call: Call) -> list[dict[str, Any]]:
    """Return the messages that the model was given, in chat form.

    Instructions belong to one request, so only this call's own system message is there; what is not in the store
    cannot be added, and the list then begins with what the request itself holds.
    """
    own = call.own_messages
    if call.parent is None or call.store is None:
        return own
    return own[: call.leading] + call.store.history.up_to(call.parent) + own[call.leading :]
