"""Fixtures for generation: generators over the tiny model, plain and with an adapter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from shadownb.engine.inference.transformers_generator import TransformersGenerator


@pytest.fixture
def tiny_model(tiny_model_dir: Path) -> Any:
    """A fresh copy of the tiny model in 32 bits."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32)


@pytest.fixture
def generator_for(smollm2_tokenizer: Any) -> Callable[..., TransformersGenerator]:
    """Make a generator with a gate of its own for a model; token 2 ends an answer unless told otherwise."""
    from shadownb.engine.inference import WeightsGate
    from shadownb.engine.inference.transformers_generator import TransformersGenerator

    def make(model: Any, **options: Any) -> TransformersGenerator:
        return TransformersGenerator(model, smollm2_tokenizer, WeightsGate(), **{"stop_token_ids": [2], **options})

    return make


@pytest.fixture
def generator(tiny_model: Any, generator_for: Callable[..., TransformersGenerator]) -> TransformersGenerator:
    """A generator for the tiny model as it is."""
    return generator_for(tiny_model)


@pytest.fixture
def tuned(tiny_model_dir: Path, generator_for: Callable[..., TransformersGenerator]) -> TransformersGenerator:
    """A generator for the tiny model with an adapter that changes its answers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32)
    state = torch.get_rng_state()
    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules="all-linear", lora_dropout=0.5, init_lora_weights=False)
    model = get_peft_model(plain, config)
    torch.set_rng_state(state)
    return generator_for(model)
