"""MultiPL-E: HumanEval's functions in languages into which a compiler brought prompts and tests (Cassano et al. 2022)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cached_property

from shadownb.engine.evals.suites import places
from shadownb.engine.evals.suites.base import Item, Verdict
from shadownb.engine.evals.suites.coding import compiled, languages
from shadownb.engine.evals.suites.coding.compiled import Task
from shadownb.engine.evals.suites.coding.programs import RULES
from shadownb.engine.evals.turns import Turn
from shadownb.engine.inference.types import Sampling
from shadownb.errors import ConfigError, DataError, ShadowWarning

LANGUAGES = {
    "cpp": "C++", "go": "Go", "java": "Java", "js": "JavaScript", "pl": "Perl", "rs": "Rust", "sh": "Bash", "ts": "TypeScript",
}  # fmt: skip
_FIX = "Set SHADOWNB_DATA to a folder that has multipl_e/humaneval-LANGUAGE-reworded.jsonl (nuprl/MultiPL-E), or be online once."
_ASKED = (
    "Complete this {name} function. Answer with the whole function in one code block.\n\n```{language}\n{prompt}```"
)


class MultiPlE:
    """MultiPL-E's HumanEval. ``MultiPlE("rs", "js")`` asks for some languages alone, as does the name ``multipl_e:rs,js``.

    An item is called ``rs/HumanEval_0_has_close_elements``; the same problem in several languages is a cluster.

    Raises
    ------
    ConfigError
        There is no such language.
    """

    rules: Sequence[str] = RULES
    sampling = Sampling(temperature=0.0, max_new_tokens=512)

    def __init__(self, *chosen: str) -> None:
        if unknown := [each for each in chosen if each not in LANGUAGES]:
            raise ConfigError(f"language={unknown[0]!r} is not in MultiPL-E.", fix=f"Use {', '.join(LANGUAGES)}.")
        self._chosen, self._languages = bool(chosen), chosen or tuple(LANGUAGES)
        self.name = "-".join(["multipl_e", *chosen])

    @cached_property
    def _rows(self) -> dict[str, places.Rows]:
        found = {}
        missing = []
        for language in self._languages:
            try:
                found[language] = _read(language)
            except DataError:
                missing.append(language)
                if self._chosen or len(missing) == len(LANGUAGES):
                    raise
        if missing:
            warnings.warn(
                f"{self.name} is asked without {', '.join(missing)}: their problems are not here. {_FIX}",
                ShadowWarning,
                stacklevel=2,
            )
        return found

    def items(self) -> list[Item]:
        """Return the problems, one language after the other. Raises :class:`DataError` where none are here."""
        several = len(self._languages) > 1
        return [
            Item(
                f"{language}/{row['name']}",
                [
                    {
                        "role": "user",
                        "content": _ASKED.format(prompt=row["prompt"], language=language, name=LANGUAGES[language]),
                    }
                ],
                cluster=row["name"] if several else None,
                row=row,
                part=language,
            )
            for language, rows in self._rows.items()
            for row in rows
        ]

    @cached_property
    def _tasks(self) -> dict[str, Task]:
        return {
            f"{language}/{row['name']}": Task(
                language,
                row["prompt"],
                row["tests"],
                languages.last_function(language, row["prompt"]),
                tuple(row["stop_tokens"]),
                False,
                languages.text_of(row),
            )
            for language, rows in self._rows.items()
            for row in rows
        }

    def grade(self, asked: Sequence[tuple[Item, Turn]]) -> list[Verdict]:
        """Return whether each program passes its tests; see :func:`compiled.grade`."""
        return compiled.grade(asked, self._tasks)

    def completion(self, item: Item, answer: Turn) -> str:
        """Return what goes on from the prompt and is the answer's program, as harnesses take it."""
        return compiled.completion(answer, self._tasks[item.id])


def _read(language: str) -> places.Rows:
    def of_folder() -> places.Rows:
        path = places.file(f"multipl_e/humaneval-{language}-reworded.jsonl", of="MultiPL-E", fix=_FIX)
        return places.json_lines(path)

    return places.first_of(
        [
            ("SHADOWNB_DATA", of_folder),
            ("the hub", lambda: places.from_hub("nuprl/MultiPL-E", config=f"humaneval-{language}", split="test")),
        ],
        of="MultiPL-E",
        fix=_FIX,
    )
