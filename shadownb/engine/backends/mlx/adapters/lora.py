"""LoRA, DoRA and the rank-stabilised scale: mlx-lm's layers, begun as the torch backend begins, in files of peft."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx.utils import tree_unflatten

from shadownb.engine.backends.mlx.adapters import targets
from shadownb.engine.backends.mlx.adapters.base import Adapter, Base, Slots
from shadownb.engine.backends.mlx.borrowed import DoRALinear, LoRALinear
from shadownb.engine.backends.mlx.loading import read_arrays
from shadownb.engine.backends.texts import other_kind
from shadownb.engine.ports.reach import Reach
from shadownb.engine.seeds import derived_seed
from shadownb.errors import MethodError, ModelError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.methods import MethodSpec

CONFIG, FILE = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."  # of every name in a file of peft
# (our key, peft's end of the name, whether it is transposed there)
_PARTS = (("lora_a", "lora_A.weight", True), ("lora_b", "lora_B.weight", True), ("m", "lora_magnitude_vector", False))
# Fields of peft's config that make it another computation than these layers do, and the values with which they do not.
_PLAIN: dict[str, tuple[Any, ...]] = {
    "bias": ("none",), "modules_to_save": (None, []), "target_parameters": (None, []), "rank_pattern": (None, {}),
    "alpha_pattern": (None, {}), "layers_to_transform": (None, []), "trainable_token_indices": (None, []),
    "lora_bias": (False, None), "use_qalora": (False, None), "alora_invocation_tokens": (None, []),
}  # fmt: skip


class Dropout(nn.Module):
    """Dropout whose mask is a function of seed, step, batch and layer; it drops nothing but in a pass of a training.

    Attributes
    ----------
    clock
        Where the run stands; None without one.
    """

    def __init__(self, p: float, layer: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.p, self.layer = p, layer
        self.clock: Any = None

    def __call__(self, x: Any) -> Any:
        if self.p == 0.0 or self.clock is None or not self.clock.running:
            return x
        key = mx.random.key(derived_seed(self.clock.seed, self.clock.step, self.clock.batch, self.layer))
        return x * (mx.random.bernoulli(1.0 - self.p, x.shape, key=key) / (1.0 - self.p)).astype(x.dtype)


class LoraAdapter(Adapter):
    """LoRA adapters on linear layers.

    Attributes
    ----------
    have
        What peft's config says of it: r, lora_alpha, lora_dropout, use_rslora, use_dora.
    layers
        The names of the layers that have one.
    """

    kind = "lora"
    noun = "a LoRA adapter"

    def __init__(self, base: Base, layers: tuple[str, ...], have: dict[str, Any]) -> None:
        self.have, self.layers = have, layers
        plain = targets.linear_layers(base.module)
        made = {name: _wrapped(plain[name], name, have) for name in layers}
        base.module.update_modules(tree_unflatten(list(made.items())))
        keys = [key for key, _, _ in _PARTS if key != "m" or have["use_dora"]]
        slots: Slots = {f"{name}.{key}": (layer, key) for name, layer in made.items() for key in keys}
        super().__init__(base, slots)
        self.wrapped = made

    @classmethod
    def refuse(cls, base: Base, config: TrainConfig, spec: MethodSpec) -> None:
        if config.init_lora_weights != "default":
            raise MethodError(
                f"init_lora_weights={config.init_lora_weights!r} is not there on backend mlx.",
                why="It starts from a decomposition of the base's weights, which the torch backend has.",
                fix="Leave it out, or load the model with backend='torch'.",
            )
        if config.train_embeddings:
            raise MethodError(
                "train_embeddings=True is not there on backend mlx, which trains adapters on linear layers alone.",
                fix="Leave it out, or load the model with backend='torch'.",
            )
        targets.refuse(base, config)

    @classmethod
    def count(cls, base: Base, config: TrainConfig, spec: MethodSpec) -> int:
        sizes = [targets.shape(layer) for layer in targets.resolve(base, config).layers.values()]
        dora = bool(dict(spec.options).get("use_dora"))
        return sum(config.lora_r * (before + after) + (after if dora else 0) for before, after in sizes)

    @classmethod
    def reach(cls, base: Base, config: TrainConfig, spec: MethodSpec) -> Reach:
        return targets.reach(base, config, spec)

    @classmethod
    def attach(cls, base: Base, config: TrainConfig, spec: MethodSpec) -> Adapter:
        have = {
            "r": config.lora_r, "lora_alpha": config.lora_alpha, "lora_dropout": config.lora_dropout,
            "use_rslora": config.use_rslora, "use_dora": bool(dict(spec.options).get("use_dora")),
        }  # fmt: skip
        adapter = cls(base, tuple(targets.resolve(base, config).layers), have)
        for name, layer in adapter.wrapped.items():
            inputs = layer.lora_a.shape[0]
            layer.lora_a = mx.array(_start((config.lora_r, inputs), config.seed, f"{_PREFIX}{name}").T)
            layer.lora_b = mx.zeros(layer.lora_b.shape)
        return adapter

    @classmethod
    def reads(cls, folder: Path) -> bool:
        content = _content(folder)
        return content.get("peft_type") == "LORA" or "lora_parameters" in content

    @classmethod
    def attach_saved(cls, base: Base, folder: Path) -> Adapter:
        arrays, have = _saved(folder)
        layers = tuple(sorted({name.rsplit(".", 1)[0] for name in arrays}))
        plain = targets.linear_layers(base.module)
        missing = [name for name in layers if name not in plain]
        if missing or not layers:
            raise ModelError(
                f"The adapter in {folder} does not fit this model.",
                why=f"This model has no linear layer {missing[0]}." if missing else "It has no tensors of LoRA layers.",
                fix="Load the base that it was trained on, or load both with backend='torch'.",
            )
        adapter = cls(base, layers, have)
        adapter.fill(arrays, folder)
        return adapter

    def load_into(self, folder: Path) -> None:
        self.fill(_saved(folder)[0], folder)

    def begin(self, config: TrainConfig) -> None:
        if "lora_dropout" in config.model_fields_set:
            self.have["lora_dropout"] = config.lora_dropout
            for layer in self.wrapped.values():
                layer.dropout.p = config.lora_dropout

    def shape(self) -> dict[str, Any]:
        have = self.have
        return {
            "lora_r": have["r"], "lora_alpha": have["lora_alpha"], "use_rslora": have["use_rslora"],
            "init_lora_weights": "default", "train_embeddings": False,
        }  # fmt: skip

    def check(self, config: TrainConfig, spec: MethodSpec) -> None:
        super().check(config, spec)
        if spec.tuner != "LORA" or bool(dict(spec.options).get("use_dora")) != self.have["use_dora"]:
            raise other_kind(config.method, f"an adapter with use_dora={self.have['use_dora']}")
        wanted = set(targets.resolve(self.base, config).layers)
        if "target_modules" in config.model_fields_set and wanted != set(self.layers):
            raise MethodError(
                f"target_modules={config.target_modules!r}: this model carries an adapter on other layers.",
                why=f"It is on {len(self.layers)} layers, target_modules means {len(wanted)}.",
                fix="Leave target_modules out to train on, or load a fresh model for a new adapter.",
            )

    def effective_config(self, config: TrainConfig) -> TrainConfig:
        named = targets.given_name(self.base, set(self.layers), config)
        return super().effective_config(config).replace(target_modules=named, lora_dropout=self.have["lora_dropout"])

    def reached(self, config: TrainConfig, spec: MethodSpec) -> Reach:
        return targets.reach(self.base, self.effective_config(config), spec, set(self.layers))

    def save(self, folder: Path) -> None:
        arrays = {}
        for name, layer in self.wrapped.items():
            for key, end, turned in _PARTS:
                if f"{name}.{key}" in self.slots:
                    arrays[f"{_PREFIX}{name}.{end}"] = mx.contiguous(layer[key].T if turned else layer[key])
        mx.eval(arrays)
        mx.save_safetensors(str(folder / FILE), arrays, metadata={"format": "pt"})
        said = {
            "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": self.base.name, "bias": "none",
            "fan_in_fan_out": False, "inference_mode": True, "init_lora_weights": True, "modules_to_save": None,
            "target_modules": list(targets.ends(self.layers, targets.linear_layers(self.module))), **self.have,
        }  # fmt: skip
        (folder / CONFIG).write_text(json.dumps(said, indent=2), encoding="utf-8")

    def merged(self, twin: Any) -> Any:
        fused = {name: layer.fuse(dequantize=True) for name, layer in self.wrapped.items()}
        twin.update_modules(tree_unflatten(list(fused.items())))
        return twin


def _wrapped(layer: Any, name: str, have: dict[str, Any]) -> Any:
    kind = DoRALinear if have["use_dora"] else LoRALinear
    scale = have["lora_alpha"] / (math.sqrt(have["r"]) if have["use_rslora"] else have["r"])
    made = kind.from_base(layer, r=have["r"], scale=scale)
    made.dropout = Dropout(float(have["lora_dropout"]), name)
    return made


def _start(shape: tuple[int, int], seed: int, name: str) -> Any:
    """Return A as the torch backend begins it, bit for bit: uniform as in peft, by torch's generator for this run and layer.

    torch's generator is a Mersenne Twister seeded with the low 32 bits, and a float of it has 24 random bits.
    """
    twister = np.random.MT19937()
    twister._legacy_seeding(derived_seed(seed, "lora", name) & 0xFFFFFFFF)  # type: ignore[attr-defined]
    drawn = (twister.random_raw(shape[0] * shape[1]) & 0xFFFFFF).astype(np.float32) * np.float32(2.0**-24)
    bound = math.sqrt(6.0 / ((1 + 5) * shape[1]))
    low, high = np.float32(-bound), np.float32(bound)
    return (drawn * (high - low) + low).reshape(shape)


def _content(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _saved(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arrays of a saved adapter by our names, and what its config says."""
    content = _content(folder)
    if "lora_parameters" in content and content.get("peft_type") is None:
        return _saved_by_mlx_lm(folder, content)
    unsaid = [name for name in ("r", "lora_alpha") if name not in content]
    if unsaid:
        raise ModelError(
            f"{folder / CONFIG} does not say {' and '.join(unsaid)}.",
            why="Another rank or scale than it was trained with gives another model.",
            fix="Add what it was trained with, or save the adapter again.",
        )
    for name, plain in _PLAIN.items():
        if name in content and content[name] not in plain:
            raise ModelError(
                f"The adapter in {folder} has {name}={content[name]!r}, which backend mlx does not compute.",
                fix="Load it with backend='torch'.",
            )
    arrays = {}
    for name, array in _read(folder / FILE).items():
        inner = name.removeprefix(_PREFIX)
        part = next((part for part in _PARTS if inner.endswith(f".{part[1]}")), None)
        if part is None:
            raise ModelError(
                f"The adapter in {folder} has {name}, which backend mlx does not compute.",
                fix="Load it with backend='torch'.",
            )
        arrays[f"{inner.removesuffix(f'.{part[1]}')}.{part[0]}"] = array.T if part[2] else array
    have = {
        "r": int(content["r"]), "lora_alpha": content["lora_alpha"], "lora_dropout": content.get("lora_dropout", 0.0),
        "use_rslora": bool(content.get("use_rslora")), "use_dora": bool(content.get("use_dora")),
    }  # fmt: skip
    return arrays, have


def _saved_by_mlx_lm(folder: Path, content: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    said = content["lora_parameters"]
    unsaid = [name for name in ("rank", "scale") if name not in said]
    if unsaid:
        raise ModelError(
            f"{folder / CONFIG} does not say {' and '.join(unsaid)} in lora_parameters.",
            why="Another rank or scale than it was trained with gives another model.",
            fix="Add what it was trained with, or save the adapter again.",
        )
    rank = int(said["rank"])
    have = {
        "r": rank, "lora_alpha": said["scale"] * rank, "lora_dropout": said.get("dropout", 0.0),
        "use_rslora": False, "use_dora": content.get("fine_tune_type") == "dora",
    }  # fmt: skip
    return _read(folder / "adapters.safetensors"), have


def _read(file: Path) -> dict[str, Any]:
    try:
        found = read_arrays(file)
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelError(f"{file} cannot be read ({str(error).splitlines()[0]}).") from None
    return {name: array.astype(mx.float32) for name, array in found.items()}
