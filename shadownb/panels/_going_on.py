"""What goes on already when a panel opens: runs that somebody trains, and the models that are loaded in this kernel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._stores import loaded_models


def active_runs() -> list[Any]:
    """Return the handles of the runs that somebody works on, of any process, newest first."""
    from shadownb.engine import runs

    return runs.active()


def run_of_this_kernel(active: list[Any], models: list[Any]) -> tuple[Any, Any]:
    """Return (run, model) of the run that trains a model of this kernel, newest first, or (None, None)."""
    from shadownb.engine.runs import executors

    for run in active:
        model = executors.model_of(run.id) or next((m for m in models if _trains(m, run)), None)
        if model is not None:
            return run, model
    return None, None


def models_at_hand(namespace: Mapping[str, Any], earlier: Any) -> list[Any]:
    """Return the loaded models, the likeliest first: that of an earlier panel, then variables, the newest first."""
    before = earlier.model if earlier is not None else None
    variables = [model for _, model in reversed(loaded_models(namespace).values())]
    return [model for model in (before, *variables) if model is not None and model.is_loaded]


def offer_of(run: Any) -> dict[str, str]:
    """Return what a page says of a run that goes on elsewhere."""
    from shadownb.engine.runs import executors

    executor = executors.known_by(run.executor)
    where = "in another kernel" if executor.shares_memory else f"in {executor.where}"
    return {"id": run.id, "text": f"{run.config.method} on {run.base_model} goes on {where}"}


def _trains(model: Any, run: Any) -> bool:
    busy = model.active_run
    return busy is not None and bool(busy.id == run.id)
