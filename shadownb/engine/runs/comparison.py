"""Several runs side by side: only the options that differ, what came out, and the curves together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING, Any

from shadownb.engine import capabilities
from shadownb.engine.displays import on_any_page, table_html, table_text
from shadownb.engine.runs.handle import Run
from shadownb.engine.runs.origin import BASE
from shadownb.engine.runs.results import result_of
from shadownb.errors import CheckpointError, RunError

if TYPE_CHECKING:
    import pandas as pd


def _kilobytes(size: int) -> str:
    return f"{size / 1000:,.0f} KB"


# What is shown of the results: (name in the summary, heading, how a value is written).
_RESULTS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("status", "status", str),
    ("step", "steps", "{:,}".format),
    ("loss", "loss", "{:.4f}".format),
    ("eval_loss", "eval loss", "{:.4f}".format),
    ("elapsed_s", "time", "{:.0f} s".format),
    ("tokens_per_s", "tokens/s", "{:.0f}".format),
    ("peak_memory_gb", "peak memory", "{:.2f} GB".format),
    ("estimated_memory_gb", "estimated", "{:.2f} GB".format),
    ("trained_parameters", "trained weights", "{:,}".format),
    ("weights_bytes", "kept", _kilobytes),
)
_LOSSES = ("loss", "eval_loss")  # what runs of different objectives do not share an axis for
_UNUSED = ""
_LONGEST_LABEL = 24  # characters; longer ones leave a chart no room


class RunComparison:
    """What :func:`shadownb.runs.diff` returns: a table of the runs, in a notebook with a picture for each kind of loss."""

    def __init__(self, runs: list[Run]) -> None:
        if len(runs) < 2:
            raise RunError(f"diff() got {len(runs)} run.", fix="Give at least two run ids.")
        self.runs = runs

    @property
    def differences(self) -> dict[str, list[Any]]:
        """The options in which the runs differ, with each run's value; the base model, the data and the start are among them.

        The start (the base, or the run that was trained on) stands there also where all runs share one that is not the base.
        A run whose method does not use an option has "" there.
        """
        data = {name: self._data(name) for name in ("dataset", "eval_dataset")}
        data["start"] = [run.started_from for run in self.runs]
        trained = [
            {"model": run.base_model, **{name: texts[at] for name, texts in data.items()}, **_trained_with(run)}
            for at, run in enumerate(self.runs)
        ]
        found = {name: [values.get(name, _UNUSED) for values in trained] for name in dict.fromkeys(chain(*trained))}
        trained_on = set(data["start"]) != {BASE}
        return {name: values for name, values in found.items() if _differ(values) or (name == "start" and trained_on)}

    def _data(self, name: str) -> list[str]:
        """Return what each run's rows are called: with the beginning of their hash where others go by the same name."""
        given = [run.folder.spec.get(name) or {} for run in self.runs]
        texts = [f"{one['name']}, {one['rows']:,} rows" if one else "none" for one in given]
        hashes: dict[str, set[str]] = {}
        for text, one in zip(texts, given, strict=True):
            hashes.setdefault(text, set()).add(one.get("sha256", ""))
        return [
            f"{text}, {one['sha256'][:8]}" if len(hashes[text]) > 1 else text
            for text, one in zip(texts, given, strict=True)
        ]

    @property
    def objectives(self) -> list[str]:
        """Which loss each run is trained with; losses of different ones are no numbers of the same thing."""
        specs = [run.config.spec for run in self.runs]
        return [spec.name if spec.guest else spec.objective for spec in specs]

    @property
    def labels(self) -> list[str]:
        """A short name of each run: its method, and the options that tell runs of one method apart; else the ids."""
        named = [run.config.method for run in self.runs]
        options = self.differences
        labels = []
        for at, method in enumerate(named):
            alike = [other for other, name in enumerate(named) if name == method]
            told = [f"{name} {values[at]}" for name, values in options.items() if _differ([values[n] for n in alike])]
            labels.append(", ".join(told if len(alike) == len(named) else [method, *told]))
        fits = len(set(labels)) == len(labels) and max(map(len, labels)) <= _LONGEST_LABEL
        return labels if fits else [run.id for run in self.runs]

    def to_frame(self) -> pd.DataFrame:
        """Return one row a run: the options that differ, then the results (seconds, units of 1e9 bytes, bytes)."""
        import pandas as pd

        results = [self._result(run) for run in self.runs]
        columns = {**self.differences, **{name: [row[name] for row in results] for name, _, _ in _RESULTS}}
        return pd.DataFrame(columns, index=pd.Index([run.id for run in self.runs], name="run"))

    def figure(self, metric: str = "loss", *, smooth: float = 0.6) -> Any:
        """Return a plotly figure with one curve a run; losses of different objectives have axes of their own."""
        from plotly.subplots import make_subplots

        from shadownb.engine.runs.curves import ema

        objectives = self.objectives if metric in _LOSSES else [""] * len(self.runs)
        kinds = list(dict.fromkeys(objectives))
        chart = make_subplots(rows=len(kinds), shared_xaxes=True, vertical_spacing=0.08)
        for run, label, objective in zip(self.runs, self.labels, objectives, strict=True):
            steps, values = run.series(metric)
            row = kinds.index(objective) + 1
            chart.add_scatter(x=steps, y=ema(values, smooth), name=label, mode="lines", row=row, col=1)
        for row, kind in enumerate(kinds, 1):
            chart.update_yaxes(title_text=f"{kind} {metric}" if len(kinds) > 1 else metric, row=row, col=1)
        chart.update_xaxes(title_text="step", row=len(kinds), col=1)
        chart.update_layout(height=260 * len(kinds) + 120, hovermode="x unified")
        return on_any_page(chart)

    def _result(self, run: Run) -> dict[str, Any]:
        size = None
        with contextlib.suppress(CheckpointError):  # it has none
            size = result_of(run.folder, verified=False).weights_bytes
        return {**run.to_dict(), "weights_bytes": size}

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return heads and cells; results that no run has are left out."""
        results = [self._result(run) for run in self.runs]
        shown = [column for column in _RESULTS if any(row[column[0]] is not None for row in results)]
        options = self.differences
        heads = ["run", *options, *(head for _, head, _ in shown)]
        cells = [
            [run.id, *(_option(values[at]) for values in options.values())]
            + ["" if row[name] is None else written(row[name]) for name, _, written in shown]
            for at, (run, row) in enumerate(zip(self.runs, results, strict=True))
        ]
        return heads, cells

    def __repr__(self) -> str:
        return table_text(*self.table())

    def _repr_html_(self) -> str:
        return table_html(*self.table())


def _differ(values: list[Any]) -> bool:
    """Return whether the runs that use an option have different values of it."""
    used = [value for value in values if value != _UNUSED]
    return any(value != used[0] for value in used)


def _trained_with(run: Run) -> dict[str, Any]:
    """Return the options that a run's method uses, as it trained: a carried adapter keeps its shape, a rate is never None."""
    config = run.config
    values = {**config.to_dict(), "learning_rate": config.resolved_learning_rate()}
    recorded = run.state.record.get("config") or {}
    values |= {name: recorded[name] for name in values if recorded.get(name) is not None}
    support = capabilities.supported_fields(config.method, spec=config.spec)
    return {name: value for name, value in values.items() if support.get(name) is None}


def _option(value: Any) -> str:
    return "default" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
