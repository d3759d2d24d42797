"""Rewards: scorers as a training asks them, about all answers of a batch and with the columns of their rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shadownb.engine.scoring.asking import Scoring
from shadownb.engine.scoring.base import Sample, Score
from shadownb.engine.scoring.samples import EXPECTED, sample_of, shown
from shadownb.engine.scoring.weighted import Weighted
from shadownb.errors import ConfigError

TIMEOUT = 60.0
"""Seconds that one call of a scorer may take unless it is told otherwise: a judge of a provider answers within that."""

Spec = str | Callable[..., Any] | Scoring | Mapping[Any, float] | Sequence[Any]


def resolve(spec: Spec, *, expected: str | None = None) -> Scoring:
    """Return a scorer as it is asked.

    Parameters
    ----------
    spec
        The name of a registered scorer, ``"module:function"``, a function or object (see :class:`Scoring`), or several as one:
        ``{"exact": 1.0, "length": 0.2}``, or a list of scorers or pairs (scorer, weight).
    expected
        The column that has the expected answer; None: the first of :data:`EXPECTED` that the rows have.

    Raises
    ------
    ConfigError
        None goes by this name, or it cannot be called as a scorer.

    Examples
    --------
    >>> snb.scoring.resolve({"exact": 1.0, "repetition": 0.5})
    Scoring(1 exact + 0.5 repetition)
    """
    if isinstance(spec, Scoring):
        return spec
    if isinstance(spec, Mapping | list | tuple):
        return Scoring(Weighted(spec), expected=expected)
    return Scoring(spec, expected=expected)  # type: ignore[arg-type]


def score_batch(
    scorers: Sequence[Scoring],
    prompts: Sequence[Any],
    completions: Sequence[Any],
    columns: Mapping[str, Sequence[Any]] | None = None,
    *,
    timeout: float | None = TIMEOUT,
) -> list[list[Score]]:
    """Return the verdicts of each scorer on each completion: ``scores[scorer][completion]``.

    What a scorer does wrong ends nothing: where it raises, hangs, gives NaN or None, or a list of another length, the verdict
    is ``Score(None, reason)``, which belongs in no mean and no baseline.

    Parameters
    ----------
    scorers
        Of :func:`resolve`.
    prompts, completions
        As long as each other: texts, or lists of messages. Functions of a batch get them as they are, others the text.
    columns
        The other columns of the rows, each as long as the prompts.
    timeout
        Seconds that one call may take; None for no limit.

    Raises
    ------
    ConfigError
        A scorer needs an expected answer, or names a column, that the rows do not have; or lengths differ.

    Examples
    --------
    >>> def short(completions):
    ...     return [1 / len(completion) for completion in completions]
    >>> rewards = [snb.scoring.resolve("numeric"), snb.scoring.resolve(short)]
    >>> scores = snb.scoring.score_batch(rewards, ["2 + 2?", "3 + 3?"], ["4", "It is 6"], {"answer": ["4", "7"]})
    >>> [[score.value for score in of_one] for of_one in scores]
    [[1.0, 0.0], [1.0, 0.14...]]
    """
    columns = columns or {}
    lengths = {"prompts": len(prompts), **{name: len(values) for name, values in columns.items()}}
    wrong = [name for name, length in lengths.items() if length != len(completions)]
    if wrong:
        raise ConfigError(
            f"There are {len(completions)} completions, and {wrong[0]} has {lengths[wrong[0]]}.",
            fix="Give one prompt and one value of each column for each completion.",
        )
    rows = [{name: values[at] for name, values in columns.items()} for at in range(len(completions))]
    return [_scores(scorer, prompts, completions, rows, timeout) for scorer in scorers]


def _scores(
    scorer: Scoring,
    prompts: Sequence[Any],
    completions: Sequence[Any],
    rows: list[dict[str, Any]],
    timeout: float | None,
) -> list[Score]:
    samples: list[Sample] = []
    for prompt, completion, row in zip(prompts, completions, rows, strict=True):
        sample = sample_of(prompt, completion, row, scorer.expected)
        if sample is None and scorer.needs_expected:
            raise ConfigError(
                f"The scorer {scorer.name} compares with an expected answer, and the rows have none.",
                why=f"They have {', '.join(row) or 'no columns'}; looked for: {scorer.expected or ', '.join(EXPECTED)}.",
                fix="Name the column: scoring.resolve(..., expected='the_column').",
            )
        samples.append(sample or shown(prompt, completion, row, ""))
    return scorer.score_many(samples, timeout=timeout)
