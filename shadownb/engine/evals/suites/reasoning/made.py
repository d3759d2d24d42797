"""Tasks of reasoning-gym: questions made by a generator, as many as are wanted, with a verifier each (Stojanovski et al. 2025)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from shadownb.engine.evals.suites.base import Item, Verdict
from shadownb.engine.evals.suites.scored import asks
from shadownb.engine.evals.turns import Turn
from shadownb.engine.inference.types import Sampling
from shadownb.engine.scoring.answers import without_reasoning
from shadownb.errors import ConfigError, MissingDependencyError

RULES = ("answer tag", "whole")
ASKED = "{question}\n\nThink step by step, then give the answer alone in <answer></answer>."
_TAG = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


class ReasoningGym:
    """Made questions: ``reasoning_gym:leg_counting,basic_arithmetic``.

    Parameters
    ----------
    tasks
        Names of reasoning-gym's data sets.
    size
        Questions of each.
    seed
        What they are drawn by; the same seed has the same questions.

    Raises
    ------
    ConfigError
        No task is named, or there is none of a name.
    MissingDependencyError
        reasoning-gym is not installed.
    """

    rules: Sequence[str] = RULES
    sampling = Sampling(temperature=0.0, max_new_tokens=512)

    def __init__(self, *tasks: str, size: int = 100, seed: int = 42) -> None:
        if not tasks:
            raise ConfigError("No task of reasoning-gym is named.", fix="Name some: 'reasoning_gym:leg_counting'.")
        self._tasks, self._size, self._seed = tasks, size, seed
        self.name = "-".join(["reasoning_gym", *tasks])[:100]

    @cached_property
    def _made(self) -> dict[str, Any]:
        return {task: made_by(task, self._size, self._seed, {}) for task in self._tasks}

    def items(self) -> list[Item]:
        """Return the questions; those of one task are a cluster."""
        return [
            Item(
                f"{task}/{number}",
                asks(ASKED.format(question=entry["question"])),
                str(entry["answer"]),
                cluster=task if len(self._made) > 1 else None,
                row={"task": task, "number": number},
                part=task,
            )
            for task, made in self._made.items()
            for number, entry in enumerate(made)
        ]

    def grade(self, asked: Sequence[tuple[Item, Turn]]) -> list[Verdict]:
        """Return the score that each task's own verifier gives."""
        return [self._verdict(item, answer.text) for item, answer in asked]

    def _verdict(self, item: Item, answer: str) -> Verdict:
        made = self._made[item.row["task"]]
        entry = made[item.row["number"]]
        by_rule = dict(zip(RULES, (tagged(answer), without_reasoning(answer).strip()), strict=True))
        scores = {rule: float(made.score_answer(given, entry)) for rule, given in by_rule.items()}
        value = scores[RULES[0]]
        reason = "" if value >= 1 else f"gives {by_rule[RULES[0]][:60]!r}, expected {item.expected[:60]!r}"
        return Verdict(value, reason, by_rule[RULES[0]], "passed" if value >= 1 else "failed", scores)


def made_by(task: str, size: int, seed: int, config: Mapping[str, Any]) -> Any:
    """Return a data set of reasoning-gym.

    Raises
    ------
    ConfigError
        There is no such task, or no such option of it.
    MissingDependencyError
        reasoning-gym is not installed.
    """
    try:
        import reasoning_gym
        from reasoning_gym.factory import DATASETS
    except ImportError:
        raise MissingDependencyError("reasoning-gym is not installed.", fix="pip install reasoning-gym") from None
    if task not in DATASETS:
        raise ConfigError(f"task={task!r} is not one of reasoning-gym.", fix=f"Use {', '.join(sorted(DATASETS))}.")
    try:
        return reasoning_gym.create_dataset(task, size=size, seed=seed, **config)
    except (TypeError, AssertionError, ValueError) as error:
        raise ConfigError(
            f"{task} of reasoning-gym cannot be made with {dict(config)}: {error}", fix="Look at the task's options."
        ) from None


def tagged(answer: str) -> str:
    """Return what stands in the last answer tag of a reply, or all of it, without its reasoning."""
    text = without_reasoning(answer).strip()
    found = _TAG.findall(text)
    return found[-1].strip() if found else text
