"""Conversations of the Responses API that later requests name instead of repeating; the last few, in memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from shadownb.engine.capture.dialects import WireError

_KEPT = 1000
_MOST_CHARACTERS = 64 * 2**20


class Remembered:
    """Turns by the id of the answer that ended them."""

    def __init__(self) -> None:
        self._turns: OrderedDict[str, tuple[list[dict[str, Any]], int]] = OrderedDict()
        self._characters = 0

    def before(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the turns that a request goes on from. Raises :class:`WireError` 404 where they are not known."""
        named = request.get("previous_response_id")
        if not named:
            return []
        if named not in self._turns:
            raise WireError(
                404, f"There is no answer {str(named)[:80]!r} here. The last {_KEPT} are kept, while the server runs.",
                param="previous_response_id", code="not_found",
            )  # fmt: skip
        return self._turns[named][0]

    def keep(self, identifier: str, turns: list[dict[str, Any]]) -> None:
        """Keep the turns that an answer has ended."""
        size = len(str(turns))
        self._turns[identifier] = (turns, size)
        self._characters += size
        while self._turns and (len(self._turns) > _KEPT or self._characters > _MOST_CHARACTERS):
            self._characters -= self._turns.popitem(last=False)[1][1]
