"""What is trained of a model: one class a kind, found by a method's spec or by what a folder holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from shadownb.engine.backends.texts import check_replacing, nothing_trained
from shadownb.engine.backends.torch.adapters.base import Adapter, Start
from shadownb.engine.backends.torch.adapters.biases import BiasAdapter
from shadownb.engine.backends.torch.adapters.bottleneck import BottleneckAdapter
from shadownb.engine.backends.torch.adapters.facts import FactsAdapter
from shadownb.engine.backends.torch.adapters.layered import ADAPTER_CONFIG, ADAPTER_FILE, LayerAdapter
from shadownb.engine.backends.torch.adapters.lora import LoraAdapter
from shadownb.engine.backends.torch.adapters.pissa import PissaAdapter
from shadownb.engine.backends.torch.adapters.prompts import PromptAdapter
from shadownb.engine.backends.torch.adapters.reach import Reach
from shadownb.engine.backends.torch.adapters.reader import ReaderAdapter
from shadownb.engine.backends.torch.adapters.reward import RewardAdapter
from shadownb.engine.backends.torch.adapters.stored import StoredAdapter
from shadownb.engine.backends.torch.adapters.tensors import digest, for_file, restore, snapshot, trainable
from shadownb.engine.backends.torch.adapters.weights import WeightsAdapter

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig

__all__ = [
    "Adapter",
    "Reach",
    "Start",
    "attach_saved",
    "check",
    "count",
    "description_names",
    "digest",
    "kind_of",
    "prepare",
    "reached",
    "restore",
    "snapshot",
    "trainable",
    "write_tensors",
]

KINDS: dict[str, type[Adapter]] = {
    kind.kind: kind
    for kind in (
        RewardAdapter,  # before LoRA's, whose form its files have as well
        LoraAdapter,
        LayerAdapter,
        PromptAdapter,
        BiasAdapter,
        BottleneckAdapter,
        WeightsAdapter,
        FactsAdapter,
        ReaderAdapter,
    )
}


def prepare(base: Any, adapter: Adapter | None, config: TrainConfig, start: Start) -> Adapter:
    """Return the method's adapter with its parameters trainable and all others frozen.

    An adapter that the model carries already is trained on; :func:`check` comes before.
    """
    spec = config.spec
    kind = KINDS[spec.adapter]
    if adapter is not None:
        adapter.unfreeze(config)
        return adapter
    try:
        maker = PissaAdapter if kind is LoraAdapter and config.init_lora_weights == "pissa" else kind
        adapter = maker.attach(base, config, spec, start)
        adapter.unfreeze(config)
    except BaseException:
        kind.strip(base)
        raise
    return adapter


def check(base: Any, adapter: Adapter | None, config: TrainConfig) -> None:
    """Raise MethodError where the method or its options do not fit the base or what the model carries."""
    spec = config.spec
    kind = KINDS[spec.adapter]
    if adapter is None:
        kind.refuse(base, config, spec)
        return
    check_replacing(config.method, replaces=kind.replaces_base, trained=adapter.replaces_base, noun=adapter.noun)
    kind.refuse(adapter.base, config, spec)
    adapter.check(config, spec)


def count(base: Any, adapter: Adapter | None, config: TrainConfig) -> int:
    """Return how many weights the method would train on this model."""
    spec = config.spec
    if adapter is not None and adapter.kind == spec.adapter and not adapter.grows:
        return sum(parameter.numel() for parameter in adapter.owned().values())
    return KINDS[spec.adapter].count(adapter.base if adapter is not None else base, config, spec)


def reached(base: Any, adapter: Adapter | None, config: TrainConfig) -> Reach:
    """Return what the method trains on this model and what stays frozen."""
    spec = config.spec
    if adapter is not None and adapter.kind == spec.adapter:
        return adapter.reached(config, spec)
    return KINDS[spec.adapter].reach(adapter.base if adapter is not None else base, config, spec)


def description_names() -> tuple[str, ...]:
    """Return what such files are called, of every kind of adapter."""
    ours = (kind.description(Path()).name for kind in KINDS.values() if issubclass(kind, StoredAdapter))
    return (ADAPTER_CONFIG, *ours)


def kind_of(folder: Path) -> type[Adapter]:
    """Return the kind of what a folder holds.

    Raises
    ------
    ModelError
        The folder holds nothing that was trained.
    """
    saved: tuple[type[Adapter], ...] = (*KINDS.values(), PissaAdapter)
    for kind in saved:
        if kind.reads(folder):
            return kind
    raise nothing_trained(folder)


def attach_saved(base: Any, folder: Path) -> Adapter:
    """Put what a folder holds on a bare base, trainable.

    Raises
    ------
    ModelError
        The folder holds nothing that was trained, or it does not fit.
    """
    return kind_of(folder).attach_saved(base, folder)


def write_tensors(tensors: Mapping[str, Any], description: Mapping[str, Any], folder: Path) -> None:
    """Write tensors as the files of an adapter, which :func:`attach_saved` reads."""
    ours = (kind for kind in KINDS.values() if issubclass(kind, StoredAdapter))
    stem = next((kind.stem for kind in ours if description.get("type") == kind.stem), None)
    config, file = (f"{stem}_config.json", f"{stem}.safetensors") if stem else (ADAPTER_CONFIG, ADAPTER_FILE)
    save_file(for_file({name: torch.as_tensor(tensor) for name, tensor in tensors.items()}), folder / file)
    (folder / config).write_text(json.dumps(dict(description), default=_as_list), encoding="utf-8")


def _as_list(value: Any) -> Any:
    """Let JSON take the sets and enumerations that peft's own configs have."""
    return sorted(value) if isinstance(value, set | frozenset) else getattr(value, "value", str(value))
