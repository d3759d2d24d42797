"""A teacher's own answers: asked for once, kept in the run's folder, rendered as the student will be asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shadownb.engine.objectives.reference import answer
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.masks import Rendered
from shadownb.engine.seeds import derived_seed
from shadownb.errors import DataError

if TYPE_CHECKING:
    from shadownb.engine.objectives.sources import SourceRun
    from shadownb.engine.objectives.teaching.options import TeachingOptions
    from shadownb.engine.objectives.teaching.teacher import Teacher

_NAME = "teacher-answers.jsonl"


class TeacherTexts:
    """The answers of one teacher in one run."""

    def __init__(self, run: SourceRun, teacher: Teacher, own: TeachingOptions, seed: int) -> None:
        self._run, self._teacher, self._own, self._seed = run, teacher, own, seed
        self._path = run.samples / _NAME
        self._head = {
            "teacher": teacher.identity, "seed": seed, "most": own.max_completion_length, "temperature": own.temperature
        }  # fmt: skip
        self._known: dict[str, dict[str, Any]] | None = None

    def of(self, examples: Sequence[Example]) -> list[tuple[Rendered, ...]]:
        """Return the teacher's answer to each question, as rows to train on.

        Raises
        ------
        DataError
            An answer cannot be rendered by the student's chat template, or has nothing to train.
        """
        known = self._read()
        missing = {example.id: example for example in examples if example.id not in known}
        if missing:
            self._run.phase("asking the teacher", 0, len(missing), "answers")
            asked = list(missing.values())
            for start in range(
                0, len(asked), 8
            ):  # so that a stop, or a server that goes away, loses few that were paid for
                part = asked[start : start + 8]
                said = self._teacher.say(
                    part,
                    most=self._own.max_completion_length,
                    temperature=self._own.temperature,
                    seed=derived_seed(self._seed, "teacher"),  # whatever is asked along with it
                    stopped=self._run.stopped,
                )
                for example, message in zip(part, said, strict=False):
                    self._keep(example.id, message)
                self._run.check()
                self._run.phase("asking the teacher", min(start + 8, len(asked)), len(asked), "answers")
        return [self._rendered(example, known[example.id]) for example in examples]

    def _rendered(self, example: Example, message: dict[str, Any]) -> tuple[Rendered, ...]:
        asked = [dict(turn) for turn in example.said]
        tools = {"tools": [dict(tool) for tool in example.tools]} if example.tools else {}
        rows = answer(self._run.renderer, {"prompt": asked, **tools}, [message], None)
        if not any(row.predicted_tokens for row in rows):
            raise DataError(
                f"The teacher's answer to {example.id} is empty, so there is nothing to learn from it.",
                fix="Leave the row out, give a higher max_completion_length, or another teacher.",
            )
        return rows

    def _read(self) -> dict[str, dict[str, Any]]:
        if self._known is None:
            entries = []
            try:
                lines = self._path.read_text(encoding="utf-8").split("\n")[:-1]  # a line that was not ended is dropped
                entries = [json.loads(line) for line in lines]
            except (FileNotFoundError, ValueError):
                pass
            if not entries or entries[0] != self._head:
                entries = [self._head]
            self._path.write_text(
                "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in entries), encoding="utf-8"
            )
            self._known = {entry["row"]: entry["message"] for entry in entries[1:]}
        return self._known

    def _keep(self, row: str, message: dict[str, Any]) -> None:
        self._read()[row] = message
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"row": row, "message": message}, ensure_ascii=False) + "\n")
