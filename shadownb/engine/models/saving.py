"""Writing a trained model to a folder: what was trained, or the whole model with it in its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from shadownb.engine.disk import saving
from shadownb.errors import ExportError, did_you_mean

if TYPE_CHECKING:
    from shadownb.engine.models.model import Model

FORMATS = ("adapter", "merged")


def save(model: Model, target: Path, fmt: str) -> Path:
    """Write a loaded model; see :meth:`Model.save`."""
    if fmt not in FORMATS:
        raise ExportError(
            f"fmt={fmt!r} is not a format.{did_you_mean(fmt, FORMATS)}", fix=f"Use one of {', '.join(FORMATS)}."
        )
    carried = model.carried
    if fmt == "adapter" and (carried is None or not carried.separate):
        raise ExportError(
            "fmt='adapter': this model carries no adapter.",
            why="It was trained whole." if carried is not None else "It has not been trained.",
            fix="Use fmt='merged' to save the whole model.",
        )
    if fmt == "merged" and model.quantization:
        raise ExportError(
            f"fmt='merged': the base is {model.quantization}; merging would round the adapter into it.",
            fix=f"Save the adapter, then merge it onto the 16-bit base: "
            f"shadownb.load({model.name!r}, adapter=path).save(..., fmt='merged').",
        )
    from shadownb.engine.backends.torch.surfaces.weights import save_whole

    with model.gate.inference():
        whole = None
        if fmt == "merged":  # first, because it may be refused
            whole = carried.merged() if carried is not None else model.module
        with saving(target):
            target.mkdir(parents=True, exist_ok=True)
            if whole is not None:
                save_whole(whole, target)
            elif carried is not None:
                carried.save(target)
            model.save_tokenizer(target)
    return target
