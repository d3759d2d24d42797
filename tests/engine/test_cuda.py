"""On a GPU: number formats, a 4-bit base with paged optimizer states, flash attention, the GPU that was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import shadownb as snb
from shadownb.engine import hardware
from tests.engine.methods_data import OPTIONS, chats, stop_after

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
AUTOCAST = {"bfloat16": "bf16", "float16": "fp16"}


def load(folder: Path, **options: Any) -> Any:
    return snb.load(str(folder), **{"device": "cuda", "max_length": 256, **options})


@pytest.mark.parametrize("dtype", list(AUTOCAST))
@pytest.mark.parametrize("method", ["lora", "full", "prompt"])
def test_16_bits(home: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch, method: str, dtype: str) -> None:
    """Twice on one model, stopped and resumed: the same within rounding (some kernels add in an order of their own)."""
    if dtype == "bfloat16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        pytest.skip("the GPU has no bf16 units")
    options = {**OPTIONS, "method": method, "max_steps": 12}
    model = load(byte_model_dir, dtype=dtype)
    whole = model.train(chats(), background=False, **options)
    had = whole.state.record["actual_setup"]
    assert (had["autocast"], had["trained_dtypes"]) == (AUTOCAST[dtype], ["float32"])
    assert whole.losses()[-1] < whole.losses()[0]
    assert model.train(chats(), background=False, **options).losses()[0] < whole.losses()[0]
    with monkeypatch.context() as patch:
        stop_after(patch, 7)
        part = load(byte_model_dir, dtype=dtype).train(chats(), background=True, **options).wait(timeout=120)
    again = snb.runs.load(part.id)
    again.resume().wait(timeout=120)
    assert again.losses() == pytest.approx(whole.losses(), rel=0.02)


def test_a_4_bit_base_with_paged_states(home: Path, byte_model_dir: Path) -> None:
    if not hardware.has_package("bitsandbytes"):
        pytest.skip("needs bitsandbytes")
    model = load(byte_model_dir, quantize="4bit")
    run = model.train(chats(), background=False, **{**OPTIONS, "method": "qlora", "optim": "paged_adamw_8bit"})
    had = run.state.record["actual_setup"]
    assert had["quantized_layers"] == 14
    assert had["optimizer"].startswith("bitsandbytes.")
    assert run.losses()[-1] < run.losses()[0]
    assert snb.load(run.id, device="cuda").generate("Colour number 3?", max_new_tokens=2) is not None


def test_flash_attention_packs_rows_as_torch_does(home: Path, byte_model_dir: Path) -> None:
    if not hardware.has_package("flash_attn"):
        pytest.skip("needs flash-attn")
    losses = {}
    for accelerator in ("auto", "none"):
        model = load(byte_model_dir, accelerator=accelerator, dtype="bfloat16")
        run = model.train(chats(), background=False, **OPTIONS)
        losses[run.state.record["actual_setup"]["attention"]] = run.losses()
    assert set(losses) == {"flash_attention_2", "shadownb_rows over sdpa"}
    flash, torchs = losses.values()
    assert flash == pytest.approx(torchs, rel=0.02)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
@pytest.mark.parametrize("quantize", [None, "4bit"])
def test_the_gpu_that_was_asked_for_is_the_one_that_trains(home: Path, byte_model_dir: Path, quantize: Any) -> None:
    before = torch.cuda.current_device()
    model = load(byte_model_dir, device="cuda:1", quantize=quantize)
    run = model.train(chats(), background=False, **{**OPTIONS, "method": "qlora" if quantize else "lora"})
    assert run.state.record["actual_setup"]["device"] == "cuda:1"
    assert {parameter.device for parameter in model.module.parameters()} == {torch.device("cuda:1")}
    assert torch.cuda.current_device() == before
