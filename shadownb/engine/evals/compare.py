"""compare(): the same held-out rows answered by the base and by the tuned weights, scored and paired.

The context of a row is its messages up to the last assistant turn, the reference is that turn. Both sides get the same
prompts, sampling and seed, so the difference of a row is the training's doing.
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
from shadownb.engine.evals.comparison import GREEDY, ComparedRow, Comparison, UnscoredRow
from shadownb.engine.evals.judging import Judge, Unscorable
from shadownb.engine.evals.turns import Turn
from shadownb.engine.inference.types import Sampling
from shadownb.errors import ConfigError, ShadowWarning

Progress = Callable[[int, int], None]
Answers = dict[int, Turn | Exception]


def _outcome(comparison: Comparison) -> str:
    return f"Compared base and tuned on {len(comparison.rows)} rows"


@live.shown(lambda *_, **__: "Comparing", _outcome)
def compare(
    model: Any,
    dataset: Any,
    scorer: Callable[..., Any] | str,
    *,
    sampling: Sampling = GREEDY,
    max_new_tokens: int | None = None,
    max_rows: int | None = None,
    batch_rows: int = 32,
    progress: Progress | None = None,
    enable_thinking: bool | None = None,
    reasoning_effort: str | None = None,
    reuse_answers: bool = True,
) -> Comparison:
    """Answer held-out rows with the base and the tuned weights and score both.

    What is scored is what stands after the reasoning. Tool calls are compared as structures: neither the order of an
    argument's keys nor JSON text instead of an object counts; the order of parallel calls does.

    Parameters
    ----------
    model
        A :class:`~shadownb.engine.ports.chat_model.ChatModel` that has a base beside it: ``chat(..., use="base" | "tuned")``.
    dataset
        Whatever holds rows with an answer: a Dataset, a list, a data frame, a ``datasets.Dataset``.
    scorer
        ``scorer(output, expected)`` returning a Score, or a number; it gets ``prompt=``, ``messages=``, ``tools=`` and ``row=``
        where it takes those (:class:`shadownb.engine.scoring.Scorer` says what it owes). Or the name of a registered one:
        ``"exact"``, ``"json_exact"``, what plugins bring. It is tried before anything is generated. A row that it cannot
        score is counted and left out of the means.
    sampling
        For both sides; greedy by default. Without a seed a sampling that is not greedy gets seed 0.
    max_new_tokens
        Longest answer, instead of the sampling's; a task with short answers is compared much faster with it.
    max_rows
        Use only the first so many rows.
    batch_rows
        Rows a call of ``model.chat``; ``progress`` is called between them.
    progress
        ``progress(done, total)``, counted in answers (two a row); without it a line in the cell or terminal shows them.
    enable_thinking, reasoning_effort
        As for :meth:`Model.chat`.
    reuse_answers
        Take answers that the same weights gave to the same prompts before; they are kept in ``SHADOWNB_HOME/answers``,
        also of a comparison that broke off.

    Raises
    ------
    DataError
        No row has a conversation that ends in an assistant turn, or the scorer can judge none of the references.
    ConfigError
        ``max_rows`` or ``batch_rows`` is below 1, or the scorer cannot be called or gives no number.
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
    if hasattr(model, "catch_up"):
        model.catch_up()  # the weights must be those that answer when they are looked at for kept answers
    started = time.monotonic()
    given = {"enable_thinking": enable_thinking, "reasoning_effort": reasoning_effort}
    options = {name: value for name, value in given.items() if value is not None}
    askers = {use: Asker(model, use, sampling, options, reuse=reuse_answers) for use in ("base", "tuned")}
    answers: dict[str, Answers] = {"base": {}, "tuned": {}}
    if progress is None:
        live.tell("answering", lambda: _answered(answers, 2 * len(asked)))
    for batch in batches_of(asked, batch_rows):
        for use, asker in askers.items():
            answers[use] |= {case.index: answer for case, answer in asker.ask(batch)}
            if progress is not None:
                progress(sum(map(len, answers.values())), 2 * len(asked))
    rows, unscored = _scored(judge, asked, answers)
    if not rows:
        raise next(each for each in answers["base"].values() if isinstance(each, Exception))
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
    )


def _answered(answers: dict[str, Answers], total: int) -> tuple[str, float, float]:
    done = sum(map(len, answers.values()))
    return f"{done} of {total} answers", done, total


def _scored(
    judge: Judge, cases: list[Case], answers: dict[str, Answers]
) -> tuple[list[ComparedRow], list[UnscoredRow]]:
    rows: list[ComparedRow] = []
    unscored: list[UnscoredRow] = []
    for case in cases:
        base, tuned = answers["base"][case.index], answers["tuned"][case.index]
        failed = next((each for each in (base, tuned) if isinstance(each, Exception)), None)
        if failed is not None or isinstance(base, Exception) or isinstance(tuned, Exception):
            unscored.append(UnscoredRow(case.index, f"it cannot be asked: {str(failed).splitlines()[0]}"))
            continue
        try:
            (base_score, base_reason), (tuned_score, tuned_reason) = judge.score(case, base), judge.score(case, tuned)
        except Unscorable as error:
            unscored.append(UnscoredRow(case.index, str(error), base.text, tuned.text))
            continue
        rows.append(
            ComparedRow(
                case.index,
                case.messages,
                case.expected,
                base.text,
                tuned.text,
                base_score,
                tuned_score,
                base_reason,
                tuned_reason,
                base.notes,
                tuned.notes,
                (base.outcome, tuned.outcome) if case.tools else None,
            )
        )
    if not rows and unscored and not any(isinstance(each, Exception) for each in answers["base"].values()):
        raise ConfigError(
            f"The scorer {judge.name} could score none of the {len(unscored)} rows.",
            why=f"Row {unscored[0].index}: {unscored[0].reason}.",
            fix="The answers are kept: correct the scorer and compare again.",
        )
    return rows, unscored
