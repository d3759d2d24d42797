"""The method picker: every registered method as data, read from its spec, the model and the data. Knows none by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shadownb.engine import capabilities, methods
from shadownb.engine.config import TrainConfig
from shadownb.engine.methods.spec import GROUPS
from shadownb.errors import ShadowError

DEFAULT_METHOD = str(TrainConfig.model_fields["method"].default)
_FIRST = (DEFAULT_METHOD, "dpo", "kto", "reward", "grpo")  # of what other panels hand over


def method_choices(
    model: Any = None,
    data_format: str | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    from_base: bool = False,
    backend: str | None = None,
) -> list[dict[str, Any]]:
    """Return every registered method as the picker shows it, those of a group together.

    Parameters
    ----------
    model
        A loaded model; with it the share of trained weights is known.
    data_format
        Format of the chosen data.
    options
        Training options that were set; a rank, say, decides about the share.
    from_base
        Whether the training starts from the fresh base, whatever the model carries now.
    backend
        What a model that is not loaded yet will be loaded with, where that was chosen.
    """
    found = [
        {
            "name": spec.name,
            "title": spec.title,
            "group": GROUPS.get(spec.group, spec.group.capitalize()),
            "hint": spec.hint,
            "data": spec.data_shape,
            "rate": f"{spec.default_learning_rate:g}",
            "rate_source": spec.rate_source,
            "blocked": blocked,
            "share": None if blocked else share_trained(spec, model, options or {}, from_base),
        }
        for spec in methods.available()
        for blocked in (_blocked(spec, model, data_format, from_base, backend),)
    ]
    order = list(GROUPS.values())
    return sorted(found, key=lambda row: order.index(row["group"]) if row["group"] in order else len(order))


def _blocked(spec: Any, model: Any, data_format: str | None, from_base: bool, backend: str | None) -> str | None:
    """Return why a method cannot be chosen; where a switch of the panel would help, by its name and not as code."""
    reason = capabilities.blocked(spec, model, data_format, from_base=from_base, backend_name=backend)
    if reason is not None and model is not None and spec.quantized_base and "quantize=" in reason:
        return f"{reason.partition(';')[0]}; choose the model by its name above, hold the base in 4 bits, and load it"
    return reason


def share_trained(spec: Any, model: Any, options: Mapping[str, Any], from_base: bool = False) -> dict[str, Any] | None:
    """Return ``count`` and ``share`` (0 to 1) of the weights a method trains; None while that isn't known."""
    if model is None or getattr(model, "module", None) is None:
        return None
    try:
        count = model.backend.costs(model, config_for(spec.name, options), from_base=from_base).trainable
    except ShadowError:
        return None
    # Of a model that was trained whole nothing is left that is only the base's.
    return {"count": count, "share": count / max(1, count, model.parameters_total)}


def config_for(method: str, options: Mapping[str, Any]) -> TrainConfig:
    """Return the config of another method with those of the set options that it honours."""
    support = capabilities.supported_fields(method)
    kept = {name: value for name, value in options.items() if name != "method" and support.get(name, "no") is None}
    try:
        return TrainConfig(method=method, **kept)
    except ShadowError:  # the options contradict this method's own defaults
        return TrainConfig(method=method)


def unsupported_fields(method: str, model: Any = None) -> dict[str, str]:
    """Return the options that the method cannot honour on the chosen model's backend, with the reason."""
    where = (model.backend_name,) if model is not None else ()
    return {
        name: reason for name, reason in capabilities.supported_fields(method, *where).items() if reason is not None
    }


def fitting(method: str, data_format: str | None) -> str:
    """Return a method that learns from rows of a format: the given one where it does, else the first that does."""
    if data_format is None or methods.get(method).unfit(data_format) is None:
        return method
    names = [name for name in _FIRST if methods.get(name).unfit(data_format) is None]
    return names[0] if names else method
