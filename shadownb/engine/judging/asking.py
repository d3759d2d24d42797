"""Judge: any model as a scorer of answers, alone or side by side, with its reasons, at a known price."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from shadownb.engine.answering.speakers import honoured_by
from shadownb.engine.evals.answers import Asker
from shadownb.engine.evals.cases import Case
from shadownb.engine.evals.sides import Side
from shadownb.engine.evals.turns import Turn
from shadownb.engine.inference.types import Sampling
from shadownb.engine.judging import rubric as rubrics
from shadownb.engine.judging.judgement import Asked, Judgement, judgement_of, take
from shadownb.engine.judging.orders import orders_of
from shadownb.engine.judging.transcripts import attempt_of, defused, speaks_of_scores, task_of
from shadownb.engine.judging.verdicts import schema_of
from shadownb.engine.scoring.base import Sample, Score
from shadownb.errors import ConfigError

_BATCH = 16  # prompts at a time
_REASON_TOKENS, _BESIDE_TOKENS = 96, 48
_TASK_SHARE = 1 / 3  # of the characters of a prompt


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
    structured
        Whether the reply is held to the form of a verdict while it is written, so that a small model gives one, too. None: of a
        loaded model yes, where its backend can; of an endpoint no, since many servers refuse a schema.

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
    >>> score = judge("shipping", prompt="Where is my parcel?")
    >>> score.value is None or 0 <= score.value <= 1
    True
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
        structured: bool | None = None,
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
        self._local = hasattr(model, "generator")
        if structured is None:
            structured = self._local and "constraint" in honoured_by(model)
        self.structured = structured
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

    def judge_many(
        self,
        groups: Iterable[Iterable[Any]],
        *,
        progress: Callable[[int, int], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> list[Judgement]:
        """Judge several groups, their prompts in common batches.

        Parameters
        ----------
        progress
            Called with how many prompts were asked and how many are known to be due; more are where orders disagree.
        should_stop
            Ends the asking early; what was not asked has no score.

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
        return self._work(made, progress, should_stop)

    def _group(self, task: Sequence[Any], tools: Any, answers: Sequence[Sequence[Any]], reference: str) -> Asked:
        shown_task = task_of(task, tools, int(self.max_chars * _TASK_SHARE))
        room = max(200, (self.max_chars - len(shown_task.text) - len(reference)) // max(1, len(answers)))
        pleas = speaks_of_scores(shown_task.text)
        shown = [attempt_of(answer, room, pleas=pleas) for answer in answers]
        key = json.dumps([shown_task.text, reference, [each.text for each in shown]], ensure_ascii=False)
        return Asked(
            shown_task, shown, defused(reference)[0], list(orders_of(len(shown), key, self.orders)) if shown else []
        )

    def _work(
        self,
        groups: list[Asked],
        progress: Callable[[int, int], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> list[Judgement]:
        stop = should_stop or self._should_stop

        def told() -> None:
            if progress is not None:
                waiting = sum(len(group.due()) for group in groups if not group.is_decided())
                done = sum(group.asked for group in groups)
                progress(done, done + waiting)

        while due := [(group, order) for group in groups if not group.is_decided() for order in group.due()]:
            by_size: dict[int, list[tuple[Asked, list[int]]]] = {}
            for group, order in due:
                by_size.setdefault(len(order), []).append((group, order))
            for size, asked in by_size.items():
                self._ask(size, asked, told, stop)
        return [judgement_of(group) for group in groups]

    def _ask(
        self,
        size: int,
        asked: list[tuple[Asked, list[int]]],
        told: Callable[[], None],
        stop: Callable[[], bool] | None,
    ) -> None:
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
        form = {"schema": schema_of(rubrics.letters(size), each_once=self._local)} if self.structured else {}
        sampling = Sampling.from_options(
            temperature=self._sampling.temperature, max_new_tokens=_BESIDE_TOKENS + _REASON_TOKENS * size, **form
        )
        asker = Asker(self._side, sampling, {}, reuse=True, should_stop=stop)
        for start in range(0, len(cases), _BATCH):
            batch = cases[start : start + _BATCH]
            if (spent := self._spent(len(batch), stop)) is not None:
                for case in batch:
                    take(asked[case.index], size, spent)
                continue
            self.requests += len(batch)
            for case, turn in asker.ask(batch):
                take(asked[case.index], size, turn)
            told()
        self.requests -= asker.reused
        self.reused += asker.reused

    def _spent(self, more: int, stop: Callable[[], bool] | None) -> str | None:
        """Return why nothing more may be asked, or None."""
        if stop is not None and stop():
            return "it was stopped before this was asked"
        if self.max_requests is not None and self.requests + more > self.max_requests:
            return f"max_requests={self.max_requests} of the judge are spent"
        if self.max_cost is not None and self.cost >= self.max_cost:
            return f"max_cost={self.max_cost:g} US dollars of the judge are spent"
        return None


def _asked(messages: Sequence[Any]) -> int:
    """Return how many messages stand before the first answer."""
    return next((at for at, message in enumerate(messages) if message.get("role") == "assistant"), len(messages))
