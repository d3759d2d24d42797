"""evaluate(): any number of models on the same items of any number of suites."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Unpack

from shadownb.engine import live
from shadownb.engine.evals import suites as suite_names
from shadownb.engine.evals.evaluation.contenders import contenders
from shadownb.engine.evals.evaluation.evaluation import Evaluation
from shadownb.engine.evals.evaluation.folder import EvaluationFolder
from shadownb.engine.evals.evaluation.planning import Planned, distinct, drawn, sampling_of, spec_of
from shadownb.engine.evals.evaluation.working import Progress, Work
from shadownb.engine.evals.suites.base import Suite
from shadownb.engine.inference.options import SamplingOptions
from shadownb.errors import ConfigError, ShadowError, ShadowWarning


def _outcome(found: Evaluation) -> str:
    return f"Evaluated {', '.join(found.sides)}: {found.name}"


@live.shown(lambda *_, **__: "Evaluating", _outcome)
def evaluate(
    models: Any,
    suites: str | Suite | Sequence[str | Suite],
    *,
    limit: int | None = None,
    samples: int = 1,
    name: str | None = None,
    batch_rows: int = 32,
    reuse_answers: bool = True,
    grade: bool = True,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
    **sampling: Unpack[SamplingOptions],
) -> Evaluation:
    """Ask models the same items of suites and grade their answers; everything is kept in a folder while it comes.

    Examples
    --------
    >>> found = snb.evaluate(model, snb.suites.rows(rows, snb.Exact(), name="queues"), max_new_tokens=8)
    >>> print(found)
    suite   items  base                   tuned                      tuned minus base
    queues  12     0.0 % (0.0 to 24.2)  100.0 % (75.8 to 100.0)  ...

    Parameters
    ----------
    models
        A loaded model (its base and its tuned weights), an endpoint, a :class:`Contender` (a checkpoint, a system prompt),
        several in a list, or a dict of them by name.
    suites
        Names (``snb.suites.available()``), suites of your rows (``snb.suites.rows(dataset, scorer)``), or objects of your own.
    limit
        Only so many items of each suite, drawn with a fixed seed.
    samples
        Answers to each item; more than one needs a temperature. ``evaluation.pass_at(k)`` goes up to so many.
    name
        Of the folder in ``SHADOWNB_HOME/evaluations``; one that was begun by this name goes on where it broke off.
    batch_rows
        Items a call of ``chat``.
    reuse_answers
        Take answers that the same weights gave to the same prompts before.
    grade
        False: the answers are kept and graded by the next call of this name, which may be on another machine.
    progress
        ``progress(suite, done, total)``, counted in answers; without it a line in the cell or terminal shows them.
    should_stop
        Asked again and again; soon after it is true the evaluation ends as far as it is, and goes on when it is called again by
        the same ``name``.
    **sampling
        ``max_new_tokens``, ``temperature``, ``top_p`` and so on, in the place of the suites' own; greedy unless they say otherwise.

    Returns
    -------
    Evaluation
        Also where a suite could not be asked or an endpoint failed: those are named in it, and are in no mean.

    Raises
    ------
    ConfigError
        An option is out of range, a suite is not known, two have one name, or an evaluation of this name asked something else.
    ShadowError
        Not a single suite could be asked.
    """
    found = work_through(
        models,
        suites,
        limit=limit,
        samples=samples,
        name=name,
        batch_rows=batch_rows,
        reuse_answers=reuse_answers,
        grade=grade,
        progress=progress,
        should_stop=should_stop,
        **sampling,
    )
    for problem in found.problems():
        warnings.warn(problem, ShadowWarning, stacklevel=3)
    return found


def work_through(
    models: Any,
    suites: str | Suite | Sequence[str | Suite],
    *,
    limit: int | None = None,
    samples: int = 1,
    name: str | None = None,
    batch_rows: int = 32,
    reuse_answers: bool = True,
    grade: bool = True,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
    folder: EvaluationFolder | None = None,
    **sampling: Unpack[SamplingOptions],
) -> Evaluation:
    """Do what :func:`evaluate` does and leave its warnings to whoever shows :meth:`Evaluation.problems`.

    Parameters
    ----------
    folder
        Where it is kept, in the place of that of ``name``.
    """
    for option, value in (("limit", limit), ("samples", samples), ("batch_rows", batch_rows)):
        if value is not None and value < 1:
            raise ConfigError(f"{option}={value} is out of range.", fix=f"Give {option} from 1 on.")
    sides = contenders(models)
    if samples == 1:  # files of samples say how many they hold
        samples = max(int(getattr(side.model, "samples", 1)) for side in sides)
    only_read = all(hasattr(side.model, "answer_to") for side in sides)
    listed: Sequence[Any] = suites if isinstance(suites, list | tuple) else [suites]
    chosen = [suite_names.get(suite) for suite in listed]
    names = [suite.name for suite in chosen]
    if double := next((each for each in names if names.count(each) > 1), None):
        raise ConfigError(f"Two suites are called {double!r}.", fix="Name yours: snb.suites.rows(..., name='mine').")
    folder = folder or EvaluationFolder.named(name)
    planned: list[Planned] = []
    refused: dict[str, ShadowError] = {}
    for suite in chosen:
        told = sampling_of(suite, 1 if only_read else samples, dict(sampling))
        try:
            planned.append(Planned(suite, drawn(distinct(suite), limit), told))
        except ShadowError as error:
            refused[suite.name] = error
    if not planned:
        raise next(iter(refused.values()))
    with folder.lock():
        folder.begin(spec_of(sides, planned, samples))
        journal = folder.journal()
        try:
            journal.append("attempt")
            for suite_name, why in refused.items():
                journal.append("refused", suite=suite_name, reason=why.what, why=why.why, fix=why.fix)
            for plan in planned:
                folder.write_items(plan.suite.name, plan.items)
            work = Work(folder, journal, sides, samples, batch_rows, reuse_answers, progress, should_stop, grade=grade)
            work.run(planned)
            journal.append("end", stopped=work.stopped or not grade)
        finally:
            journal.flush()
            journal.close()
    return Evaluation(folder)
