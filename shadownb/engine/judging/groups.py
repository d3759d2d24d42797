"""Judging attempts that stand side by side: of a recording, of rows, of an evaluation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from shadownb.engine.judging.asking import Judge
from shadownb.engine.judging.disagreements import BEFORE
from shadownb.engine.judging.judged import JudgedGroups
from shadownb.engine.judging.judgement import Judgement
from shadownb.engine.judging.sources import groups_of, known_by
from shadownb.engine.trajectories import Trajectory, TrajectoryGroup
from shadownb.errors import ConfigError, DataError


def judge(
    attempts: Any,
    judge: Any,
    rubric: str | None = None,
    *,
    by: str = "task",
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    **options: Any,
) -> JudgedGroups:
    """Judge attempts, those at the same task side by side, and return groups with the scores as rewards.

    Parameters
    ----------
    attempts
        Trajectories, a :class:`TrajectoryGroup`, several of them, or whatever has ``trajectories()``, as a recording; rows with
        answers (of pairs the chosen one counts as right); or an :class:`Evaluation`, with its grades. They stay as they are.
    judge
        A :class:`Judge`, or the model that judges: a loaded one, or an endpoint.
    rubric
        What makes an attempt good; None takes the judge's own.
    by
        What makes attempts a group, as :func:`shadownb.traces.group` takes it. A task with one attempt is judged, too.
    limit
        At most so many groups, drawn with a fixed seed.
    progress, should_stop
        As :meth:`Judge.judge_many` takes them.
    **options
        Of :class:`Judge`, where a model is given.

    Raises
    ------
    ConfigError
        Options are given beside a :class:`Judge`, which has its own.
    DataError
        There is nothing to judge.

    Examples
    --------
    >>> asked = {"role": "user", "content": "Where is my parcel?"}
    >>> attempts = [snb.Trajectory([asked, {"role": "assistant", "content": text}]) for text in ("shipping", "x")]
    >>> judged = snb.judge(attempts, model, "Right answers name the queue.", orders=2)
    >>> judged.unscored + sum(reward is not None for reward in judged[0].rewards)
    2
    """
    judged = _judged(groups_of(attempts, by, limit), _judge_of(judge, rubric, options), progress, should_stop)
    judged.known_by = known_by(attempts)
    return judged


def judge_group(group: Iterable[Trajectory], judge: Any, rubric: str | None = None, **options: Any) -> TrajectoryGroup:
    """Judge the attempts of one group side by side and return it with the scores as rewards; see :func:`judge`.

    Examples
    --------
    >>> asked = {"role": "user", "content": "Where is my parcel?"}
    >>> attempts = [snb.Trajectory([asked, {"role": "assistant", "content": text}]) for text in ("shipping", "x")]
    >>> len(snb.judge_group(attempts, model, orders=2).rewards)
    2
    """
    made = group if isinstance(group, TrajectoryGroup) else TrajectoryGroup(group)
    return _judged([made], _judge_of(judge, rubric, options))[0]


def _judge_of(given: Any, rubric: str | None, options: dict[str, Any]) -> Judge:
    if not isinstance(given, Judge):
        return Judge(given, rubric, **options)
    if options or rubric is not None:
        names = ", ".join([*options, *(["rubric"] if rubric is not None else [])])
        raise ConfigError(
            f"{names} belongs to a judge, and a Judge was given.", fix="Give it to Judge(...), or give the model."
        )
    return given


def _judged(
    groups: list[TrajectoryGroup],
    judge: Judge,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> JudgedGroups:
    if not any(len(group) for group in groups):
        raise DataError("There is no attempt to judge.", fix="Give trajectories, such as recording.trajectories().")
    judgements = judge.judge_many(groups, progress=progress, should_stop=should_stop)
    scored = [_with_rewards(group, found) for group, found in zip(groups, judgements, strict=True)]
    return JudgedGroups(scored, judgements, judge)


def _with_rewards(group: TrajectoryGroup, judgement: Judgement) -> TrajectoryGroup:
    attempts = []
    for attempt, score, spread in zip(group, judgement.scores, judgement.spread, strict=True):
        metrics = dict(attempt.metrics)
        if attempt.reward is not None:
            metrics[BEFORE] = float(attempt.reward)
        if score.value is not None:
            metrics |= {"judge_spread": spread}
        note = [f"judge: {score.reason}"] if score.reason else []
        attempts.append(dataclasses.replace(attempt, reward=score.value, metrics=metrics, logs=[*attempt.logs, *note]))
    about = {"judge_orders": float(judgement.orders)}
    return TrajectoryGroup(attempts, metrics={**group.metrics, **about}, logs=[*group.logs, *judgement.failed])
