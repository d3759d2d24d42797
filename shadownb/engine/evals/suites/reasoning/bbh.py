"""BIG-Bench Hard: 27 tasks, 6,511 items (Suzgun et al. 2022), graded by the answer that stands at the end."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shadownb.engine.evals.suites import places
from shadownb.engine.evals.suites.base import Item
from shadownb.engine.evals.suites.scored import Scored, asks
from shadownb.engine.scoring import Score
from shadownb.engine.scoring.answers import plain
from shadownb.errors import DataError

_ANSWER = re.compile(r"(?i)(?:so\s+)?the\s+(?:final\s+)?answer\s+is\s*:?\s*(?P<answer>[^\n]+)")
_OPTION = re.compile(r"\(([A-Z])\)")


class Bbh(Scored):
    """All tasks; those of one task are a cluster."""

    name = "bbh"
    fix = "Set SHADOWNB_DATA to a folder that has bbh/ with a file a task (suzgunmirac/BIG-Bench-Hard)."

    def sources(self) -> Sequence[tuple[str, Callable[[], places.Rows]]]:
        """Return the folder of data."""
        return [("SHADOWNB_DATA", self._of_folder)]

    def _of_folder(self) -> places.Rows:
        folder = places.file("bbh", of=self.name, fix=self.fix)
        rows = [
            {"task": path.stem, "number": number, **row}
            for path in sorted(folder.glob("*.json"))
            for number, row in enumerate(json.loads(path.read_text(encoding="utf-8"))["examples"])
        ]
        if not rows:
            raise DataError(f"{folder} has no task of {self.name}.", fix=self.fix)
        return rows

    def item(self, number: int, row: Mapping[str, Any]) -> Item:
        """Return the question, asked for a last line that gives the answer."""
        asked = f"{row['input']}\n\nThink step by step, then end with: the answer is ..."
        name = f"{row['task']}/{row['number']}"
        return Item(name, asks(asked), row["target"], cluster=row["task"], row=row, part=row["task"])

    def scorer(self) -> Callable[..., Any]:
        """Return the scorer of last answers."""
        return last_answer


def last_answer(output: str, expected: str) -> Score:
    """Score 1.0 where the last "the answer is", else the last line, says the expected answer; an option by its letter, too."""
    text = plain(output)
    found = list(_ANSWER.finditer(text))
    given = found[-1]["answer"] if found else (text.splitlines() or [""])[-1]
    option = _OPTION.fullmatch(expected.strip())
    if option is not None:
        letters = _OPTION.findall(given) or re.findall(r"^\W*([A-Z])\b", given)
        right = len(set(letters)) == 1 and letters[0] == option[1]
    else:
        right = _plain(given) == _plain(expected)
    return Score(float(right), "" if right else f"gives {given.strip()[:60]!r}, expected {expected[:60]!r}")


def _plain(text: str) -> str:
    """Return a text without its marks around and capitals; brackets stand, they are the answers of one task."""
    return re.sub(r"\s+", " ", re.sub(r"[*`\"'$]", "", text)).strip().removesuffix(".").strip().casefold()
