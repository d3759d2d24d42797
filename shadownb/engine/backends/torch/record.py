"""What a run's record keeps: what was decided before the first step, and what the trainer truly had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shadownb.engine import estimate, hardware
from shadownb.engine.backends.torch.attention import Packing
from shadownb.engine.backends.torch.pieces import trained_tokens
from shadownb.engine.backends.torch.surfaces import Surface
from shadownb.engine.rendering.examples import Example

if TYPE_CHECKING:
    from shadownb.engine.backends.torch.session import Session


def planned(session: Session, surface: Surface, packing: Packing, rows: list[Example]) -> dict[str, Any]:
    """Return the values of the ``record`` event at the start of an attempt."""
    device, config = session.model.device, session.config
    sequences = [row for example in rows for row in example.rows]
    return {
        "config": config.to_dict(),
        "model": session.model.describe(),
        "trainable_parameters": sum(parameter.numel() for parameter in surface.owned().values()),
        "tokens_in_data": sum(len(row.input_ids) for row in sequences),
        "trained_tokens_in_data": sum(trained_tokens(row) for row in sequences),
        "estimate": estimate.as_dict(estimate.estimate_from(session.model, config, rows, session.total_steps)),
        "hardware": hardware.describe(),
        "versions": hardware.versions(),
        "decisions": {
            "packing": [packing.kind, packing.reason],
            "optimizer": list(hardware.choose_optimizer(config.optim, device)),
            "gradient_checkpointing": list(hardware.choose_checkpointing(config.gradient_checkpointing, device)),
            "template": [session.model.renderer.template_source, session.model.renderer.template_reason],
        },
    }
