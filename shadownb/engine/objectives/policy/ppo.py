"""PPO: answers of the model itself, token by token against what a value head on the same model expected.

The formulas are those of trl's last PPOTrainer (Ouyang et al., 2022; Schulman et al., 2017): the divergence is taken off the
rewards, advantages are those of GAE and whitened, ratio and value are clipped. What is ours: the head has the policy's own hidden
states instead of a second model, it is trained alone at first, and it says returns in spreads above their mean (a trial without
these two had an explained variance below 0).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.objectives.base import Chart, Row, ScalarHead, Score
from shadownb.engine.objectives.policy import rewards
from shadownb.engine.objectives.policy.gradient import PolicyGradient
from shadownb.engine.objectives.policy.loss import clipped_gain
from shadownb.engine.objectives.policy.ppo_batch import PpoRollouts
from shadownb.engine.objectives.policy.ppo_options import PpoOptions
from shadownb.engine.objectives.policy.value_scale import ValueScale
from shadownb.engine.rendering.examples import Example
from shadownb.errors import ConfigError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.objectives.arrays import Ops, Tokens
    from shadownb.engine.objectives.sources import ExampleSource, SourceRun

SCALE = "value_scale.json"
# Adam moves each of a head's weights by about the rate a step, whatever the gradient; hidden states of length 1 make values of
# root(width) rates at most.
_NORMALISED_RATE = 10.0


class Ppo(PolicyGradient):
    """Proximal policy optimisation with a value head."""

    needs = frozenset({"value"})
    options = PpoOptions
    own: PpoOptions  # type: ignore[assignment]
    charts = (
        *(chart for chart in PolicyGradient.charts if chart.name not in ("shares", "unscored", "seconds")),
        Chart("explained_variance", "Explained variance", (("explained_variance", "of returns, by values"),)),
        Chart("value_loss", "Value loss", (("value_loss", "value loss"),)),
        Chart("value", "Value", (("value", "expected"), ("return", "earned"))),
        Chart(
            "shares",
            "Values clipped",
            (("vf_clip_ratio", "values clipped"), ("clipped_ratio", "answers cut off")),
            share=True,
        ),
        *(chart for chart in PolicyGradient.charts if chart.name in ("unscored", "seconds")),
    )

    def __init__(self, config: TrainConfig, max_length: int) -> None:
        super().__init__(config, max_length)
        own = self.own
        usual = _NORMALISED_RATE if own.normalize_values else 1.0
        rate = usual if own.value_learning_rate is None else own.value_learning_rate / config.resolved_learning_rate()
        self.head = ScalarHead(rate, own.normalize_values)
        self.scale = ValueScale(own.normalize_values)

    @property
    def watches_start(self) -> bool:
        """Whether anything depends on how far the model has gone from where it started."""
        return self.own.kl_coef > 0 or self.own.max_kl is not None

    @property
    def divergence_in_loss(self) -> bool:
        """Never: it is in the rewards."""
        return False

    @classmethod
    def rows_of(cls, value: Any) -> list[Row] | None:
        """Return nothing: recorded attempts have no values."""
        return None

    @classmethod
    def check(cls, config: TrainConfig, rows: Sequence[Row], eval_rows: Sequence[Row]) -> None:
        """Raise where nothing says what an answer is worth, and for more minibatches than answers."""
        own: PpoOptions = config.objective_options
        if not own.reward_fns:
            raise ConfigError(
                f"method={config.method!r} needs reward_fns: what scores the answers that the model gives while it trains.",
                why="It learns from answers of its own; recorded attempts are for method='grpo'.",
                fix="Give reward_fns=[fn], fn(prompts, completions, **columns) -> a number an answer, or the name of a scorer.",
            )
        rewards.check(own, rows)
        answers = config.rows_per_step * own.num_generations
        if own.num_mini_batches > answers:
            raise ConfigError(
                f"num_mini_batches={own.num_mini_batches} is more than the {answers} answers of a batch.",
                fix="Give fewer, or raise num_generations or per_device_train_batch_size.",
            )

    def source(self, epochs: ExampleSource, run: SourceRun) -> ExampleSource:
        """Return the answers of the model to the prompts."""
        if self.watches_start:
            run.keep_reference()
        return PpoRollouts(epochs, run, self)

    @classmethod
    def looked_at(cls, seen: float, distinct: float) -> float:
        """Return that each answer is sampled once and looked at twice for the epochs that it is trained in."""
        return (1.2 + 2.0) / PpoOptions().num_ppo_epochs * seen

    # -- loss ---------------------------------------------------------------------------------------------------------

    def begin(self, ops: Ops[Any], examples: Sequence[Example], score: Score, *, held_out: bool) -> None:
        """See whether the step is one that trains the value head alone."""
        super().begin(ops, examples, score, held_out=held_out)
        self.head_alone = bool(examples[0].columns["warmup"])

    def count(self, examples: Sequence[Example]) -> int:
        """Return the number of tokens of the step's answers."""
        return max(1, sum(row.predicted_tokens for example in examples for row in example.rows))

    def loss(self, ops: Ops[Any], tokens: Tokens[Any], examples: Sequence[Example], *, held_out: bool) -> Any:
        """Return the summed loss of a pass: the policy's, and ``vf_coef`` times half the value's squared error.

        Values and returns are in the head's units, :class:`~.value_scale.ValueScale`.
        """
        columns = [example.columns for example in examples]
        if any(one["old"] is None for one in columns):  # an idle step
            return ops.sum(tokens.value) * 0.0
        own = self.own
        old, advantages, before, returns = (
            tokens.spread([one[name] for one in columns]) for name in ("old", "advantages", "values", "returns")
        )
        error = 0.5 * own.vf_coef * ops.sum(self._value_error(ops, tokens.value, before, returns))
        if columns[0]["warmup"]:
            return error
        apart = tokens.logp - old
        self.note(ops, "approx_kl", 0.5 * ops.stop(apart) ** 2)
        return error - ops.sum(clipped_gain(self, ops, ops.exp(apart), advantages))

    def _value_error(self, ops: Ops[Any], value: Any, before: Any, returns: Any) -> Any:
        """Return squared errors, (N,): the larger of a value's own and of that within the range around what it was."""
        reach = self.own.cliprange_value
        plain = (value - returns) ** 2
        held = (before + ops.clip(value - before, -reach, reach) - returns) ** 2
        error = -ops.minimum(-plain, -held)
        self.note(ops, "value_loss", 0.5 * error)
        clipped = ops.stop(held) > ops.stop(plain)
        nothing = ops.stop(plain) * 0
        self.note(ops, "vf_clip_ratio", ops.where(clipped, nothing + 1, nothing))
        return error

    # -- kept ---------------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write what was seen of the run so far, and what values are measured in."""
        super().save(folder)
        (folder / SCALE).write_text(json.dumps(self.scale.state_dict()), encoding="utf-8")

    def load(self, folder: Path) -> bool:
        """Read it; returns whether it was there."""
        if not super().load(folder) or not (folder / SCALE).is_file():
            return False
        self.scale = ValueScale(**json.loads((folder / SCALE).read_text(encoding="utf-8")))
        return True
