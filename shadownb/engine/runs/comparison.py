"""Several runs side by side: only the options that differ, the results, and the curves in one figure."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from shadownb.engine.runs.handle import Run
from shadownb.errors import RunError

if TYPE_CHECKING:
    import pandas as pd

_RESULTS = ("status", "model", "step", "loss", "eval_loss", "elapsed_s", "tokens_per_s", "peak_memory_gb")


class RunComparison:
    """What :func:`shadownb.runs.compare` returns."""

    def __init__(self, runs: list[Run]) -> None:
        if len(runs) < 2:
            raise RunError(f"compare() got {len(runs)} run.", fix="Give at least two run ids.")
        self.runs = runs

    @property
    def differences(self) -> dict[str, list[Any]]:
        """The options in which the runs differ, with each run's value."""
        configs = [run.config.to_dict() for run in self.runs]
        return {
            name: [config[name] for config in configs]
            for name in configs[0]
            if any(config[name] != configs[0][name] for config in configs[1:])
        }

    def to_frame(self) -> pd.DataFrame:
        """Return one column a run: differing options, then results."""
        import pandas as pd

        return pd.DataFrame(self._rows(), index=[run.id for run in self.runs]).T

    def figure(self, metric: str = "loss", *, smooth: float = 0.6) -> Any:
        """Return a plotly figure with one curve a run."""
        import plotly.graph_objects as go

        from shadownb.engine.runs.curves import ema

        chart = go.Figure()
        for run in self.runs:
            steps, values = run.series(metric)
            chart.add_scatter(x=steps, y=ema(values, smooth), name=run.id, mode="lines")
        chart.update_layout(xaxis_title="step", yaxis_title=metric, height=380, hovermode="x unified")
        return chart

    def _rows(self) -> dict[str, list[Any]]:
        summaries = [run.to_dict() for run in self.runs]
        return {**self.differences, **{name: [summary[name] for summary in summaries] for name in _RESULTS}}

    def __repr__(self) -> str:
        lines = ["  ".join(["".ljust(30), *(run.id.ljust(30) for run in self.runs)])]
        lines += [
            "  ".join([name.ljust(30), *(str(value).ljust(30) for value in values)])
            for name, values in self._rows().items()
        ]
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col">{html.escape(run.id)}</th>' for run in self.runs)
        body = "".join(
            f'<tr><th scope="row" style="text-align:left">{html.escape(name)}</th>'
            + "".join(f"<td>{html.escape(str(value))}</td>" for value in values)
            + "</tr>"
            for name, values in self._rows().items()
        )
        return f'<table style="color:inherit"><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>'
