"""What a step reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shadownb.engine.runs.loop import Loop


def step_metrics(loop: Loop, norm: float | None, rate: float, speed: float) -> dict[str, Any]:
    """Return the numbers of the step just done; loss and the objective's metrics are means since the last report.

    Parameters
    ----------
    norm
        Of the gradient before clipping; None where the step was skipped.
    speed
        Tokens a second of this step.
    """
    progress, total = loop.progress, loop.services.total_steps
    losses, progress.loss_since_log = progress.loss_since_log, []
    remaining = total - progress.step
    eta = loop.clock.seconds_to_go(remaining, remaining // loop.services.eval_steps)
    return {
        "step": progress.step,
        "total_steps": total,
        "loss": sum(losses) / len(losses),
        "learning_rate": rate,
        "grad_norm": norm,
        "epoch": round(loop.source.epoch(progress.step), 4),
        "elapsed_s": round(progress.elapsed_s, 3),
        "tokens": progress.tokens,
        "tokens_per_s": round(speed, 2),
        "peak_memory_gb": round(loop.session.peak_memory_gb, 4),
        "eta_s": None if eta is None else round(eta, 1),
        **({"skipped_steps": progress.skipped_steps} if loop.session.may_skip else {}),
        **{name: round(value, 6) for name, value in loop.objective.metrics().items()},
    }
