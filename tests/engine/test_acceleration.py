"""Accelerator decisions follow from facts, are told with their reason, and the record says what the trainer truly had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import shadownb as snb
from shadownb import errors
from shadownb.engine import acceleration
from shadownb.engine.acceleration import Facts

EVERYTHING = frozenset({"flash_attn", "kernels", "bitsandbytes", "liger_kernel"})
GPU = Facts("cuda", 24.0, EVERYTHING, "bfloat16")
BARE_GPU = Facts("cuda", 24.0, frozenset(), "bfloat16")
CPU = Facts("cpu", 16.0, EVERYTHING)


def test_attention() -> None:
    choose = acceleration.choose_attention
    assert choose("auto", GPU)[0] == "flash_attention_2"
    assert (
        choose("shadow", Facts("cuda", 24.0, frozenset({"kernels"}), "bfloat16"))[0] == "kernels-community/flash-attn2"
    )
    assert choose("auto", Facts("cuda", 24.0, frozenset({"kernels"}), "bfloat16"))[0] == "sdpa", (
        "nothing is fetched unasked"
    )
    assert choose("none", GPU)[0] == choose("auto", CPU)[0] == choose("auto", BARE_GPU)[0] == "sdpa"
    assert "16 bits" in choose("auto", Facts("cuda", 24.0, EVERYTHING, "float32"))[1]


def test_a_base_goes_to_4_bits_only_where_it_would_not_fit() -> None:
    choose = acceleration.choose_quantization
    assert choose("shadow", None, 20.0, GPU)[0] == "4bit"
    assert choose("shadow", None, 2.0, GPU)[0] == ""
    assert choose("auto", None, 20.0, GPU)[0] == ""
    assert choose("shadow", None, 20.0, CPU) == ("", "on cpu a 4-bit base makes every step slower")
    assert "bitsandbytes is not installed" in choose("shadow", None, 20.0, BARE_GPU)[1]
    assert choose("none", "8bit", None, CPU) == ("8bit", "asked for")


def test_the_optimizer() -> None:
    choose = acceleration.choose_optimizer
    assert choose("auto", "shadow", 7 * 10**9, 10.0, GPU)[0] == "adamw_8bit"
    assert choose("auto", "shadow", 7 * 10**9, 23.0, GPU)[0] == "paged_adamw_8bit"
    assert choose("auto", "shadow", 10**6, 10.0, GPU)[0] == "adamw_torch_fused"
    assert choose("auto", "auto", 7 * 10**9, 10.0, GPU)[0] == "adamw_torch_fused"
    assert choose("auto", "shadow", 7 * 10**9, 10.0, CPU)[0] == "adamw_torch_fused"
    assert choose("auto", "none", 10**6, 1.0, CPU)[0] == "adamw_torch"
    assert choose("sgd", "shadow", 10**6, 1.0, CPU) == ("sgd", "asked for")


def test_activations_are_recomputed_only_where_they_would_not_fit() -> None:
    choose = acceleration.choose_checkpointing
    assert choose("auto", "auto", 4.0, CPU)[0] is False
    assert choose("auto", "auto", 15.0, CPU)[0] is True
    assert choose("auto", "none", 15.0, CPU)[0] is False
    assert choose("on", "none", 1.0, CPU) == (True, "asked for")
    assert choose("off", "shadow", 99.0, CPU) == (False, "asked for")


def test_fused_kernels() -> None:
    assert acceleration.choose_kernels("shadow", GPU)[0]
    assert not acceleration.choose_kernels("auto", GPU)[0]
    assert "Triton" in acceleration.choose_kernels("shadow", CPU)[1]
    assert "pip install liger-kernel" in acceleration.choose_kernels("shadow", BARE_GPU)[1]


def test_an_unknown_accelerator_is_refused(tiny_model_dir: Path) -> None:
    with pytest.raises(errors.ConfigError, match=r"accelerator='shadwo' is not known. Did you mean 'shadow'"):
        snb.load(str(tiny_model_dir), accelerator="shadwo", dtype="float32")  # type: ignore[arg-type]


@pytest.mark.parametrize("accelerator", ["auto", "shadow", "none"])
def test_the_record_says_what_the_trainer_had(
    home: Path, tiny_model_dir: Path, rows: list[dict[str, Any]], accelerator: Any
) -> None:
    model = snb.load(str(tiny_model_dir), max_length=256, accelerator=accelerator, dtype="float32")
    run = model.train(rows, background=False, max_steps=2, per_device_train_batch_size=1, gradient_accumulation_steps=1)
    record = run.state.record
    had, decided = record["actual_setup"], record["decisions"]
    assert all(reason for _, reason in decided.values()), "every decision has its reason"
    assert record["model"]["accelerator"] == accelerator
    assert had["optimizer"] == "torch.AdamW"
    assert had["fused_optimizer"] is (accelerator != "none")
    assert decided["optimizer"][0] == ("adamw_torch" if accelerator == "none" else "adamw_torch_fused")
    assert had["gradient_checkpointing"] is False
    assert had["attention"] == "shadownb_rows over sdpa"
    assert (had["quantized_layers"], had["fused_kernels"], had["autocast"]) == (0, [], "no")
    # The linear layers are computed so on every processor; two blocks of seven. The others are where they were timed.
    assert ("linears" in had["kernels"]) is (accelerator != "none")
    assert had["layers_in_one_operation"] == (0 if accelerator == "none" else 14)
    assert accelerator != "none" or (had["kernels"], had["products_by"]) == ([], "torch")
    assert had["trained_dtypes"] == ["float32"]
    assert had["trained_parameters"] == record["trainable_parameters"]


def test_what_was_asked_for_is_what_the_trainer_had(tiny: Any, rows: list[dict[str, Any]]) -> None:
    options = {"max_steps": 1, "optim": "sgd", "gradient_checkpointing": "on"}
    had = tiny.train(rows, background=False, **options).state.record["actual_setup"]
    assert had["optimizer"] == "torch.SGD"
    assert had["gradient_checkpointing"] is True


def test_the_worker_keeps_the_accelerator(home: Path, tiny_model_dir: Path, rows: list[dict[str, Any]]) -> None:
    model = snb.load(str(tiny_model_dir), max_length=256, accelerator="none", dtype="float32")
    run = model.train(rows, background=False, max_steps=1, executor="process")
    assert run.state.record["actual_setup"]["fused_optimizer"] is False


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_plan_is_what_the_trainer_had(
    home: Path, tiny_model_dir: Path, rows: list[dict[str, Any]]
) -> None:
    model = snb.load(str(tiny_model_dir), device="cuda", max_length=256, accelerator="shadow")
    assert model.decisions["attention"][0] in {"flash_attention_2", "kernels-community/flash-attn2", "sdpa"}
    run = model.train(rows, background=False, max_steps=2)
    had, decided = run.state.record["actual_setup"], run.state.record["decisions"]
    assert had["device"].startswith("cuda")
    assert had["autocast"] in {"bf16", "fp16"}
    assert bool(had["fused_kernels"]) is decided["fused_kernels"][0]
