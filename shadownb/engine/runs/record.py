"""What a run's record keeps of what was decided before the first step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shadownb.engine import acceleration, capabilities, estimate, hardware
from shadownb.engine.estimate import Estimate
from shadownb.engine.ports.training import Plan, TrainingSession
from shadownb.engine.rendering.examples import Example

_MISSED, _MISSED_GB = (
    0.15,
    0.1,
)  # a share of the estimate, and least difference: a kernel's own ups and downs are no miss

if TYPE_CHECKING:
    from shadownb.engine.runs.services import RunServices


def plan_of(services: RunServices, session: TrainingSession, rows: list[Example]) -> tuple[Plan, Estimate]:
    """Return what the run asks its training for, and the memory and time it is expected to take."""
    model, config = services.model, session.config
    model.backend.empty_cache()  # what loading and chats left would be held, and counted, beside what the run needs
    plain = config.replace(gradient_checkpointing="off")
    found = estimate.estimate_from(model, plain, rows, services.total_steps)
    known = acceleration.facts(model.backend, str(model.device), model.dtype_name)
    in_use = sum(gb for line, gb in found.lines if line in estimate.IN_USE_ALREADY)
    plan = acceleration.plan(
        model.accelerator,
        config.optim,
        config.gradient_checkpointing,
        trained=session.trained_parameters,
        needed_gb=max(0.0, found.expected_gb - in_use),
        known=known,
    )
    if plan.checkpointing[0]:
        recomputing = config.replace(gradient_checkpointing="on")
        found = estimate.estimate_from(model, recomputing, rows, services.total_steps)
    return plan, found


def tell_missed(services: RunServices, session: TrainingSession, expected: Estimate) -> None:
    """Note how far the measured peak is from the estimate; warn where more was needed than an error of that size may hide."""
    peak = session.peak_memory_gb
    if not peak or not expected.expected_gb:
        return
    off = peak / expected.expected_gb - 1
    noted = {**estimate.as_dict(expected), "measured_gb": round(peak, 3), "off": round(off, 3)}
    services.journal.append("record", values={"estimate": noted})
    if off > _MISSED and peak - expected.expected_gb > _MISSED_GB:
        services.warn(
            f"The run took {peak:.2f} GB, {100 * off:.0f} % more than the {expected.expected_gb:.2f} GB that were estimated.",
            why="What other cells of this kernel hold is measured as well; the record has the estimate line by line.",
            fix="Count on the measured value for runs like this one.",
            code="memory-over-estimate",
        )


def planned(
    services: RunServices, session: TrainingSession, rows: list[Example], plan: Plan, expected: Estimate
) -> dict[str, Any]:
    """Return the values of the ``record`` event at the start of an attempt."""
    model = services.model
    sequences = [row for example in rows for row in example.rows]
    return {
        "config": session.config.to_dict(),
        "model": model.describe(),
        "trainable_parameters": session.trained_parameters,
        "tokens_in_data": sum(len(row.input_ids) for row in sequences),
        "trained_tokens_in_data": sum(row.predicted_tokens for row in sequences),
        "reach": expected.reach.to_dict() if expected.reach is not None else None,
        "estimate": estimate.as_dict(expected),
        "hardware": hardware.describe(model.backend_name),
        "versions": hardware.versions(),
        "decisions": {
            **{name: list(decision) for name, decision in session.decisions().items()},
            **plan.to_dict(),
            "attention": list(model.decisions["attention"]),
            "quantization": list(model.decisions["quantization"]),
            "template": [model.renderer.template_source, model.renderer.template_reason],
        },
    }


def planned_of_guest(services: RunServices, session: TrainingSession) -> dict[str, Any]:
    """Return the same of a run that a guest trains: what is planned there is the guest's, so nothing is promised of it."""
    model = services.model
    return {
        "config": session.config.to_dict(),
        "model": model.describe(),
        "trainable_parameters": session.trained_parameters,
        "estimate": None,
        "hardware": hardware.describe(model.backend_name),
        "versions": hardware.versions(),
        "resume": capabilities.resume_means(session.config.spec),
        "decisions": {
            "attention": list(model.decisions["attention"]),
            "quantization": list(model.decisions["quantization"]),
            "template": [model.renderer.template_source, model.renderer.template_reason],
        },
    }
