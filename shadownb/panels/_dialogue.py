"""The conversations on a Chat panel's page: which questions belong together, and how each is asked. No widget, no thread."""

from __future__ import annotations

from typing import Any

from ._answers import empty_side
from ._asked import Opening
from ._tries import Try


class Dialogue:
    """The turns of the page, in order; a turn may begin a conversation, and so does each row that is tried.

    Attributes
    ----------
    turns
        As the page has them: plain dicts, changed in place while answers are written.
    """

    def __init__(self) -> None:
        self.turns: list[dict[str, Any]] = []
        self._last_id = 0
        self._rows: dict[int, Try] = {}  # by turn
        self._begins = False

    def begin(self) -> None:
        """Let the next question begin a conversation; what was said stays."""
        self._begins = True

    def forget(self) -> None:
        """Forget all turns."""
        self.turns = []
        self._rows.clear()
        self._begins = False

    def add(
        self, text: str, seed: int | None, sides: tuple[str, ...], *, alone: bool, row: Try | None = None
    ) -> dict[str, Any]:
        """Add a question and return its turn; with ``alone`` it begins a conversation."""
        self._last_id += 1
        turn: dict[str, Any] = {
            "id": self._last_id,
            "prompt": text,
            "seed": seed,
            "begins": bool(self.turns) and (self._begins or alone or row is not None),
            "sides": {side: empty_side() for side in sides},
        }
        if row is not None:
            self._rows[turn["id"]] = row
            turn |= {**row.preview(), "expected": row.expected}
        self._begins = False
        self.turns = [*self.turns, turn]
        return turn

    def earlier(self, *, alone: bool) -> int:
        """Return how many questions of its conversation the next one will come after."""
        return 0 if not self.turns or self._begins or alone else len(self._of(self.turns[-1]))

    def question(self, turn: dict[str, Any], side: str, opening: Opening) -> dict[str, Any]:
        """Return how ``model.stream`` is asked for a side's answer, with nothing left open."""
        row = self._rows.get(self._of(turn)[0]["id"])
        if opening.plain if row is None else not row.messages:
            return {"prompt": turn["prompt"], "template": False}
        messages = self._messages(turn, side, row.messages if row is not None else opening.messages())
        return {"prompt": messages, "tools": opening.tools if row is None else row.tools, "system": None}

    def _of(self, turn: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the turns of a turn's conversation, up to and with it."""
        found: list[dict[str, Any]] = []
        for other in self.turns:
            if other["begins"]:
                found = []
            found.append(other)
            if other["id"] == turn["id"]:
                break
        return found

    def _messages(self, turn: dict[str, Any], side: str, start: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return a side's own conversation up to and with the turn's prompt; what got no answer is left out."""
        messages = list(start)
        for number, other in enumerate(self._of(turn)):
            # A row brings its question along.
            asked = [] if number == 0 and other["id"] in self._rows else [{"role": "user", "content": other["prompt"]}]
            if other["id"] == turn["id"]:
                return messages + asked
            answer = other["sides"].get(side)
            if answer and answer["text"] and answer["status"] in ("done", "stopped"):
                messages += [*asked, {"role": "assistant", "content": answer["text"]}]
        return messages
