"""Groups of attempts judged, and what they are then good for: pairs, the best answers, rewards."""

from __future__ import annotations

import builtins
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

from shadownb.engine.judging.asking import Judge, Judgement
from shadownb.engine.trajectories import Trajectory, TrajectoryGroup
from shadownb.engine.trajectories.group import group as grouped
from shadownb.errors import ConfigError, DataError


class JudgedGroups(Sequence[TrajectoryGroup]):
    """Groups whose attempts have a judge's scores as rewards: what :func:`shadownb.judge` returns.

    Attributes
    ----------
    judgements
        What the judge said, group by group.

    Examples
    --------
    >>> asked = {"role": "user", "content": "Where is my parcel?"}
    >>> attempts = [snb.Trajectory([asked, {"role": "assistant", "content": text}]) for text in ("shipping", "x")]
    >>> judged = snb.judge(attempts, model, orders=2)
    >>> len(judged), len(judged[0].rewards)
    (1, 2)
    """

    def __init__(self, groups: Iterable[TrajectoryGroup], judgements: Iterable[Judgement], judge: Judge) -> None:
        self._groups = builtins.list(groups)
        self.judgements = builtins.list(judgements)
        self.judge = judge

    @overload
    def __getitem__(self, index: int) -> TrajectoryGroup: ...
    @overload
    def __getitem__(self, index: slice) -> builtins.list[TrajectoryGroup]: ...
    def __getitem__(self, index: int | slice) -> TrajectoryGroup | builtins.list[TrajectoryGroup]:
        return self._groups[index]

    def __len__(self) -> int:
        return len(self._groups)

    def __iter__(self) -> Iterator[TrajectoryGroup]:
        return iter(self._groups)

    def to_preferences(self, *, margin: float = 0.0, pairs: str = "all") -> builtins.list[dict[str, Any]]:
        """Return pairs of a better and a worse attempt for ``method="dpo"``; ties give none.

        Parameters
        ----------
        margin, pairs
            As :meth:`TrajectoryGroup.preference_rows` takes them.

        Raises
        ------
        DataError
            No group has attempts with different scores.

        Examples
        --------
        >>> asked = {"role": "user", "content": "Name a colour."}
        >>> told = [snb.Trajectory([asked, {"role": "assistant", "content": t}], reward=r) for t, r in (("red", 1.0), ("7", 0.0))]
        >>> snb.judging.JudgedGroups([snb.TrajectoryGroup(told)], [], snb.Judge(model)).to_preferences()[0]["margin"]
        1.0
        """
        rows = [row for group in self._groups for row in group.preference_rows(margin=margin, pairs=pairs)]
        if not rows:
            raise DataError(
                f"None of the {len(self)} groups has attempts whose scores differ by more than {margin:g}.",
                fix="Judge more attempts a task, or ones that differ more: a higher temperature.",
            )
        return rows

    def best(self, threshold: float | None = None) -> builtins.list[dict[str, Any]]:
        """Return the best attempt of each group as a chat row; groups without a score, or below the threshold, are left out.

        Parameters
        ----------
        threshold
            The least score, from 0 to 1; None takes the best of each group whatever it scored.

        Raises
        ------
        DataError
            No attempt is good enough.

        Examples
        --------
        >>> asked = {"role": "user", "content": "Name a colour."}
        >>> told = [snb.Trajectory([asked, {"role": "assistant", "content": t}], reward=r) for t, r in (("red", 1.0), ("7", 0.0))]
        >>> judged = snb.judging.JudgedGroups([snb.TrajectoryGroup(told)], [], snb.Judge(model))
        >>> judged.best(0.5)[0]["messages"][-1]["content"]
        'red'
        """
        rows = []
        for group in self._groups:
            if any(reward is not None for reward in group.rewards):
                best = group.best()
                if threshold is None or float(best.reward or 0.0) >= threshold:
                    rows.append({"messages": best.messages, **({"tools": best.tools} if best.tools else {})})
        if not rows:
            least = "" if threshold is None else f" of at least {threshold:g}"
            raise DataError(
                f"No attempt in the {len(self)} groups has a score{least}.", fix="Lower threshold=, or judge others."
            )
        return rows

    @property
    def unscored(self) -> int:
        """How many attempts have no score.

        Examples
        --------
        >>> asked = {"role": "user", "content": "Name a colour."}
        >>> group = snb.TrajectoryGroup([snb.Trajectory([asked, {"role": "assistant", "content": "red"}])])
        >>> snb.judging.JudgedGroups([group], [], snb.Judge(model)).unscored
        1
        """
        return sum(reward is None for group in self._groups for reward in group.rewards)

    def __repr__(self) -> str:
        known = [reward for group in self._groups for reward in group.rewards if reward is not None]
        lines = [f"{len(self)} groups, {len(known) + self.unscored} attempts judged by {self.judge!r}"]
        if known:
            lines.append(f"scores {min(known):.2f} to {max(known):.2f}, mean {sum(known) / len(known):.2f}")
        differ = sum(each.agreed is False for each in self.judgements)
        if differ:
            lines.append(f"orders ranked {differ} of {len(self.judgements)} groups differently; their means are taken")
        first = [each.first for each in self.judgements if each.first is not None]
        last = [each.last for each in self.judgements if each.last is not None]
        if first and last:
            lines.append(
                f"what stood first scored {sum(first) / len(first) - sum(last) / len(last):+.2f} against what stood last"
            )
        if self.unscored:
            why = next((each.failed[0] for each in self.judgements if each.failed), "")
            lines.append(f"{self.unscored} attempts have no score: {why}")
        cut = sum(each.cut for each in self.judgements)
        marks = sum(each.defused for each in self.judgements)
        lines += [f"{cut:,} characters were left out of long transcripts"] * bool(cut)
        lines += [f"{marks} marks in answers looked like a verdict and were rewritten"] * bool(marks)
        return "\n".join(lines)


