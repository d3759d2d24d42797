"""Which combination comes next, and when a trial is not worth going on: functions of what earlier trials came to, and of a seed.

Nothing is kept between two questions: Optuna's study is made anew for each, of the trials that are finished, with a seed that
belongs to the trial's number. So a sweep that was killed asks the same question again, and gets the same answer.
"""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite, prod
from statistics import fmean, pvariance
from typing import Any

from shadownb.engine.sweeps.space import Choices, Range, Space, combinations, is_countable, size_of
from shadownb.errors import MissingDependencyError

SAMPLERS = ("grid", "tpe", "random")
PRUNERS = ("median", "halving", "none")
_TRIES = 20  # until something is suggested that was not tried


@dataclass(frozen=True)
class Told:
    """What a finished trial came to.

    Attributes
    ----------
    params
        What was tried.
    state
        ``succeeded``, ``pruned``, ``diverged``, ``failed``.
    value
        Of the metric; None where there is none.
    seen
        The metric's values so far at (step, value), as :func:`best_so_far` gives them.
    """

    params: dict[str, Any]
    state: str
    value: float | None
    seen: tuple[tuple[int, float], ...] = field(default=())


def has_optuna() -> bool:
    """Return whether Optuna can be imported."""
    from importlib.util import find_spec

    return find_spec("optuna") is not None


def need_optuna(what: str) -> Any:
    """Return the package; raises MissingDependencyError where it is not installed."""
    try:
        import optuna
    except ImportError:
        raise MissingDependencyError(
            f"{what} needs Optuna, which is not installed.",
            fix="pip install 'shadownb[sweep]'; without it a grid can be swept: lists of choices, sampler='grid'.",
        ) from None
    return optuna


def suggest(
    space: Space, sampler: str, seed: int, number: int, told: Sequence[Told], *, minimize: bool, startup: int
) -> dict[str, Any] | None:
    """Return what trial ``number`` (from 0) tries; None where every combination was tried.

    Parameters
    ----------
    startup
        How many trials are drawn at random before the others are learned from.
    """
    if sampler == "grid":
        return next((found for at, found in enumerate(combinations(space)) if at == number), None)
    tried = [each.params for each in told]
    for attempt in range(_TRIES):
        found = _asked(space, sampler, _seed(seed, number, attempt), told, minimize=minimize, startup=startup)
        if found not in tried:
            return found
    if not is_countable(space):
        return found
    left = [each for each in combinations(space) if each not in tried]
    return left[_seed(seed, number, _TRIES) % len(left)] if left else None


def _asked(
    space: Space, sampler: str, seed: int, told: Sequence[Told], *, minimize: bool, startup: int
) -> dict[str, Any]:
    optuna = need_optuna(f"sampler={sampler!r}")
    with _quiet(optuna):
        made = (
            optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup)
            if sampler == "tpe"
            else optuna.samplers.RandomSampler(seed=seed)
        )
        study = _study(optuna, space, told, minimize=minimize, sampler=made)
        drawn = study.ask(_distributions(optuna, space)).params
    return {
        name: axis.values[drawn[name]] if isinstance(axis, Choices) else drawn[name] for name, axis in space.items()
    }


def prunes(
    pruner: str, seen: Sequence[tuple[int, float]], told: Sequence[Told], *, minimize: bool, startup: int
) -> int | None:
    """Return the step at which a trial is to be given up, None where it may go on.

    Asked of each evaluation in turn, with all trials' best values so far: at one step like is compared with like, while a
    trial's best against others' values of the moment would keep whatever once had luck.
    """
    if pruner == "none":
        return None
    optuna = need_optuna(f"pruner={pruner!r}")
    with _quiet(optuna):
        made = (
            optuna.pruners.MedianPruner(n_startup_trials=startup)
            if pruner == "median"
            else optuna.pruners.SuccessiveHalvingPruner()
        )
        study = _study(optuna, {}, told, minimize=minimize, pruner=made)
        trial = study.ask()
        for step, value in seen:
            trial.report(value, step)
            if trial.should_prune():
                return step
    return None


def best_so_far(points: Sequence[tuple[int, float]], *, minimize: bool) -> tuple[tuple[int, float], ...]:
    """Return at each point the best value up to it."""
    best: float | None = None
    found = []
    for step, value in points:
        best = value if best is None else min(best, value) if minimize else max(best, value)
        found.append((step, best))
    return tuple(found)


