"""The number by which trials are compared: which one it is, whether less is better, and what a run has of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from shadownb.errors import ConfigError

if TYPE_CHECKING:
    from shadownb.engine.runs.handle import Run

DIRECTIONS = ("minimize", "maximize")
_LESS = ("loss", "perplexity", "memory", "elapsed", "seconds", "kl", "error")
_MORE = ("accuracy", "reward", "score", "margin", "f1", "exact", "tokens_per_s")
_WHICH = (".min", ".max", ".last")


def direction_of(metric: str, given: str | None) -> str:
    """Return ``minimize`` or ``maximize``.

    Raises
    ------
    ConfigError
        It was given otherwise, or was not and the name does not say it.
    """
    if given is not None:
        if given not in DIRECTIONS:
            raise ConfigError(f"direction={given!r}.", fix=f"Choose {' or '.join(map(repr, DIRECTIONS))}.")
        return given
    name = metric.casefold()
    if any(word in name for word in _MORE):
        return "maximize"
    if any(word in name for word in _LESS):
        return "minimize"
    raise ConfigError(
        f"metric={metric!r}: whether less of it is better cannot be told.", fix="direction='minimize' or 'maximize'."
    )


def points_of(run: Run, metric: str) -> list[tuple[int, float]]:
    """Return a metric's values by step, as far as the run has come: of its evaluations, or of its steps.

    Raises
    ------
    ConfigError
        The run has none of that name; the message lists those there are.
    """
    plain = metric.rpartition(".")[0] if metric.endswith(_WHICH) else metric
    rows = run.eval_metrics if plain.startswith("eval") else run.metrics
    found = [(int(row["step"]), float(row[plain])) for row in rows if _is_finite(row.get(plain))]
    if not found and rows:
        names = sorted(
            {name for row in [*run.metrics, *run.eval_metrics] for name, value in row.items() if _is_finite(value)}
        )
        raise ConfigError(f"metric={metric!r}: run {run.id} has no such number.", fix=f"It has {', '.join(names)}.")
    return found


def value_of(points: list[tuple[int, float]], metric: str) -> tuple[int, float] | None:
    """Return (step, value) of a finished run: the last one, or with ``.min`` and ``.max`` the extreme."""
    if not points:
        return None
    if metric.endswith(".min"):
        return min(points, key=lambda point: point[1])
    if metric.endswith(".max"):
        return max(points, key=lambda point: point[1])
    return points[-1]


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
