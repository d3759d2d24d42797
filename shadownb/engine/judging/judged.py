"""JudgedGroups: groups with a judge's scores, and what they are good for: pairs, best answers, rewards, a look at the judge."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

from shadownb.engine.judging.agreement import Position, position_of
from shadownb.engine.judging.asking import Judge
from shadownb.engine.judging.calibration import Calibration, calibrate
from shadownb.engine.judging.disagreements import Disagreement, disagreements, lengths_of, people_of
from shadownb.engine.judging.judgement import Judgement
from shadownb.engine.trajectories import TrajectoryGroup
from shadownb.errors import DataError


class JudgedGroups(Sequence[TrajectoryGroup]):
    """Groups whose attempts have a judge's scores as rewards: what :func:`shadownb.judge` returns.

    Attributes
    ----------
    judgements
        What the judge said, group by group.
    judge
        Who judged.
    known_by
        Whose the rewards are that attempts had before: ``people``, ``grades of the suite``, ``verdicts of their own``.

    Examples
    --------
    >>> asked = {"role": "user", "content": "Where is my parcel?"}
    >>> attempts = [snb.Trajectory([asked, {"role": "assistant", "content": text}]) for text in ("shipping", "x")]
    >>> judged = snb.judge(attempts, model, orders=2)
    >>> len(judged), len(judged[0].rewards)
    (1, 2)
    """

    def __init__(
        self,
        groups: Iterable[TrajectoryGroup],
        judgements: Iterable[Judgement],
        judge: Judge,
        known_by: str = "people",
    ) -> None:
        self._groups = builtins.list(groups)
        self.judgements = builtins.list(judgements)
        self.judge = judge
        self.known_by = known_by

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

    @property
    def position(self) -> Position | None:
        """What standing first was worth; None where fewer than two groups were shown in several orders.

        Examples
        --------
        >>> snb.judging.JudgedGroups([], [], snb.Judge(model)).position is None
        True
        """
        return position_of(
            [each.first - each.last for each in self.judgements if each.first is not None and each.last is not None]
        )

    def calibrate(self, people: Mapping[int, Any] | None = None, *, threshold: float = 0.5) -> Calibration:
        """Measure the judge by people: see :func:`shadownb.judging.calibrate`.

        Parameters
        ----------
        people
            Their verdicts by the number of the attempt, counted over all groups. None takes the rewards that attempts had before
            they were judged: ratings in a recording, grades of an evaluation.

        Raises
        ------
        DataError
            Fewer than 8 attempts have both a verdict and a score.

        Examples
        --------
        >>> asked = {"role": "user", "content": "Name a colour."}
        >>> group = snb.TrajectoryGroup(
        ...     snb.Trajectory([asked, {"role": "assistant", "content": text}], reward=reward)
        ...     for text, reward in [("red", 0.9), ("7", 0.1)] * 6
        ... )
        >>> judged = snb.judging.JudgedGroups([group], [], snb.Judge(model))
        >>> judged.calibrate(dict(enumerate([1, 0] * 5))).agreement
        1.0
        """
        scores = [reward for group in self._groups for reward in group.rewards]
        given = people_of(self._groups) if people is None else people
        lengths = lengths_of(self._groups)
        by = self.known_by if people is None else "people"
        return calibrate(scores, given, lengths=lengths, threshold=threshold, position=self.position, by=by)

    def disagreements(self, people: Mapping[int, Any] | None = None) -> builtins.list[Disagreement]:
        """Return where judge and people, or the judge and itself, say different things: people first, the widest gap first.

        Examples
        --------
        >>> asked = {"role": "user", "content": "Name a colour."}
        >>> group = snb.TrajectoryGroup([snb.Trajectory([asked, {"role": "assistant", "content": "7"}], reward=0.9)])
        >>> judged = snb.judging.JudgedGroups([group], [], snb.Judge(model))
        >>> [(each.kind, each.what) for each in judged.disagreements({0: 0.0})]
        [('people', 'The judge gives 0.90, people 0.00.')]
        """
        given = people_of(self._groups) if people is None else people
        return disagreements(self._groups, self.judgements, given)

    def __repr__(self) -> str:
        known = [reward for group in self._groups for reward in group.rewards if reward is not None]
        lines = [f"{len(self)} groups, {len(known) + self.unscored} attempts judged by {self.judge!r}"]
        if known:
            lines.append(f"scores {min(known):.2f} to {max(known):.2f}, mean {sum(known) / len(known):.2f}")
        differ = sum(each.agreed is False for each in self.judgements)
        if differ:
            lines.append(f"orders ranked {differ} of {len(self.judgements)} groups differently; their means are taken")
        first = [each.first - each.last for each in self.judgements if each.first is not None and each.last is not None]
        if first:
            lines.append(f"what stood first scored {sum(first) / len(first):+.2f} against what stood last")
        if self.unscored:
            why = next((each.failed[0] for each in self.judgements if each.failed), "")
            lines.append(f"{self.unscored} attempts have no score: {why}")
        cut = sum(each.cut for each in self.judgements)
        marks = sum(each.defused for each in self.judgements)
        lines += [f"{cut:,} characters were left out of long transcripts"] * bool(cut)
        lines += [f"{marks} places in answers looked like a verdict or spoke to the judge, and were rewritten"] * bool(
            marks
        )
        return "\n".join(lines)
