"""The trainable surface of a model: what a method adds to it or unfreezes, and how that is saved and put back.

A model carries at most one: LoRA adapters (``lora``) or its own weights (``weights``). Training on continues on the
same surface; another one is refused, because a run record that says rank 32 over weights of rank 4 would be false.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from torch import nn
from transformers import PreTrainedModel

from shadownb.engine import methods
from shadownb.engine.backends.torch import randomness
from shadownb.errors import MethodError, ModelError

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig

ADAPTER_FILE = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"


def prepare(module: Any, config: TrainConfig, *, base_name: str) -> Any:
    """Return the module with the method's surface, its trainable parameters unfrozen and all others frozen.

    A module that carries the same surface already is returned as it is, to be trained on.

    Raises
    ------
    MethodError
        The module carries another surface.
    """
    spec = methods.get(config.method)
    if spec.surface == "weights":
        if isinstance(module, PeftModel):
            raise MethodError(
                f"method={config.method!r} trains the base weights, but this model carries a LoRA adapter.",
                fix="Load a fresh model, or merge the adapter first with model.save(path, fmt='merged').",
            )
        module.requires_grad_(True)
        return module
    if isinstance(module, PeftModel):
        _check_same_adapter(module, config)
        for name, parameter in module.named_parameters():
            parameter.requires_grad_("lora_" in name)
        return module
    return _attach_lora(module, config, base_name)


def _attach_lora(module: nn.Module, config: TrainConfig, base_name: str) -> PeftModel:
    targets = config.resolved_target_modules()
    if not isinstance(targets, str):
        names = {name.rsplit(".", 1)[-1] for name, child in module.named_modules() if isinstance(child, nn.Linear)}
        missing = [target for target in targets if target.rsplit(".", 1)[-1] not in names]
        if missing:
            raise MethodError(
                f"target_modules={list(targets)}: this model has no linear layer named {missing[0]!r}.",
                fix=f"Choose from {', '.join(sorted(names))}, or use all, attention or mlp.",
            )
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
    wanted = {"lora_r": have.r, "lora_alpha": have.lora_alpha, "use_rslora": have.use_rslora}
    for field, value in wanted.items():
        if field in config.model_fields_set and getattr(config, field) != value:
            raise MethodError(
                f"{field}={getattr(config, field)}: this model carries an adapter with {field}={value}.",
                why="Training continues on the adapter that is there; its shape cannot change.",
                fix=f"Leave {field} out to train on, or load a fresh model for a new adapter.",
            )


def effective_config(module: nn.Module, config: TrainConfig) -> TrainConfig:
    """Return the config with the adapter settings the module really carries."""
    if not isinstance(module, PeftModel):
        return config
    have = module.peft_config["default"]
    return config.replace(lora_r=have.r, lora_alpha=have.lora_alpha, use_rslora=have.use_rslora)


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
        module.save_pretrained(str(folder), safe_serialization=True)


def load_into(module: nn.Module, folder: Path) -> None:
    """Copy a saved surface's tensors into a module that carries the same surface."""
    if isinstance(module, PeftModel):
        tensors = load_file(folder / ADAPTER_FILE)
        result = set_peft_model_state_dict(module, tensors, adapter_name="default")
        unexpected = list(getattr(result, "unexpected_keys", ()))
        if unexpected:
            raise ModelError(f"The adapter in {folder} does not fit this model: it has {unexpected[0]}.")
        return
    tensors = {}
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
    with torch.device("meta"):
        peft_model = get_peft_model(module, lora)
    _materialise(peft_model, seed=0)
    load_into(peft_model, folder)
    return peft_model
