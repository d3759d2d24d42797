"""Tasks of reasoning-gym as data: made rows, and a scorer that asks each task's own verifier (Stojanovski et al., 2025)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from shadownb.engine.data import Dataset
from shadownb.engine.evals.suites.reasoning.made import ASKED, made_by, tagged
from shadownb.engine.scoring import Score

COLUMN = "reasoning_gym"


def reasoning_gym(task: str, *, size: int = 200, seed: int = 42, **config: Any) -> Dataset:
    """Return questions of a task of reasoning-gym as a data set, whose scorer is ``"reasoning_gym"``.

    ``model.train(snb.environments.reasoning_gym("leg_counting"), method="grpo", reward_fns="reasoning_gym")`` trains on one.

    Parameters
    ----------
    task
        A name of reasoning-gym's, such as ``leg_counting``.
    size
        How many questions.
    seed
        What they are drawn by; the same seed has the same questions. Give another one for those that are held out.
    config
        The task's own options, such as ``max_animals=3``.

    Raises
    ------
    ConfigError
        There is no such task, or no such option of it.
    MissingDependencyError
        reasoning-gym is not installed.

    Examples
    --------
    >>> try:
    ...     data = snb.environments.reasoning_gym("leg_counting", size=4)
    ... except snb.ShadowError as error:
    ...     print(error.what, error.fix)
    reasoning-gym is not installed. pip install reasoning-gym
    """
    made = _made(task, size, seed, tuple(sorted(config.items())))
    rows = [
        {
            "prompt": ASKED.format(question=entry["question"]),
            "answer": str(entry["answer"]),
            COLUMN: {"task": task, "size": size, "seed": seed, "number": number, "config": config},
        }
        for number, entry in enumerate(made)
    ]
    return Dataset.from_list(rows, name=f"reasoning_gym-{task}", format="prompt")


class ReasoningGym:
    """What a task's own verifier gives an answer, 0 to 1; what stands in its last ``<answer>`` tag counts."""

    name: str = "reasoning_gym"

    def __call__(self, output: str, expected: str = "", *, row: Mapping[str, Any]) -> Score:
        """Return the score of an answer; of None where its row does not say which question it is."""
        asked = row.get(COLUMN)
        if not isinstance(asked, Mapping):
            return Score(
                None,
                f"its row has no column {COLUMN!r}; train on snb.environments.reasoning_gym(task), whose rows have",
            )
        made = _made(asked["task"], asked["size"], asked["seed"], tuple(sorted(asked["config"].items())))
        value = float(made.score_answer(tagged(output), made[asked["number"]]))
        return Score(value, f"{asked['task']}'s verifier gives {value:g}")


@lru_cache(maxsize=32)
def _made(task: str, size: int, seed: int, config: tuple[tuple[str, Any], ...]) -> Any:
    return made_by(task, size, seed, dict(config))
