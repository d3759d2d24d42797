"""Facts: a few rows are learned together by an expert each, for a fixed number of steps, then the next ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from shadownb.engine.config_options import option
from shadownb.engine.methods.spec import ANSWERED_FORMATS
from shadownb.engine.objectives.base import Chart, Objective, Remark, Row
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.masks import LossOn, Rendered
from shadownb.engine.routing.units import Fact, check
from shadownb.engine.routing.wordings import MOST, wordings
from shadownb.errors import DataError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.objectives.arrays import Ops, Tokens
    from shadownb.engine.objectives.sources import ExampleSource, SourceRun
    from shadownb.engine.rendering.renderer import Renderer


class FactOptions(BaseModel):
    """What is chosen of facts."""

    expert_steps: int = option(40, "Steps that each fact's expert is trained for.", "adapter", ge=1, le=1000)
    facts_at_once: int = option(
        16, "Experts that are trained together; bounds memory, not results.", "batch", advanced=True, ge=1, le=4096
    )
    unit_size: int = option(
        1, "Rows that share one expert; each can be asked for.", "adapter", advanced=True, ge=1, le=64
    )
    question_forms: int = option(
        MOST, "Wordings of each question that are trained: the row's own and others made of it.", "data", ge=1, le=MOST
    )


class FactGroups:
    """The units of a step: ``facts_at_once`` of them for ``expert_steps`` steps, in the order of the rows. It has no state."""

    def __init__(self, units: Sequence[Sequence[Example]], at_once: int, steps: int, facts: Facts) -> None:
        self._groups = [units[start : start + at_once] for start in range(0, len(units), at_once)]
        self._units, self._steps, self._facts = units, steps, facts

    def next(self, step: int) -> list[Example]:
        """Return the examples of a step, counted from 0."""
        number = step // self._steps
        # What is reported of a step is reported behind it.
        self._facts.learned = sum(map(len, self._groups[: (step + 1) // self._steps]))
        return [example for unit in self._groups[number] for example in unit]

    def epoch(self, step: int) -> float:
        """Return which share of the facts ``step`` steps have learned."""
        return step / (len(self._groups) * self._steps)

    def known(self, steps: int) -> list[int]:
        """Return no number: nothing is looked at beforehand."""
        return []

    def save(self, folder: Path) -> None:
        """Write nothing: the step says where it is."""

    def load(self, folder: Path) -> None:
        """Read nothing."""


class Facts(Objective):
    """Next-token loss on the answers, for each fact by itself.

    Attributes
    ----------
    learned
        How many units have had all their steps.
    """

    unit = "facts"
    formats = ANSWERED_FORMATS
    options = FactOptions
    own: FactOptions
    judged_by_loss = False
    charts = (Chart("facts", "Facts learned", (("facts", "facts learned"),)),)

    def __init__(self, config: TrainConfig, max_length: int) -> None:
        super().__init__(config, max_length)
        self.learned = 0
        self._units: list[list[Example]] = []
        self._forms = self.own.question_forms if self.own is not None else MOST

    @classmethod
    def examples(
        cls, renderer: Renderer, row: Row, *, loss_on: LossOn, max_length: int | None, long_rows: str
    ) -> list[Example]:
        """Return one example: the row with its question in several wordings.

        Raises
        ------
        DataError
            Nothing could be found by its question, or it is too long to be said whole.
        """
        turns, tools = _turns(row), row.get("tools")
        asked = max((n for n, turn in enumerate(turns[:-1]) if turn["role"] == "user"), default=None)
        if asked is None:
            return []
        question = str(turns[asked].get("content") or "")
        columns = {"question": question, "answer": str(turns[-1].get("content") or "")}
        check(Fact(question, columns["answer"]))
        sequences: list[Rendered] = []
        for form in wordings(question, MOST):
            said = [*turns[:asked], {**turns[asked], "content": form}, *turns[asked + 1 :]]
            whole = {"messages": said, **({"tools": tools} if tools else {})}
            sequences += renderer.render_all(whole, loss_on="last", max_length=max_length)
        if any(each.truncated_tokens for each in sequences):
            raise DataError(
                f"The fact {question[:60]!r} is longer than max_length={max_length}.",
                why="A part of an answer would be said as if it were the whole.",
                fix="Raise max_length, or split it into facts that can each be asked for.",
            )
        return [Example(tuple(sequences), columns=columns)]

    def arrange(self, examples: list[Example]) -> list[Example]:
        """Return each question once, with its latest answer."""
        by_question: dict[str, Example] = {}
        for example in examples:
            by_question.pop(example.columns["question"], None)
            by_question[example.columns["question"]] = replace(example, sequences=example.sequences[: self._forms])
        return list(by_question.values())

    def remarks(self, examples: Sequence[Example], unit: str) -> Iterator[Remark]:
        """Yield what is left out, and why."""
        asked = [example.columns["question"] for example in examples]
        if len(asked) > len(set(asked)):
            yield Remark(
                f"{len(asked) - len(set(asked))} {unit} ask what a later one asks; the later answer is kept.",
                why="One question has one answer.",
                fix="Leave out the rows that no longer hold.",
                code="rows-skipped",
            )

    def source(self, epochs: ExampleSource, run: SourceRun) -> ExampleSource:
        """Return the facts in groups."""
        examples: Sequence[Example] = epochs.examples  # type: ignore[attr-defined]
        size = self.own.unit_size
        self._units = [list(examples[start : start + size]) for start in range(0, len(examples), size)]
        return FactGroups(self._units, self.own.facts_at_once, self.own.expert_steps, self)

    @classmethod
    def total_steps(cls, config: TrainConfig, items: int) -> int | None:
        """Return the steps in which every fact has had its own."""
        units = -(-items // config.objective_options.unit_size)
        return int(-(-units // config.objective_options.facts_at_once) * config.objective_options.expert_steps)

    def count(self, examples: Sequence[Example]) -> int:
        """Return the number of trained tokens."""
        return sum(row.predicted_tokens for example in examples for row in example.rows)

    def loss(self, ops: Ops[Any], tokens: Tokens[Any], examples: Sequence[Example], *, held_out: bool) -> Any:
        """Return the summed negative log-probability."""
        return ops.sum(-tokens.logp)

    def metrics(self) -> dict[str, float]:
        """Return how many units are learned, beside the means since the last call."""
        return {"facts": float(self.learned), **super().metrics()}


def _turns(row: Row) -> list[dict[str, Any]]:
    """Return a row as turns that end with the answer."""
    if "completion" not in row:
        return list(row.get("messages") or [])
    answer = row["completion"]
    said = answer if isinstance(answer, list) else [answer]
    return [
        *row["prompt"],
        *(turn if isinstance(turn, dict) else {"role": "assistant", "content": turn} for turn in said),
    ]
