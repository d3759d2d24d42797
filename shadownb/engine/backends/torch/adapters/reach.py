"""What a method trains on a loaded model, and what stays frozen there and why, in few words.

Adapters that silently miss most of a model train all the same, and nobody sees it: of gpt-oss nine tenths of the weights are
experts, which have no linear layer. So what is meant is found on the model itself, by the code that puts the adapters on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import AuxiliaryTrainingWrapper
from torch import nn
from torch.nn.modules.conv import _ConvNd

from shadownb.engine.backends.torch.adapters import experts, linear, targets
from shadownb.engine.config import TrainConfig
from shadownb.engine.ports.reach import Reach

if TYPE_CHECKING:
    from shadownb.engine.methods import MethodSpec

_MANY_KINDS = 8  # of layers are named, more are counted
_EMBEDDINGS, _HEAD, _ROUTER = "embeddings", "output head", "router"
_HOW = "train_embeddings trains them"


def of_adapters(base: nn.Module, config: TrainConfig, spec: MethodSpec, there: set[str] | None = None) -> Reach:
    """Return what adapters on layers reach: on those named in ``there``, or else on those that the config means."""
    found = targets.resolve(base, config, spec)
    names = there or found.names
    every = experts.expert_tensors(base)
    on_experts = [name for name in every if name in names]
    parts = []
    layers = [name for name in linear.linear_layers(base) if name in names]
    if layers:
        kinds = _leaves(layers)
        more = f" and {len(kinds) - _MANY_KINDS} more" if len(kinds) > _MANY_KINDS else ""
        shown = ", ".join(kinds[:_MANY_KINDS])
        parts.append(f"{_count(len(layers), 'layer')} of {_count(len(kinds), 'kind')} ({shown}{more})")
    if on_experts:
        sizes = sorted({len(every[name]) for name in on_experts})
        each = f"{'/'.join(map(str, sizes))} experts each"
        parts.append(f"{_count(len(on_experts), 'expert tensor')} ({', '.join(_leaves(on_experts))}, {each})")
    others = sorted(names - set(layers) - set(on_experts))  # of an adapter that another program made
    if others:
        parts.append(f"{_count(len(others), 'other tensor')} ({', '.join(_leaves(others))})")
    ends = config.train_embeddings and spec.adapter == "lora"
    trained = f"adapters on {' and '.join(parts)}" + (" and the embeddings themselves" if ends else "")
    reasons = {name: why for name, why in found.left.items() if name not in names}
    by_method = {name: why for name, why in reasons.items() if why not in (targets.ROUTER, targets.STATE_SPACE)}
    missed = tuple(_grouped(by_method, every).items())
    return Reach(trained, _frozen(base, names, reasons, ends, spec), _notes(base), missed)


def _notes(base: nn.Module) -> tuple[str, ...]:
    bits = 4 if getattr(base, "is_loaded_in_4bit", False) else 8 if getattr(base, "is_loaded_in_8bit", False) else 0
    if not bits or not experts.expert_tensors(base):
        return ()
    dtype = str(next(iter(experts.expert_tensors(base).values())).dtype).removeprefix("torch.")
    return (f"the experts stay in {dtype}, because only linear layers are held in {bits} bits",)


def _frozen(
    base: nn.Module, names: set[str], reasons: dict[str, str], ends: bool, spec: MethodSpec
) -> tuple[tuple[str, str], ...]:
    tensors, routers, layers = experts.expert_tensors(base), experts.routers(base), linear.linear_layers(base)
    left = {name: why for name, why in reasons.items() if name not in routers}
    found: dict[str, str] = {}
    seen: set[int] = set()
    for name, module in _own_modules(base):
        for key, parameter in module.named_parameters(recurse=False):
            if id(parameter) in seen:
                continue
            seen.add(id(parameter))
            whole = f"{name}.{key}"
            if whole in names or (name in names and key == "weight"):
                continue
            if whole in tensors or (name in layers and key == "weight" and name not in routers):
                left.setdefault(whole if whole in tensors else name, targets.NOT_ASKED)
            else:
                found.setdefault(_kind(base, module, name, key, parameter, routers), "")
    hint = _HOW if spec.adapter == "lora" else ""
    both = " and ".join(what for what in (_EMBEDDINGS, _HEAD) if found.pop(what, None) is not None)
    found = {both: hint, **found} if both and not ends else found
    router = {_ROUTER: targets.ROUTER} if found.pop(_ROUTER, None) is not None else {}
    return tuple({**_grouped(left, tensors), **router, **found}.items())


def _kind(base: nn.Module, module: nn.Module, name: str, key: str, parameter: nn.Parameter, routers: set[str]) -> str:
    """Return what a frozen parameter is called; of what no common word is for, its own name."""
    if isinstance(module, nn.Embedding):
        return _EMBEDDINGS
    if module is linear.head(base):
        return _HEAD
    if name in routers:
        return _ROUTER
    if key.rsplit("_", 1)[-1] == "bias":
        return "biases"
    if isinstance(module, _ConvNd):
        return "convolutions"
    words = (type(module).__name__.lower(), name.rsplit(".", 1)[-1])
    return "norms" if parameter.ndim == 1 and any("norm" in word for word in words) else key


def _own_modules(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the base's own modules by their names without adapters."""
    inside = "base_layer" if isinstance(module, BaseTunerLayer) else None
    inside = "original_module" if isinstance(module, AuxiliaryTrainingWrapper) else inside
    if inside is None:
        yield name, module
    for part, child in module.named_children():
        if inside is None:
            yield from _own_modules(child, f"{name}.{part}" if name else part)
        elif part == inside:
            yield from _own_modules(child, name)


def _grouped(reasons: dict[str, str], tensors: dict[str, Any]) -> dict[str, str]:
    """Return names with the same reason as one entry: what they are called, and why."""
    by_reason: dict[str, list[str]] = {}
    for name, why in reasons.items():
        by_reason.setdefault(why, []).append(name)
    found = {}
    for why, names in by_reason.items():
        of_experts = [name for name in names if name in tensors]
        parts = _leaves(name for name in names if name not in tensors)
        parts += [_count(len(of_experts), "expert tensor")] if of_experts else []
        found[", ".join(parts)] = why
    return found


def _leaves(names: Iterable[str]) -> list[str]:
    """Return the last parts of names in the order in which they come; an expert tensor called weight by its module."""
    ends = (name.split(".") for name in names)
    return list(dict.fromkeys(".".join(end[-2:]) if end[-1] == "weight" else end[-1] for end in ends))


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}" + ("" if number == 1 else "s")
