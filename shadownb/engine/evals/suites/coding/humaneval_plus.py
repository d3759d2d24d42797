"""HumanEval+: HumanEval with 80 times as many tests (Liu et al. 2023). Also how a suite of a data set on the hub is written."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from shadownb.engine.evals.suites import places
from shadownb.engine.evals.suites.base import Item, Verdict
from shadownb.engine.evals.suites.coding import programs
from shadownb.engine.evals.suites.coding.humaneval import HumanEval, problem
from shadownb.engine.evals.turns import Turn
from shadownb.engine.sandbox.limits import Limits

_FIX = "Set SHADOWNB_DATA to a folder that has evalplus/humanevalplus.jsonl, or be online once."
_SECONDS = 30  # of CPU time: some tests have thousands of inputs


class HumanEvalPlus(HumanEval):
    """HumanEval+."""

    def __init__(self, style: str = "instruct") -> None:
        super().__init__(style)
        self.name = self.name.replace("humaneval", "humaneval-plus")

    @cached_property
    def _rows(self) -> places.Rows:
        hub = "evalplus/humanevalplus"
        sources = [("SHADOWNB_DATA", _of_folder), ("the hub", lambda: places.from_hub(hub, split="test"))]
        return places.first_of(sources, of="HumanEval+", fix=_FIX)

    def grade(self, asked: Sequence[tuple[Item, Turn]]) -> list[Verdict]:
        """Return whether each program passes the tests, which compare numbers by numpy."""
        limits = Limits(cpu_seconds=_SECONDS, wall_seconds=3 * _SECONDS)
        return programs.grade(asked, problem, limits, packages=True)


def _of_folder() -> places.Rows:
    path = places.file("evalplus/humanevalplus.jsonl", of="HumanEval+", fix=_FIX)
    return places.json_lines(path)
