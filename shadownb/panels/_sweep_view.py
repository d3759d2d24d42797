"""What the Sweep panel shows of a sweep: its table, parallel coordinates, importance and the best trial."""

from __future__ import annotations

import math
from typing import Any

from shadownb.engine.config_fields import config_fields
from shadownb.engine.sweeps.space import from_json, in_words
from shadownb.engine.sweeps.sweep import Sweep
from shadownb.errors import MissingDependencyError

from ._runs_table import cell, title_of

_NOT_OFFERED = frozenset(
    {
        "executor",
        "queue",
        "notify",
        "report_to",
        "resume_from_checkpoint",
        "sample_prompts",
        "logging_steps",
        "max_steps",
    }
)
_WORDS = {
    "succeeded": "Done",
    "running": "Running",
    "pruned": "Given up",
    "diverged": "Diverged",
    "failed": "Failed",
    "stopped": "Stopped",
}


def options_offered() -> list[dict[str, str]]:
    """Return the options that can be swept: numbers and choices, with their help."""
    return [
        {"name": field.name, "title": title_of(field.name), "help": field.help, "choices": ", ".join(field.listed)}
        for field in config_fields()
        if field.kind in ("int", "float", "choice", "bool") and field.name not in _NOT_OFFERED
    ]


def listed(sweep: Sweep) -> dict[str, Any]:
    """Return a sweep as a line of the list."""
    state = sweep.state
    return {"name": sweep.name, "status": state.status, "done": len(state.finished), "trials": sweep.spec["trials"]}


def shown(sweep: Sweep) -> dict[str, Any]:
    """Return a sweep in full."""
    state, rows, spec = sweep.state, sweep.table(), sweep.spec
    options = list(spec["space"])
    ended = [row for row in rows if _is_number(row[sweep.metric])]
    best = min(
        (row for row in ended if row["state"] == "succeeded"),
        key=lambda row: row[sweep.metric] * (1 if spec["direction"] == "minimize" else -1),
        default=None,
    )
    importance, why = _importance(sweep)
    return {
        "name": sweep.name,
        "status": state.status,
        "metric": sweep.metric,
        "metric_title": title_of(sweep.metric),
        "better": "less" if spec["direction"] == "minimize" else "more",
        "counts": [[_WORDS.get(name, name), count] for name, count in sweep.counts.items()],
        "done": len(state.finished),
        "trials": spec["trials"],
        "note": state.note,
        "error": state.error or {},
        "space": [[title_of(name), in_words(axis)] for name, axis in from_json(spec["space"]).items()],
        "facts": [
            ["Sampler", ": ".join(filter(None, spec["decisions"]["sampler"]))],
            ["Given up early", ": ".join(filter(None, spec["decisions"]["pruner"]))],
            ["Data", f"{spec['dataset']['name']}, {spec['dataset']['rows']:,} rows"],
            ["Model", spec["model"]["name"]],
            ["Seed", str(spec["seed"])],
        ],
        "heads": [title_of(name) for name in options],
        "rows": [
            {
                "trial": row["trial"],
                "state": row["state"],
                "words": _WORDS.get(row["state"], row["state"]),
                "run": row["run"],
                "cells": [cell(name, row[name]) for name in options],
                "value": cell(sweep.metric, row[sweep.metric]),
                "step": cell("step", row["step"]),
                "time": cell("elapsed_s", row["seconds"]),
                "error": row["error"],
                "best": best is not None and row["trial"] == best["trial"],
            }
            for row in rows
        ],
        "ids": [row["run"] for row in ended],
        "labels": [f"trial {row['trial']}" for row in ended],
        "parallel": _axes(ended, [*options, sweep.metric]),
        "importance": [[title_of(name), share] for name, share in importance.items()],
        "importance_why": why,
        "best": {"trial": best["trial"], "run": best["run"]} if best is not None else {},
    }


def _importance(sweep: Sweep) -> tuple[dict[str, float], str]:
    try:
        found = sweep.importance
    except MissingDependencyError as error:
        return {}, f"{error.what} {error.fix}"
    return found, "" if found else "Shown once four trials have different values."


def _axes(rows: list[dict[str, Any]], names: list[str]) -> list[dict[str, Any]]:
    """Return the axes of parallel coordinates; texts and choices as places in the order of their first trial."""
    axes: list[dict[str, Any]] = []
    for name in names:
        values = [row[name] for row in rows]
        if all(_is_number(value) for value in values):
            axes.append({"title": title_of(name), "values": values, "ticks": None})
        else:
            texts = list(dict.fromkeys(map(str, values)))
            axes.append(
                {"title": title_of(name), "values": [texts.index(str(each)) for each in values], "ticks": texts}
            )
    return axes


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
