"""What an evaluation's folder holds, read as it grows: questions, answers and verdicts of each model on each suite."""

from __future__ import annotations

import threading
from typing import Any

from shadownb.engine.evals.evaluation.folder import EvaluationFolder
from shadownb.engine.evals.evaluation.graded import Graded
from shadownb.engine.evals.turns import Turn

Place = tuple[str, str]  # suite, side


class Contents:
    """What a folder holds.

    Attributes
    ----------
    spec
        Who and what is asked.
    sides, suites
        Their names.
    refused
        Why suites could not be asked or graded, by name.
    ended
        Whether all that was asked for was done.
    """

    def __init__(self, folder: EvaluationFolder) -> None:
        self._folder = folder
        self.spec = folder.spec()
        self.samples = int(self.spec["samples"])
        self.sides = tuple(side["name"] for side in self.spec["sides"])
        self.suites = tuple(self.spec["suites"])
        self.refused: dict[str, str] = {}
        self.ended = False
        self._read = False
        self._reading = threading.Lock()
        self._reader = folder.reader()
        self._items: dict[Place, dict[str, Graded]] = {}

    @property
    def items(self) -> dict[Place, dict[str, Graded]]:
        """By suite and side, then by the item's id; read at the first look."""
        if not self._read:
            self.refresh()
        return self._items

    def refresh(self) -> tuple[bool, set[Place]]:
        """Read what was written since; return whether there was anything, and where answers or verdicts came."""
        with self._reading:
            self._read = True
            before = self._reader.offset
            if (spec := self._folder.spec()) != self.spec:
                self.spec, self.suites = spec, tuple(spec["suites"])
            for suite in self.suites:
                for side in self.sides:
                    if not self._items.get((suite, side)):  # of a suite that was added, or could not be asked before
                        self._items[suite, side] = self._empty(suite)
            grown = {place for event in self._reader if (place := self._take(event)) is not None}
            return self._reader.offset != before, grown

    def _empty(self, suite: str) -> dict[str, Graded]:
        return {
            item.id: Graded(item, [None] * self.samples, [""] * self.samples, [None] * self.samples)
            for item in self._folder.items(suite)
        }

    def _take(self, event: dict[str, Any]) -> Place | None:
        """Take in an event; return where it added an answer or a verdict."""
        kind = event["type"]
        if kind == "attempt":
            self.refused.clear()
            self.ended = False
        elif kind == "end":
            self.ended = not event["stopped"]
        elif kind == "refused":
            self.refused[event["suite"]] = event["reason"] + (f" {event['fix']}" if event.get("fix") else "")
        elif kind in ("answer", "verdict"):
            place, sample = (event["suite"], event["side"]), event["sample"]
            graded = self._items.get(place, {}).get(event["item"])
            if graded is None or sample >= self.samples:
                return None
            if kind == "verdict":
                graded.verdicts[sample] = event
            elif "turn" in event:
                graded.turns[sample], graded.errors[sample] = Turn(**event["turn"]), ""
            else:
                graded.errors[sample] = event["error"]
            return place
        return None
