"""Reward models: one number for a conversation, learned from pairs of a better and a worse answer, or for each step of an answer.

The formulas are those of trl's RewardTrainer (a test compares loss and gradients with it) and of its PRMTrainer, whose two labels
a step are here one number: the difference of theirs. The number is read where the answer ends, or a step does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from shadownb.engine.config_options import option
from shadownb.engine.objectives.base import Chart, Objective, Remark, Row
from shadownb.engine.objectives.reference import REWARDS, answer
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.masks import NOT_TRAINED, LossOn, Rendered
from shadownb.errors import ConfigError, DataError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.objectives.arrays import Ops, Tokens
    from shadownb.engine.rendering.renderer import Renderer

STEP_SEPARATOR = "\n"  # behind each step, as trl's PRMConfig has it


class RewardOptions(BaseModel):
    """What is chosen of a reward model."""

    center_rewards_coefficient: float | None = option(
        None,
        "Weight of the squared sum of a pair's two rewards, which keeps their mean near 0 (Eisenstein et al., 2023: 0.01). Empty "
        "is none.",
        "preference",
        advanced=True,
        gt=0,
    )
    margin_column: str | None = option(
        None,
        "Column that says of each pair by how much the better answer is better; its reward is to be higher by that much. trl's "
        "data sets call it margin.",
        "preference",
        advanced=True,
    )


class Reward(Objective):
    """Bradley-Terry on pairs (Ouyang et al., 2022), or a verdict a step (Lightman et al., 2023)."""

    unit = "rewards"
    formats = ("preference", "stepwise")
    needs = frozenset({"value"})
    options = RewardOptions
    own: RewardOptions
    speaks = False
    charts: ClassVar[tuple[Chart, ...]] = (
        REWARDS,
        Chart("rewards_accuracy", "Preference accuracy", (("rewards_accuracy", "accuracy"),), share=True),
        Chart("steps_accuracy", "Steps judged right", (("steps_accuracy", "accuracy"),), share=True),
    )

    # -- rows ---------------------------------------------------------------------------------------------------------

    @classmethod
    def suits(cls, row: Row) -> bool:
        """Return whether the row is an answer with a verdict on each step."""
        return "steps" in row

    @classmethod
    def reads(cls, config: TrainConfig) -> tuple[str, ...]:
        """Return the column of margins, where one is named."""
        name = config.objective_options.margin_column
        return (name,) if name else ()

    @classmethod
    def check(cls, config: TrainConfig, rows: Sequence[Row], eval_rows: Sequence[Row]) -> None:
        """Raise for options of pairs where rows are steps, and for margins that are no numbers."""
        own: RewardOptions = config.objective_options
        if "sample_max_new_tokens" in config.changed and config.sample_max_new_tokens:
            raise ConfigError(
                f"sample_max_new_tokens={config.sample_max_new_tokens} has no effect: a reward model gives no text.",
                fix="Leave sample_max_new_tokens out.",
            )
        if rows and "steps" in rows[0]:
            for name in ("center_rewards_coefficient", "margin_column"):
                if getattr(own, name) is not None:
                    raise ConfigError(
                        f"{name}={getattr(own, name)!r} has no effect: the rows are steps with verdicts, and no pairs.",
                        fix=f"Leave {name} out, or give rows with chosen and rejected.",
                    )
        if own.margin_column:
            for number, row in enumerate([*rows, *eval_rows]):
                value = row["columns"][own.margin_column]
                if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                    raise DataError(
                        f"Row {number}: {own.margin_column} is {value!r}, and no number.",
                        fix=f"Give each row a number there, or leave margin_column={own.margin_column!r} out.",
                    )

    @classmethod
    def examples(
        cls, renderer: Renderer, row: Row, *, loss_on: LossOn, max_length: int | None, long_rows: str
    ) -> list[Example]:
        """Return the pair, or the answer with its steps, each read where it ends.

        Raises
        ------
        DataError
            It does not fit: what is cut off has no end to be read at.
        """
        if "steps" in row:
            labels = [bool(label) for label in row["labels"]]
            read = read_steps(renderer, row, row["steps"], max_length)
            return [Example((read,), columns={"labels": labels})]
        chosen, rejected = (read_answer(renderer, row, row[side], max_length) for side in ("chosen", "rejected"))
        return [Example((chosen,), (rejected,))]

    @classmethod
    def captions(cls, example: Example) -> list[tuple[str, tuple[Rendered, ...]]]:
        """Return the two answers, or the one with its steps."""
        if not example.rejected:
            return [("steps", example.sequences)]
        return [("chosen", example.sequences), ("rejected", example.rejected)]

    def remarks(self, examples: Sequence[Example], unit: str) -> Iterator[Remark]:
        """Tell of steps that all have one verdict."""
        verdicts = {label for example in examples for label in example.columns.get("labels", ())}
        if len(verdicts) == 1:
            yield Remark(
                f"All steps of the {unit} are {'right' if verdicts.pop() else 'wrong'}.",
                why="There is nothing that tells a right one from a wrong one.",
                fix="Add answers with steps of the other verdict.",
                code="one-verdict",
            )

    # -- loss ---------------------------------------------------------------------------------------------------------

    def count(self, examples: Sequence[Example]) -> int:
        """Return the number of pairs, or of steps."""
        return sum(len(example.columns["labels"]) if not example.rejected else 1 for example in examples)

    def loss(self, ops: Ops[Any], tokens: Tokens[Any], examples: Sequence[Example], *, held_out: bool) -> Any:
        """Return the summed loss."""
        if not examples[0].rejected:
            return self._of_steps(ops, tokens, examples)
        rewards = tokens.by_row(tokens.value)  # of one number a row
        better, worse = rewards[0::2], rewards[1::2]
        still, low = ops.stop(better), ops.stop(worse)
        for name, values in (("chosen", still), ("rejected", low), ("margin", still - low)):
            self.note(ops, f"rewards_{name}", values)
        right = [one > other for one, other in zip(ops.listed(still), ops.listed(low), strict=True)]
        self.note(ops, "rewards_accuracy", ops.numbers([float(pair) for pair in right]))
        apart = better - worse
        if self.own.margin_column:
            apart = apart - ops.numbers([float(example.columns[self.own.margin_column]) for example in examples])
        loss = ops.sum(-ops.log_sigmoid(apart))
        if self.own.center_rewards_coefficient is None:
            return loss
        return loss + self.own.center_rewards_coefficient * ops.sum((better + worse) ** 2)

    def _of_steps(self, ops: Ops[Any], tokens: Tokens[Any], examples: Sequence[Example]) -> Any:
        signs = tokens.spread([[1.0 if label else -1.0 for label in e.columns["labels"]] for e in examples])
        margin = signs * tokens.value
        nothing = ops.stop(margin) * 0
        self.note(ops, "steps_accuracy", ops.where(ops.stop(margin) > 0, nothing + 1, nothing))
        return ops.sum(-ops.log_sigmoid(margin))


# -- where a number is read -----------------------------------------------------------------------------------------------


def read_answer(
    renderer: Renderer, row: Row, reply: list[dict[str, Any]], max_length: int | None, *, trained: bool = True
) -> Rendered:
    """Return a prompt with an answer as a reward model reads it: one number, behind the token that ends the answer.

    Raises
    ------
    DataError
        It does not fit into ``max_length`` tokens, or the template does not write the answer.
    """
    whole = answer(renderer, row, reply, None)[-1]
    ends = [place for place, label in enumerate(whole.labels) if label != NOT_TRAINED]
    if not ends:
        raise DataError(
            "The template writes no answer that a number could be read behind", fix="Look at it with inspect."
        )
    return _read_behind(whole.input_ids[: ends[-1] + 1], [ends[-1]], max_length)


def read_steps(renderer: Renderer, row: Row, steps: Sequence[str], max_length: int | None) -> Rendered:
    """Return a prompt with the steps of an answer, each tokenized on its own, to be read behind each of them.

    Raises
    ------
    DataError
        It does not fit into ``max_length`` tokens.
    """
    ids, ends = list(renderer.render_prompt(row["prompt"], row.get("tools"))), []
    for step in steps:
        ids += renderer.encode_piece(step + STEP_SEPARATOR)
        ends.append(len(ids) - 1)
    return _read_behind(ids, ends, max_length)


def _read_behind(ids: list[int], ends: list[int], max_length: int | None) -> Rendered:
    """Mark what comes behind each of some places; a value of a marked token is that of all that stands before it."""
    if max_length is not None and len(ids) + 1 > max_length:
        raise DataError(
            f"Prompt and answer have {len(ids):,} tokens, and max_length={max_length:,} has room for {max_length - 1:,}",
            fix="Shorten them, or raise max_length as far as the model has positions.",
        )
    after = [*ids, ids[-1]]  # something has to come behind the last; nothing depends on what
    labels = [NOT_TRAINED] * len(after)
    for end in ends:
        labels[end + 1] = after[end + 1]
    return Rendered(after, labels)
