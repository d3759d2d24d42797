"""What the Runs panel shows of runs: cells of a table, one run in full, several side by side with their curves."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from typing import Any

from shadownb.engine.runs.columns import Row
from shadownb.engine.runs.comparison import RunComparison
from shadownb.engine.runs.curves import ema
from shadownb.engine.runs.handle import Run
from shadownb.engine.runs.searching import value_of
from shadownb.engine.runs.state import ACTIVE
from shadownb.errors import ConfigError

from ._snapshot import STATUS_WORDS

DEFAULT_COLUMNS = ("method", "model", "data", "loss", "eval_loss", "elapsed_s", "created_at")
TITLES = {
    "created_at": "Launched",
    "started_at": "Began",
    "ended_at": "Ended",
    "elapsed_s": "Time",
    "tokens_per_s": "Tokens/s",
    "peak_memory_gb": "Peak memory",
    "estimated_memory_gb": "Estimated memory",
    "trained_parameters": "Trained weights",
    "started_from": "Started from",
    "eval_loss": "Eval loss",
    "eval_data": "Eval data",
    "total_steps": "Steps planned",
}
_LONGEST_CELL = 60  # characters
_MOST_POINTS = 300  # of a curve that lies over others
_PASSING = ("time", "elapsed_s", "eta_s", "epoch", "step", "total_steps")  # axes, not curves
AXES = {"step": "step", "tokens": "tokens", "time": "elapsed_s"}
# Nothing to compare by: names, times and what only identifies.
_NO_COLUMN = frozenset({"id", "status", "best", "reach", "erased", "parent"})


def title_of(key: str) -> str:
    """Return a column's heading."""
    plain, _, which = key.rpartition(".") if key.endswith((".min", ".max", ".last")) else (key, "", "")
    words = TITLES.get(plain, plain.replace("_", " ").capitalize())
    return f"{words}, {({'min': 'lowest', 'max': 'highest', 'last': 'last'})[which]}" if which else words


