"""The numbers of a run, every step and evaluation: as series and as a data frame. Charts of them are in :mod:`.curves`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shadownb.errors import RunError

if TYPE_CHECKING:
    import pandas as pd

    from shadownb.engine.runs.figures import RunFigures

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


def series(run: RunFigures, metric: str) -> tuple[list[int], list[float]]:
    """Return (steps, values) of a metric. Raises RunError where the run has none of that name."""
    rows = run.eval_metrics if metric.startswith("eval_") else run.metrics
    found = [(row["step"], row[metric]) for row in rows if row.get(metric) is not None]
    known = dict.fromkeys((*_METRICS, "eval_loss", *run.state.series))
    if not found and metric not in known:
        raise RunError(f"metric={metric!r} is not recorded.", fix=f"Use one of {', '.join(known)}.")
    return [step for step, _ in found], [value for _, value in found]


def to_frame(run: RunFigures) -> pd.DataFrame:
    """Return steps and evaluations as one data frame, indexed by step."""
    import pandas as pd

    steps = pd.DataFrame(run.metrics).drop(columns=["time", "total_steps"], errors="ignore")
    if steps.empty:
        return pd.DataFrame(columns=list(_METRICS)).rename_axis("step")
    frame = steps.set_index("step")
    evals = run.eval_metrics
    if evals:
        evaluated = pd.DataFrame(evals).set_index("step").filter(regex="^eval_")
        frame = frame.join(evaluated, how="outer")
    return frame
