"""The whole conversation of a call that names an earlier answer instead of repeating it (``previous_response_id``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shadownb.engine.capture.call import Call

_LONGEST_CHAIN = 10_000  # a store cannot hold a longer one by accident; guards against a loop


def whole_messages(call: Call) -> list[dict[str, Any]]:
    """Return the messages that the model was given, in chat form.

    Instructions belong to one request, so only this call's own system message is there; what is not in the store
    cannot be added, and the list then begins with what the request itself holds.
    """
    own = call.own_messages
    if call.parent is None or call.store is None:
        return own
    leading = _leading(own)
    return own[:leading] + history_before(call) + own[leading:]


def history_before(call: Call) -> list[dict[str, Any]]:
    """Return the turns of all earlier calls of the chain, oldest first, without their instructions."""
    chain: list[Call] = []
    seen = {call.id}
    parent = call.parent
    while parent is not None and call.store is not None and parent not in seen and len(chain) < _LONGEST_CHAIN:
        seen.add(parent)
        earlier = call.store.find(parent)
        if earlier is None:
            break
        chain.append(earlier)
        parent = earlier.parent
    turns: list[dict[str, Any]] = []
    for earlier in reversed(chain):
        turns.extend(turns_of(earlier))
    return turns


def turns_of(call: Call) -> list[dict[str, Any]]:
    """Return what one call of a chain added: its own turns and its answer."""
    own = call.own_messages
    answer = call.response_message
    return own[_leading(own) :] + ([answer] if answer is not None else [])


def _leading(messages: list[dict[str, Any]]) -> int:
    """Return how many system messages from ``instructions`` stand at the start (0 or 1)."""
    return 1 if messages and messages[0].get("role") == "system" else 0
