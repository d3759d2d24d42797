"""The trainable surface of a model: what a method adds to it or unfreezes, and how that is saved and put back.

A model carries at most one: LoRA adapters (``lora``) or its own weights (``weights``). Training on continues on the
same surface; another one is refused, because a run record that says rank 32 over weights of rank 4 would be false.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from shadownb.engine import methods
from shadownb.engine.backends.torch import randomness
from shadownb.engine.config import TARGET_PRESETS
from shadownb.engine.models.quiet import quiet_progress_bars
from shadownb.errors import MethodError, ModelError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig

# peft asks by a name that transformers 5 renamed. Filtered for good: catch_warnings is not safe beside other threads.
warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)

ADAPTER_FILE = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"


def prepare(module: Any, config: TrainConfig, *, base_name: str) -> Any:
    """Return the module with the method's surface, its trainable parameters unfrozen and all others frozen.

    A module that carries the same surface already is returned as it is, to be trained on; :func:`check` comes before.
    """
    if methods.get(config.method).surface == "weights":
        module.requires_grad_(True)
        return module
    if isinstance(module, PeftModel):
        for name, parameter in module.named_parameters():
            parameter.requires_grad_("lora_" in name)
        if "lora_dropout" in config.model_fields_set:
            _set_dropout(module, config.lora_dropout)
        return module
    return _attach_lora(module, config, base_name)


def check(module: Any, config: TrainConfig, *, base_changed: bool) -> None:
    """Raise MethodError where the method does not fit what the model carries.

    Parameters
    ----------
    base_changed
        Whether an earlier training changed the base weights.
    """
    if methods.get(config.method).surface == "weights":
        if isinstance(module, PeftModel):
            raise MethodError(
                f"method={config.method!r} trains the base weights, but this model carries a LoRA adapter.",
                fix="Load a fresh model, or merge the adapter first with model.save(path, fmt='merged').",
            )
        return
    if base_changed:
        raise MethodError(
            f"method={config.method!r} trains an adapter on a base that stays as it is, but this base has been trained.",
            why="The adapter alone would not give this model again.",
            fix="Save it with model.save(path, fmt='merged') and load that folder, or load a fresh model.",
        )
    targets = config.resolved_target_modules()
    missing = [t for t in targets if not _named(module, (t,))] if not isinstance(targets, str) else []
    if missing:
        names = {name.rsplit(".", 1)[-1] for name in _linear_layers(module)}
        raise MethodError(
            f"target_modules={list(targets)}: this model has no linear layer named {missing[0]!r}.",
            fix=f"Choose from {', '.join(sorted(names))}, or use all, attention or mlp.",
        )
    if isinstance(module, PeftModel):
        _check_same_adapter(module, config)


def remove_adapter(module: PeftModel) -> Any:
    """Return the base as it was before an adapter was put on it."""
    return module.unload()


def _set_dropout(module: PeftModel, p: float) -> None:
    module.peft_config["default"].lora_dropout = p
    for layer in module.modules():
        if isinstance(layer, LoraLayer):
            for adapter in layer.lora_dropout:
                layer.lora_dropout[adapter] = nn.Dropout(p) if p > 0 else nn.Identity()


def _linear_layers(module: nn.Module) -> dict[str, nn.Module]:
    """Return the base's linear layers, adapted or not, by their names without adapters; the output head is left out."""
    base = module.get_base_model() if isinstance(module, PeftModel) else module
    head = base.get_output_embeddings() if isinstance(base, PreTrainedModel) else None
    found: dict[str, nn.Module] = {}
    adapted = ""
    for name, child in base.named_modules():
        if adapted and name.startswith(adapted):
            continue
        if isinstance(child, LoraLayer):
            adapted = f"{name}."
        if isinstance(child, nn.Linear | Conv1D | LoraLayer) and child is not head:
            found[name] = child
    return found


