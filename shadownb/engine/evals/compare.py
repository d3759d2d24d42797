"""compare(): the same held-out rows answered by the base and by the tuned weights, and by others, scored and paired.

The context of a row is its messages up to the last assistant turn, the reference is that turn. All sides get the same
prompts, sampling and seed, so the difference of a row between base and tuned is the training's doing.
"""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable
from typing import Any

from shadownb.engine import live
from shadownb.engine.evals.answers import Asker
from shadownb.engine.evals.cases import Case, batches_of, cases_of, fitting, read_by
from shadownb.engine.evals.comparison import GREEDY, Answer, ComparedRow, Comparison, UnscoredRow
from shadownb.engine.evals.judging import Judge, Unscorable
from shadownb.engine.evals.sides import Side, rented, sides_of
from shadownb.engine.evals.turns import Turn
from shadownb.engine.inference.types import Sampling
from shadownb.errors import ConfigError, EndpointError, ShadowWarning

Progress = Callable[[int, int], None]
Answers = dict[int, Turn | Exception]


def _outcome(comparison: Comparison) -> str:
    return f"Compared {' and '.join(comparison.sides)} on {len(comparison.rows)} rows"


@live.shown(lambda *_, **__: "Comparing", _outcome)
def compare(
    model: Any,
    dataset: Any,
    scorer: Callable[..., Any] | str,
    *,
    against: Any = None,
    sampling: Sampling = GREEDY,
    max_new_tokens: int | None = None,
    max_rows: int | None = None,
    batch_rows: int = 32,
    progress: Progress | None = None,
    enable_thinking: bool | None = None,
    reasoning_effort: str | None = None,
    reuse_answers: bool = True,
) -> Comparison:
    """Have the base and the tuned model (and others) answer held-out rows, and score the answers.

    What is scored is the answer without its reasoning. Tool calls are compared as structures: the order of keys and whether
    arguments are JSON text or an object make no difference; the order of parallel calls does.

    Parameters
    ----------
    model
        A loaded model, which is asked with its base and its tuned weights; or an endpoint, which has no base and is compared
        with the first of ``against``.
    dataset
        Rows with an answer: a Dataset, a list, a data frame, a ``datasets.Dataset``.
    scorer
        A function ``scorer(output, expected)`` that returns a number or a :class:`Score`; if it takes ``prompt=``,
        ``messages=``, ``tools=`` or ``row=``, it gets those as well (:class:`Scorer` has the details). Or the name of a
        registered scorer: ``"exact"``, ``"json_exact"``, those of plugins. It is tried before anything is generated. A row
        that it cannot score is counted and left out of the means.
    against
        Others that answer the same rows: an :class:`~shadownb.engine.endpoint.Endpoint`, a loaded model, or several in a list
        or a dict (with names). A row counts if all have answered it. The cost of an endpoint is shown; its failures are
        counted, and never scored.
    sampling
        How all models are sampled; greedy by default. If sampling is not greedy and has no seed, the seed is 0.
    max_new_tokens
        Longest answer, in tokens; overrides the one in ``sampling``. A low value makes tasks with short answers much faster.
    max_rows
        Use only this many rows, from the first.
    batch_rows
        Rows per call of ``chat``; ``progress`` is called between the calls.
    progress
        ``progress(done, total)``, in answers (one per row and model); without it a line in the cell or terminal shows the
        progress.
    enable_thinking, reasoning_effort
        As for :meth:`Model.chat`; only for ``model`` (for an endpoint use ``Endpoint(..., extra_body=)``).
    reuse_answers
        Reuse answers that the same weights gave to the same prompts, also in a comparison that was interrupted; they are
        stored in ``SHADOWNB_HOME/answers``. Answers of an endpoint are reused only with the same ``Endpoint`` object.

    Raises
    ------
    DataError
        No row has a conversation that ends with an assistant turn, or the scorer can judge none of the expected answers.
    ConfigError
        ``max_rows`` or ``batch_rows`` is below 1, the scorer cannot be called or does not return a number, there is nothing to
        compare with, or an endpoint does not support an option of the sampling.
    EndpointError
        An endpoint answers nothing at all. If it fails later, the rows until then are compared.

    Examples
    --------
    >>> comparison = snb.compare(model, rows, "exact", max_new_tokens=16)
    >>> comparison.base, comparison.tuned
    (0.0, 1.0)
    >>> def first_letter(output, expected):
    ...     return float(output[:1] == expected[:1])
    >>> snb.compare(model, rows, first_letter, max_rows=6, max_new_tokens=16).tuned
    1.0
    """
    for name, value in (("max_rows", max_rows), ("batch_rows", batch_rows)):
        if value is not None and value < 1:
            raise ConfigError(f"{name}={value} is out of range.", fix=f"Give {name} from 1 on.")
    if max_new_tokens is not None:
        sampling = dataclasses.replace(sampling, max_new_tokens=max_new_tokens)
    if not sampling.greedy and sampling.seed is None:
        sampling = dataclasses.replace(sampling, seed=0)
    if getattr(model, "trained", True) is None:
        warnings.warn("The model is not trained yet: base and tuned are the same weights.", ShadowWarning, stacklevel=3)
    sides = sides_of(model, against)
    judge = Judge(scorer)
    cases, skipped = cases_of(dataset)
    cases = read_by(model, cases[:max_rows])
    unfit = judge.unfit(cases)
    cases, left_out = fitting(model, cases)
    if left_out:
        shown = "; ".join(f"row {index}: {reason}" for index, reason in left_out[:3])
        what = f"{len(left_out):,} of {len(left_out) + len(cases):,} rows cannot be answered and are left out. {shown}"
        warnings.warn(what, ShadowWarning, stacklevel=3)
    asked = [case for case in cases if case.index not in unfit]
    for side in sides:
        if hasattr(side.model, "catch_up"):
            side.model.catch_up()  # the weights must be those that answer when they are looked at for kept answers
    started = time.monotonic()
    given = {"enable_thinking": enable_thinking, "reasoning_effort": reasoning_effort}
    options = {name: value for name, value in given.items() if value is not None}
    before = {side.name: side.totals for side in sides}
    askers = {
        side.name: Asker(side, sampling, options if side.model is model else {}, reuse=reuse_answers)
        for side in _rented_first(sides)
    }
    answers = _ask(askers, asked, batch_rows, progress)
    rows, unscored = _scored(judge, asked, sides, answers)
    if not rows:
        raise next(each for given in answers.values() for each in given.values() if isinstance(each, Exception))
    unscored += [UnscoredRow(case.index, unfit[case.index]) for case in cases if case.index in unfit]
    return Comparison(
        tuple(rows),
        judge.name,
        sampling,
        time.monotonic() - started,
        skipped,
        tuple(left_out),
        tuple(sorted(unscored, key=lambda row: row.index)),
        sum(asker.reused for asker in askers.values()),
        tuple(side.name for side in sides),
        tuple(found for side in sides if (found := rented(side, before[side.name])) is not None),
    )


