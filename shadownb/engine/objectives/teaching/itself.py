"""A model as its own teacher: it reads the demonstration beside the question, and says how likely it finds an answer then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from shadownb.engine.objectives.teaching.teacher import Likely, Taught, joined, narrowed
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.masks import NOT_TRAINED, Rendered
from shadownb.errors import DataError

if TYPE_CHECKING:
    from shadownb.engine.objectives.sources import SourceRun
    from shadownb.engine.objectives.teaching.options import SdftOptions


class Itself:
    """The model of the run, with demonstrations in its context."""

    name = "model itself"
    tells, why, answers = True, "", False

    def __init__(self, own: SdftOptions, run: SourceRun) -> None:
        self._own, self._run = own, run
        self._of_start = own.teacher_model_kind == "base"
        if self._of_start:
            run.keep_reference()

    @property
    def identity(self) -> str:
        """How demonstrations are shown; the weights are the run's own."""
        return f"{self._own.teacher_model_kind}: {self._own.teacher_prompt_template}"

    def say(
        self, asked: Sequence[Example], *, most: int, temperature: float, seed: int, stopped: Callable[[], bool]
    ) -> list[dict[str, Any]]:
        """Say nothing: off-policy, demonstrations are trained."""
        raise DataError(
            "A row has no answer, so there is nothing to train off-policy.",
            fix="Give lmbda=1, or rows with answers.",
        )

    def likely(self, rows: Sequence[Taught], k: int, temperature: float) -> list[Likely]:
        """Return what it says of each answer, behind the question with its demonstration."""
        found: list[list[Likely]] = [[] for _ in rows]
        shown = [self._with_demonstration(each) for each in rows]
        for number, targets, logs in self._run.distributions(shown, reference=self._of_start):
            found[number].append(narrowed(logs, targets, k, temperature))
        return [joined(parts) for parts in found]

    def _with_demonstration(self, taught: Taught) -> Rendered:
        example, row = taught.example, taught.row
        turns = [dict(turn) for turn in example.said]
        context = example.columns.get("privileged_context")
        if turns[-1]["role"] == "assistant":
            demonstration = turns.pop()
            context = context or _text_of(demonstration)
        template, question = self._own.teacher_prompt_template, turns[-1]["content"]
        text = template.replace("{prompt}", str(question)).replace("{privileged_context}", str(context))
        asked = self._run.renderer.render_prompt(
            [*turns[:-1], {**turns[-1], "content": text}], [dict(tool) for tool in example.tools] or None
        )
        said = [label for label in row.labels if label != NOT_TRAINED]
        room = self._run.positions
        if room is not None and len(asked) + len(said) > room:
            raise DataError(
                f"Question, demonstration and answer of {example.id} have {len(asked) + len(said):,} tokens, and the model has "
                f"{room:,} positions.",
                fix="Lower max_completion_length, or leave the longest rows out.",
            )
        return Rendered([*asked, *said], [NOT_TRAINED] * len(asked) + said)

    def close(self) -> None:
        """Do nothing: the run has the model."""


def _text_of(message: dict[str, Any]) -> str:
    """Return a demonstration as text: what it says, and its calls."""
    calls = [f"{call['function']['name']}({call['function']['arguments']})" for call in message.get("tool_calls") or ()]
    return "\n".join(part for part in (str(message.get("content") or ""), *calls) if part)
