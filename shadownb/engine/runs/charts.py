"""Which curves belong into one chart, for figure, snapshot, panel and text alike.

The reducer keeps a curve of every number that a step carries. Those that an objective names have a chart and words of their own;
any other (of a method registered in a cell, say) gets a chart by its name, so that nothing recorded stays unseen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from shadownb.engine import objectives
from shadownb.engine.objectives import Chart

if TYPE_CHECKING:
    from shadownb.engine.runs.state import RunState

# Every method records these; loss is the first chart, the others are not drawn unless asked for.
_SPREAD = "_std"  # what a spread is called beside its mean, with which it shares a chart
COMMON = ("loss", "learning_rate", "grad_norm", "tokens_per_s", "peak_memory_gb")


def _known() -> list[Chart]:
    """Return the charts of all objectives, each once."""
    return list({chart.name: chart for kind in objectives.available() for chart in kind.charts}.values())


def extra_charts(metrics: Iterable[str]) -> list[Chart]:
    """Return the charts beside the common ones for a run that recorded these metrics, known ones first."""
    present = [name for name in metrics if name not in COMMON and not name.startswith("eval_")]
    found = []
    for chart in _known():
        curves = tuple(curve for curve in chart.curves if curve[0] in present)
        if curves:
            # KTO with answers of one verdict has the rewards of one side, and those are no margin.
            title = chart.title if curves[0] == chart.curves[0] else f"{chart.name.capitalize()} ({curves[0][1]})"
            found.append(Chart(chart.name, title, curves, chart.share, chart.first))
    drawn = {name for chart in found for name, _ in chart.curves}
    for name in present:
        if name in drawn or (name.endswith(_SPREAD) and name.removesuffix(_SPREAD) in present):
            continue
        words = name.replace("_", " ")
        spread = ((name + _SPREAD, "spread"),) if name + _SPREAD in present else ()
        found.append(Chart(name, words[:1].upper() + words[1:], ((name, words), *spread)))
    return found


def headlines(state: RunState) -> list[tuple[str, str]]:
    """Return (words, last value as text) of each chart beside the common ones, for one-line descriptions."""
    charts = [(chart, state.last.get(chart.headline)) for chart in extra_charts(state.series)]
    return [(chart.words, chart.text(value)) for chart, value in charts if value is not None]