def columns_known(keys: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Return the columns that can be shown, in groups: ``{title, columns: [{key, title}]}``."""
    metrics = [f"{name}{which}" for name in keys["metrics"] for which in ("", ".min", ".max")]
    groups = (
        ("Run", [key for key in keys["summary"] if key not in _NO_COLUMN]),
        ("Options", keys["options"]),
        ("Metrics", [key for key in metrics if key not in keys["summary"]]),
    )
    return [
        {"title": title, "columns": [{"key": key, "title": title_of(key)} for key in found]}
        for title, found in groups
        if found
    ]


def line_of(row: Row, columns: Sequence[str]) -> dict[str, Any]:
    """Return a run as a line of the table."""
    step, total = row.get("step"), row.get("total_steps")
    return {
        "id": row["id"],
        "status": row["status"],
        "words": STATUS_WORDS.get(row["status"], row["status"]),
        "live": row["status"] in ACTIVE,
        "share": min(1.0, step / total) if step is not None and total else None,
        "pinned": row["marks"]["pinned"],
        "archived": row["marks"]["archived"],
        "tags": row["marks"]["tags"],
        "note": row["marks"]["note"][:_LONGEST_CELL],
        "cells": [cell(key, value_of(row, key)) for key in columns],
    }


def cell(key: str, value: Any) -> str:
    """Return a value as text, with its unit; "" where there is none."""
    if value is None or value == "":
        return ""
    if key.endswith("_at") and isinstance(value, int | float):
        return datetime.datetime.fromtimestamp(value).strftime("%d %b %Y %H:%M")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))[:_LONGEST_CELL]
    if isinstance(value, int | float):
        return _number(key, value)
    text = str(value)
    return text if len(text) <= _LONGEST_CELL else f"…{text[1 - _LONGEST_CELL :]}"


def _number(key: str, value: float) -> str:
    if key.endswith("elapsed_s"):
        minutes, seconds = divmod(round(value), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{value:.1f} s"
    if key.endswith("_gb"):
        return f"{value:.2f} GB"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def run_in_full(run: Run, rows: Mapping[str, Row]) -> dict[str, Any]:
    """Return one run: what it began from, what began from it, data, options that were chosen, marks."""
    row = rows[run.id]
    children = [each["id"] for each in rows.values() if run.id in (each.get("parent"), _start_of(each))]
    facts = {
        "Status": STATUS_WORDS.get(row["status"], row["status"]),
        "Model": row.get("model", ""),
        "Data": f"{row.get('data', '')}, {row['rows']:,} rows" if row.get("rows") is not None else row.get("data", ""),
        "Eval data": row.get("eval_data", ""),
        "Began with": row.get("started_from", ""),
        "Folder": str(run.path),
    }
    return {
        "id": run.id,
        "facts": [[name, str(value)] for name, value in facts.items() if value],
        "options": [[name, cell(name, value)] for name, value in row["options"].items()],
        "metrics": [
            [title_of(name), *(cell(name, value) for value in found)] for name, found in row["metrics"].items()
        ],
        "parent": row["parent"] if row.get("parent") in rows else "",
        "children": children,
        "erased": bool(row.get("erased")),
        "tags": row["marks"]["tags"],
        "note": row["marks"]["note"],
        "pinned": row["marks"]["pinned"],
        "archived": row["marks"]["archived"],
        "live": row["status"] in ACTIVE,
    }


def _start_of(row: Row) -> str:
    return str(row.get("started_from") or "").partition(" ")[0]


def side_by_side(runs: Sequence[Run], rows: Mapping[str, Row]) -> dict[str, Any]:
    """Return several runs: only the options that differ, results, and the numbers for parallel coordinates."""
    comparison = RunComparison(list(runs))
    heads, lines = comparison.table()
    options = list(comparison.differences)
    return {
        "ids": [run.id for run in runs],
        "labels": comparison.labels,
        "differences": [[name, *(line[at] for line in lines)] for at, name in enumerate(heads) if name in options],
        "results": [
            [name, *(line[at] for line in lines)] for at, name in enumerate(heads) if at and name not in options
        ],
        "metrics": metrics_of([rows[run.id] for run in runs]),
        "parallel": parallel(comparison.differences, [rows[run.id] for run in runs]),
    }


def metrics_of(rows: Sequence[Row]) -> list[str]:
    """Return the metrics that some of the runs have, losses first."""
    names = dict.fromkeys(name for row in rows for name in row["metrics"] if name not in _PASSING)
    first = [name for name in ("loss", "eval_loss") if name in names]
    return [*first, *(name for name in names if name not in first)]


def parallel(differences: Mapping[str, list[Any]], rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the axes: options that differ, then losses; texts as places in the order of their first run."""
    axes = []
    for name, values in differences.items():
        if all(_is_number(value) for value in values):
            axes.append({"title": title_of(name), "values": values, "ticks": None})
        else:
            texts = list(dict.fromkeys(map(str, values)))
            places = [texts.index(str(value)) for value in values]
            axes.append({"title": title_of(name), "values": places, "ticks": [text[-24:] or "--" for text in texts]})
    for name in ("loss", "eval_loss"):
        values = [value_of(row, name) for row in rows]
        if all(_is_number(value) for value in values) and len(set(values)) > 1:
            axes.append({"title": title_of(name), "values": values, "ticks": None})
    return axes


def _is_number(value: Any) -> bool:
    """Whether it can stand on an axis; the loss of a run that diverged cannot."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def curves_of(runs: Sequence[Run], labels: Sequence[str], metric: str, axis: str, smoothing: float) -> dict[str, Any]:
    """Return curves to lie over each other.

    Parameters
    ----------
    metric
        Its name in the journal, such as ``loss``.
    axis
        ``step``, ``tokens`` (trained so far) or ``time`` (seconds of training).
    smoothing
        From 0 to below 1.

    Raises
    ------
    ConfigError
        There is no such axis.
    """
    if axis not in AXES:
        raise ConfigError(f"axis={axis!r}: there are {', '.join(AXES)}.")
    return {
        "metric": metric,
        "title": title_of(metric),
        "axis": axis,
        "smoothing": smoothing,
        "lines": [
            {"id": run.id, "label": label, **_line(run, metric, axis, smoothing)}
            for run, label in zip(runs, labels, strict=True)
        ],
    }


def _line(run: Run, metric: str, axis: str, smoothing: float) -> dict[str, list[float]]:
    steps = run.metrics
    listed = run.eval_metrics if metric.startswith("eval") else steps
    places = {each["step"]: each.get(AXES[axis]) for each in steps}
    found = [
        (float(at), float(each[metric]))
        for each in listed
        if _is_number(each.get(metric)) and (at := places.get(each["step"])) is not None
    ]
    values = ema([value for _, value in found], smoothing)
    stride = -(-len(found) // _MOST_POINTS) or 1
    kept = range(len(found) - 1, -1, -stride)[::-1]  # with the last point
    return {"x": [found[at][0] for at in kept], "y": [round(values[at], 6) for at in kept]}