def importance(space: Space, told: Sequence[Told], *, minimize: bool) -> dict[str, float]:
    """Return by option how much of the difference between good and other trials it accounts for, 0 to 1, the largest first.

    Where each combination was tried equally often it is the share of the variance that the means by this option have, and the
    rest is due to combinations. Else by PED-ANOVA (Watanabe et al., 2023), the one of Optuna's measures that needs no further
    package: of four trials it looks at the best alone, and told 0.5 of each of two options where one decided everything. A
    trial that was given up counts with what it had reached. An option of which one value was tried is left out: nothing is
    known of it. Empty where fewer than four trials have a value, or all values are alike.
    """
    counted = ("succeeded", "pruned")
    ended = [
        replace(each, state="succeeded")
        for each in told
        if each.state in counted and each.value is not None and isfinite(each.value)
    ]
    if len(ended) < 4 or len({each.value for each in ended}) < 2:
        return {}
    if (shares := _of_variance(space, ended)) is not None:
        return shares
    optuna = need_optuna("importance")
    with _quiet(optuna):
        study = _study(optuna, space, ended, minimize=minimize)
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25, region_quantile=1.0)
        try:
            found = optuna.importance.get_param_importances(study, evaluator=evaluator)
        except (ValueError, RuntimeError):  # every option had one value
            return {}
    varied = {name for name in space if len({repr(each.params[name]) for each in ended}) > 1}
    return {name: float(value) for name, value in found.items() if name in varied}


def _of_variance(space: Space, ended: Sequence[Told]) -> dict[str, float] | None:
    """Return by option the share of the variance that its means have; None unless all combinations were tried equally often."""
    tried = Counter(tuple(repr(each.params[name]) for name in space) for each in ended)
    levels = [len({combination[place] for combination in tried}) for place in range(len(space))]
    if len(tried) != prod(levels) or len(set(tried.values())) > 1 or len(ended) != sum(tried.values()):
        return None
    values = [float(each.value) for each in ended if each.value is not None]
    total = pvariance(values)
    shares = {}
    for name, number in zip(space, levels, strict=True):
        by_level: dict[str, list[float]] = {}
        for each, value in zip(ended, values, strict=True):
            by_level.setdefault(repr(each.params[name]), []).append(value)
        if number > 1:
            shares[name] = pvariance([fmean(group) for group in by_level.values()]) / total
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def startup_of(trials: int | None) -> int:
    """Return how many trials come before the others are learned from: a quarter, at least 3 and at most 10."""
    return min(10, max(3, (trials or 40) // 4))


def _seed(seed: int, number: int, attempt: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{number}/{attempt}".encode()).digest()[:4], "big")


def _distributions(optuna: Any, space: Space) -> dict[str, Any]:
    """Return Optuna's names of the axes; choices as their places, since it takes no lists and hashes what it is given."""
    made: dict[str, Any] = {}
    for name, axis in space.items():
        if isinstance(axis, Choices):
            made[name] = optuna.distributions.CategoricalDistribution(tuple(range(len(axis.values))))
        elif axis.whole:
            made[name] = optuna.distributions.IntDistribution(int(axis.low), int(axis.high), log=axis.log)
        else:
            made[name] = optuna.distributions.FloatDistribution(axis.low, axis.high, log=axis.log)
    return made


def _study(optuna: Any, space: Space, told: Sequence[Told], *, minimize: bool, **parts: Any) -> Any:
    study = optuna.create_study(direction="minimize" if minimize else "maximize", **parts)
    states = {
        "succeeded": optuna.trial.TrialState.COMPLETE,
        "pruned": optuna.trial.TrialState.PRUNED,
        "diverged": optuna.trial.TrialState.PRUNED,  # a place to stay away from, which a failed one is not
    }
    distributions = _distributions(optuna, space)
    for each in told:
        state = states.get(each.state, optuna.trial.TrialState.FAIL)
        if state == optuna.trial.TrialState.COMPLETE and each.value is None:
            state = optuna.trial.TrialState.FAIL
        study.add_trial(
            optuna.trial.create_trial(
                state=state,
                value=each.value if state == optuna.trial.TrialState.COMPLETE else None,
                params={name: _place(axis, each.params[name]) for name, axis in space.items()},
                distributions=distributions,
                intermediate_values=dict(each.seen),
            )
        )
    return study


def _place(axis: Choices | Range, value: Any) -> Any:
    return axis.values.index(value) if isinstance(axis, Choices) else value


@contextlib.contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Keep Optuna's lines out of cells and logs, and leave its settings as they were."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)


def automatic(space: Space, trials: int | None) -> tuple[str, str]:
    """Return the sampler that ``auto`` means, and why."""
    size = size_of(space)
    if trials is None or size <= trials:
        return "grid", f"all {size:,.0f} combinations are tried" if size < float("inf") else ""
    if not has_optuna() and is_countable(space):
        return (
            "grid",
            f"the first {trials} of {size:,.0f} combinations: Optuna, which would choose among them, is not installed",
        )
    return "tpe", "more combinations than trials: each trial learns from those before it"
