"""Answers that are episodes: the weights of now act in the environment that the options name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shadownb.engine.data.beside import AS_TEXT
from shadownb.engine.environments import Episode
from shadownb.engine.environments.finding import maker
from shadownb.engine.environments.playing import Limits, Pool, Start, play
from shadownb.engine.inference.options import Sampling
from shadownb.engine.inference.types import Completion, Rollout
from shadownb.engine.rendering.examples import Example
from shadownb.engine.seeds import derived_seed

if TYPE_CHECKING:
    from shadownb.engine.objectives.base import Objective
    from shadownb.engine.objectives.sources import SourceRun


class Acting:
    """The episodes of one run."""

    def __init__(self, run: SourceRun, objective: Objective) -> None:
        own = objective.own
        self._run = run
        self._limits = Limits(
            own.max_turns,
            own.max_completion_length,
            min(objective.max_length, run.positions or objective.max_length),
            own.tool_timeout,
        )
        self._pool = Pool(maker(own.environment), own.tool_timeout)

    def rollouts(
        self, prompts: Sequence[Example], n: int, sampling: Sampling, skip: Collection[tuple[int, int]] = ()
    ) -> Iterator[Rollout]:
        """Yield episodes as :meth:`SourceRun.rollouts` yields answers; a stop is raised."""
        seed = sampling.seed or 0
        starts = [
            Start(prompt.said, prompt.tools, {k: v for k, v in prompt.columns.items() if k != AS_TEXT})
            for prompt in prompts
        ]
        yield from play(
            starts,
            n,
            pool=self._pool,
            renderer=self._run.renderer,
            answers=self._run.rollouts,
            sampling=lambda turn: replace(sampling, seed=derived_seed(seed, "turn", turn)),
            seeds=lambda place: derived_seed(seed, "reset", place) % 2**31,  # what Gymnasium and numpy take
            limits=self._limits,
            skip=skip,
            stopped=self._run.stopped,
        )
        self._run.check()

    def close(self) -> None:
        """Close the environments."""
        self._pool.close()


def shown(answer: Completion) -> str:
    """Return an answer as readers of a run see it: of an episode all that was said."""
    if not isinstance(answer, Episode):
        return answer.text
    return "\n\n".join(f"{message['role']}: {_said(message)}" for message in answer.messages)


def _said(message: Mapping[str, Any]) -> str:
    calls = [f"{call['function']['name']}({call['function']['arguments']})" for call in message.get("tool_calls") or ()]
    return "\n".join(part for part in (str(message.get("content") or ""), *calls) if part)


def numbers(answers: Sequence[Completion]) -> dict[str, float | None]:
    """Return the means of a batch's episodes, for the curves of a run; nothing of answers that are none."""
    episodes = [answer for answer in answers if isinstance(answer, Episode)]
    if not episodes:
        return {}
    count = len(episodes)
    return {
        "turns": sum(each.turns for each in episodes) / count,
        "tool_calls": sum(each.calls for each in episodes) / count,
        "tool_failures": sum(each.failed_calls for each in episodes) / count,
        "tool_timeouts": sum(each.late_calls for each in episodes) / count,
        "unfinished_ratio": sum(each.ended == "max_turns" for each in episodes) / count,
    }


def remarks(answers: Sequence[Completion], seconds: float) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (code, warning) of what is wrong with a batch's episodes."""
    episodes = [answer for answer in answers if isinstance(answer, Episode)]
    count = len(episodes)
    late = sum(each.late_calls for each in episodes)
    if late:
        yield (
            "tool-timeout",
            {
                "what": f"{late} calls of the environment in {count} episodes took longer than tool_timeout={seconds:g} s.",
                "why": "Each was ended, and the model was told; where it could not be ended, the episode has no reward.",
                "fix": "Raise tool_timeout, or give the tool a limit of its own. The curve tool_timeouts counts them.",
            },
        )
    endless = sum(each.ended == "max_turns" for each in episodes)
    if endless and endless * 2 >= count:
        yield (
            "episodes-unfinished",
            {
                "what": f"{endless} of {count} episodes of a batch did not end within max_turns.",
                "why": "They count with the reward that they have so far, and as cut off.",
                "fix": "Raise max_turns, or let step() return done=True. The curve unfinished_ratio counts them.",
            },
        )
    failed = sum(each.failed_calls for each in episodes)
    calls = sum(each.calls for each in episodes)
    if failed and failed * 2 >= max(calls, count):
        yield (
            "tool-failures",
            {
                "what": f"{failed} of {max(calls, count)} calls of the environment in a batch failed.",
                "why": "The model was told of each error as an observation.",
                "fix": "Look at the answers in the Run panel; call the tools yourself with the arguments that it gives.",
            },
        )
