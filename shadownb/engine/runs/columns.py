"""All that a table can show of one run, as JSON: its summary, the options that were chosen, metrics, data and marks."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import Any

from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.handle import Run
from shadownb.engine.runs.marks import Marks, read_marks
from shadownb.errors import RunError, ShadowError

Row = dict[str, Any]
# Numbers of each step that say nothing of a run once it is over.
_PASSING = frozenset({"step", "total_steps", "time", "eta_s", "epoch"})


def read_columns(run: RunFolder) -> Row | None:
    """Return the columns of a run, or None where its folder cannot be read.

    The keys are those of :meth:`Run.to_dict`, and ``data`` and ``eval_data`` (names), ``rows``, ``options`` (those that were
    given, and what they became where the record says so), ``metrics`` (by name: last, lowest, highest) and ``marks``.
    """
    reading = Run(run)
    try:
        spec, config, state = run.spec, reading.config, reading.state
        record = state.record.get("config") or {}
        values = {**config.to_dict(), **{name: value for name, value in record.items() if value is not None}}
        given = sorted({*config.model_fields_set, *config.changed, "learning_rate", *record} & values.keys())
        metrics = {
            name: [_number(series.last), _number(series.lowest), _number(series.highest)]
            for name, series in state.series.items()
            if name not in _PASSING and series.last is not None
        }
        if state.evals.last is not None:
            metrics["eval_loss"] = [
                _number(state.evals.last),
                _number(state.evals.lowest),
                _number(state.evals.highest),
            ]
        return {
            **reading.to_dict(),
            "data": (spec.get("dataset") or {}).get("name", ""),
            "rows": (spec.get("dataset") or {}).get("rows"),
            "eval_data": (spec.get("eval_dataset") or {}).get("name", ""),
            "options": {name: values[name] for name in given if name != "method" and _is_shown(values[name])},
            "metrics": metrics,
            "marks": marks_of(run),
        }
    except (ShadowError, OSError, KeyError, TypeError, ValueError):  # one damaged folder must not hide the others
        return None


def marks_of(run: RunFolder) -> dict[str, Any]:
    """Return a run's marks as JSON; of damaged ones none."""
    found = Marks()
    with contextlib.suppress(RunError):
        found = read_marks(run)
    return {**asdict(found), "tags": list(found.tags)}


def unreadable(run: RunFolder) -> Row:
    """Return the row of a run whose folder cannot be read."""
    return {
        "id": run.id,
        "status": "unreadable",
        "created_at": None,
        "options": {},
        "metrics": {},
        "marks": marks_of(run),
    }


def _number(point: tuple[int, float] | None) -> float | None:
    return None if point is None else float(point[1])


def _is_shown(value: Any) -> bool:
    return isinstance(value, str | int | float | bool) or (
        isinstance(value, list) and all(isinstance(each, str | int | float) for each in value)
    )
