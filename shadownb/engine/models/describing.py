"""What a model says of itself in a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shadownb.engine.displays import facts_html

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel


def as_text(model: LoadedModel) -> str:
    """Return a line: name, size, number format, place, and which weights answer."""
    if not model.is_loaded:
        return f"Model({model.name!r}, unloaded)"
    size = model.parameters_total / 1e6
    quantised = f", {model.quantization}" if model.quantization else ""
    asked = f"; asked from {model.trained_on.headline()}" if model.trained_on is not None else ""
    place = f"{model.dtype_name} on {model.device.type}{quantised}"
    return f"Model({model.name!r}, {size:.0f}M weights, {place}; {model.answering}{asked})"


def as_html(model: LoadedModel) -> str:
    """Return a table of facts, the decisions with their reasons."""
    if not model.is_loaded:
        return facts_html(f"Model {model.name}", {"state": "unloaded"})
    asked = model.trained_on.headline() if model.trained_on is not None else ""
    resident = model.weights.resident
    taken = sum(adapter.bytes for adapter in resident) / 1e6
    beside = f"{len(resident)} adapters, {taken:,.1f} MB: {', '.join(a.name for a in resident)}" if resident else ""
    return facts_html(
        f"Model {model.name}",
        {
            "weights": f"{model.parameters_total / 1e6:.1f} million",
            "device": f"{model.decisions['device'][0]} ({model.decisions['device'][1]})",
            "number format": f"{model.quantization or model.dtype_name} ({model.decisions['dtype'][1]})",
            "chat template": f"{model.renderer.template_source} ({model.renderer.template_reason})",
            **{name: str(value) for name, value in model.renderer.variables.items()},
            "answers with": model.answering,
            **({"asked from": asked} if asked else {}),
            **({"beside it": beside} if beside else {}),
        },
    )
