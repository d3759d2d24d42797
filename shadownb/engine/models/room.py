"""Whether memory has room for a model before it is loaded, and which models could be taken out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shadownb.engine import hardware
from shadownb.engine.models.catalog import find
from shadownb.engine.models.sources import resolve

if TYPE_CHECKING:
    from shadownb.engine.models.model import Model

_QUANTIZED = {"4bit": 1 / 3, "8bit": 0.6}  # of the 16-bit weights: scales and embeddings stay as they are


@dataclass(frozen=True)
class Shortage:
    """What is missing.

    Attributes
    ----------
    needed_gb, free_gb
        About what loading takes, and what is free where the model would lie; units of 1e9 bytes.
    offers
        Keys of loaded models that may be unloaded, the largest first: no run trains them, and they are not pinned.
    enough
        Whether unloading all of them would make room.
    """

    needed_gb: float
    free_gb: float
    offers: tuple[str, ...]
    enough: bool


def shortage(name: str, options: Mapping[str, Any], held: Mapping[str, Model]) -> Shortage | None:
    """Return what memory is short of before a model is loaded; None if it has room, or nothing is known of the model's size.

    Parameters
    ----------
    name
        As ``load`` takes it.
    options
        Of ``load``: ``device``, ``quantize``, ``dtype``.
    held
        The models in memory, by any key.
    """
    info = find(name)
    size = info.size_gb if info is not None else resolve(name).size_gb()
    if not size:
        return None
    found = hardware.detect()
    kind = str(options.get("device") or found.recommended).split(":")[0]
    device = next((each for each in found.devices if each.kind == kind), None)
    if device is None or not device.usable:
        return None  # loading says so
    dtype, _ = hardware.choose_dtype(str(options.get("dtype") or "auto"), kind, size)
    needed = size * _QUANTIZED.get(str(options.get("quantize") or ""), 2.0 if dtype == "float32" else 1.0)
    free = device.free_memory_gb if device.free_memory_gb else found.free_memory_gb
    if needed <= free:
        return None
    there = {key: model for key, model in held.items() if model.is_loaded and str(model.device).split(":")[0] == kind}
    may_go = {key: size_of(model) for key, model in there.items() if model.active_run is None and not model.pinned}
    order = tuple(sorted(may_go, key=lambda key: -may_go[key]))
    return Shortage(needed, free, order, needed <= free + sum(may_go.values()))


def size_of(model: Model) -> float:
    """Return the memory of a loaded model's base in units of 1e9 bytes."""
    return model.weights.base_bytes / 1e9
