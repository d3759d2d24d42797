"""Judge: any model as a scorer of answers, alone or side by side, with its reasons, at a known price."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from statistics import fmean
from typing import Any

from shadownb.engine.evals.answers import Asker
from shadownb.engine.evals.cases import Case
from shadownb.engine.evals.sides import Side
from shadownb.engine.evals.turns import Turn
from shadownb.engine.inference.types import Sampling
from shadownb.engine.judging import rubric as rubrics
from shadownb.engine.judging.orders import agree, orders_of
from shadownb.engine.judging.transcripts import Shown, attempt_of, defused, task_of
from shadownb.engine.judging.verdicts import Unreadable, Verdict, read
from shadownb.engine.scoring.base import Sample, Score
from shadownb.errors import ConfigError, ShadowError

_FEWEST = 2  # orders that are asked before they can agree
_BATCH = 16  # prompts at a time
_REASON_TOKENS, _BESIDE_TOKENS = 96, 48
_TASK_SHARE = 1 / 3  # of the characters of a prompt


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
    cut, defused
        Characters that were left out of task and answers, and marks in answers that were rewritten since they look like a verdict.

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


@dataclass
class _Group:
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


class Judge:
    """A model as a scorer: it is shown a task and one or several answers, and gives each a score with a reason.

    Several answers are shown in drawn orders, in two first, and in more where these rank them differently; scores are means.
    Answers may tie. What a judge wrote is read strictly: one score for each answer, by its letter, or none at all. Verdicts of
    loaded models are kept on disk by what was asked; those of an endpoint as long as the :class:`Endpoint` object lives.

    Parameters
    ----------
    model
        A loaded :class:`Model`, an :class:`Endpoint`, or any other ChatModel.
    rubric
        What makes an answer good, in plain words; None takes :data:`shadownb.judging.RUBRIC`.
    orders
        In how many orders several answers are shown at most.
    together
        As a scorer, whether answers to the same prompt in one call are judged side by side, as rewards of a group are best. A score
        then depends on the others.
    max_chars
        Characters of task and answers in one prompt; longer ones are cut, results of tools first.
    max_requests, max_cost
        After so many requests, or US dollars of an endpoint whose prices are known, nothing more is asked: answers have no
        score, and the reason says so.
    use
        Which weights of a model that was trained: ``"base"`` or ``"tuned"``; None takes its present ones.

    Attributes
    ----------
    requests, reused
        Prompts that were asked so far, and verdicts that were found on disk.

    Raises
    ------
    ConfigError
        An option is out of range.

    Examples
    --------
    >>> judge = snb.Judge(model, "Right answers name the queue.")
    >>> judge.name, judge.requests
    ('judge', 0)
    >>> judge("shipping", prompt="Where is my parcel?").reason  # this model was trained to answer with one word
    "no verdict: there is no JSON with verdicts in the judge's reply"
    """

    needs_expected = False

    def __init__(
        self,
        model: Any,
        rubric: str | None = None,
        *,
        name: str = "judge",
        orders: int = 4,
        together: bool = False,
        max_chars: int = 16_000,
        max_requests: int | None = None,
        max_cost: float | None = None,
        temperature: float = 0.0,
        use: str | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        for option, value, least in (("orders", orders, 1), ("max_chars", max_chars, 1000)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"{option}={value!r} is no whole number from {least:,} on.")
        if not callable(getattr(model, "chat", None)):
            raise ConfigError(
                f"model={model!r:.80} cannot be asked.", fix='Give snb.load("..."), or snb.Endpoint(...).'
            )
        self.name = name
        self.model = model
        self.rubric = rubrics.RUBRIC if rubric is None else rubric
        self.orders, self.together, self.max_chars = orders, together, max_chars
        self.max_requests, self.max_cost = max_requests, max_cost
        self.requests = self.reused = 0
        self._sampling = Sampling.from_options(temperature=temperature)
        chosen = use if use is not None else "tuned" if getattr(model, "has_base", False) else None
        self._side = Side(name, model, chosen)
        self._before = self._side.totals
        self._should_stop = should_stop

    @property
    def cost(self) -> float:
        """US dollars that an endpoint has cost so far; 0 where that is not known.

        Examples
        --------
        >>> snb.Judge(model).cost
        0.0
        """
        return float(self._side.totals.since(self._before).cost) if self._before is not None else 0.0

    def __repr__(self) -> str:
        return f"Judge({getattr(self.model, 'name', self.model)}, {self.requests:,} asked)"

    # -- as a scorer ---------------------------------------------------------------------------------------------

    def __call__(self, output: str, expected: str = "", *, prompt: str = "", messages: Sequence[Any] = ()) -> Score:
        """Return the score of one answer; a reference is shown to the judge where there is one."""
        return self.score_many([Sample(output, expected, prompt=prompt, messages=messages)])[0]

    def score_many(self, samples: Sequence[Sample], *, timeout: float | None = None) -> list[Score]:
        """Return the scores, in order; side by side where the judge is made so and the prompts are the same."""
        groups: dict[Any, list[int]] = {}
        for at, sample in enumerate(samples):
            key = (sample.prompt, sample.expected, repr(sample.messages)) if self.together else at
            groups.setdefault(key, []).append(at)
        made = []
        for places in groups.values():
            asked = samples[places[0]]
            task = list(asked.messages) or [{"role": "user", "content": asked.prompt}]
            answers = [[{"role": "assistant", "content": samples[at].output}] for at in places]
            made.append(self._group(task, asked.tools, answers, asked.expected))
        scores: list[Score] = [Score(None, "not asked")] * len(samples)
        for places, judgement in zip(groups.values(), self._work(made), strict=True):
            for at, score in zip(places, judgement.scores, strict=True):
                scores[at] = score
        return scores

    # -- groups --------------------------------------------------------------------------------------------------

    def judge(self, attempts: Iterable[Any]) -> Judgement:
        """Judge attempts at one task side by side.

        Parameters
        ----------
        attempts
            A :class:`TrajectoryGroup`, or trajectories; one alone is judged by itself.

        Raises
        ------
        EndpointError
            Nothing can be asked: the key, the address, the credit.

        Examples
        --------
        >>> asked = {"role": "user", "content": "Where is my parcel?"}
        >>> attempts = [snb.Trajectory([asked, {"role": "assistant", "content": text}]) for text in ("shipping", "x")]
        >>> snb.Judge(model, orders=1).judge(attempts).orders
        1
        """
        return self.judge_many([attempts])[0]

    def judge_many(self, groups: Iterable[Iterable[Any]]) -> list[Judgement]:
        """Judge several groups, their prompts in common batches.

        Examples
        --------
        >>> snb.Judge(model).judge_many([])
        []
        """
        made = []
        for attempts in map(list, groups):
            shared = min((_asked(each.messages) for each in attempts), default=0)
            task = attempts[0].messages[:shared] if attempts else []
            tools = attempts[0].tools if attempts else None
            made.append(self._group(task, tools, [each.messages[shared:] for each in attempts], ""))
        return self._work(made)

    def _group(self, task: Sequence[Any], tools: Any, answers: Sequence[Sequence[Any]], reference: str) -> _Group:
        shown_task = task_of(task, tools, int(self.max_chars * _TASK_SHARE))
        room = max(200, (self.max_chars - len(shown_task.text) - len(reference)) // max(1, len(answers)))
        shown = [attempt_of(answer, room) for answer in answers]
        key = json.dumps([shown_task.text, reference, [each.text for each in shown]], ensure_ascii=False)
        return _Group(
            shown_task, shown, defused(reference)[0], list(orders_of(len(shown), key, self.orders)) if shown else []
        )

    def _work(self, groups: list[_Group]) -> list[Judgement]:
        while due := [(group, order) for group in groups if not group.is_decided() for order in group.due()]:
            by_size: dict[int, list[tuple[_Group, list[int]]]] = {}
            for group, order in due:
                by_size.setdefault(len(order), []).append((group, order))
            for size, asked in by_size.items():
                self._ask(size, asked)
        return [_judgement(group) for group in groups]

    def _ask(self, size: int, asked: list[tuple[_Group, list[int]]]) -> None:
        cases = [
            Case(
                at,
                rubrics.prompt_of(
                    self.rubric, group.task.text, [group.answers[n].text for n in order], group.reference
                ),
                Turn(""),
            )
            for at, (group, order) in enumerate(asked)
        ]
        sampling = Sampling.from_options(
            temperature=self._sampling.temperature, max_new_tokens=_BESIDE_TOKENS + _REASON_TOKENS * size
        )
        asker = Asker(self._side, sampling, {}, reuse=True, should_stop=self._should_stop)
        for start in range(0, len(cases), _BATCH):
            batch = cases[start : start + _BATCH]
            if (spent := self._spent(len(batch))) is not None:
                for case in batch:
                    _take(asked[case.index], size, spent)
                continue
            self.requests += len(batch)
            for case, turn in asker.ask(batch):
                _take(asked[case.index], size, turn)
        self.requests -= asker.reused
        self.reused += asker.reused

    def _spent(self, more: int) -> str | None:
        """Return why nothing more may be asked, or None."""
        if self._should_stop is not None and self._should_stop():
            return "it was stopped before this was asked"
        if self.max_requests is not None and self.requests + more > self.max_requests:
            return f"max_requests={self.max_requests} of the judge are spent"
        if self.max_cost is not None and self.cost >= self.max_cost:
            return f"max_cost={self.max_cost:g} US dollars of the judge are spent"
        return None


def _take(asked: tuple[_Group, list[int]], size: int, turn: Turn | Exception | str) -> None:
    """Note what came of an order."""
    group, order = asked
    group.asked += 1
    if isinstance(turn, str):
        group.failed.append(turn)
    elif isinstance(turn, Exception):
        group.failed.append(turn.what if isinstance(turn, ShadowError) else str(turn))
    elif turn.finish == "length":
        group.failed.append("the judge's reply was cut at its limit")
    else:
        try:
            group.said.append((order, read(turn.raw or turn.content, rubrics.letters(size))))
        except Unreadable as error:
            group.failed.append(str(error))


def _judgement(group: _Group) -> Judgement:
    scores, count = group.scores(), len(group.answers)
    about = {
        "cut": group.task.cut + sum(a.cut for a in group.answers),
        "defused": sum(a.defused for a in group.answers),
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


def _asked(messages: Sequence[Any]) -> int:
    """Return how many messages stand before the first answer."""
    return next((at for at, message in enumerate(messages) if message.get("role") == "assistant"), len(messages))
