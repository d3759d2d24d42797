"""Scored attempts that were made before: TrajectoryGroups, or rows with a ``reward`` and the ``group`` they are compared within.

Every assistant turn of an attempt is trained that a model really gave. Advantages are known before the first step. A ratio is to
stored log-probabilities (the column ``old_logprobs``, one number a trained token), else to the model as the run found it, so an
answer is pushed down no further than the clipping lets it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.objectives.base import Remark, Row
from shadownb.engine.objectives.policy.advantages import advantages
from shadownb.engine.objectives.policy.options import PolicyOptions
from shadownb.engine.rendering.examples import Example
from shadownb.engine.trajectories import Trajectory, TrajectoryGroup
from shadownb.engine.trajectories.rows import chat_row
from shadownb.errors import ConfigError, DataError, ShadowWarning

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.objectives.policy.gradient import PolicyGradient
    from shadownb.engine.objectives.sources import ExampleSource, SourceRun

_OF_ROLLOUTS = ("num_generations", "temperature", "top_p", "top_k", "num_iterations", "mask_truncated_completions")


def rows_of(value: Any) -> list[Row] | None:
    """Return the rows of TrajectoryGroups, None for anything else.

    Raises
    ------
    DataError
        No attempt has both a reward and an answer to train.
    """
    groups = [value] if isinstance(value, TrajectoryGroup) else value
    if (
        not isinstance(groups, Sequence)
        or isinstance(groups, str)
        or not groups
        or not all(isinstance(g, TrajectoryGroup | Trajectory) for g in groups)
    ):
        return None
    if not all(isinstance(group, TrajectoryGroup) for group in groups):
        raise DataError(
            "Trajectories alone say nothing of which are compared with each other.",
            fix="Group them by their task: shadownb.engine.trajectories.group(trajectories).",
        )
    rows: list[Row] = []
    unscored = unanswered = 0
    for number, group in enumerate(groups):
        for attempt in group:
            if attempt.reward is None:
                unscored += 1
            elif not attempt.trainable_turns:
                unanswered += 1
            else:
                rows.append({**chat_row(attempt), "reward": float(attempt.reward), "group": number})
    if not rows:
        raise DataError(
            f"None of {unscored + unanswered:,} attempts has both a reward and an answer to train.",
            fix="Set trajectory.reward of each, of attempts whose answers came whole.",
        )
    for count, why in ((unscored, "nothing has scored them"), (unanswered, "none of their answers came whole")):
        if count:
            warnings.warn(f"{count:,} attempts are left out: {why}.", ShadowWarning, stacklevel=4)
    return rows


def is_scored(row: Row) -> bool:
    """Whether a canonical row is a scored attempt."""
    columns = row.get("columns", {})
    reward = columns.get("reward")
    known = isinstance(reward, int | float) and not isinstance(reward, bool) and math.isfinite(reward)
    return "messages" in row and known and columns.get("group") is not None


def check(config: TrainConfig, rows: Sequence[Row]) -> None:
    """Raise for options that recorded attempts have no use for, and where no group has attempts that differ."""
    own: PolicyOptions = config.objective_options
    for name in _OF_ROLLOUTS:
        if name in config.changed:
            raise ConfigError(
                f"{name}={getattr(config, name)!r} has no effect: the attempts are recorded, and none is made anew.",
                fix=f"Leave {name} out, or give reward_fns and rows that ask.",
            )
    if not any(any(of_group) for of_group in _advantages(rows, own).values()):
        raise DataError(
            "No group has attempts with different rewards, so there is nothing to learn from them.",
            why="An advantage is the distance from what an attempt is compared with; equal rewards have none.",
            fix="Score the attempts, or add attempts at the same tasks that differ.",
        )


def _advantages(rows: Sequence[Row], own: PolicyOptions) -> dict[Any, list[float]]:
    groups: dict[Any, list[float | None]] = {}
    for row in rows:
        groups.setdefault(str(row["columns"]["group"]), []).append(float(row["columns"]["reward"]))
    found = advantages(list(groups.values()), estimator=own.advantage_estimator, scale=own.scale_rewards)
    return dict(zip(groups, found, strict=True))


class Recorded:
    """The attempts of a run as examples."""

    def __init__(self, own: PolicyOptions) -> None:
        self._own = own

    def remarks(self, examples: Sequence[Example], unit: str) -> Iterator[Remark]:
        """Tell of attempts that teach nothing, and of log-probabilities that are of other tokens."""
        attempts = [example for example in examples if not example.asks]
        if not attempts:
            return
        flat = sum(not example.columns["advantage"] for example in self._with_advantages(attempts))
        if flat:
            yield Remark(
                f"{flat:,} of {len(attempts):,} {unit} have no advantage and are left out.",
                why="All attempts of their group have one reward.",
                fix="Nothing needs to be done; attempts at the same task that differ would teach something.",
                code="no-advantage",
            )
        other = sum(_old_of(example) is None for example in attempts if "old_logprobs" in example.columns)
        if other:
            yield Remark(
                f"The old_logprobs of {other:,} of {len(attempts):,} {unit} are not as many as the trained tokens.",
                why="They are of another template or tokenizer, so they are recomputed with the model as the run found it.",
                fix="Leave the column out, or record the answers with this model.",
                code="other-logprobs",
            )

    def arranged(self, examples: list[Example]) -> list[Example]:
        """Return the attempts that have an advantage, with it."""
        return [example for example in self._with_advantages(examples) if example.columns["advantage"]]

    def _with_advantages(self, examples: Sequence[Example]) -> list[Example]:
        by_group = _advantages([{"columns": example.columns} for example in examples], self._own)
        places = dict.fromkeys(by_group, 0)
        found = []
        for example in examples:
            group = str(example.columns["group"])
            advantage = by_group[group][places[group]]
            places[group] += 1
            old = None if self._own.old_logprobs == "recomputed" else _old_of(example)
            found.append(
                replace(example, columns={"advantage": advantage, "old": old, "reward": example.columns["reward"]})
            )
        return found


class Referenced:
    """Epochs over recorded attempts, each with what the model as the run found it says of its tokens."""

    def __init__(self, epochs: ExampleSource, run: SourceRun, objective: PolicyGradient) -> None:
        run.keep_reference()
        self._epochs, self._run, self._objective = epochs, run, objective
        self._first_ratio: float | None = None
        self._told = False

    def next(self, step: int) -> Sequence[Example]:
        """Return the examples of a step."""
        self._tell_used_up()
        examples = list(self._epochs.next(step))
        for example in examples:
            self._objective.note_number("reward", float(example.columns["reward"]))
        everything = self._objective.divergence_in_loss
        wanted = [example for example in examples if everything or example.columns["old"] is None]
        found = self._run.log_probs([example.rows for example in wanted], reference=True) if wanted else []
        reference = dict(zip((example.id for example in wanted), found, strict=True))
        return [
            replace(
                example,
                columns={
                    "advantage": example.columns["advantage"],
                    "old": example.columns["old"] or reference[example.id],
                    "reference": reference.get(example.id),
                },
            )
            for example in examples
        ]

    def _tell_used_up(self) -> None:
        """Say once that the attempts have become less likely, on the whole, than the bounds of the loss allow for.

        Stored log-probabilities may be another model's; then the first ratio is not 1, and says nothing of this run.
        """
        found, low = self._objective.last_metrics.get("ratio"), 1 - self._objective.own.epsilon
        if self._told or found is None:
            return
        if self._first_ratio is None:
            self._first_ratio = found
        ratio = found / max(self._first_ratio, 1e-9)
        if ratio >= low:
            return
        self._told = True
        self._run.warn(
            f"The recorded attempts are {ratio:.2f} times as likely as at first, below the bound of {low:g}.",
            why="Bad attempts were pushed away further than good ones could be pulled closer. What the model gives in their place "
            "nobody has scored, and it may be worse.",
            fix="Train fewer steps, or at a lower learning_rate; or with importance_sampling_level='sequence' and beta=0.1. "
            "groups.best() and groups.to_preferences() learn from the same attempts without that.",
            code="attempts-used-up",
        )

    def epoch(self, step: int) -> float:
        """Return how many times ``step`` steps have gone through the attempts."""
        return self._epochs.epoch(step)

    def known(self, steps: int) -> Sequence[int]:
        """Return the numbers of the attempts that the first ``steps`` steps see."""
        return self._epochs.known(steps)

    def save(self, folder: Path) -> None:
        """Write nothing: the reference is kept by the run, and the step says where it is."""

    def load(self, folder: Path) -> None:
        """Read nothing."""


def _old_of(example: Example) -> list[list[float]] | None:
    """Return the stored log-probabilities row by row; None where they are missing or of other tokens."""
    given = example.columns.get("old_logprobs")
    counts = [row.predicted_tokens for row in example.rows]
    if not isinstance(given, list) or len(given) != sum(counts) or not all(isinstance(v, int | float) for v in given):
        return None
    found, start = [], 0
    for count in counts:
        found.append([float(value) for value in given[start : start + count]])
        start += count
    return found
