"""A LoRA adapter of peft's files in GGUF: for ``llama-server --lora``, Ollama's ``ADAPTER``, and models loaded here."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from shadownb.engine.gguf.layout import Layout
from shadownb.engine.gguf.tensors import Tensors
from shadownb.errors import ExportError

_NAME = re.compile(r"^base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight$")
_MERGE = "Merge it: format='gguf' writes the whole model with it in its weights."


def write_adapter(folder: Path, layout: Layout, target: Path) -> None:
    """Write the adapter that ``folder`` holds; the file appears when it is whole.

    Raises
    ------
    ExportError
        It is more than pairs of LoRA on linear layers, or on layers that GGUF has no place for.
    """
    said = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    refuse(said)
    with Tensors([folder / "adapter_model.safetensors"]) as tensors:
        pairs = _pairs(tensors)
        alpha = float(said["lora_alpha"])
        writer = gguf.GGUFWriter(str(target), layout.architecture)
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
        for module, names in pairs.items():
            a, b = tensors.read(names["A"]), tensors.read(names["B"])
            name = layout.name(module)
            rows = layout.ordered(module, b) * np.float32(_factor(said, module, len(a), alpha))
            writer.add_tensor(f"{name}.weight.lora_a", a)
            writer.add_tensor(f"{name}.weight.lora_b", np.ascontiguousarray(rows, np.float32))
        try:
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()


def refuse(said: dict[str, Any]) -> None:
    """Raise ExportError for an adapter that llama.cpp would add otherwise than it was trained."""
    more = next(
        (
            what
            for key, what in (
                ("use_dora", "DoRA, which scales whole columns"),
                ("modules_to_save", "trained modules beside LoRA"),
                ("target_parameters", "LoRA on parameters that are no linear layers"),
                ("lora_bias", "LoRA with biases"),
                ("trainable_token_indices", "trained tokens beside LoRA"),
            )
            if said.get(key)
        ),
        None,
    )
    if said.get("peft_type") != "LORA" or more is not None:
        raise ExportError(
            f"format='gguf-lora': the adapter is {more or said.get('peft_type')}, and GGUF has LoRA alone.", fix=_MERGE
        )


def _pairs(tensors: Tensors) -> dict[str, dict[str, str]]:
    pairs: dict[str, dict[str, str]] = {}
    for name in tensors:
        found = _NAME.match(name)
        if found is None:
            raise ExportError(f"format='gguf-lora': the tensor {name} is no LoRA of a linear layer.", fix=_MERGE)
        pairs.setdefault(found["module"], {})[found["side"]] = name
    return dict(sorted(pairs.items()))


def _factor(said: dict[str, Any], module: str, rank: int, alpha: float) -> float:
    """Return by what B is multiplied, so that llama.cpp's scale (alpha by rank) becomes the one that was trained with."""
    own = next(
        (
            float(value)
            for pattern, value in (said.get("alpha_pattern") or {}).items()
            if re.match(rf"(.*\.)?({pattern})$", module)
        ),
        alpha,
    )
    trained = own / (math.sqrt(rank) if said.get("use_rslora") else rank)
    return trained / (alpha / rank)
