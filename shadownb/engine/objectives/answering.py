"""What objectives share whose model answers questions while it trains: policy gradients and distillation.

A row gives a question, answers come from the model of the moment, and how long and how good these are is watched, since a loss
over other answers at each step says little.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from shadownb.engine.methods.spec import QUESTION_FORMATS
from shadownb.engine.objectives.base import EVERY_COLUMN, Objective, Remark, Row, Score
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.masks import NOT_TRAINED, Rendered
from shadownb.errors import DataError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.objectives.arrays import Ops
    from shadownb.engine.rendering.renderer import Renderer


class Watch(Protocol):
    """What was seen of a run's answers; made without arguments, or of what :meth:`state_dict` gave."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""


class Answering(Objective):
    """An objective whose model answers while it trains.

    Attributes
    ----------
    kept_as
        The name of the file in a checkpoint that has what was seen of the answers.
    watching
        The type of :attr:`watch`.
    watch
        What was seen of the run's answers.
    """

    formats = QUESTION_FORMATS
    columns = (EVERY_COLUMN,)
    judged_by_loss = False  # answers change as the model does
    kept_as: ClassVar[str]
    watching: ClassVar[type[Any]]
    watch: Watch

    def __init__(self, config: TrainConfig, max_length: int) -> None:
        super().__init__(config, max_length)
        self.watch = self.watching()
        self.temperature = self.own.temperature
        self._began = 0.0

    # -- rows ---------------------------------------------------------------------------------------------------------

    def answers_cut(self, prompts: Sequence[Sequence[int]], unit: str) -> Iterator[Remark]:
        """Tell of questions that leave less room than an answer may take."""
        room = self.own.max_completion_length
        tight = sum(len(prompt) + room > self.max_length for prompt in prompts)
        if tight:
            yield Remark(
                f"{tight:,} of {len(prompts):,} {unit} have prompts that leave less than max_completion_length={room} tokens.",
                why=f"A row has at most {self.max_length:,} tokens, prompt and answer together, so they are cut off earlier.",
                fix="Lower max_completion_length, shorten the prompts, or raise max_length.",
                code="answers-cut",
            )

    def longest(self, prompt: Sequence[int]) -> Rendered:
        """Return a question with an answer of the greatest length, for estimates."""
        filler = [prompt[-1]] * max(1, min(self.own.max_completion_length, self.max_length - len(prompt)))
        return Rendered([*prompt, *filler], [NOT_TRAINED] * len(prompt) + filler)

    # -- steps --------------------------------------------------------------------------------------------------------

    def begin(self, ops: Ops[Any], examples: Sequence[Example], score: Score, *, held_out: bool) -> None:
        """Note when the step begins."""
        self._began = 0.0 if held_out else time.perf_counter()

    def metrics(self) -> dict[str, float]:
        """Return the means since the last call, and the seconds of the newest step's training."""
        if self._began:
            self.note_number("update_s", time.perf_counter() - self._began)
            self._began = 0.0
        return super().metrics()

    def save(self, folder: Path) -> None:
        """Write what was seen of the run so far."""
        (folder / self.kept_as).write_text(json.dumps(self.watch.state_dict()), encoding="utf-8")

    def load(self, folder: Path) -> bool:
        """Read it; returns whether it was there."""
        if not (folder / self.kept_as).is_file():
            return False
        self.watch = self.watching(**json.loads((folder / self.kept_as).read_text(encoding="utf-8")))
        return True


def last_answer(messages: Sequence[Row]) -> int | None:
    """Return the number of the last message that a model wrote; None where it wrote none."""
    return next((at for at in range(len(messages) - 1, -1, -1) if messages[at]["role"] == "assistant"), None)


def question(renderer: Renderer, messages: Sequence[Row], row: Row, max_length: int | None, *, who: str) -> Example:
    """Return an example that asks a row's question; ``who`` answers it.

    Raises
    ------
    DataError
        There is no question, or no room for an answer.
    """
    if not messages:
        raise DataError("The row has no question.", fix=f"Leave it out: {who} answers questions here.")
    tools = row.get("tools")
    ids = renderer.render_prompt(list(messages), tools)
    if max_length is not None and len(ids) >= max_length:
        raise DataError(
            f"The prompt has {len(ids):,} tokens, and max_length={max_length:,} leaves no room for an answer",
            fix="Shorten it, or raise max_length as far as the model has positions.",
        )
    prompt = Rendered(ids, [NOT_TRAINED] * len(ids))
    return Example((prompt,), asks=True, said=messages, prompt=ids, tools=tools or ())
