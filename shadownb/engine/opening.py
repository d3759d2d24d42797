"""From a source and decisions to a loaded model, for whoever loads by name and for runs that load what their record says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shadownb.engine import acceleration, hardware, registry
from shadownb.engine.inference.gate import WeightsGate
from shadownb.engine.loaded.backends import DEFAULT, backend
from shadownb.engine.loaded.hashing import weights_hash
from shadownb.engine.loaded.source import Source
from shadownb.engine.ports.decisions import Decision
from shadownb.errors import ModelError, OutOfMemoryError

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel


def open_model(
    source: Source, decisions: dict[str, Decision], max_length: int, accelerator: str, backend_name: str = DEFAULT
) -> LoadedModel:
    """Load a source's base as decided; what was trained on it is not put on."""
    gate = WeightsGate()
    weights, tokenizer = backend(backend_name).load(source, decisions, gate)
    made: LoadedModel = registry.resolve("model", "facade")(
        weights,
        tokenizer,
        source,
        gate=gate,
        quantization=decisions["quantization"][0] or None,
        max_length=min(max_length, weights.positions or max_length),
        decisions=decisions,
        accelerator=accelerator,
        backend_name=backend_name,
    )
    return made


def open_recorded(source: Source, spec: dict[str, Any]) -> LoadedModel:
    """Load the model of a run's record (its ``model``), in the state that the run started from."""
    name = spec.get("backend", DEFAULT)
    device = hardware.choose_device(spec["device"][0], name)
    accelerator = spec.get("accelerator", "auto")
    dtype = (spec["dtype"][0], spec["dtype"][1])
    known = acceleration.facts(backend(name), device[0], dtype[0])
    decisions = {
        "device": device,
        "dtype": dtype,
        "attention": acceleration.choose_attention(accelerator, known),
        "quantization": (spec["quantization"] or "", "as the run was launched"),
    }
    model = open_model(source, decisions, spec["max_length"], accelerator, name)
    check_base(source, spec.get("base_hash"))
    model.restore_start(spec.get("start"))
    model.renderer.variables = dict(spec.get("template_variables") or {})
    model.trained_when_loaded = model.trained
    return model


def open_again(model: LoadedModel) -> LoadedModel:
    """Load the base of a model a second time, as it was loaded."""
    needed, free = model.weights.base_bytes / 1e9, free_memory_gb(model)
    if needed > free:
        raise OutOfMemoryError(
            f"A second copy of {model.name} needs {needed:.2f} GB, and {free:.2f} GB are free.",
            fix="Train this model anew instead: model.train(data, start='base') needs no second copy.",
        )
    source = Source(model.name, model.source)
    copy = open_model(source, dict(model.decisions), model.max_length, model.accelerator, model.backend_name)
    copy.told_at_load = dict(model.told_at_load)
    copy.renderer.variables = dict(model.told_at_load)
    return copy


def free_memory_gb(model: LoadedModel) -> float:
    """Return the free memory where a model lies, in units of 1e9 bytes."""
    known = acceleration.facts(model.backend, str(model.device), model.dtype_name)
    return known.free_gb


def check_base(source: Source, recorded: str | None) -> None:
    """Refuse to put what a run trained on other weights than those it was trained on.

    Comes after the base was loaded: of a hub id the files are on this machine only then.
    """
    if recorded and (found := weights_hash(source.location)) != recorded:
        raise ModelError(
            f"The base {source.name!r} is not the one this run was trained on.",
            why=f"Its weights hash to {found[:12]}, the run's record says {recorded[:12]}.",
            fix="Put the same weights back, or start a new run.",
        )
