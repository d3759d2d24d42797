"""Where a judge and people, or a judge and itself, say different things: what is worth looking at first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from shadownb.engine.judging.judgement import Judgement
from shadownb.engine.trajectories import TrajectoryGroup
from shadownb.engine.trajectories.identity import message_text, role_of

BEFORE = "reward_before"
"""The metric under which the reward stands that an attempt had before it was judged: what people, or a program, said of it."""
_FAR = 0.5  # from 0 to 1; nearer scores may be the same verdict in other words


@dataclass(frozen=True)
class Disagreement:
    """A place where the judge and somebody else, or the judge and itself, say different things.

    Examples
    --------
    >>> snb.judging.Disagreement("people", 0, 1, 0.9, "The judge gives 0.90, people 0.00.").gap
    0.9

    Attributes
    ----------
    kind
        ``people`` (the judge is far from their verdict), ``ranking`` (of two attempts people rank one before the other, the judge
        the other one), or ``orders`` (the judge ranked a group differently when it was shown in another order).
    group, attempt
        Numbers of the group and of the attempt in it; None where it is of the whole group.
    gap
        How far apart, 0 to 1.
    what
        In a sentence.
    """

    kind: str
    group: int
    attempt: int | None
    gap: float
    what: str


def people_of(groups: Iterable[TrajectoryGroup]) -> dict[int, float]:
    """Return what was said of attempts before they were judged, by their number over all groups."""
    attempts = [attempt for group in groups for attempt in group]
    return {at: each.metrics[BEFORE] for at, each in enumerate(attempts) if BEFORE in each.metrics}


def lengths_of(groups: Iterable[TrajectoryGroup]) -> list[int]:
    """Return how many characters each attempt's answers have."""
    return [
        sum(len(message_text(message)) for message in attempt.messages if role_of(message) == "assistant")
        for group in groups
        for attempt in group
    ]


def disagreements(
    groups: Sequence[TrajectoryGroup], judgements: Sequence[Judgement], people: Mapping[int, Any]
) -> list[Disagreement]:
    """Return all of them: those with people before those with itself, the widest first."""
    found, number = [], 0
    for at, group in enumerate(groups):
        for place, attempt in enumerate(group):
            said = people.get(number)
            number += 1
            if said is None or attempt.reward is None:
                continue
            gap = abs(float(attempt.reward) - float(said))
            if gap >= _FAR:
                what = f"The judge gives {attempt.reward:.2f}, people {float(said):.2f}."
                found.append(Disagreement("people", at, place, gap, what))
        found += _rankings(at, group)
    for at, judgement in enumerate(judgements):
        if judgement.agreed is False:
            gap = max(judgement.spread, default=0.0)
            what = f"{judgement.orders} orders ranked the attempts differently; one moved by {gap:.2f}."
            found.append(Disagreement("orders", at, None, gap, what))
    return sorted(found, key=lambda each: (each.kind == "orders", -each.gap))


def _rankings(at: int, group: TrajectoryGroup) -> list[Disagreement]:
    found = []
    for one, other in combinations(range(len(group)), 2):
        ranks = [group[place].metrics.get("rank") for place in (one, other)]
        scores = [group[place].reward for place in (one, other)]
        if None in ranks or None in scores or ranks[0] == ranks[1]:
            continue
        better, worse = (one, other) if ranks[0] < ranks[1] else (other, one)  # type: ignore[operator]
        gap = float(group[worse].reward or 0.0) - float(group[better].reward or 0.0)
        if gap > 0:
            what = f"People rank attempt {better + 1} before attempt {worse + 1}; the judge gives it {gap:.2f} less."
            found.append(Disagreement("ranking", at, better, gap, what))
    return found