def _named(module: nn.Module, targets: str | tuple[str, ...]) -> set[str]:
    """Return the linear layers that target_modules means, by peft's rule: a whole name or the end of one."""
    layers = _linear_layers(module)
    if isinstance(targets, str):
        return set(layers)
    return {name for name in layers if any(name == t or name.endswith(f".{t}") for t in targets)}


def _adapted(module: PeftModel) -> set[str]:
    return {name for name, layer in _linear_layers(module).items() if isinstance(layer, LoraLayer)}


def _attach_lora(module: nn.Module, config: TrainConfig, base_name: str) -> PeftModel:
    targets = config.resolved_target_modules()
    lora = LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        use_rslora=config.use_rslora,
        task_type="CAUSAL_LM",
        **dict(methods.get(config.method).options),
    )
    # On the meta device peft draws no random numbers (the mode is per thread); the values follow from the run's seed.
    with torch.device("meta"):
        peft_model = get_peft_model(module, lora)
    _materialise(peft_model, config.seed)
    # Set afterwards: peft replaces another name by the folder the weights came from, which no other machine has.
    peft_model.peft_config["default"].base_model_name_or_path = base_name
    return peft_model


def _materialise(peft_model: PeftModel, seed: int) -> None:
    for name, layer in peft_model.named_modules():
        if not isinstance(layer, LoraLayer):
            continue
        base = layer.get_base_layer().weight
        for adapter in layer.lora_A:
            draw = randomness.generator(seed, "lora", name)
            for pair in (layer.lora_A, layer.lora_B):
                # fp32 adapters also on a 16-bit base, as peft does: updates smaller than bf16's step would be lost.
                pair[adapter].to_empty(device=base.device)
                pair[adapter].to(torch.float32)
                pair[adapter].weight.requires_grad_(True)
            randomness.initialise_lora(layer.lora_A[adapter].weight, layer.lora_B[adapter].weight, draw)


def _check_same_adapter(module: PeftModel, config: TrainConfig) -> None:
    have = module.peft_config["default"]
    if not isinstance(have, LoraConfig):
        raise MethodError(
            f"This model carries a {have.peft_type} adapter, which {config.method} cannot continue.",
            fix="Load a fresh model.",
        )
    for field, value in _shape(have).items():
        if field in config.model_fields_set and getattr(config, field) != value:
            raise MethodError(
                f"{field}={getattr(config, field)}: this model carries an adapter with {field}={value}.",
                why="Training continues on the adapter that is there; its shape cannot change.",
                fix=f"Leave {field} out to train on, or load a fresh model for a new adapter.",
            )
    if "target_modules" in config.model_fields_set:
        have_layers, wanted_layers = _adapted(module), _named(module, config.resolved_target_modules())
        if have_layers != wanted_layers:
            raise MethodError(
                f"target_modules={config.target_modules!r}: this model carries an adapter on other layers.",
                why=f"It is on {len(have_layers)} layers, target_modules means {len(wanted_layers)}.",
                fix="Leave target_modules out to train on, or load a fresh model for a new adapter.",
            )


def _shape(have: LoraConfig) -> dict[str, Any]:
    return {"lora_r": have.r, "lora_alpha": have.lora_alpha, "use_rslora": have.use_rslora}


def effective_config(module: nn.Module, config: TrainConfig) -> TrainConfig:
    """Return the config with the adapter settings the module really carries."""
    if not isinstance(module, PeftModel):
        return config
    have = module.peft_config["default"]
    return config.replace(**_shape(have), lora_dropout=have.lora_dropout, target_modules=_target_name(module, config))


def _target_name(module: PeftModel, config: TrainConfig) -> str | tuple[str, ...]:
    """Return target_modules for the layers that carry an adapter: as it was given, a preset, or their names."""
    adapted = _adapted(module)
    given = config.target_modules, config.resolved_target_modules()
    for name, targets in (given, *TARGET_PRESETS.items()):
        if _named(module, targets) == adapted:
            return name
    return tuple(sorted(adapted))


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """Return the trainable parameters by name, in a fixed order."""
    return {name: p for name, p in sorted(module.named_parameters()) if p.requires_grad}


