"""The numbers of a run: every step and evaluation, as lists, series, a data frame, charts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shadownb.engine.runs.reading import RunReading
from shadownb.engine.runs.view import read_metrics
from shadownb.errors import RunError

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

_METRICS = (
    "loss",
    "learning_rate",
    "grad_norm",
    "epoch",
    "elapsed_s",
    "tokens",
    "tokens_per_s",
    "peak_memory_gb",
    "eta_s",
)


class RunMetrics(RunReading):
    """What a :class:`Run` recorded while it trained."""

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """Every reported step: loss, learning_rate, grad_norm, epoch, elapsed_s, tokens, tokens_per_s, peak_memory_gb, eta_s.

        Preference methods add rewards_chosen, rewards_rejected and rewards_margin, dpo also rewards_accuracy (0 to 1).
        """
        return read_metrics(self.folder.events)[0]

    @property
    def eval_metrics(self) -> list[dict[str, Any]]:
        """Every evaluation: step, eval_loss, seconds, and what the method adds (all names begin with ``eval_``)."""
        return read_metrics(self.folder.events)[1]

    def losses(self) -> list[float]:
        """Return the training loss of every reported step."""
        return [m["loss"] for m in self.metrics if m.get("loss") is not None]

    def series(self, metric: str = "loss") -> tuple[list[int], list[float]]:
        """Return (steps, values) of a metric of the steps, or of the evaluations (``eval_loss``).

        Raises
        ------
        RunError
            The run has no such metric.
        """
        rows = self.eval_metrics if metric.startswith("eval_") else self.metrics
        found = [(row["step"], row[metric]) for row in rows if row.get(metric) is not None]
        known = dict.fromkeys((*_METRICS, "eval_loss", *self.state.series))
        if not found and metric not in known:
            raise RunError(f"metric={metric!r} is not recorded.", fix=f"Use one of {', '.join(known)}.")
        return [step for step, _ in found], [value for _, value in found]

    def smoothed(self, weight: float = 0.9, metric: str = "loss") -> list[float]:
        """Return a metric's exponential moving average (bias-corrected)."""
        from shadownb.engine.runs.curves import ema

        return ema(self.series(metric)[1], weight)

    def to_frame(self) -> pd.DataFrame:
        """Return steps and evaluations as one data frame, indexed by step."""
        import pandas as pd

        steps = pd.DataFrame(self.metrics).drop(columns=["time", "total_steps"], errors="ignore")
        if steps.empty:
            return pd.DataFrame(columns=list(_METRICS)).rename_axis("step")
        frame = steps.set_index("step")
        evals = self.eval_metrics
        if evals:
            evaluated = pd.DataFrame(evals).set_index("step").filter(regex="^eval_")
            frame = frame.join(evaluated, how="outer")
        return frame

    def figure(
        self,
        metric: str | None = None,
        *,
        smooth: float | None = None,
        log: bool = False,
        window: int | None = None,
        clip: float | None = None,
    ) -> go.Figure:
        """Return a plotly figure: one metric, or loss and what else the method is watched by, with evaluations.

        ``smooth`` and ``log`` are for the first chart, ``window`` and ``clip`` for all; see :meth:`plot`.
        """
        from shadownb.engine.runs.curves import figure, smoothing

        return figure(self, metric, smooth=smoothing(smooth, metric), log=log, window=window, clip=clip)

    def plot(
        self,
        metric: str = "loss",
        *,
        smooth: float | None = None,
        width: int = 60,
        height: int = 10,
        window: int | None = None,
        log: bool = False,
        clip: float | None = None,
    ) -> str:
        """Return a metric as a text chart.

        Parameters
        ----------
        smooth
            Weight of the exponential moving average drawn over the points, 0 (none) to below 1; None is 0.6 for the
            loss and 0 for anything else.
        width, height
            In characters.
        window
            Only the last so many points.
        log
            Logarithmic scale; points at or below 0 are left out.
        clip
            Share of the points, 0 to 1, that the scale has to show; those above are drawn at its edge.
        """
        from shadownb.engine.runs.curves import smoothing, text_chart

        return text_chart(
            *self.series(metric),
            title=f"{metric} of {self.id}",
            width=width,
            height=height,
            smooth=smoothing(smooth, metric),
            window=window,
            log=log,
            clip=clip,
        )

    def sparkline(self) -> str:
        """Return the loss as one line of block characters."""
        from shadownb.engine.runs.curves import sparkline

        return sparkline(self.state.series["loss"].values if "loss" in self.state.series else [])
