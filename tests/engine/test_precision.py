"""Training in 16 bits: small updates are not rounded away, a step that fp16 cannot hold is skipped, autocast is there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn
from transformers.models.llama import modeling_llama

import shadownb as snb
from shadownb import errors
from shadownb.engine import hardware
from shadownb.engine.backends.torch import masters, training_state
from shadownb.engine.backends.torch.kernels import liger
from shadownb.engine.backends.torch.training import TorchTraining
from shadownb.engine.ports.backend_facts import Device
from shadownb.engine.runs.schedules import schedule
from tests.engine.methods_data import OPTIONS, chats, curve, stop_after
from tests.tiny_models import biased

pytestmark = pytest.mark.other_cpu

FULL = {**OPTIONS, "method": "full", "lr_scheduler_type": "constant"}


# -- 32-bit copies ------------------------------------------------------------------------------------------------------


def moves(folder: Path, dtype: str) -> torch.Tensor:
    """Return how far 25 small steps moved the weights that are multiplied with, as one vector in 32 bits."""
    model = snb.load(str(folder), dtype=dtype, max_length=256)
    before = {name: parameter.detach().float().clone() for name, parameter in model.module.named_parameters()}
    options = {**FULL, "max_steps": 25, "save_steps": 25, "learning_rate": 2e-4, "weight_decay": 0.0}
    model.train(chats(), background=False, **options)
    after = dict(model.module.named_parameters())
    return torch.cat([(after[n].detach().float() - w).flatten() for n, w in before.items() if w.ndim == 2])


def test_small_updates_of_bf16_weights_are_not_rounded_away(home: Path, byte_model_dir: Path) -> None:
    """Each step moves a weight by 2e-4, and bf16 numbers near 0.2 are 1e-3 apart."""
    wanted, got = moves(byte_model_dir, "float32"), moves(byte_model_dir, "bfloat16")
    assert (got @ wanted) / (wanted @ wanted) == pytest.approx(1.0, abs=0.1)


CASES: dict[str, dict[str, Any]] = {
    "full": {},
    "bitfit": {"learning_rate": 1e-3},
    "lora": {"train_embeddings": True, "lora_r": 4},
}


@pytest.mark.parametrize("method", list(CASES))
def test_a_16_bit_run_is_resumed_exactly(
    home: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    folder = biased(byte_model_dir) if method == "bitfit" else byte_model_dir
    options = {**OPTIONS, **CASES[method], "method": method}

    def fresh() -> Any:
        return snb.load(str(folder), dtype="bfloat16", max_length=256)

    model = fresh()
    whole = model.train(chats(), background=False, **options)
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        part = fresh().train(chats(), background=True, **options).wait(timeout=120)
    assert (part.status, part.step) == ("stopped", 3)
    assert (part.checkpoint_at(3).path / "training" / masters.FILE).is_file()
    again = snb.runs.load(part.id)
    again.resume().wait(timeout=120)
    assert curve(again) == curve(whole)
    assert again.checkpoint_at().manifest["trained_sha256"] == whole.checkpoint_at().manifest["trained_sha256"]
    assert whole.state.record["actual_setup"]["trained_dtypes"] == ["float32"]
    base = {parameter.dtype for name, parameter in model.module.named_parameters() if "lora_" not in name}
    assert base == {torch.bfloat16}, "the model keeps its number format"
    assert not any(parameter._post_accumulate_grad_hooks for parameter in model.module.parameters())


def test_32_bits_need_no_copies(home: Path, byte_model_dir: Path) -> None:
    run = snb.load(str(byte_model_dir), max_length=256, dtype="float32").train(chats(), background=False, **FULL)
    assert not (run.checkpoint_at().path / "training" / masters.FILE).exists()


# -- fp16: on a CPU nothing is scaled, so training is given a scaler as on a GPU here ---------------------------------------


@pytest.fixture
def scaled(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], list[TorchTraining]]:
    """Let every training compute in fp16 with a scaler that starts at a given scale, as on a GPU; returns the trainings."""
    made: list[TorchTraining] = []

    def start(scale: float) -> list[TorchTraining]:
        def make(training: TorchTraining) -> torch.amp.GradScaler:
            training.autocast = training.passes.autocast = torch.float16
            training.passes.kernels.on = frozenset()
            made.append(training)
            return torch.amp.GradScaler("cpu", init_scale=scale)

        monkeypatch.setattr(TorchTraining, "make_scaler", make)
        return made

    return start


def test_steps_that_fp16_cannot_hold_are_skipped_and_counted(home: Path, byte_model_dir: Path, scaled: Any) -> None:
    trainings = scaled(2.0**24)
    model = snb.load(str(byte_model_dir), dtype="float16", max_length=256)
    run = model.train(chats(), background=False, **{**OPTIONS, "max_steps": 20, "save_steps": 20}, lora_r=4)
    assert run.status == "succeeded", run.error
    steps = [event for event in run.events() if event["type"] == "step"]
    skipped = [event["step"] for event in steps if event["grad_norm"] is None]
    assert skipped[0] == 1
    assert 1 <= len(skipped) < 20
    assert steps[-1]["skipped_steps"] == len(skipped)
    assert [w["code"] for w in run.state.warnings].count("step-skipped") == 1
    assert trainings[0].updates.scaler.get_scale() == 2.0 ** (24 - len(skipped))
    assert run.losses()[-1] < run.losses()[0]
    assert run.state.record["actual_setup"]["autocast"] == "fp16"
    rate = schedule(
        run.config.lr_scheduler_type, run.config.resolved_learning_rate(), 20, run.config.resolved_warmup(20)
    )
    before = [sum(step < event["step"] for step in skipped) for event in steps]
    expected = [rate(event["step"] - 1 - missed) for event, missed in zip(steps, before, strict=True)]
    assert [event["learning_rate"] for event in steps] == expected, "the schedule moves with updates that happened"


@pytest.mark.parametrize("method", ["lora", "full"])
def test_an_fp16_run_is_resumed_exactly(
    home: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch, scaled: Any, method: str
) -> None:
    """The scale goes on where it was: from the start again, it would skip other steps. ``full`` has fp16 gradients."""
    scaled(2.0**24)
    options = {**OPTIONS, "max_steps": 16, "save_steps": 16, "method": method}
    whole = snb.load(str(byte_model_dir), dtype="float16", max_length=256)
    run = whole.train(chats(), background=False, **options)
    with monkeypatch.context() as patch:
        stop_after(patch, 7)
        model = snb.load(str(byte_model_dir), dtype="float16", max_length=256)
        part = model.train(chats(), background=True, **options).wait(timeout=120)
    assert part.step == 7
    assert (part.checkpoint_at(7).path / "training" / training_state.SCALER).is_file()
    again = snb.runs.load(part.id)
    again.resume().wait(timeout=120)
    assert curve(again) == curve(run)
    assert again.checkpoint_at().manifest["trained_sha256"] == run.checkpoint_at().manifest["trained_sha256"]


def test_gradients_that_no_scale_makes_finite_are_an_error(
    home: Path, byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch, scaled: Any
) -> None:
    scaled(4.0)
    compute = TorchTraining.compute

    def broken(training: TorchTraining, *args: Any, **more: Any) -> float:
        loss = compute(training, *args, **more)
        next(p for p in training.adapter.owned().values() if p.grad is not None).grad[0, 0] = torch.inf
        return loss

    monkeypatch.setattr(TorchTraining, "compute", broken)
    model = snb.load(str(byte_model_dir), dtype="float16", max_length=256)
    with pytest.raises(errors.NonFiniteLossError, match="gradient norm became inf after step 2"):
        model.train(chats(), background=False, **{**OPTIONS, "max_steps": 8}, lora_r=4)


@pytest.mark.parametrize("method", ["lora", "prompt"])
def test_every_run_computes_under_autocast_and_none_leaves_it(
    home: Path, byte_model_dir: Path, scaled: Any, method: str
) -> None:
    """Also the base that a learned prompt calls, and in a second run; no module is wrapped."""
    scaled(2.0**10)
    model = snb.load(str(byte_model_dir), dtype="float16", max_length=256)
    seen: list[bool] = []
    model.module.model.layers[0].mlp.register_forward_hook(lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    for _ in range(2):
        seen.clear()
        model.train(chats(), background=False, method=method, **{**OPTIONS, "max_steps": 2})
        assert seen
        assert all(seen[-2:]), "the last steps of the run"
        for module in (model.module, model.adapter.base):
            assert not {"forward", "_original_forward", "_is_accelerate_prepared"} & set(vars(module))
    seen.clear()
    model.generate("Colour number 3?", max_new_tokens=2)
    assert seen
    assert not any(seen)


# -- kernels ------------------------------------------------------------------------------------------------------------


def test_fused_kernels_are_recorded_and_stay_on_their_model(
    byte_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """liger-kernel cannot be imported without Triton; this stand-in changes what it changes."""

    class LigerRMSNorm(nn.Module):
        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return hidden

    LigerRMSNorm.forward.__module__ = "liger_kernel.transformers.rms_norm"
    LigerRMSNorm.forward.__qualname__ = "LigerRMSNorm.forward"

    def apply(model: Any, *, rms_norm: bool, rope: bool, **_: bool) -> None:
        assert rms_norm
        assert not rope
        modeling_llama.LlamaRMSNorm = LigerRMSNorm  # type: ignore[misc,assignment]
        for module in model.modules():
            if type(module) is norm:
                module.__dict__["forward"] = LigerRMSNorm.forward.__get__(module, type(module))

    norm = modeling_llama.LlamaRMSNorm
    stand_in: Any = ModuleType("liger_kernel.transformers")
    stand_in._apply_liger_kernel_to_instance = apply
    model = snb.load(str(byte_model_dir), dtype="float32").module
    assert liger.fused(model.modules()) == []
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "liger_kernel", ModuleType("liger_kernel"))
        patch.setitem(sys.modules, "liger_kernel.transformers", stand_in)
        liger.fuse(model)
    assert liger.fused(model.modules()) == ["LigerRMSNorm"]
    assert modeling_llama.LlamaRMSNorm is norm
    assert liger.fused(snb.load(str(byte_model_dir), dtype="float32").module.modules()) == []


# -- devices ------------------------------------------------------------------------------------------------------------


def test_only_a_device_that_is_there_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = tuple(Device("cuda", f"GPU {n}", 16.0, 16.0, True, "found by torch") for n in range(2))
    found = hardware.detect()
    monkeypatch.setattr(
        hardware,
        "detect",
        lambda _="torch": hardware.Hardware((found.devices[0], *gpus), "cuda", "faster", 2, 8.0, 4.0),
    )
    assert hardware.choose_device("cuda:1") == ("cuda:1", "asked for")
    assert hardware.choose_device("cuda") == ("cuda", "asked for")
    for asked in ("cuda:2", "cuda:one", "cuda:-1", "mps:0"):
        with pytest.raises(errors.ConfigError, match=f"device='{asked}' is not on this machine") as raised:
            hardware.choose_device(asked)
        assert raised.value.why == "Found: cpu, cuda:0, cuda:1."
