"""From a source to a torch module and its tokenizer, with errors that say what is wrong with it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from transformers.utils import find_adapter_config_file

from shadownb.engine import live
from shadownb.engine.backends.texts import does_not_fit, unreachable, unreadable
from shadownb.engine.backends.torch.packed_weights import dense_tensors, method_of, put_on
from shadownb.engine.backends.torch.quantized import never_pack
from shadownb.engine.backends.torch.quiet import quiet_progress_bars
from shadownb.engine.fetching import Fetching
from shadownb.engine.loaded.source import Source
from shadownb.engine.ports.decisions import Decision
from shadownb.errors import MissingDependencyError, ModelError, ShadowError


def load_module(source: Source, decisions: dict[str, Decision]) -> tuple[Any, Any]:
    """Return (module, tokenizer) of a source's base weights."""
    device, dtype = str(decisions["device"][0]), str(decisions["dtype"][0])
    attention, quantize = str(decisions["attention"][0]), decisions["quantization"][0] or None
    options: dict[str, Any] = {"dtype": getattr(torch, dtype), "trust_remote_code": False}
    if attention != "sdpa":  # sdpa is the library's own choice, where the architecture has it
        options["attn_implementation"] = attention
    if quantize is not None:
        if importlib.util.find_spec("bitsandbytes") is None:
            raise MissingDependencyError(f"quantize={quantize!r} needs bitsandbytes.", fix="pip install bitsandbytes")
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=quantize == "4bit",
            load_in_8bit=quantize == "8bit",
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=getattr(torch, dtype),
        )
        # With its number, or accelerate would take it for another GPU than the one that trains.
        bare = device in ("cuda", "xpu")
        options["device_map"] = {"": torch.device(device, torch.accelerator.current_device_index()) if bare else device}
    live.tell("reading weights", None if Path(source.location).is_dir() else Fetching(source.location))
    _refuse_adapter(source)
    try:
        with quiet_progress_bars():
            tokenizer = AutoTokenizer.from_pretrained(source.location, trust_remote_code=False)
            packed = method_of(Path(source.location))
            if packed is None or importlib.util.find_spec("gptqmodel") is not None:
                module, told = AutoModelForCausalLM.from_pretrained(
                    source.location, output_loading_info=True, **options
                )
                absent = sorted(told["missing_keys"])
            else:
                module, absent = _unpacked(Path(source.location), packed, options["dtype"]), []
                decisions["dtype"] = (
                    dtype,
                    f"its {packed['quant_method']} weights, unpacked: nothing here computes them packed",
                )
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise does_not_fit(source.name, str(device), error) from error
    except (OSError, ValueError, SafetensorError, StrictDataclassError) as error:
        raise _unreadable(source, error) from error
    if absent:  # transformers would have them at random
        raise ModelError(
            f"The files of {source.name} have not all of its weights.",
            why=f"{len(absent)} are missing, first {absent[0]}.",
            fix="Save or download it again.",
        )
    if quantize is None:
        module.to(device)
    never_pack(module)
    module.eval()
    return module, tokenizer


def _unpacked(folder: Path, packed: dict[str, Any], dtype: torch.dtype) -> Any:
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    del config.quantization_config  # with it the library would look for packed weights
    module = AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)
    put_on(module, dense_tensors(folder, packed))
    return module


def load_tokenizer(location: str) -> Any:
    """Return the tokenizer of a folder or a hub id."""
    with quiet_progress_bars():
        return AutoTokenizer.from_pretrained(location, trust_remote_code=False)


def _refuse_adapter(source: Source) -> None:
    """Refuse what transformers would load as a base with an adapter on it: it would pass for the bare base here."""
    try:
        description = find_adapter_config_file(source.location)
        if description is None:
            return
        base = json.loads(Path(description).read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError):  # of a model that is not there, or is damaged; loading it says so
        return
    local = Path(source.location).is_dir()
    folder = f"{source.location!r}" if local else f"huggingface_hub.snapshot_download({source.location!r})"
    raise ModelError(
        f"{source.name!r} has an adapter, so it is no base model.",
        why=f"Its adapter_config.json says that it was trained on {base}.",
        fix=f"Load it on its base: shadownb.load({base!r}, adapter={folder}).",
    )


def _unreadable(source: Source, error: Exception) -> ShadowError:
    """Say whether a model is out of reach on the hub, and why, or not readable."""
    if Path(source.location).is_dir():
        return unreadable(source.location, error)
    return unreachable(source.name, error)