def snapshot(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return copies of the trainable tensors, to go back to if the run is discarded."""
    return {name: p.detach().clone() for name, p in trainable(module).items()}


def restore(module: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Put a :func:`snapshot` back."""
    parameters = dict(module.named_parameters())
    with torch.no_grad():
        for name, tensor in tensors.items():
            parameters[name].copy_(tensor)


def digest(tensors: dict[str, Any]) -> str:
    """Return the sha256 over names, dtypes, shapes and bytes of tensors."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous().cpu()
        sha.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        sha.update(memoryview(tensor.view(-1).view(torch.uint8).numpy()))
    return sha.hexdigest()


def save(module: nn.Module, folder: Path) -> None:
    """Write the surface so that it loads on its own: an adapter as peft does, weights as transformers does."""
    if isinstance(module, PeftModel):
        # "auto" would ask the hub whether the vocabulary changed; no method here trains embeddings in an adapter.
        module.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card
    else:
        assert isinstance(module, PreTrainedModel)
        with quiet_progress_bars():
            module.save_pretrained(str(folder), safe_serialization=True)


def load_into(module: nn.Module, folder: Path) -> None:
    """Copy a saved surface's tensors into a module that carries the same surface."""
    if isinstance(module, PeftModel):
        if not (folder / ADAPTER_FILE).is_file():
            raise ModelError(f"{folder} holds no adapter.", fix="Give a checkpoint of a run with an adapter.")
        tensors = load_file(folder / ADAPTER_FILE)
        try:
            result = set_peft_model_state_dict(module, tensors, adapter_name="default")
        except RuntimeError as error:  # another rank: peft names the first tensor in its second line
            why = (str(error).splitlines() or [""])[-1].strip()
            raise ModelError(f"The adapter in {folder} does not fit the one on this model.", why=why) from None
        unexpected = list(getattr(result, "unexpected_keys", ()))
        missing = [key for key in getattr(result, "missing_keys", ()) if "lora_" in key]
        if unexpected or missing:
            wrong = f"it has {unexpected[0]}" if unexpected else f"it lacks {missing[0]}"
            raise ModelError(f"The adapter in {folder} does not fit this model: {wrong}.")
        return
    tensors = {}
    if (folder / ADAPTER_CONFIG).is_file():
        raise ModelError(f"{folder} holds an adapter, not the weights of a model.")
    for file in sorted(folder.glob("model*.safetensors")):
        tensors.update(load_file(file))
    tied = set(getattr(module, "_tied_weights_keys", None) or ())
    result = module.load_state_dict(tensors, strict=False)
    missing = [key for key in result.missing_keys if key not in tied]
    if missing or result.unexpected_keys:
        raise ModelError(f"The weights in {folder} do not fit this model: {(missing or result.unexpected_keys)[0]}.")


def attach_saved(module: nn.Module, folder: Path) -> PeftModel:
    """Return the base module with a saved adapter on it, trainable.

    peft loads adapters frozen unless told otherwise; training one then changes nothing and reports success.
    """
    try:
        config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        lora = LoraConfig.from_pretrained(str(folder))
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{folder} holds no adapter that can be read ({error}).") from None
    if config.get("peft_type") != "LORA":
        raise ModelError(f"{folder} holds a {config.get('peft_type')} adapter, which is not supported.")
    lora.inference_mode = False
    base_name, lora.base_model_name_or_path = lora.base_model_name_or_path, None
    with torch.device("meta"):
        peft_model = get_peft_model(module, lora)
    peft_model.peft_config["default"].base_model_name_or_path = base_name
    _materialise(peft_model, seed=0)
    load_into(peft_model, folder)
    return peft_model
