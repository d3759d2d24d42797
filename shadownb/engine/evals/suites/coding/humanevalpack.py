"""HumanEvalPack: HumanEval's functions in six languages, to be written or to be repaired (Muennighoff et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from shadownb.engine.evals.suites import places
from shadownb.engine.evals.suites.base import Item, Verdict
from shadownb.engine.evals.suites.coding import compiled, languages
from shadownb.engine.evals.suites.coding.compiled import Task
from shadownb.engine.evals.suites.coding.programs import RULES
from shadownb.engine.evals.turns import Turn
from shadownb.engine.inference.types import Sampling
from shadownb.errors import ConfigError

LANGUAGES = {"python": "Python", "cpp": "C++", "go": "Go", "java": "Java", "js": "JavaScript", "rust": "Rust"}
_FIX = "Set SHADOWNB_DATA to a folder that has humanevalpack/ with a file a language (bigcode/humanevalpack), or be online once."
_WRITE = "{instruction}\n\nAnswer with the whole function in one code block. It begins like this:\n\n```{language}\n{prompt}```"
_REPAIR = (
    "There is a bug in the {name} function `{entry_point}`:\n\n```{language}\n{prompt}{buggy_solution}```\n\n"
    "It should pass these tests:\n\n```{language}\n{test}\n```\n\nRepair it. Answer with the whole function in one code block."
)
_SHORT = {"rust": "rs"}  # what the table of toolchains calls it
_ENDS = {"java": ("\n    }\n",), "python": ()}  # of a completion; else a brace at the beginning of a line


class HumanEvalPack:
    """Functions to write. ``HumanEvalPack("js", "cpp")`` asks for some languages alone, as does the name ``humanevalpack:js,cpp``.

    An item is called ``js/12``; the same problem in several languages is a cluster.

    Raises
    ------
    ConfigError
        There is no such language.
    """

    rules: Sequence[str] = RULES
    sampling = Sampling(temperature=0.0, max_new_tokens=768)
    _name, _asked = "humanevalpack", _WRITE

    def __init__(self, *chosen: str) -> None:
        if unknown := [each for each in chosen if each not in LANGUAGES]:
            raise ConfigError(f"language={unknown[0]!r} is not in HumanEvalPack.", fix=f"Use {', '.join(LANGUAGES)}.")
        self._languages = chosen or tuple(LANGUAGES)
        self.name = "-".join([self._name, *chosen])

    @cached_property
    def _rows(self) -> dict[str, places.Rows]:
        return {language: _read(language) for language in self._languages}

    def items(self) -> list[Item]:
        """Return the problems, one language after the other. Raises :class:`DataError` where they are not here."""
        several = len(self._languages) > 1
        return [
            Item(
                f"{language}/{number}",
                [{"role": "user", "content": self._asked.format(**row, language=language, name=LANGUAGES[language])}],
                row["canonical_solution"],
                cluster=str(number) if several else None,
                row=row,
                part=language,
            )
            for language, rows in self._rows.items()
            for number, row in enumerate(rows)
        ]

    @cached_property
    def _tasks(self) -> dict[str, Task]:
        return {
            f"{language}/{number}": Task(
                _SHORT.get(language, language),
                row["prompt"],
                row["test"],
                _function(language, row),
                _ENDS.get(language, ("\n}",)),
                True,
                languages.text_of(row),
            )
            for language, rows in self._rows.items()
            for number, row in enumerate(rows)
        }

    def grade(self, asked: Sequence[tuple[Item, Turn]]) -> list[Verdict]:
        """Return whether each program passes its tests; see :func:`compiled.grade`."""
        return compiled.grade(asked, self._tasks)

    def completion(self, item: Item, answer: Turn) -> str:
        """Return what goes on from the prompt and is the answer's program, as harnesses take it."""
        return compiled.completion(answer, self._tasks[item.id])


class HumanEvalFix(HumanEvalPack):
    """Functions to repair: each has one bug, and its tests are given."""

    _name, _asked = "humanevalpack-fix", _REPAIR


def _function(language: str, row: Mapping[str, Any]) -> str:
    """Return the function's name as the prompt has it; a few rows name the entry point of another language."""
    short, name = _SHORT.get(language, language), str(row["entry_point"])
    if language == "python" or languages.defines(short, row["prompt"], name):
        return name
    return languages.last_function(short, row["prompt"]) or name


def _read(language: str) -> places.Rows:
    def of_folder() -> places.Rows:
        path = places.file(f"humanevalpack/{language}.jsonl", of="HumanEvalPack", fix=_FIX)
        return places.json_lines(path)

    return places.first_of(
        [
            ("SHADOWNB_DATA", of_folder),
            ("the hub", lambda: places.from_hub("bigcode/humanevalpack", config=language, split="test")),
        ],
        of="HumanEvalPack",
        fix=_FIX,
    )
