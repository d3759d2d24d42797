"""4-bit bases: every trained tensor gets LoRA's gradient whatever came before, and the base's bytes never change."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import shadownb as snb
from shadownb.engine.backends.torch import adapters, attention, quantized
from shadownb.engine.backends.torch.adapters.starts import lora_layers, weight_of
from shadownb.engine.backends.torch.training import TorchTraining
from shadownb.engine.runs.loop import Loop
from tests.engine.methods_data import OPTIONS, chats
from tests.tiny_models import byte_llama_of

bitsandbytes = pytest.importorskip("bitsandbytes")

DTYPES = ("float32", "bfloat16")
# Widths of the attention and the feed-forward layers. 64 fits bitsandbytes' blocks; 96 and 40 are no multiple of them.
WIDTHS = {"fits": (64, 128), "odd": (96, 40)}


@pytest.fixture(scope="module", params=list(WIDTHS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return byte_llama_of(tmp_path_factory.mktemp(f"llama-{request.param}"), *WIDTHS[request.param])


@pytest.fixture(params=[True, False], ids=["packs", "does not pack"])
def cpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both kinds of CPU, as bitsandbytes sees them when it makes a layer: one that it packs for, and the other."""
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: request.param)


@contextlib.contextmanager
def gradients_of_first_step() -> Iterator[dict[str, torch.Tensor]]:
    """Collect the gradients that the first step of a run leaves."""
    found: dict[str, torch.Tensor] = {}
    compute = TorchTraining.compute

    def noting(training: TorchTraining, *args: Any, **more: Any) -> float:
        loss = compute(training, *args, **more)
        for name, parameter in training.adapter.owned().items():
            assert parameter.grad is not None
            found.setdefault(name, parameter.grad.float().clone())
        return loss

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TorchTraining, "compute", noting)
        yield found


def first_gradients(model: Any, method: str) -> dict[str, torch.Tensor]:
    with gradients_of_first_step() as found:
        options = {**OPTIONS, "max_steps": 1, "lora_r": 4, "method": method}
        assert model.train(chats(), background=False, **options).status == "succeeded"
    return found


def ask(model: Any) -> str:
    return str(model.generate("Colour number 3?", max_new_tokens=4, temperature=0))


@pytest.fixture(scope="module")
def reference() -> dict[tuple[Path, str], dict[str, torch.Tensor]]:
    """The gradients of LoRA on the dequantised base, by folder and format; computed once each."""
    return {}


def accelerator(dtype: str) -> Any:
    """In 16 bits a LoRA layer of ours rounds otherwise than one on a 4-bit base, by more than the bound here."""
    return "none" if dtype == "bfloat16" else "auto"


def lora_on_dequantised(folder: Path, dtype: str) -> dict[str, torch.Tensor]:
    plain = snb.load(str(folder), dtype=dtype, accelerator=accelerator(dtype))
    packed = snb.load(str(folder), dtype=dtype, quantize="4bit")
    with torch.no_grad():
        for (_, mine), (_, theirs) in zip(
            sorted(
                (n, m) for n, m in plain.module.named_modules() if type(m) is torch.nn.Linear and "lm_head" not in n
            ),
            sorted((n, m) for n, m in packed.module.named_modules() if quantized.is_4bit(m)),
            strict=True,
        ):
            mine.weight.copy_(quantized.dense(theirs))
    return first_gradients(plain, "lora")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("before", ["nothing", "chat"])
def test_every_gradient_is_loras_on_the_dequantised_base(
    home: Path, folder: Path, dtype: str, before: str, cpu: None, reference: dict[Any, Any]
) -> None:
    """The packing trial comes before the first step of every run; a chat may come before that."""
    if (folder, dtype) not in reference:
        reference[folder, dtype] = lora_on_dequantised(folder, dtype)
    model = snb.load(str(folder), dtype=dtype, quantize="4bit", accelerator=accelerator(dtype))
    if before == "chat":
        ask(model)
    found, wanted = first_gradients(model, "qlora"), reference[folder, dtype]
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-3 * float(gradient.abs().max()), msg=name)


