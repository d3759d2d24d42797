"""What target_modules asks for and this model, this method or peft cannot do: refused before the first step, with a way on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from peft import PeftModel
from torch import nn

from shadownb.engine.backends.torch.adapters import experts, linear, targets
from shadownb.engine.config import TrainConfig
from shadownb.errors import MethodError, ShadowError

if TYPE_CHECKING:
    from shadownb.engine.backends.torch.adapters.layered import LayerAdapter
    from shadownb.engine.methods import MethodSpec

# The largest rank that a layer of (in, out) can have, where a tuner has a limit.
_LARGEST_RANK: dict[str, Callable[[int, int], int]] = {
    "MISS": lambda before, after: before,
    "SHIRA": lambda before, after: before * after // (before + after),
}
_PLAIN_LINEAR_ONLY = ("MISS", "SHIRA")
_PRESETS = "or use all, attention or mlp"


def refuse_targets(base: nn.Module, config: TrainConfig, spec: MethodSpec) -> None:
    """Raise MethodError where target_modules means nothing here, or something that cannot have this method's adapter."""
    found = targets.resolve(base, config, spec)
    if isinstance(config.target_modules, tuple):
        for name in config.target_modules:
            if not targets.meaning(base, name):
                raise _unknown(base, config, name)
        refused = next(iter(found.left), None)
        if refused is not None:
            raise MethodError(
                f"target_modules={list(config.target_modules)}: {refused} cannot have an adapter of method={config.method!r}.",
                why=f"{found.left[refused][0].upper()}{found.left[refused][1:]}.",
                fix=f"Leave it out, {_PRESETS}.",
            )
    if not found.names:
        why = next(iter(found.left.values()), "")
        raise MethodError(
            f"target_modules={config.target_modules!r}: this model has nothing there that method={config.method!r} could adapt.",
            why=f"{why[0].upper()}{why[1:]}." if why else "",
            fix=f"Choose from {_choices(base)}, {_PRESETS}.",
        )
    transposed = targets.conv1d(found)
    if transposed and spec.tuner in _PLAIN_LINEAR_ONLY:
        raise MethodError(
            f"method={config.method!r} works on torch's Linear layers alone, and {transposed[0]} is a Conv1D.",
            why="Models of the GPT-2 family keep their weights transposed, which peft's adapters of this kind do not take.",
            fix="Use method='lora' or 'dora', or another base.",
        )
    if spec.tuner in _LARGEST_RANK:
        shapes = {name: linear.shape(layer) for name, layer in found.layers.items()}
        linear.refuse_rank(shapes, config, _LARGEST_RANK[spec.tuner])


def _unknown(base: nn.Module, config: TrainConfig, name: str) -> MethodError:
    given = f"target_modules={list(config.target_modules)}"
    if not name:
        return MethodError(f"{given}: no layer is named.", fix=f"Choose from {_choices(base)}, {_PRESETS}.")
    ends = {experts.bare(n): m for n, m in base.named_modules() if experts.bare(n).split(".")[-1] == name or n == name}
    module = next(iter(ends.values()), None)
    if module is not None and (module is linear.head(base) or isinstance(module, nn.Embedding)):
        return MethodError(
            f"{given}: {name} is the {'embedding' if isinstance(module, nn.Embedding) else 'output head'}, which has no adapter.",
            fix="train_embeddings=True trains input and output embeddings themselves.",
        )
    if set(ends) & experts.routers(base):
        return MethodError(
            f"{given}: {name} is the router of the experts, which has no adapter.",
            why="A router that moves sends tokens to experts that were not trained on them.",
            fix=f"Leave it out, or choose from {_choices(base)}.",
        )
    if module is not None:
        inside = sorted(
            {n.split(".")[-1] for n in linear.linear_layers(base) for end in ends if n.startswith(f"{end}.")}
        )
        what = f"holds {', '.join(inside)}" if inside else f"is a {type(module).__name__}, no linear layer"
        return MethodError(
            f"{given}: {name} {what}.", fix=f"Choose from {', '.join(inside) or _choices(base)}, {_PRESETS}."
        )
    return MethodError(
        f"{given}: this model has no linear layer named {name!r}.", fix=f"Choose from {_choices(base)}, {_PRESETS}."
    )


def _choices(base: nn.Module) -> str:
    names = {*linear.linear_layers(base), *experts.expert_tensors(base)} - experts.routers(base)
    return ", ".join(sorted({name.rsplit(".", 1)[-1] for name in names}))


def refuse_dropout(base: nn.Module, config: TrainConfig, spec: MethodSpec) -> None:
    """Raise MethodError where dropout is asked for and experts have adapters or would get them."""
    there = targets.there(base)
    names = experts.adapted(base) if there else targets.resolve(base, config, spec).experts
    as_parameters = frozenset() if there else targets.resolve(base, config, spec).as_parameters
    if config.lora_dropout > 0 and (names or as_parameters):
        raise MethodError(
            f"lora_dropout={config.lora_dropout:g}: peft has no dropout for adapters on {min({*names, *as_parameters})}.",
            why="It adapts that as a parameter, and no longer knows the input that dropout would go on.",
            fix="Leave lora_dropout out, or use target_modules='attention'.",
        )


def put_on(adapter: type[LayerAdapter], base: Any, config: TrainConfig, spec: MethodSpec) -> PeftModel:
    """Let peft put a new adapter on a base; what peft itself refuses becomes a MethodError."""
    try:
        return adapter.put_on(base, adapter.peft_config(base, config, spec))
    except ShadowError:
        raise
    except (ValueError, TypeError, NotImplementedError, AttributeError) as error:
        kind = getattr(getattr(base, "config", None), "model_type", type(base).__name__)
        raise MethodError(
            f"method={config.method!r}: peft cannot put this adapter on {kind}.",
            why=str(error).split("\n", 1)[0],
            fix="Name other layers with target_modules, or use method='lora' or 'adapter'.",
        ) from error


def check_there(base: nn.Module, wanted: set[str], config: TrainConfig) -> None:
    """Raise MethodError where peft has put the adapter on other layers than the plan says."""
    have = targets.there(base)
    if have != wanted:
        wrong = min(have ^ wanted)
        raise MethodError(
            f"target_modules={config.target_modules!r}: peft has put the adapter on {len(have)} layers, {len(wanted)} were meant.",
            why=f"{wrong} has {'one' if wrong in have else 'none'}.",
            fix="Name the layers in full with target_modules.",
        )
