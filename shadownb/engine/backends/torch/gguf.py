"""Weights that come inside a Python package as GGUF: converted once to safetensors, so that loading takes a second.

The GGUF holds 4-bit blocks (Q4_1). What comes out are their values in 16 bits: the same model name gives slightly other
weights than the hub does, so source and hash stand in every record.
"""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from filelock import FileLock

from shadownb.engine import live
from shadownb.engine.backends.torch.quiet import quiet_gguf_bar, quiet_progress_bars


def convert_gguf(file: Path, target: Path) -> Path:
    """Write a GGUF file's model and tokenizer to ``target`` as transformers reads them; about 30 s for 135M weights."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f".{target.name}.lock")):
        if (target / "config.json").is_file():
            return target
        live.tell("converting its weights, once")
        aside = target.with_name(f".{target.name}-{uuid.uuid4().hex[:8]}")
        try:
            _convert(file, aside)
            aside.rename(target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return target


def _convert(file: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet_gguf_bar():
        model = AutoModelForCausalLM.from_pretrained(str(file.parent), gguf_file=file.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
    # Marks of the quantised source; with them transformers would refuse to save plain weights.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer = None
    model.is_quantized = False
    with quiet_progress_bars():
        model.to(torch.bfloat16).save_pretrained(str(target), safe_serialization=True)
    tokenizer.save_pretrained(str(target))