def test_a_chat_between_two_steps_changes_nothing(home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def curve(*, chatting: bool) -> list[float]:
        model = snb.load(str(folder), dtype="bfloat16", quantize="4bit")
        with monkeypatch.context() as patch:
            step = Loop._step

            def after_a_chat(loop: Loop) -> None:
                if chatting:
                    ask(loop.services.model)
                step(loop)

            patch.setattr(Loop, "_step", after_a_chat)
            run = model.train(chats(), method="qlora", background=False, **{**OPTIONS, "max_steps": 3}, lora_r=4)
        return list(run.losses())

    assert curve(chatting=True) == curve(chatting=False)


def test_the_base_is_the_same_bytes_before_and_after_answers(home: Path, folder: Path, tmp_path: Path) -> None:
    model = snb.load(str(folder), dtype="bfloat16", quantize="4bit")
    before = adapters.digest(model.weights.base_parameters())
    state = adapters.digest(dict(model.module.state_dict()))
    first = ask(model)
    assert adapters.digest(model.weights.base_parameters()) == before
    assert adapters.digest(dict(model.module.state_dict())) == state
    run = model.train(chats(), method="qlora", background=False, **{**OPTIONS, "max_steps": 1}, lora_r=4)
    assert run.status == "succeeded"
    ask(model)
    assert adapters.digest(model.weights.base_parameters()) == before
    assert str(model.generate("Colour number 3?", max_new_tokens=4, temperature=0, system=None, use="base")) == first
    same, what = model.weights.verify_base()
    assert same, what
    assert "equal" in what
    saved = model.save(tmp_path / "adapter")
    again = snb.load(str(folder), dtype="bfloat16", quantize="4bit", adapter=saved)
    assert ask(again) == ask(model)


def test_a_base_that_changed_is_told(home: Path, folder: Path) -> None:
    model = snb.load(str(folder), dtype="bfloat16", quantize="4bit")
    layer = quantized.layers_in_4bit(model.module)[0]
    layer.weight.data[0] ^= 1
    same, what = model.weights.verify_base()
    assert not same
    assert "q_proj" in what


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_copy_that_an_answer_keeps_gives_the_numbers_of_the_layer(home: Path, folder: Path, dtype: str) -> None:
    model = snb.load(str(folder), dtype=dtype, quantize="4bit")
    tokens = torch.arange(12)[None]
    with torch.no_grad():
        plain = model.module(tokens).logits
        with quantized.dense_meanwhile(model.module) as count:
            assert count == 14
            kept = model.module(tokens).logits
            made = [vars(layer)["_dense_meanwhile"] for layer in quantized.layers_in_4bit(model.module)]
            assert all(isinstance(matrix, torch.Tensor) for matrix in made)
            with quantized.dense_meanwhile(model.module) as inner:
                assert inner == 0, "a block in a block keeps nothing of its own"
    torch.testing.assert_close(kept, plain)
    left = [name for layer in quantized.layers_in_4bit(model.module) for name in vars(layer)]
    assert not {"_dense_meanwhile", "forward"} & set(left)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_tuned_model_answers_with_its_adapter(home: Path, folder: Path, dtype: str) -> None:
    model = snb.load(str(folder), dtype=dtype, quantize="4bit")
    options = {**OPTIONS, "max_steps": 2, "learning_rate": 1e-2, "lora_r": 4}
    model.train(chats(), method="qlora", background=False, **options)
    tokens = torch.arange(12)[None]
    with torch.no_grad():
        tuned = model.module(tokens).logits
        with quantized.dense_meanwhile(model.module) as count:
            assert count == 14
            torch.testing.assert_close(model.module(tokens).logits, tuned)
            with model.module.disable_adapter():
                base = model.module(tokens).logits
        assert torch.equal(model.module(tokens).logits, tuned), "and so it does afterwards"
    assert (base - tuned).abs().max() > 1e-2


def test_no_copy_is_kept_where_memory_is_short(home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = snb.load(str(folder), dtype="bfloat16", quantize="4bit")
    wanted = ask(model)
    monkeypatch.setattr(quantized, "_MEMORY_SHARE", 0.0)
    with quantized.dense_meanwhile(model.module) as count:
        assert count == 0
    assert ask(model) == wanted


def test_the_packing_trial_leaves_the_layers_trainable(home: Path, folder: Path) -> None:
    model = snb.load(str(folder), dtype="bfloat16", quantize="4bit")
    attention.choose_packing(model.module)
    assert not any(
        getattr(x.weight.quant_state, "packing_format_for_cpu", False) for x in quantized.layers_in_4bit(model.module)
    )
    tuned = first_gradients(model, "qlora")
    layers = dict(lora_layers(model.module))
    assert len(tuned) == 2 * len(layers)
    assert all(torch.isfinite(weight_of(layer)).all() for layer in layers.values())


def test_bitsandbytes_does_not_speak_unasked() -> None:
    code = "import shadownb.engine.backends.torch.training, bitsandbytes, shadownb"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "kernels" not in done.stdout + done.stderr
    logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
    told = logging.LogRecord(logger.name, logging.WARNING, "", 0, "Something else", None, None)
    assert all(f(told) if callable(f) else f.filter(told) for f in logger.filters), "only that message is left out"
