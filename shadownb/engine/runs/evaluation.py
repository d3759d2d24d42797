"""Losses that train nothing: on the evaluation rows, and of the reference before the first step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from shadownb.engine.rendering.examples import Example

if TYPE_CHECKING:
    from shadownb.engine.objectives import Objective
    from shadownb.engine.ports.training import ExampleSource, TrainingSession
    from shadownb.engine.rendering.packing import Bundle
    from shadownb.engine.runs.services import RunServices


def evaluate(
    session: TrainingSession,
    objective: Objective,
    examples: Sequence[Example],
    services: RunServices,
    source: ExampleSource,
) -> tuple[float, dict[str, float]]:
    """Return the mean loss over the evaluation examples and the objective's metrics there (``eval_...``)."""
    judged = objective.evaluate(source, examples)
    if judged is not None:
        return judged
    loss_sum, total, done = 0.0, 0, 0
    training, objective.since_log = objective.since_log, {}
    at_once = services.config.rows_per_step if objective.unit != "tokens" else len(examples)
    try:
        for start in range(0, len(examples), at_once):
            part = examples[start : start + at_once]
            with services.weights():
                objective.begin(session.ops, part, session.score, held_out=True)
            for loss, count in session.losses(part, objective):
                loss_sum += loss
                done += count
                services.phase("evaluating", done, len(examples), "rows")
            total += objective.count(part)
        metrics = {f"eval_{name}": round(value, 6) for name, value in objective.metrics().items()}
    finally:
        objective.since_log = training
    return loss_sum / max(1, total), metrics


def prepare_objective(
    session: TrainingSession,
    objective: Objective,
    source: ExampleSource,
    rows: Sequence[Example],
    held_out: Sequence[Example],
    services: RunServices,
) -> None:
    """Let the objective look at the examples with the weights of the start, evaluation examples too."""

    def told(bundles: Sequence[Bundle]) -> Iterator[tuple[list[int], Any]]:
        done = 0
        for numbers, sums in session.score(bundles):
            yield numbers, sums
            done += len(numbers)
            services.phase("computing reference", done, len(bundles), objective.unit)

    if rows:
        objective.prepare(session.ops, rows, told, needed=source.known(services.total_steps), held_out=False)
    if held_out:
        objective.prepare(session.ops, held_out, told, needed=range(len(held_out)), held_out=True)
