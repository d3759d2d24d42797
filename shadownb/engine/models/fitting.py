"""Whether adapters of a model of the catalogue can be trained here, said before anything is downloaded: from its size alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from shadownb.engine import hardware
from shadownb.engine.models.catalog import ModelInfo


@dataclass(frozen=True)
class Fit:
    """The answer.

    Attributes
    ----------
    how
        ``whole`` (as it is), ``4bit`` (with its base held in 4 bits), or ``none``.
    reason
        The figures, and what to change.
    """

    how: Literal["whole", "4bit", "none"]
    reason: str


def fit(info: ModelInfo, found: hardware.Hardware) -> Fit:
    """Return whether a model fits, by the rule that also chooses its number format; an estimate of a run is finer."""
    device = next(device for device in found.devices if device.kind == found.recommended)
    memory = device.memory_gb or found.memory_gb
    room = hardware.MOST_OF_MEMORY * memory
    dtype, _ = hardware.choose_dtype("auto", found.recommended, info.size_gb)
    whole = info.size_gb * (2 if dtype == "float32" else 1)
    quarter = info.size_gb / 3  # 4 bits a weight, scales, embeddings in 16
    figures = f"its weights take about {whole:.1f} GB in {dtype}, and {room:.0f} of {memory:.0f} GB can be used"
    if whole <= room:
        return Fit("whole", figures)
    if quarter <= room and hardware.has_package("bitsandbytes"):
        return Fit("4bit", f"{figures}: hold the base in 4 bits, about {quarter:.1f} GB")
    install = "" if quarter > room else "; in 4 bits it would fit: pip install 'shadownb[qlora]'"
    return Fit("none", f"{figures}{install or '; take a smaller one, or a machine with more memory'}")
