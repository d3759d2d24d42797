"""A run's numbers by step: as lists, as a data frame, as curves that are drawn (:mod:`.metrics`, :mod:`.curves`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shadownb.engine.runs import curves, metrics
from shadownb.engine.runs.standing import RunStanding
from shadownb.engine.runs.view import Metric, read_metrics

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


class RunFigures(RunStanding):
    """How a run stands and how it came there; see :class:`~shadownb.engine.runs.handle.Run`."""

    @property
    def metrics(self) -> list[Metric]:
        """Every logged step as a :class:`Metric`: loss, learning_rate, grad_norm, epoch, elapsed_s, tokens, tokens_per_s, ...

        Preference methods add rewards_chosen, rewards_rejected and rewards_margin; dpo also adds rewards_accuracy (0 to 1).
        """
        return read_metrics(self.folder.events)[0]

    @property
    def eval_metrics(self) -> list[Metric]:
        """Every evaluation as a :class:`Metric`: step, eval_loss, seconds, and what the method adds (``eval_...``)."""
        return read_metrics(self.folder.events)[1]

    def losses(self) -> list[float]:
        """Return the training loss of every logged step."""
        return [m["loss"] for m in self.metrics if m.get("loss") is not None]

    def series(self, metric: str = "loss") -> tuple[list[int], list[float]]:
        """Return (steps, values) of a metric, of the training steps or of the evaluations (``eval_loss``).

        Raises
        ------
        RunError
            The run has no such metric.

        Examples
        --------
        >>> steps, losses = run.series("loss")
        >>> steps[-1], losses[-1] < losses[0]
        (40, True)
        >>> run.series("eval_loss")[0]
        [20, 40]
        """
        return metrics.series(self, metric)

    def to_frame(self) -> pd.DataFrame:
        """Return steps and evaluations as one pandas DataFrame, indexed by step."""
        return metrics.to_frame(self)

    def figure(
        self,
        metric: str | None = None,
        *,
        smooth: float | None = None,
        log: bool = False,
        window: int | None = None,
        clip: float | None = None,
    ) -> go.Figure:
        """Return a plotly figure of one metric, or of the loss and the method's other charts, with evaluations.

        ``smooth`` and ``log`` apply to the first chart, ``window`` and ``clip`` to all; :meth:`plot` explains them.

        Examples
        --------
        >>> figure = run.figure("loss", smooth=0.6, log=True)
        >>> [trace.name for trace in figure.data]
        ['loss', 'loss, smoothed']
        """
        return curves.figure(self, metric, smooth=curves.smoothing(smooth, metric), log=log, window=window, clip=clip)

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
            Smoothing of the line, as the weight of an exponential moving average: 0 (none) to below 1. None is 0.6 for
            the loss and 0 for other metrics.
        width, height
            Size in characters.
        window
            How many of the newest points to draw; None draws all.
        log
            Use a logarithmic scale; points at or below 0 are left out.
        clip
            The fraction of points, 0 to 1, that the scale has to cover; higher points are drawn at its edge.

        Examples
        --------
        >>> print(run.plot("loss", width=40, height=4))
        loss of ..., • smoothed
             6... ┤••••...
        ...
                   └────────────────────────────────────────
              step  1 to 40
        """
        return curves.text_chart(
            *self.series(metric),
            title=f"{metric} of {self.id}",
            width=width,
            height=height,
            smooth=curves.smoothing(smooth, metric),
            window=window,
            log=log,
            clip=clip,
        )
