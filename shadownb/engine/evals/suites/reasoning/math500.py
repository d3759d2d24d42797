"""MATH-500: 500 problems of competitions (Hendrycks et al. 2021; Lightman et al. 2023), graded by symbolic equality."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shadownb.engine.evals.suites import places
from shadownb.engine.evals.suites.base import Item
from shadownb.engine.evals.suites.scored import Scored, asks
from shadownb.engine.scoring import Score
from shadownb.engine.scoring.answers import plain
from shadownb.errors import MissingDependencyError


class Math500(Scored):
    """MATH-500."""

    name = "math500"
    fix = "Set SHADOWNB_DATA to a folder that has math/math_500.jsonl, or be online once."

    def sources(self) -> Sequence[tuple[str, Callable[[], places.Rows]]]:
        """Return the folder of data, and the hub."""
        return [
            ("SHADOWNB_DATA", self._of_folder),
            ("the hub", lambda: places.from_hub("HuggingFaceH4/MATH-500", split="test")),
        ]

    def _of_folder(self) -> places.Rows:
        path = places.file("math/math_500.jsonl", of=self.name, fix=self.fix)
        return places.json_lines(path)

    def item(self, number: int, row: Mapping[str, Any]) -> Item:
        r"""Return the problem, asked for its answer in ``\boxed{}``."""
        asked = f"{row['problem']}\n\nThink step by step, then put the final answer in \\boxed{{}}."
        return Item(f"math500/{number}", asks(asked), str(row.get("final_answer", row.get("answer"))), row=row)

    def scorer(self) -> Callable[..., Any]:
        """Return the scorer of formulas."""
        return SymbolicEquality()


class SymbolicEquality:
    """Score 1.0 where an answer's formula equals the expected one, as math-verify sees it (fractions, sets, intervals, matrices).

    Raises
    ------
    MissingDependencyError
        math-verify is not installed.
    """

    name = "symbolic_equality"

    def __init__(self) -> None:
        try:
            import math_verify
        except ImportError:
            raise MissingDependencyError(
                "Formulas are compared by math-verify, which is not installed.", fix="pip install math-verify"
            ) from None
        for part in ("math_verify.parser", "math_verify.grader"):  # they warn at each formula that no signal ends them
            logging.getLogger(part).setLevel(logging.ERROR)
        self._library = math_verify

    def __call__(self, output: str, expected: str) -> Score:
        """Return the score of an answer."""
        # Its time-outs are signals, which only a main thread has; whoever asks has one of its own.
        wanted = self._library.parse(f"${expected}$", parsing_timeout=None)
        if not wanted:
            return Score(None, f"the expected answer {expected!r} cannot be read as a formula")
        text = plain(output)
        if _open_box(text):
            return Score(0.0, "its last box is not closed")
        given = self._library.parse(text, parsing_timeout=None)
        if not given:
            return Score(0.0, "no formula was found in the answer")
        same = self._library.verify(wanted, given, timeout_seconds=None)
        return Score(float(same), "equal" if same else f"gives {str(given[0])[:60]}, expected {expected[:60]}")


def _open_box(text: str) -> bool:
    """Whether the last box of an answer is not closed; math-verify would take an earlier one."""
    begin = text.rfind("\\boxed{")
    if begin < 0:
        return False
    depth = 0
    for place in range(begin, len(text)):
        if text[place] in "{}" and text[place - 1] != "\\":
            depth += 1 if text[place] == "{" else -1
            if depth == 0:
                return False
    return True