def judge(attempts: Any, judge: Any, rubric: str | None = None, *, by: str = "task", **options: Any) -> JudgedGroups:
    """Judge attempts, those at the same task side by side, and return groups with the scores as rewards.

    Parameters
    ----------
    attempts
        Trajectories, a :class:`TrajectoryGroup`, several of them, or whatever has ``trajectories()``, as a recording. They stay as
        they are.
    judge
        A :class:`Judge`, or the model that judges: a loaded one, or an endpoint.
    rubric
        What makes an attempt good; None takes the judge's own.
    by
        What makes attempts a group, as :func:`shadownb.traces.group` takes it. A task with one attempt is judged, too.
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
    return _judged(_groups_of(attempts, by), _judge_of(judge, rubric, options))


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


def _judged(groups: builtins.list[TrajectoryGroup], judge: Judge) -> JudgedGroups:
    if not any(len(group) for group in groups):
        raise DataError("There is no attempt to judge.", fix="Give trajectories, such as recording.trajectories().")
    judgements = judge.judge_many(groups)
    scored = [_with_rewards(group, found) for group, found in zip(groups, judgements, strict=True)]
    return JudgedGroups(scored, judgements, judge)


def _groups_of(attempts: Any, by: str) -> builtins.list[TrajectoryGroup]:
    if isinstance(attempts, TrajectoryGroup):
        return [attempts] if len(attempts) else []
    if callable(getattr(attempts, "trajectories", None)):
        attempts = attempts.trajectories()
    found = builtins.list(attempts)
    if found and all(isinstance(each, TrajectoryGroup) for each in found):
        return [each for each in found if len(each)]
    if not all(isinstance(each, Trajectory) for each in found):
        wrong = next(each for each in found if not isinstance(each, Trajectory))
        raise DataError(f"{wrong!r:.80} is no trajectory.", fix="Give snb.Trajectory(messages) for each attempt.")
    return grouped(found, by=by, min_size=1)


def _with_rewards(group: TrajectoryGroup, judgement: Judgement) -> TrajectoryGroup:
    attempts = []
    for attempt, score, spread in zip(group, judgement.scores, judgement.spread, strict=True):
        metrics = dict(attempt.metrics)
        if attempt.reward is not None:
            metrics["reward_before"] = float(attempt.reward)
        if score.value is not None:
            metrics |= {"judge_spread": spread}
        note = [f"judge: {score.reason}"] if score.reason else []
        attempts.append(dataclasses.replace(attempt, reward=score.value, metrics=metrics, logs=[*attempt.logs, *note]))
    about = {"judge_orders": float(judgement.orders)}
    return TrajectoryGroup(attempts, metrics={**group.metrics, **about}, logs=[*group.logs, *judgement.failed])
