"""Policy gradients with a clipped ratio: GRPO, and with other advantages RLOO and REINFORCE++.

The formulas are those of trl's GRPOTrainer and RLOOTrainer (tests compare loss and gradient with theirs, for each ``loss_type``).
What is ours is what is computed: a prompt once for all its answers, logits at answers alone, no answer whose advantage is zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from shadownb.engine.environments.finding import maker
from shadownb.engine.objectives.answering import Answering, last_answer, question
from shadownb.engine.objectives.base import Chart, Remark, Row
from shadownb.engine.objectives.policy import recorded, rewards
from shadownb.engine.objectives.policy.loss import summed_loss
from shadownb.engine.objectives.policy.options import AnswerOptions, PolicyOptions
from shadownb.engine.objectives.policy.rollouts import Rollouts
from shadownb.engine.objectives.policy.watch import PolicyWatch
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.masks import LossOn
from shadownb.errors import ConfigError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.objectives.arrays import Ops, Tokens
    from shadownb.engine.objectives.sources import ExampleSource, SourceRun
    from shadownb.engine.rendering.renderer import Renderer


class PolicyGradient(Answering):
    """Makes answers of the model more or less likely by what they scored (GRPO: Shao et al., 2024)."""

    unit = "answers"
    functions = (rewards.REWARD_FNS, "environment")
    kept_as = "policy.json"
    watching = PolicyWatch
    watch: PolicyWatch
    options: ClassVar[type[AnswerOptions]] = PolicyOptions
    own: PolicyOptions
    charts: ClassVar[tuple[Chart, ...]] = (
        Chart(
            "reward",
            "Reward",
            (("reward", "reward"), ("reward_finished", "of finished answers"), ("reward_std", "spread")),
            first=True,
        ),
        Chart("kl", "KL divergence", (("kl", "KL divergence"),)),
        Chart("entropy", "Entropy", (("entropy", "entropy of a token, in nats"),)),
        Chart("completion_length", "Answer length", (("completion_length", "tokens"),)),
        Chart(
            "shares",
            "Groups without spread",
            (
                ("frac_reward_zero_std", "groups without spread"),
                ("clipped_ratio", "answers cut off"),
                ("unfinished_ratio", "episodes without an end"),
            ),
            share=True,
        ),
        Chart(
            "clipped",
            "Ratios clipped",
            (("clip_ratio", "ratios clipped"), ("clip_ratio_low", "below"), ("clip_ratio_high", "above")),
            share=True,
        ),
        Chart("ratio", "Importance ratio", (("ratio", "importance ratio"),)),
        Chart("unscored", "Answers without a reward", (("unscored", "answers without a reward"),)),
        Chart(
            "turns",
            "Turns of an episode",
            (
                ("turns", "turns"),
                ("tool_calls", "calls of tools"),
                ("tool_failures", "failed"),
                ("tool_timeouts", "too slow"),
            ),
        ),
        Chart("seconds", "Seconds of answering", (("rollout_s", "answering"), ("update_s", "training"))),
    )

    def __init__(self, config: TrainConfig, max_length: int) -> None:
        super().__init__(config, max_length)
        self._recorded = recorded.Recorded(self.own)
        self._rollouts: Rollouts | None = None
        self.last_metrics: dict[str, float] = {}
        self.iterations = self.own.num_iterations if self.own.answers else 1

    @property
    def divergence_in_loss(self) -> bool:
        """Whether the loss has a term that also answers without an advantage have a part in."""
        return self.own.beta > 0 and self.own.kl_in == "loss"

    @property
    def recomputes(self) -> bool:
        """Whether the weights that gave a batch say again how likely each token is, before they move."""
        if self.own.old_logprobs == "stored":
            return False
        return self.own.num_iterations > 1 or (self.own.beta > 0 and self.own.kl_in == "reward")

    # -- rows ---------------------------------------------------------------------------------------------------------

    @classmethod
    def rows_of(cls, value: Any) -> list[Row] | None:
        """Return the rows of scored TrajectoryGroups."""
        return recorded.rows_of(value)

    @classmethod
    def check(cls, config: TrainConfig, rows: Sequence[Row], eval_rows: Sequence[Row]) -> None:
        """Raise where nothing says what an answer is worth."""
        own: PolicyOptions = config.objective_options
        rewards.check(own, rows)
        if own.environment:
            maker(own.environment)
        if own.answers:
            if own.old_logprobs == "stored" and own.temperature != 1.0:
                raise ConfigError(
                    f"old_logprobs='stored' cannot be used with temperature={own.temperature}.",
                    why="What is stored of an answer are the log-probabilities of the model's own distribution, at temperature 1.",
                    fix="Leave old_logprobs out, so that they are recomputed at this temperature.",
                )
            return
        if not all(recorded.is_scored(row) for row in rows):
            raise ConfigError(
                f"method={config.method!r} needs reward_fns or environment: what scores answers that the model gives meanwhile.",
                why="The rows are no scored attempts either, which have a reward and the group that they are compared within.",
                fix="Give reward_fns=[fn], fn(prompts, completions, **columns) -> a number an answer, or the name of a scorer; or "
                "train on TrajectoryGroups whose trajectories have rewards.",
            )
        if eval_rows:
            raise ConfigError(
                "eval_dataset has no effect: recorded attempts are not answered again, so nothing is evaluated.",
                fix="Leave it out; compare() judges the model afterwards.",
            )
        recorded.check(config, rows)

    @classmethod
    def examples(
        cls, renderer: Renderer, row: Row, *, loss_on: LossOn, max_length: int | None, long_rows: str
    ) -> list[Example]:
        """Return the question of a row; of a scored attempt its turns."""
        if recorded.is_scored(row):
            sequences = tuple(renderer.render_all(row, loss_on=loss_on, max_length=max_length))
            return [Example(sequences)]
        messages = row["prompt"] if "prompt" in row else row["messages"][: last_answer(row["messages"])]
        return [question(renderer, messages, row, max_length, who="the model")]

    def remarks(self, examples: Sequence[Example], unit: str) -> Iterator[Remark]:
        """Tell of prompts that leave less room than an answer may take, and of attempts that teach nothing."""
        yield from self._recorded.remarks(examples, unit)
        yield from self.answers_cut([example.prompt for example in examples if example.asks], unit)

    def arrange(self, examples: list[Example]) -> list[Example]:
        """Give recorded attempts their advantages; those without one are left out."""
        return examples if all(example.asks for example in examples) else self._recorded.arranged(examples)

    def source(self, epochs: ExampleSource, run: SourceRun) -> ExampleSource:
        """Return the answers of the model to the prompts; of recorded attempts the epochs over them."""
        if self.own.beta or self.own.max_kl is not None:
            run.keep_reference()
        if not self.own.answers:
            return recorded.Referenced(epochs, run, self)
        self._rollouts = Rollouts(epochs, run, self)
        return self._rollouts

    def close(self) -> None:
        """Close the environments of the run."""
        if self._rollouts is not None:
            self._rollouts.close()

    def expected(self, examples: Sequence[Example]) -> Sequence[Example]:
        """Return each prompt with as many answers as it gets, of the greatest length."""
        if not self.own.answers:
            return examples
        answers = self.own.num_generations
        return [
            replace(example, sequences=(self.longest(example.rows[0].input_ids),) * answers, asks=False)
            for example in examples
        ]

    @classmethod
    def looked_at(cls, seen: float, distinct: float) -> float:
        """Return that each answer is computed once more while it is sampled, token by token."""
        return 1.2 * seen  # of a step of 32 answers, 3.1 CPU seconds went into them and 5.3 into the update

    # -- loss ---------------------------------------------------------------------------------------------------------

    def count(self, examples: Sequence[Example]) -> int:
        """Return what the summed loss is divided by: answers, or their tokens, of the whole batch."""
        first = examples[0].columns.get("total")
        answers = first["answers"] if first else len(examples)
        tokens = first["tokens"] if first else sum(row.predicted_tokens for example in examples for row in example.rows)
        if self.own.loss_type in ("bnpo", "dapo"):
            return max(1, tokens)
        return max(1, answers * (self.own.max_completion_length if self.own.loss_type == "dr_grpo" else 1))

    def loss(self, ops: Ops[Any], tokens: Tokens[Any], examples: Sequence[Example], *, held_out: bool) -> Any:
        """Return the summed loss of a pass."""
        return summed_loss(self, ops, tokens, examples)

    def metrics(self) -> dict[str, float]:
        """Return the means since the last call, which ``last_metrics`` keeps."""
        self.last_metrics = super().metrics()
        return self.last_metrics

    def evaluate(self, source: ExampleSource, held_out: Sequence[Example]) -> tuple[float, dict[str, float]] | None:
        """Return less the mean reward of one answer to each of the evaluation rows, and what there is of it."""
        return source.judged(held_out) if isinstance(source, Rollouts) else None
