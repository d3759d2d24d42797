"""What target_modules means on a model of mlx-lm: its linear layers, and what is left out, with the reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlx import nn

from shadownb.engine.backends.mlx.adapters.base import Base
from shadownb.engine.backends.mlx.borrowed import DoRALinear, LoRALinear, QuantizedSwitchLinear, SwitchLinear
from shadownb.engine.backends.mlx.head import find_head
from shadownb.engine.config import TARGET_PRESETS, TrainConfig
from shadownb.engine.ports.reach import Reach
from shadownb.errors import MethodError

if TYPE_CHECKING:
    from shadownb.engine.methods import MethodSpec

_PARTS = {"attention": ("attn", "attention"), "mlp": ("mlp", "feed_forward", "ffn", "fc1", "fc2")}
_MANY_KINDS = 8  # of layers are named, more are counted

ROUTER = "so that tokens keep their experts"
EXPERTS = "adapters on experts are the torch backend's"
OTHER_FORM = "mlx-lm keeps it under another name than the files, which no other program would find"
NOT_ASKED = "not in target_modules"


@dataclass(frozen=True)
class Targets:
    """What gets an adapter.

    Attributes
    ----------
    layers
        Linear layers by name.
    left
        What target_modules means as well, by name, and why it gets none.
    """

    layers: dict[str, Any]
    left: dict[str, str]


def linear_layers(module: Any) -> dict[str, Any]:
    """Return the linear layers but for the output head, by the names they have without an adapter."""
    head = find_head(module)[0]
    found = {}
    for name, layer in module.named_modules():
        plain = layer.linear if isinstance(layer, LoRALinear | DoRALinear) else layer
        inside = name.endswith(".linear") and not isinstance(layer, LoRALinear | DoRALinear)
        if isinstance(plain, nn.Linear | nn.QuantizedLinear) and layer is not head and not inside:
            found[name] = plain
    return dict(sorted(found.items()))


def shape(layer: Any) -> tuple[int, int]:
    """Return (inputs, outputs) of a linear layer."""
    outputs, inputs = layer.weight.shape
    return int(inputs) * 32 // int(layer.bits) if hasattr(layer, "bits") else int(inputs), int(outputs)


def resolve(base: Base, config: TrainConfig) -> Targets:
    """Return what target_modules means on this base, adapted or not."""
    layers = linear_layers(base.module)
    named = _meant(layers, config)
    experts, routers = _experts(base.module)
    left = {name: ROUTER for name in named if name in routers and not isinstance(config.target_modules, tuple)}
    left |= {name: OTHER_FORM for name in named if not _in_files(base, name, named[name])}
    if config.target_modules in ("all", "mlp"):
        left |= dict.fromkeys(experts, EXPERTS)
    return Targets({name: layer for name, layer in named.items() if name not in left}, left)


def refuse(base: Base, config: TrainConfig) -> None:
    """Raise MethodError where target_modules means nothing here, or something that can have no adapter."""
    found = resolve(base, config)
    choices = ", ".join(sorted({name.rsplit(".", 1)[-1] for name in linear_layers(base.module)}))
    presets = "or use all, attention or mlp"
    if isinstance(config.target_modules, tuple):
        given = f"target_modules={list(config.target_modules)}"
        for name in config.target_modules:
            if not _ending(linear_layers(base.module), (name,)):
                _refuse_embedding(base, name, given)
                raise MethodError(
                    f"{given}: this model has no linear layer named {name!r}.", fix=f"Choose from {choices}, {presets}."
                )
        refused = next(iter(found.left), None)
        if refused is not None:
            raise MethodError(
                f"{given}: {refused} cannot have an adapter of method={config.method!r}.",
                why=f"{found.left[refused][0].upper()}{found.left[refused][1:]}.",
                fix=f"Leave it out, {presets}.",
            )
    if not found.layers:
        why = next(iter(found.left.values()), "")
        raise MethodError(
            f"target_modules={config.target_modules!r}: this model has nothing there that method={config.method!r} could "
            "adapt on backend mlx.",
            why=f"{why[0].upper()}{why[1:]}." if why else "",
            fix=f"Load it with backend='torch', or choose from {choices}.",
        )


def _refuse_embedding(base: Base, name: str, given: str) -> None:
    """Raise MethodError where a name means input or output embeddings."""
    modules = dict(base.module.named_modules())
    meant = next(iter(_ending(modules, (name,)).values()), None) if name else None
    if meant is None or not (
        isinstance(meant, nn.Embedding | nn.QuantizedEmbedding) or meant is find_head(base.module)[0]
    ):
        return
    what = "embedding" if isinstance(meant, nn.Embedding | nn.QuantizedEmbedding) else "output head"
    raise MethodError(
        f"{given}: {name} is the {what}, which has no adapter.",
        fix="Leave it out, or load the model with backend='torch', where train_embeddings=True trains embeddings themselves.",
    )


def given_name(base: Base, have: set[str], config: TrainConfig) -> str | tuple[str, ...]:
    """Return target_modules for layers that carry an adapter: as it was given, a preset, or names."""
    for name in (config.target_modules, *TARGET_PRESETS):
        if set(resolve(base, config.replace(target_modules=name)).layers) == have:
            return name
    return ends(have, linear_layers(base.module))


def ends(wanted: Iterable[str], every: Iterable[str]) -> tuple[str, ...]:
    """Return what peft is given for layers: the last part of a name where all layers of that name are meant, else the whole."""
    wanted, others = set(wanted), {name.rsplit(".", 1)[-1] for name in set(every) - set(wanted)}
    return tuple(sorted({name if (end := name.rsplit(".", 1)[-1]) in others else end for name in wanted}))


def reach(base: Base, config: TrainConfig, spec: MethodSpec, there: set[str] | None = None) -> Reach:
    """Return what adapters on layers reach: on those named in ``there``, or else on those that the config means."""
    found = resolve(base, config)
    names = sorted(there or found.layers)
    every = linear_layers(base.module)
    kinds = list(dict.fromkeys(name.rsplit(".", 1)[-1] for name in names))
    more = f" and {len(kinds) - _MANY_KINDS} more" if len(kinds) > _MANY_KINDS else ""
    shown = ", ".join(kinds[:_MANY_KINDS])
    words = f"adapters on {_count(len(names), 'layer')} of {_count(len(kinds), 'kind')} ({shown}{more})"
    left = {name: why for name, why in found.left.items() if name not in names}
    left |= {name: NOT_ASKED for name in every if name not in names and name not in left}
    grouped = tuple((", ".join(dict.fromkeys(n.rsplit(".", 1)[-1] for n in part)), why) for why, part in _by(left))
    rest = ("embeddings, output head, norms", "")
    missed = tuple((what, why) for what, why in grouped if why in (EXPERTS, OTHER_FORM))
    return Reach(words, (*grouped, rest), (), missed)


def _by(reasons: dict[str, str]) -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for name, why in reasons.items():
        found.setdefault(why, []).append(name)
    return list(found.items())


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}" + ("" if number == 1 else "s")


def _meant(layers: dict[str, Any], config: TrainConfig) -> dict[str, Any]:
    if isinstance(config.target_modules, tuple):
        return _ending(layers, config.target_modules)
    names = TARGET_PRESETS[config.target_modules]
    if isinstance(names, str):
        return layers
    if all(_ending(layers, (name,)) for name in names):
        return _ending(layers, names)
    words = _PARTS[config.target_modules]
    return {
        name: layer for name, layer in layers.items() if any(word in part for part in name.split(".") for word in words)
    }


def _ending(named: dict[str, Any], ends: Iterable[str]) -> dict[str, Any]:
    ends = tuple(ends)
    return {name: x for name, x in named.items() if any(name == end or name.endswith(f".{end}") for end in ends)}


def _in_files(base: Base, name: str, layer: Any) -> bool:
    """Return whether the files have the layer's weight under its name here, in bits or not."""
    kept = base.files.shapes.get(f"{name}.weight")
    return kept in (tuple(layer.weight.shape), shape(layer)[::-1])


def _experts(module: Any) -> tuple[set[str], set[str]]:
    """Return the names of layers that hold all experts of a block, and of the linear layers that choose among them."""
    named = dict(module.named_modules())
    experts = {name for name, m in named.items() if isinstance(m, SwitchLinear | QuantizedSwitchLinear)}
    blocks = {name.rsplit(".", 2)[0] for name in experts if name.count(".") >= 2}
    return experts, {name for name in linear_layers(module) if name.rsplit(".", 1)[0] in blocks}
