"""From what a user asks of a sweep to a folder and a thread that drives it; what is wrong is raised before anything is made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shadownb.engine import capabilities
from shadownb.engine.config import TrainConfig
from shadownb.engine.notifications import channels
from shadownb.engine.runs.chosen_start import Start
from shadownb.engine.runs.data_arguments import as_dataset, resolve_data
from shadownb.engine.runs.launch import columns_of, rows_of
from shadownb.engine.runs.store import default_store
from shadownb.engine.sweeps import space as spaces
from shadownb.engine.sweeps import suggesting
from shadownb.engine.sweeps.folder import create
from shadownb.engine.sweeps.metric import direction_of
from shadownb.engine.sweeps.sweep import Sweep
from shadownb.errors import BusyError, ConfigError, did_you_mean, quoted

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel

_TIME = re.compile(r"\s*([0-9.]+)\s*(s|sec|min|m|h|hours?|minutes?|seconds?)\s*")
_UNITS = {"s": 1, "m": 60, "h": 3600}


def start(
    model: LoadedModel,
    dataset: Any,
    space: Mapping[str, Any],
    *,
    metric: str,
    budget: int | str | None,
    direction: str | None,
    sampler: str,
    pruner: str,
    seed: int,
    name: str | None,
    method: str,
    eval_dataset: Any,
    start_from: Any,
    background: bool | None,
    fields: dict[str, Any],
) -> Sweep:
    """Start a sweep; see :meth:`shadownb.Model.sweep`."""
    for option, value, known in (
        ("sampler", sampler, ("auto", *suggesting.SAMPLERS)),
        ("pruner", pruner, ("auto", *suggesting.PRUNERS)),
    ):
        if value not in known:
            raise ConfigError(f"{option}={value!r}.{did_you_mean(value, known)}", fix=f"Choose {quoted(known)}.")
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise ConfigError(f"seed={seed!r} is no whole number.")
    if start_from == "trained":
        raise ConfigError(
            "start='trained' would have each trial go on from the one before it.",
            fix="start='base', or the run or adapter that all trials are to begin with.",
        )
    if (busy := model.active_run) is not None:
        raise BusyError(f"Run {busy.id} is training this model.", fix="Wait for it, or use model.fresh_copy().")
    fields = dict(fields)
    axes = spaces.read(space, fields, method)
    toward = direction_of(metric, direction)
    trials, seconds = _budget(budget)
    chosen, why = suggesting.automatic(axes, trials) if sampler == "auto" else (sampler, "it was asked for")
    _check_sampler(axes, chosen, trials, seconds)
    if chosen == "grid":
        size = int(spaces.size_of(axes))
        trials = size if trials is None and seconds is None else min(trials or size, size)
    notify = tuple(TrainConfig(notify=fields.pop("notify", ())).notify)
    for channel in notify:
        channels.found(channel)
    given = TrainConfig(method=method, **fields)
    capabilities.check(given, model.backend_name)
    prunes, why_pruner = _pruner(pruner, given)
    columns = columns_of(given)
    train, held_out = resolve_data(
        as_dataset(rows_of(given, dataset), "dataset", columns), eval_dataset, given.seed, columns
    )
    if held_out is None and metric.startswith("eval"):
        raise ConfigError(
            f"metric={metric!r} is of evaluation rows, and eval_dataset is None.",
            fix="eval_dataset='auto' holds out a tenth.",
        )
    store = default_store()
    Start.of(start_from, store)  # refuses what is no start
    recorded = {option: getattr(given, option) for option in fields}
    spec = {
        "space": spaces.to_json(axes),
        "metric": metric,
        "direction": toward,
        "trials": trials,
        "seconds": seconds,
        "sampler": chosen,
        "pruner": prunes,
        "startup": suggesting.startup_of(trials),
        "seed": seed,
        "decisions": {"sampler": [chosen, why], "pruner": [prunes, why_pruner]},
        "method": method,
        "fields": {key: list(value) if isinstance(value, tuple) else value for key, value in recorded.items()},
        "columns": list(columns),
        "notify": list(notify),
        "start": start_from if isinstance(start_from, str) else getattr(start_from, "id", str(start_from)),
        "model": {**model.describe(), "start": None},
        "dataset": store.store_rows(train.keeping(columns)),
        "eval_dataset": store.store_rows(held_out.keeping(columns)) if held_out is not None else None,
    }
    sweep = Sweep(create(name, spec), model=model)
    return sweep.drive(fields, background=background)


def _budget(budget: int | str | None) -> tuple[int | None, float | None]:
    """Return (most trials, most seconds of training)."""
    if budget is None:
        return None, None
    if isinstance(budget, int) and not isinstance(budget, bool) and budget > 0:
        return budget, None
    found = _TIME.fullmatch(budget) if isinstance(budget, str) else None
    if found is not None and float(found[1]) > 0:
        return None, float(found[1]) * _UNITS[found[2][0]]
    raise ConfigError(
        f"budget={budget!r} is neither a number of trials nor a time.",
        fix="Give a number, such as 20, or a time of training, such as '90 min'.",
    )


def _check_sampler(axes: spaces.Space, sampler: str, trials: int | None, seconds: float | None) -> None:
    if sampler == "grid" and not spaces.is_countable(axes):
        ranges = [name for name, axis in axes.items() if not isinstance(axis, spaces.Choices)]
        raise ConfigError(
            f"sampler='grid' cannot try all values of {', '.join(ranges) or 'so many choices'}.",
            fix="Give lists of choices, or budget= and sampler='tpe'.",
        )
    if sampler != "grid":
        suggesting.need_optuna(f"sampler={sampler!r}")
        if trials is None and seconds is None:
            raise ConfigError("A space with ranges has no end.", fix="budget=20 tries 20 of its combinations.")


def _pruner(asked: str, config: TrainConfig) -> tuple[str, str]:
    """Return which pruner, and why."""
    if asked == "auto":
        if not suggesting.has_optuna():
            return "none", "Optuna, which would judge trials as they go, is not installed"
        return "median", "a trial is given up that is worse than half of the earlier ones at the same step"
    if asked != "none":
        suggesting.need_optuna(f"pruner={asked!r}")
    return asked, "it was asked for"
