"""MBPP, sanitized: 426 short Python functions, each described in a sentence (Austin et al. 2021), graded by their tests."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cached_property

from shadownb.engine.evals.suites import places
from shadownb.engine.evals.suites.base import Item, Verdict
from shadownb.engine.evals.suites.coding import programs
from shadownb.engine.evals.turns import Turn
from shadownb.engine.inference.types import Sampling
from shadownb.engine.sandbox.limits import Limits

_ASKED = "{prompt}\n\nYour code should pass these tests:\n\n```python\n{tests}\n```\n\nAnswer with the code in one code block."
_SECONDS = 10  # of CPU time a program, three times as much by the clock
_FIX = "Set SHADOWNB_DATA to a folder that has mbpp/sanitized-mbpp.json, or be online once."


class Mbpp:
    """MBPP, sanitized."""

    name = "mbpp"
    rules: Sequence[str] = programs.RULES
    sampling = Sampling(temperature=0.0, max_new_tokens=512)

    @cached_property
    def _rows(self) -> places.Rows:
        return places.first_of(
            [
                ("SHADOWNB_DATA", _of_folder),
                ("the hub", lambda: places.from_hub("google-research-datasets/mbpp", config="sanitized", split="test")),
            ],
            of="MBPP",
            fix=_FIX,
        )

    def items(self) -> list[Item]:
        """Return the problems. Raises :class:`DataError` where they are not here."""
        return [
            Item(
                f"MBPP/{row['task_id']}",
                [
                    {
                        "role": "user",
                        "content": _ASKED.format(prompt=row["prompt"], tests="\n".join(row["test_list"])),
                    }
                ],
                row["code"],
                row=row,
            )
            for row in self._rows
        ]

    def grade(self, asked: Sequence[tuple[Item, Turn]]) -> list[Verdict]:
        """Return whether each program passes the tests. Raises :class:`SandboxError` where none can be run."""
        return programs.grade(asked, _problem, Limits(cpu_seconds=_SECONDS, wall_seconds=3 * _SECONDS))

    def completion(self, item: Item, answer: Turn) -> str:
        """Return the answer's program; there is nothing that it goes on from."""
        return programs.completion(answer, _problem(item))


def _problem(item: Item) -> programs.Problem:
    row = item.row
    called = re.search(r"assert\s+(?:\w+\()*?\(?\s*(\w+)\s*\(", row["test_list"][0])
    imports = "\n".join(row.get("test_imports") or ())
    tests = "\n".join([imports, *row["test_list"]])
    return programs.Problem("", (tests,), called[1] if called else "")


def _of_folder() -> places.Rows:
    path = places.file("mbpp/sanitized-mbpp.json", of="MBPP", fix=_FIX)
    rows: places.Rows = json.loads(path.read_text(encoding="utf-8"))
    return rows
