"""What there is to train with: models and hardware, and what a training will cost; all as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shadownb.errors import ModelError

from ._choices import name_of, variables


def model_choices(namespace: Mapping[str, Any], given: Any = None, copy_id: str = "") -> list[dict[str, Any]]:
    """Return the models that can be picked: loaded ones in the notebook first, then aliases."""
    from shadownb.engine import models

    found: list[dict[str, Any]] = []
    if given is not None and name_of(given, namespace) is None:
        found.append({"id": "given", "title": f"{given.name} (loaded)", "group": "Given to this panel"})
    if copy_id:
        title = f"Fresh copy of {copy_id.partition(':')[2]} (loaded)"
        found.append({"id": copy_id, "title": title, "group": "Given to this panel"})
    for name, value in variables(namespace):
        if isinstance(value, models.Model):
            found.append(
                {"id": f"var:{name}", "title": f"{name} ({value.name}, loaded)", "group": "Notebook variables"}
            )
    for info in models.catalog():
        size = f"{info.size_gb:.1f} GB" if info.size_gb else ""
        where = "on this machine" if info.cached else "to download"
        detail = ", ".join(part for part in (size, where) if part)
        found.append(
            {"id": f"alias:{info.name}", "title": f"{info.title} ({detail})", "group": "Catalogue", "note": info.note}
        )
    return found


def loaded_model(choice: str, namespace: Mapping[str, Any], given: Any = None) -> Any:
    """Return the model of a choice that is in memory already. Raises :class:`ModelError` if it is gone."""
    if choice == "given":
        return given
    name = choice.removeprefix("var:")
    if name not in namespace:
        raise ModelError(f"The notebook has no variable {name!r} any more.", fix="Choose the model again.")
    return namespace[name]


# -- loading and cost ----------------------------------------------------------------------------------------------


def load_model(name: str, options: Mapping[str, Any]) -> Any:
    """Load a model as ``shadownb.load`` does."""
    from shadownb.engine import models

    return models.load(name, **options)


def describe_model(model: Any) -> dict[str, Any]:
    """Return what the panel shows of a loaded model, which takes over what a worker process has trained since."""
    model.catch_up()
    return {
        "name": model.name,
        "parameters": model.parameters_total,
        "dtype": model.dtype_name,
        "device": str(model.device),
        "backend": model.backend_name,
        "quantization": model.quantization,
        "max_length": model.max_length,
        "base_hash": model.base_hash[:12],
        "trained": list(model.trained) if model.trained else None,
    }


def estimate(model: Any, config: Any, data: Any, rows: int | None = None, from_base: bool = False) -> dict[str, Any]:
    """Return the estimated memory in GB, line by line, the time in seconds, and what an epoch goes through.

    Parameters
    ----------
    rows
        How many rows are trained on; None is all that can be used.
    from_base
        Whether the training starts from the fresh base, whatever the model carries now.
    """
    from shadownb.engine.estimate import estimate

    found = estimate(model, config, data, rows=rows, from_base=from_base)
    return {
        "lines": [[label, gb] for label, gb in found.lines],
        "low_gb": found.low_gb,
        "expected_gb": found.expected_gb,
        "high_gb": found.high_gb,
        "seconds": found.seconds,
        "fits": found.fits,
        "reason": found.reason,
        "items": found.items,
        "counted": found.counted,
        "template": list(found.template),
        "reach": None if found.reach is None else [found.reach.summary, found.reach.frozen_words],
    }


def find_hardware() -> dict[str, Any]:
    """Return what the machine has: devices (usable or not, with the reason), cores, memory, the recommended one."""
    from shadownb.engine import hardware, registry

    found = hardware.detect()
    return {
        "devices": [
            {
                "kind": device.kind,
                "name": device.name,
                "memory_gb": device.memory_gb,
                "free_memory_gb": device.free_memory_gb,
                "usable": device.usable,
                "reason": device.reason,
            }
            for device in found.devices
        ],
        "backends": list(registry.names("backend")),
        "recommended": found.recommended,
        "reason": found.reason,
        "cores": found.cores,
        "memory_gb": found.memory_gb,
        "free_memory_gb": found.free_memory_gb,
    }
