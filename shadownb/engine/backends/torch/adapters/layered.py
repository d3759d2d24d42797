"""Adapters that peft puts on the linear layers: LoRA, DoRA, MiSS, SHiRA and whatever tuner of that kind a spec names."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, PeftConfig, PeftModel, PromptLearningConfig, get_peft_model, set_peft_model_state_dict
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import AuxiliaryTrainingWrapper
from safetensors.torch import load_file
from torch import nn
from transformers import PreTrainedModel

from shadownb.engine.backends.texts import other_kind
from shadownb.engine.backends.torch import randomness
from shadownb.engine.backends.torch.adapters import (
    expert_products,
    experts,
    linear,
    quiet,
    reach,
    refusals,
    rounded_once,
    targets,
)
from shadownb.engine.backends.torch.adapters.base import Adapter, Start
from shadownb.engine.backends.torch.adapters.merging import merged_copy
from shadownb.engine.backends.torch.adapters.reach import Reach
from shadownb.engine.backends.torch.adapters.sizes import Kept, frozen_block, layer_inputs
from shadownb.errors import CheckpointError, MethodError, ModelError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.methods import MethodSpec

quiet.libraries()

ADAPTER_FILE = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"


def saved_peft_type(folder: Path) -> str | None:
    """Return the peft type of a saved adapter; None where there is none that can be read."""
    try:
        return str(json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))["peft_type"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


class LayerAdapter(Adapter):
    """Adapters on linear layers. The spec's ``tuner`` names the peft type, its ``options`` go to peft's config."""

    kind = "layers"
    noun = "an adapter"
    module: PeftModel

    # -- made -------------------------------------------------------------------------------------------------------

    @classmethod
    def refuse(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> None:
        refusals.refuse_targets(base, config, spec)

    @classmethod
    def count(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> int:
        found = targets.resolve(base, config, spec)
        shapes = [linear.shape(layer) for layer in found.layers.values()]
        if spec.tuner == "MISS":
            return sum(config.lora_r * out for _, out in shapes)
        on_experts = sum(experts.adapter_size(tensor, config.lora_r) for tensor in found.experts.values())
        return sum(config.lora_r * (before + after) for before, after in shapes) + on_experts

    @classmethod
    def reach(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> Reach:
        return reach.of_adapters(base, config, spec)

    @classmethod
    def kept(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> Kept:
        if spec.tuner == "MISS":
            return super().kept(base, config, spec)
        # SHiRA multiplies with a changed copy of each weight matrix.
        dense = cls.adapted_weights(base, config, spec) if spec.tuner == "SHIRA" else 0
        return Kept(frozen_block(base) + layer_inputs(base), dense)

    @classmethod
    def adapted_weights(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> int:
        """Return how many weights the linear layers to adapt have."""
        layers = targets.resolve(base, config, spec).layers.values()
        return sum(before * after for before, after in map(linear.shape, layers))

    @classmethod
    def peft_config(cls, base: nn.Module, config: TrainConfig, spec: MethodSpec) -> PeftConfig:
        """Return peft's config for a new adapter."""
        kind = PEFT_TYPE_TO_CONFIG_MAPPING[spec.tuner]
        options = dict(spec.options)
        if "random_seed" in kind.__dataclass_fields__:
            options["random_seed"] = config.seed % 2**32
        return kind(
            r=config.lora_r,
            target_modules=targets.resolve(base, config, spec).module_names(base),
            task_type="CAUSAL_LM",
            **options,
        )

    @classmethod
    def attach(cls, base: Any, config: TrainConfig, spec: MethodSpec, start: Start) -> Adapter:
        wanted = targets.resolve(base, config, spec).names
        # Whatever the tuner draws comes from the run's own generator.
        with randomness.seeded_draws(config.seed, "adapter"):
            module = refusals.put_on(cls, base, config, spec)
        refusals.check_there(base, wanted, config)
        # Set afterwards: peft replaces another name by the folder the weights came from, which no other machine has.
        module.peft_config["default"].base_model_name_or_path = start.base_name
        return cls(module)

    @classmethod
    def reads(cls, folder: Path) -> bool:
        config = PEFT_TYPE_TO_CONFIG_MAPPING.get(saved_peft_type(folder) or "")
        return config is not None and not issubclass(config, PromptLearningConfig | LoraConfig)

    @classmethod
    def put_on(cls, base: Any, made: PeftConfig) -> PeftModel:
        """Wrap a bare base with what a config describes."""
        module = get_peft_model(base, made)
        rounded_once.install(module)
        expert_products.install(module)
        return module  # type: ignore[return-value]

    @classmethod
    def saved_config(cls, folder: Path) -> PeftConfig:
        """Return peft's config of a saved adapter."""
        try:
            saved = PeftConfig.from_pretrained(str(folder))
            written = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        except (OSError, ValueError, TypeError) as error:
            raise ModelError(f"{folder} holds no adapter that can be read ({error}).") from None
        unsaid = [name for name in ("r", "lora_alpha") if hasattr(saved, name) and name not in written]
        if unsaid:
            raise ModelError(
                f"{folder / ADAPTER_CONFIG} does not say {' and '.join(unsaid)}.",
                why="Another rank or scale than it was trained with gives another model.",
                fix="Add what it was trained with, or save the adapter again.",
            )
        # peft loads adapters frozen; training one then changes nothing and reports success.
        saved.inference_mode = False
        return saved

    @classmethod
    def attach_saved(cls, base: Any, folder: Path) -> Adapter:
        saved = cls.saved_config(folder)
        base_name, saved.base_model_name_or_path = saved.base_model_name_or_path, None
        try:
            with randomness.seeded_draws(0, "adapter"):
                module = cls.put_on(base, saved)
        except ValueError as error:  # peft's words for layers that are not there
            raise ModelError(f"The adapter in {folder} does not fit this model.", why=str(error)) from None
        module.peft_config["default"].base_model_name_or_path = base_name
        adapter = cls(module)
        adapter._fill(_tensors(folder), folder)
        return adapter

    @classmethod
    def strip(cls, base: nn.Module) -> None:
        outer = "\n"
        for name, wrapper in list(base.named_modules()):
            if name.startswith(outer):
                continue
            if isinstance(wrapper, BaseTunerLayer):
                outer = f"{name}."  # those of an expert's tensors stand inside each other
                base.set_submodule(name, wrapper.get_base_layer())
            elif isinstance(wrapper, AuxiliaryTrainingWrapper):
                base.set_submodule(name, wrapper.original_module)
        if hasattr(base, "peft_config"):
            del base.peft_config

    # -- trained ----------------------------------------------------------------------------------------------------

    @property
    def have(self) -> Any:
        """peft's config of the adapter that is there."""
        return self.module.peft_config["default"]

    def owned(self) -> dict[str, nn.Parameter]:
        prefix = self.module.base_model.prefix
        others = [f".{name}." for name in self.module.peft_config if name != "default"]  # a guest's reference
        return {
            name: parameter
            for name, parameter in sorted(self.module.named_parameters())
            if (prefix in name or ".modules_to_save." in name) and not any(other in name for other in others)
        }

    def check_kind(self, config: TrainConfig, spec: MethodSpec) -> None:
        if spec.adapter != self.kind or spec.tuner != str(self.have.peft_type.value):
            raise other_kind(config.method, f"a {self.have.peft_type.value} adapter")
        for option, value in spec.options:
            if getattr(self.have, option, value) != value:
                raise other_kind(config.method, f"an adapter with {option}={getattr(self.have, option)}")

    def check(self, config: TrainConfig, spec: MethodSpec) -> None:
        super().check(config, spec)
        if "target_modules" in config.model_fields_set:
            have = targets.there(self.base)
            wanted = targets.resolve(self.base, config, spec).names
            if have != wanted:
                raise MethodError(
                    f"target_modules={config.target_modules!r}: this model carries an adapter on other layers.",
                    why=f"It is on {len(have)} layers, target_modules means {len(wanted)}.",
                    fix="Leave target_modules out to train on, or load a fresh model for a new adapter.",
                )

    def shape(self) -> dict[str, Any]:
        return {"lora_r": self.have.r}

    @classmethod
    def saved_shape(cls, folder: Path) -> dict[str, Any]:
        """Return what :meth:`shape` gives of a saved adapter."""
        return {"lora_r": getattr(cls.saved_config(folder), "r", None)}

    def effective_config(self, config: TrainConfig) -> TrainConfig:
        spec = config.spec
        return super().effective_config(config).replace(target_modules=targets.given_name(self.base, config, spec))

    def reached(self, config: TrainConfig, spec: MethodSpec) -> Reach:
        return reach.of_adapters(self.base, self.effective_config(config), spec, targets.there(self.base))

    # -- answers and files ------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def switched_off(self) -> Iterator[None]:
        with self.module.disable_adapter():
            yield

    def save(self, folder: Path) -> None:
        # "auto" would ask the hub whether the vocabulary changed; embeddings that are trained are saved as modules.
        self.module.save_pretrained(
            str(folder), safe_serialization=True, save_embedding_layers=False, selected_adapters=["default"]
        )
        (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card

    def load_into(self, folder: Path) -> None:
        tensors = _tensors(folder)
        self._check_shape(folder)
        self._fill(tensors, folder)

    def _check_shape(self, folder: Path) -> None:
        """Refuse tensors of an adapter of another shape: with another scale they would fit, and mean other weights."""
        have = self.shape()
        for option, value in self.saved_shape(folder).items():
            if have[option] != value:
                raise CheckpointError(
                    f"The adapter in {folder.name} has {option}={value}, which does not fit the one on this model: "
                    f"that has {option}={have[option]}.",
                    why="The same numbers in an adapter of another shape or scale give another model.",
                    fix=f"Give {option}={value!r}, or load {folder} with shadownb.load() and train on from there.",
                )

    def _fill(self, tensors: dict[str, Any], folder: Path) -> None:
        try:
            result = set_peft_model_state_dict(self.module, tensors, adapter_name="default")
        except RuntimeError as error:  # another rank: peft names the first tensor in its second line
            why = (str(error).splitlines() or [""])[-1].strip()
            raise ModelError(f"The adapter in {folder} does not fit the one on this model.", why=why) from None
        prefix = self.module.base_model.prefix
        unexpected = list(getattr(result, "unexpected_keys", ()))
        missing = [key for key in getattr(result, "missing_keys", ()) if prefix in key and ".default" in key]
        if unexpected or missing:
            wrong = f"it has {unexpected[0]}" if unexpected else f"it lacks {missing[0]}"
            raise ModelError(f"The adapter in {folder} does not fit this model: {wrong}.")

    def remove(self) -> Any:
        base = self.base
        self.strip(base)  # peft's unload would leave trained embeddings in the base's place
        return base

    def merged(self) -> PreTrainedModel:
        return merged_copy(self.module)


def _tensors(folder: Path) -> dict[str, Any]:
    if not (folder / ADAPTER_FILE).is_file():
        raise ModelError(f"{folder} holds no adapter.", fix="Give a checkpoint of a run with an adapter.")
    tensors = load_file(folder / ADAPTER_FILE)
    odd = next((name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()), None)
    if odd is not None:
        raise ModelError(
            f"The adapter in {folder} holds numbers that are not finite, in {odd}.",
            why="A model with it answers nonsense.",
            fix="Load a checkpoint from before its training broke down.",
        )
    return tensors
