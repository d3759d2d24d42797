"""Where the examples of a policy gradient come from: prompts of the epoch, answered by the weights of now, and scored.

A batch is answered once and trained for ``num_iterations`` steps. Answers and scores are kept as they come (:mod:`.kept`), so that
a run that is killed inside a batch goes on with the same tokens and asks no scorer twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine.data.beside import AS_TEXT
from shadownb.engine.inference.options import Sampling
from shadownb.engine.inference.types import Completion, Rollout
from shadownb.engine.objectives.policy.acting import Acting, remarks
from shadownb.engine.objectives.policy.groups import Group, compare, examples_of
from shadownb.engine.objectives.policy.kept import KeptAnswers, forget
from shadownb.engine.objectives.policy.numbers import noted
from shadownb.engine.objectives.policy.rewards import Rewards, nothing_scored
from shadownb.engine.rendering.examples import Example
from shadownb.engine.rendering.masks import Rendered
from shadownb.engine.seeds import derived_seed

if TYPE_CHECKING:
    from shadownb.engine.objectives.policy.gradient import PolicyGradient
    from shadownb.engine.objectives.sources import ExampleSource, SourceRun

STATE = "rollouts.json"
_EMPTY_BATCHES = 3  # without a reward, in a row, before the run is ended


class Rollouts:
    """Answers of the present weights to the rows' prompts."""

    def __init__(self, epochs: ExampleSource, run: SourceRun, objective: PolicyGradient) -> None:
        self._epochs, self._run, self._objective = epochs, run, objective
        self._own, self._seed = objective.own, objective.config.seed
        self._rewards = Rewards(self._own)
        self._acting = Acting(run, objective) if self._own.environment else None
        self._batch: tuple[int, list[Example]] = (-1, [])
        self._without_reward = 0

    # -- the port -----------------------------------------------------------------------------------------------------

    def next(self, step: int) -> Sequence[Example]:
        """Return the answers that the step trains on; the first step of a batch has them made."""
        number = step // self._own.num_iterations
        if self._batch[0] != number:
            self._batch = (number, self._made(number, step + 1))
        return self._batch[1]

    def epoch(self, step: int) -> float:
        """Return how many times ``step`` steps have gone through the prompts."""
        return self._epochs.epoch(step) / self._own.num_iterations

    def known(self, steps: int) -> Sequence[int]:
        """Return nothing: no answer is there before the first step."""
        return []

    def save(self, folder: Path) -> None:
        """Write the batch that further steps share; answers of earlier ones are not needed any more."""
        number, examples = self._batch
        shared = self._own.num_iterations > 1
        rows = [
            {"id": e.id, "columns": dict(e.columns), "ids": e.rows[0].input_ids, "labels": e.rows[0].labels}
            for e in (examples if shared else ())
        ]
        kept = {"batch": number if shared else -1, "examples": rows, "without_reward": self._without_reward}
        (folder / STATE).write_text(json.dumps(kept), encoding="utf-8")
        forget(self._run.samples, number)

    def load(self, folder: Path) -> None:
        """Read what :meth:`save` wrote."""
        kept = json.loads((folder / STATE).read_text(encoding="utf-8"))
        made = [
            Example((Rendered(row["ids"], row["labels"]),), columns=row["columns"], id=row["id"])
            for row in kept["examples"]
        ]
        self._batch, self._without_reward = (kept["batch"], made), kept["without_reward"]

    # -- a batch ------------------------------------------------------------------------------------------------------

    def _made(self, number: int, step: int) -> list[Example]:
        started, objective = time.perf_counter(), self._objective
        prompts = list(self._epochs.next(number))
        kept = self._answered(number, prompts)
        groups = [
            Group(prompt, [kept.answers[place, sample] for sample in self._samples], kept.scores[place])
            for place, prompt in enumerate(prompts)
        ]
        self._tell_failures(groups)
        self._tell_episodes(groups)
        divergence = compare(groups, self._run, objective)
        facts = noted(objective, groups, self._rewards.names, divergence, time.perf_counter() - started)
        for remark in objective.watch.look(facts, self._own):
            self._run.warn(remark.what, why=remark.why, fix=remark.fix, code=remark.code)
        objective.ended = objective.watch.collapsed(self._own)
        self._run.answered(step, [group.told() for group in groups])
        return examples_of(groups, number, objective)

    @property
    def _samples(self) -> range:
        return range(self._own.num_generations)

    def _sampling(self, *what: int | str) -> Sampling:
        own = self._own
        return Sampling(
            max_new_tokens=own.max_completion_length,
            temperature=own.temperature,
            top_p=own.top_p,
            top_k=own.top_k,
            seed=derived_seed(self._seed, *what),
            logprobs=True,
        )

    def _answered(self, number: int, prompts: Sequence[Example]) -> KeptAnswers:
        """Have answered what is missing of a batch, and each group scored once it is whole."""
        sampling = self._sampling("rollouts", number)
        asked = {
            "prompts": [prompt.id for prompt in prompts],
            "sampling": {**sampling.as_dict(), "stop": list(sampling.stop)},
            "scorers": list(self._own.reward_fns),
            **({"environment": self._own.environment} if self._own.environment else {}),
        }
        kept = KeptAnswers(self._run.samples, number, self._run.weights_digest(), asked)
        total = len(prompts) * len(self._samples)
        done = [sum((place, sample) in kept.answers for sample in self._samples) for place in range(len(prompts))]
        self._run.phase("answering", sum(done), total, "answers")
        if sum(done) < total:
            for rollout in self._rollouts(prompts, len(self._samples), sampling, set(kept.answers)):
                kept.add(rollout)
                done[rollout.prompt] += 1
                self._run.phase("answering", sum(done), total, "answers")
                if done[rollout.prompt] == len(self._samples):
                    self._score(rollout.prompt, prompts[rollout.prompt], kept)
        for place, prompt in enumerate(prompts):  # those that were whole when the run was killed
            self._score(place, prompt, kept)
        return kept

    def _rollouts(
        self, prompts: Sequence[Example], n: int, sampling: Sampling, skip: Collection[tuple[int, int]] = ()
    ) -> Iterator[Rollout]:
        if self._acting is not None:
            return self._acting.rollouts(prompts, n, sampling, skip)
        return self._run.rollouts([prompt.rows[0].input_ids for prompt in prompts], n, sampling, skip=skip)

    def _score(self, place: int, prompt: Example, kept: KeptAnswers) -> None:
        if place not in kept.scores:
            self._run.check()
            answers = [kept.answers[place, sample] for sample in self._samples]
            kept.scored(place, self._scores(prompt, answers))

    def _scores(self, prompt: Example, answers: Sequence[Completion]) -> list[dict[str, Any]]:
        columns = {name: value for name, value in prompt.columns.items() if name != AS_TEXT}
        return self._rewards.score(prompt.said, answers, columns, as_text=bool(prompt.columns.get(AS_TEXT)))

    def _tell_failures(self, groups: Sequence[Group]) -> None:
        """Count answers without a reward; end the run where there is nothing else, at its first batch or for some in a row."""
        scored = any(reward is not None for group in groups for reward in group.rewards)
        failed, self._rewards.failed = self._rewards.failed, {}
        self._without_reward = 0 if scored else self._without_reward + 1
        if not scored and (not self._objective.watch.batches or self._without_reward >= _EMPTY_BATCHES):
            raise nothing_scored(failed or {name: (0, "no verdict") for name in self._rewards.names})
        for name, (count, reason) in failed.items():
            self._objective.note_number("unscored", count)
            if self._objective.watch.first(f"unscored {name}"):
                self._run.warn(
                    f"{name} gave no reward for {count} of {sum(len(group.rows) for group in groups)} answers of a batch.",
                    why=f"{reason}. Such an answer is in no mean and no spread, and is not trained.",
                    fix="The answers in the Run panel have each reason; the curve unscored counts them.",
                    code="reward-failed",
                )

    def _tell_episodes(self, groups: Sequence[Group]) -> None:
        for code, words in remarks([answer for group in groups for answer in group.answers], self._own.tool_timeout):
            if self._objective.watch.first(code):
                self._run.warn(words["what"], why=words["why"], fix=words["fix"], code=code)

    def close(self) -> None:
        """Close the environments of the run."""
        if self._acting is not None:
            self._acting.close()

    # -- evaluation ---------------------------------------------------------------------------------------------------

    def judged(self, held_out: Sequence[Example]) -> tuple[float, dict[str, float]]:
        """Return (less the mean reward, metrics) of one answer to each evaluation prompt, by the same luck each time."""
        answers: dict[int, Completion] = {}
        self._run.phase("evaluating", 0, len(held_out), "rows")
        for rollout in self._rollouts(held_out, 1, self._sampling("held out")):
            answers[rollout.prompt] = rollout.completion
            self._run.phase("evaluating", len(answers), len(held_out), "rows")
        before, self._rewards.failed = self._rewards.failed, {}
        rewards = []
        for place, prompt in enumerate(held_out):
            self._run.check()
            rewards += [score["reward"] for score in self._scores(prompt, [answers[place]])]
        failed, self._rewards.failed = self._rewards.failed, before
        known = [reward for reward in rewards if reward is not None]
        if not known:
            raise nothing_scored(failed or {name: (0, "no verdict") for name in self._rewards.names})
        found = {
            "reward": sum(known) / len(known),
            "completion_length": sum(len(answer.token_ids) for answer in answers.values()) / len(answers),
            "clipped_ratio": sum(answer.finish_reason == "length" for answer in answers.values()) / len(answers),
        }
        return 0.0 - found["reward"], {f"eval_{name}": round(value, 6) for name, value in found.items()}
