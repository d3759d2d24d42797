"""What is trained of a model: one class a kind, found by a method's spec or by what a folder holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np

from shadownb.engine.backends.mlx import missing
from shadownb.engine.backends.mlx.adapters.base import Adapter, Base, as_bytes, digest
from shadownb.engine.backends.mlx.adapters.biases import BiasAdapter
from shadownb.engine.backends.mlx.adapters.bottleneck import BottleneckAdapter, blocks
from shadownb.engine.backends.mlx.adapters.lora import CONFIG, FILE, LoraAdapter
from shadownb.engine.backends.mlx.adapters.stored import StoredAdapter
from shadownb.engine.backends.mlx.adapters.weights import WeightsAdapter
from shadownb.engine.backends.mlx.adapters.whole import save_whole
from shadownb.engine.backends.texts import check_replacing, nothing_trained
from shadownb.engine.ports.reach import Reach
from shadownb.errors import MethodError, ModelError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig

__all__ = [
    "Adapter", "Base", "as_bytes", "attach_saved", "blocks", "check", "count", "description_names", "digest", "kind_of",
    "prepare", "reached", "save_whole", "write_tensors",
]  # fmt: skip

KINDS: dict[str, type[Adapter]] = {
    kind.kind: kind for kind in (LoraAdapter, BiasAdapter, BottleneckAdapter, WeightsAdapter)
}


def prepare(base: Base, config: TrainConfig) -> Adapter:
    """Return the method's new adapter on a twin of the base; :func:`check` comes before."""
    return KINDS[config.spec.adapter].attach(base, config, config.spec)


def check(base: Base, adapter: Adapter | None, config: TrainConfig) -> None:
    """Raise MethodError where the method or its options do not fit the base or what the model carries."""
    spec = config.spec
    why = missing.lacks(spec)
    if why is not None:
        raise MethodError(
            f"method={config.method!r} is not there on backend mlx.",
            why=f"{why[0].upper()}{why[1:]}.",
            fix=f"Use method='lora', or load the model with backend='torch' for {config.method}.",
        )
    kind = KINDS[spec.adapter]
    if adapter is None:
        kind.refuse(base, config, spec)
        return
    check_replacing(config.method, replaces=kind.replaces_base, trained=adapter.replaces_base, noun=adapter.noun)
    kind.refuse(adapter.base, config, spec)
    adapter.check(config, spec)


def count(base: Base, adapter: Adapter | None, config: TrainConfig) -> int:
    """Return how many numbers the method would train on this model."""
    if adapter is not None and adapter.kind == config.spec.adapter:
        return sum(int(array.size) for array in adapter.owned().values())
    return KINDS[config.spec.adapter].count(base, config, config.spec)


def reached(base: Base, adapter: Adapter | None, config: TrainConfig) -> Reach:
    """Return what the method trains on this model and what stays frozen."""
    if adapter is not None and adapter.kind == config.spec.adapter:
        return adapter.reached(config, config.spec)
    return KINDS[config.spec.adapter].reach(base, config, config.spec)


def description_names() -> tuple[str, ...]:
    """Return what such files are called, of every kind of adapter."""
    ours = (kind.description(Path()).name for kind in KINDS.values() if issubclass(kind, StoredAdapter))
    return (CONFIG, *ours)


def kind_of(folder: Path) -> type[Adapter]:
    """Return the kind of what a folder holds.

    Raises
    ------
    ModelError
        The folder holds nothing that was trained, or something that is torch's.
    """
    for kind in KINDS.values():
        if kind.reads(folder):
            return kind
    if any(folder.glob("*_config.json")):
        raise ModelError(
            f"{folder} holds something trained that backend mlx does not have.", fix="Load it with backend='torch'."
        )
    raise nothing_trained(folder)


def attach_saved(base: Base, folder: Path) -> Adapter:
    """Put what a folder holds on a twin of the base."""
    return kind_of(folder).attach_saved(base, folder)


def write_tensors(tensors: Mapping[str, Any], description: Mapping[str, Any], folder: Path) -> None:
    """Write tensors of any framework as the files of an adapter, which :func:`attach_saved` reads."""
    ours = (kind for kind in KINDS.values() if issubclass(kind, StoredAdapter))
    stem = next((kind.stem for kind in ours if description.get("type") == kind.stem), None)
    config, file = (f"{stem}_config.json", f"{stem}.safetensors") if stem else (CONFIG, FILE)
    mx.save_safetensors(str(folder / file), {name: _array(tensor) for name, tensor in tensors.items()})
    (folder / config).write_text(json.dumps(dict(description), default=_plain), encoding="utf-8")


def _array(tensor: Any) -> Any:
    if isinstance(tensor, mx.array):
        return tensor
    return mx.array(np.asarray(tensor.detach().cpu().float() if hasattr(tensor, "detach") else tensor))


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set | frozenset) else getattr(value, "value", str(value))
