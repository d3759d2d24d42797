"""What a judge said of a group: noted order by order, and summed up as a Judgement."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from statistics import fmean
from typing import Any

from shadownb.engine.evals.turns import Turn
from shadownb.engine.judging import rubric as rubrics
from shadownb.engine.judging.orders import agree
from shadownb.engine.judging.transcripts import Shown
from shadownb.engine.judging.verdicts import Unreadable, Verdict, read
from shadownb.engine.scoring.base import Score
from shadownb.errors import ShadowError

_FEWEST = 2  # orders that are asked before they can agree


@dataclass(frozen=True)
class Judgement:
    """What a judge said of some answers to one task.

    Attributes
    ----------
    scores
        A :class:`~shadownb.engine.scoring.Score` for each answer, the mean over the orders that were asked, with the reason of the
        order whose score is nearest to it; of None where the judge gave no verdict.
    spread
        How far apart the highest and the lowest score of an answer are between orders; 0 where one order was asked.
    orders
        In how many orders the answers were shown.
    agreed
        Whether all orders ranked the answers alike; None where one was asked.
    failed
        Why an order gave no verdict, a line each.
    first, last
        Mean score of whatever stood first and last in an order, None of one answer: what position alone is worth.
    by_order
        The scores that each order gave, by answer.
    cut, defused
        Characters that were left out of task and answers, and places in answers that look like a verdict or speak to the judge.

    Examples
    --------
    >>> asked = {"role": "user", "content": "Where is my parcel?"}
    >>> attempts = [snb.Trajectory([asked, {"role": "assistant", "content": text}]) for text in ("shipping", "billing")]
    >>> judgement = snb.Judge(model, orders=2).judge(attempts)
    >>> len(judgement.scores)
    2
    """

    scores: tuple[Score, ...]
    spread: tuple[float, ...]
    orders: int
    agreed: bool | None
    failed: tuple[str, ...] = ()
    first: float | None = None
    last: float | None = None
    cut: int = 0
    defused: int = 0
    by_order: tuple[tuple[float, ...], ...] = ()


@dataclass
class Asked:
    """A group while it is being judged."""

    task: Shown
    answers: list[Shown]
    reference: str
    orders: list[list[int]]
    asked: int = 0
    said: list[tuple[list[int], dict[str, Verdict]]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def scores(self) -> list[list[float]]:
        """Return the scores of each order that gave any, by answer."""
        found = []
        for order, verdicts in self.said:
            by_answer = [0.0] * len(order)
            for place, at in enumerate(order):
                by_answer[at] = verdicts[rubrics.letters(len(order))[place]].score
            found.append(by_answer)
        return found

    def is_decided(self) -> bool:
        return self.asked >= len(self.orders) or agree(self.scores())

    def due(self) -> list[list[int]]:
        """Return the orders to ask next: two at first, then one at a time."""
        count = 1 if self.asked >= _FEWEST else _FEWEST - self.asked
        return list(islice(self.orders, self.asked, self.asked + count))


def take(asked: tuple[Asked, list[int]], size: int, turn: Turn | Exception | str) -> None:
    """Note what came of an order."""
    group, order = asked
    group.asked += 1
    if isinstance(turn, str):
        group.failed.append(turn)
    elif isinstance(turn, Exception):
        group.failed.append(turn.what if isinstance(turn, ShadowError) else str(turn))
    elif turn.finish == "length":
        group.failed.append("the judge's reply was cut at its limit")
    elif turn.finish == "cancelled":
        group.failed.append("it was stopped before this was answered")
    else:
        try:
            group.said.append((order, read(turn.raw or turn.content, rubrics.letters(size))))
        except Unreadable as error:
            group.failed.append(str(error))


def judgement_of(group: Asked) -> Judgement:
    scores, count = group.scores(), len(group.answers)
    about: dict[str, Any] = {
        "cut": group.task.cut + sum(a.cut for a in group.answers),
        "defused": sum(a.defused for a in group.answers),
        "by_order": tuple(map(tuple, scores)),
    }
    failed = tuple(group.failed)
    if not scores:
        why = failed[0] if failed else "there was nothing to judge"
        return Judgement(
            (Score(None, f"no verdict: {why}"),) * count, (0.0,) * count, group.asked, None, failed, **about
        )
    found, spread = [], []
    for at in range(count):
        values = [each[at] for each in scores]
        mean = fmean(values)
        nearest = min(range(len(values)), key=lambda n: abs(values[n] - mean))
        order, verdicts = group.said[nearest]
        reason = verdicts[rubrics.letters(count)[order.index(at)]].reason
        found.append(Score(mean, reason))
        spread.append(max(values) - min(values))
    several = count > 1
    return Judgement(
        tuple(found),
        tuple(spread),
        group.asked,
        agree(scores) if len(scores) > 1 else None,
        failed,
        fmean(each[order[0]] for each, (order, _) in zip(scores, group.said, strict=True)) if several else None,
        fmean(each[order[-1]] for each, (order, _) in zip(scores, group.said, strict=True)) if several else None,
        **about,
    )