def _ask(askers: dict[str, Asker], cases: list[Case], batch_rows: int, progress: Progress | None) -> dict[str, Answers]:
    answers: dict[str, Answers] = {name: {} for name in askers}
    done, total = [0], len(askers) * len(cases)
    if progress is None:
        live.tell("answering", lambda: (_words(sum(done), total, askers), sum(done), total))
    for batch in batches_of(cases, batch_rows):
        left = batch
        for name, asker in askers.items():
            answers[name] |= {case.index: answer for case, answer in asker.ask(left)}
            # A row counts where all have answered it, so nobody else needs to be asked.
            left = [case for case in left if not isinstance(answers[name][case.index], Exception)]
            done.append(len(batch))
            if progress is not None:
                progress(sum(done), total)
    return answers


def _words(done: int, total: int, askers: dict[str, Asker]) -> str:
    again = sum(asker.asked_again for asker in askers.values())
    return f"{done} of {total} answers" + (f", {again} requests made again" if again else "")


def _rented_first(sides: list[Side]) -> list[Side]:
    """Return the order in which they are asked: a wrong key or option shows before anything was computed here."""
    return sorted(sides, key=lambda side: side.totals is None)


def _scored(
    judge: Judge, cases: list[Case], sides: list[Side], answers: dict[str, Answers]
) -> tuple[list[ComparedRow], list[UnscoredRow]]:
    rows: list[ComparedRow] = []
    unscored: list[UnscoredRow] = []
    for case in cases:
        found = {side.name: answers[side.name].get(case.index) for side in sides}
        turns = [each for each in found.values() if isinstance(each, Turn)]
        if len(turns) < len(sides):
            name, error = next((name, each) for name, each in found.items() if isinstance(each, Exception))
            why = f"it cannot be asked: {str(error).splitlines()[0]}"
            if isinstance(error, EndpointError):
                status = f" ({error.status})" if error.status is not None else ""
                why = f"{name} gave no answer{status}: {error.why or error.what}"
            unscored.append(UnscoredRow(case.index, why))
            continue
        try:
            scores = [judge.score(case, turn) for turn in turns]
        except Unscorable as error:
            unscored.append(UnscoredRow(case.index, str(error), turns[0].text, turns[1].text))
            continue
        given = [
            Answer(turn.text, value, reason, turn.notes, turn.outcome if case.tools else None)
            for turn, (value, reason) in zip(turns, scores, strict=True)
        ]
        rows.append(ComparedRow.of(case.index, case.messages, case.expected, given))
    errors = any(isinstance(each, Exception) for given in answers.values() for each in given.values())
    if not rows and unscored and not errors:
        raise ConfigError(
            f"The scorer {judge.name} could score none of the {len(unscored)} rows.",
            why=f"Row {unscored[0].index}: {unscored[0].reason}.",
            fix="The answers are kept: correct the scorer and compare again.",
        )
    return rows, unscored
