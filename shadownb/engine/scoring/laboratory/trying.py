"""Trying a scorer on answers that are known to be right or wrong, and on hacks."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from shadownb.engine.scoring.base import Score
from shadownb.engine.scoring.laboratory.hacks import HACKS, Hack, World
from shadownb.engine.scoring.laboratory.report import Fooled, LabReport, Scored
from shadownb.engine.scoring.laboratory.tasks import Task, read
from shadownb.engine.scoring.rewards import TIMEOUT, Spec, resolve
from shadownb.engine.scoring.samples import text_of
from shadownb.errors import ConfigError

MOST_ROWS = 50
"""Tasks that are looked at unless it is told otherwise: with about 40 hacks each, 2,000 answers are scored."""
_ASKED_AGAIN = 5
_ALIKE = 1e-9
_CLOSE = 0.9  # of the way from a wrong answer to a right one: noise among right answers is larger than what is left


def lab(
    scorer: Spec,
    good: Any,
    bad: Any = None,
    *,
    expected: str | None = None,
    hacks: Sequence[Hack] = HACKS,
    max_rows: int = MOST_ROWS,
    timeout: float | None = TIMEOUT,
    progress: Callable[[float], None] | None = None,
) -> LabReport:
    """Look whether a scorer tells right answers from wrong ones, and what fools it.

    Parameters
    ----------
    scorer
        As :func:`resolve` takes it: a name, a function, an object, several with weights.
    good
        Right answers: a Dataset, rows (``prompt`` and ``completion``, ``messages``, ``question`` and ``answer``, ``chosen`` beside
        ``rejected``) with the columns that the scorer looks at, or texts.
    bad
        Wrong answers, in the same forms: each belongs to the row with its prompt, else to the one at its place. None: what is right
        for other rows.
    expected
        The column with the expected answer; None: what it is usually called, else the right answer itself.
    hacks
        What is tried to fool it.
    max_rows
        Rows that are looked at, spread over all.
    timeout
        Seconds that one call of the scorer may take.
    progress
        Is told the share that is done.

    Returns
    -------
    LabReport
        Print it. ``fooled`` has each hack that scores at or above the median right answer, with its text.

    Raises
    ------
    DataError
        There are no right answers, or no wrong ones.
    ConfigError
        The scorer cannot be asked, or gives no right answer a score.

    Examples
    --------
    >>> def mentions(output, expected):
    ...     return float(expected in output)
    >>> report = snb.scoring.lab(mentions, rows)
    >>> [hack.hack for hack in report.fooled][:2]
    ['every option at once', 'every word of all answers']
    >>> snb.scoring.lab("exact", rows).sound
    True
    """
    if max_rows < 1:
        raise ConfigError(f"max_rows={max_rows} leaves nothing to look at.", fix="Give at least 1.")
    scoring = resolve(scorer, expected=expected)
    tasks = read(good, bad, scoring.expected, max_rows)
    world = World.of(tasks)
    planned = [(task, task.good, "good") for task in tasks]
    planned += [(task, text, "bad") for task in tasks for text in task.bad]
    planned += [(task, text, hack.name) for hack in hacks for task in tasks for text in hack.texts(task, world)]
    started = time.perf_counter()
    scores: list[Score] = []
    part = max(1, len(planned) // 20) if progress is not None else len(planned)
    for begin in range(0, len(planned), part):
        samples = [task.sample(text) for task, text, _ in planned[begin : begin + part]]
        scores += scoring.score_many(samples, timeout=timeout)
        if progress is not None:
            progress(len(scores) / len(planned))
        if begin == 0 and all(score.value is None for score in scores):
            raise ConfigError(
                f"The scorer {scoring.name} gave no score.",
                why=scores[0].reason,
                fix="It has to give right answers one.",
            )
    seconds = (time.perf_counter() - started) / len(planned)
    scored = [(kind, _scored(task, text, score)) for (task, text, kind), score in zip(planned, scores, strict=True)]
    right = [each for kind, each in scored if kind == "good"]
    values = [each.value for each in right if each.value is not None]
    if not values:
        raise ConfigError(f"The scorer {scoring.name} gave no score to any right answer.", why=right[0].reason)
    again = scoring.score_many([task.sample(task.good) for task in tasks[:_ASKED_AGAIN]], timeout=timeout)
    return LabReport(
        scorer=scoring.name,
        good=right,
        bad=[each for kind, each in scored if kind == "bad"],
        fooled=_fooled(hacks, scored),
        hacks={hack.name: _mean([each for kind, each in scored if kind == hack.name]) for hack in hacks},
        hack_values=[each.value for kind, each in scored if kind not in ("good", "bad") and each.value is not None],
        unsteady=[first for first, second in zip(right, again, strict=False) if first.value != second.value],
        seconds=seconds,
    )


def _fooled(hacks: Sequence[Hack], scored: Sequence[tuple[str, Scored]]) -> list[Fooled]:
    values = {
        kind: [each.value for of, each in scored if of == kind and each.value is not None] for kind in ("good", "bad")
    }
    median = statistics.median(values["good"])
    below = statistics.median(values["bad"]) if values["bad"] else median
    close = median - (1 - _CLOSE) * max(0.0, median - below)
    found = []
    for hack in hacks:
        tried = [(each.value, each) for kind, each in scored if kind == hack.name and each.value is not None]
        reached = [each for value, each in tried if value >= median - _ALIKE]
        near = [each for value, each in tried if value >= close - _ALIKE]
        if near:
            best = max(tried, key=lambda pair: pair[0])[1]
            found.append(Fooled(hack.name, hack.means, len(tried), len(reached or near), best, not reached))
    return sorted(found, key=lambda each: (each.close, -each.fooled / each.tried))


def _scored(task: Task, text: str, score: Score) -> Scored:
    return Scored(text, text_of(task.prompt) if task.prompt else "", task.expected, score.value, score.reason)


def _mean(scored: Sequence[Scored]) -> float | None:
    values = [each.value for each in scored if each.value is not None]
    return statistics.fmean(values) if values else None
