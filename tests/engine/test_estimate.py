"""The memory estimate: what it says is kept for the backward pass is what torch keeps, for every method."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM

import shadownb as snb
from shadownb.engine import estimate, methods, objectives
from shadownb.engine.backends.torch import adapters, attention, devices, memory, packed_batch
from shadownb.engine.backends.torch.adapters import lora_operation
from shadownb.engine.backends.torch.backend import TorchBackend
from shadownb.engine.backends.torch.kernels import head_loss, rule
from shadownb.engine.backends.torch.kernels.installed import LINEARS
from shadownb.engine.config import TrainConfig
from shadownb.engine.rendering import Rendered
from tests.engine.methods_data import pairs, verdicts

pytestmark = pytest.mark.other_cpu

ROWS = [Rendered(list(range(100 + n, 160 + n)), [-100] * 50 + list(range(150 + n, 160 + n))) for n in range(4)]
# This model has no biases, and experts are counted by fact.
METHODS = [spec.name for spec in methods.available() if spec.adapter not in ("bias", "facts", "reader")]


def kept_numbers(adapter: Any) -> int:
    """Count the numbers that a forward pass keeps, parameters and the head's logits left out."""
    known = {p.untyped_storage().data_ptr() for p in [*adapter.module.parameters(), *adapter.module.buffers()]}
    kept: dict[int, torch.Tensor] = {}

    def remember(tensor: torch.Tensor) -> torch.Tensor:
        if not tensor.is_sparse and tensor.untyped_storage().data_ptr() not in known and 49152 not in tensor.shape:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    batch = packed_batch.pack(ROWS, share=True)
    adapter.module.train()
    with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
        called, computed, inputs = adapter.feed(adapter.module, batch)
        with attention.batch_layout(adapter.base, computed, attention.choose_packing(adapter.base)) as layout:
            keep = {"logits_to_keep": computed.keep, "use_cache": False}
            logits = called(**inputs, **keep, **layout).logits
            cross_entropy(logits[0], computed.targets)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values()) // 4


@pytest.fixture(scope="module")
def deep_model_dir(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path) -> Path:
    """Eight layers, so that what is kept outside of them (embeddings, last norm) counts as little as in a real model."""
    folder = tmp_path_factory.mktemp("deep")
    config = LlamaConfig.from_pretrained(tiny_model_dir, num_hidden_layers=8, hidden_size=96, intermediate_size=256)
    LlamaForCausalLM(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model_dir).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_activations_are_estimated_within_a_quarter(home: Path, deep_model_dir: Path, method: str) -> None:
    model = snb.load(str(deep_model_dir), quantize="4bit" if method == "qlora" else None, dtype="float32")
    config, spec = TrainConfig(method=method, lora_r=4), methods.get(method)
    kept = adapters.KINDS[spec.adapter].kept(model.module, config, spec)
    counted_before = adapters.count(model.module, None, config)
    adapter = adapters.prepare(model.module, None, config, adapters.Start("tiny", model.source, ROWS))
    assert counted_before == sum(p.numel() for p in adapter.owned().values()), "trained weights are counted exactly"
    tokens = packed_batch.pack(ROWS, share=True).input_ids.shape[1]
    expected = model.module.config.num_hidden_layers * kept.per_token * tokens + kept.fixed
    assert kept_numbers(adapter) == pytest.approx(expected, rel=0.25)


def test_experts_are_estimated_within_a_quarter(home: Path, tmp_path: Path, tiny_model_dir: Path) -> None:
    alike = LlamaConfig.from_pretrained(tiny_model_dir)
    config = Qwen3MoeConfig(
        vocab_size=alike.vocab_size, bos_token_id=1, eos_token_id=2, max_position_embeddings=512, num_attention_heads=4,
        num_key_value_heads=2, num_hidden_layers=8, hidden_size=96, head_dim=16, num_experts=4, num_experts_per_tok=2,
        moe_intermediate_size=64, tie_word_embeddings=True,
    )  # fmt: skip
    Qwen3MoeForCausalLM(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_model_dir).save_pretrained(tmp_path)
    test_activations_are_estimated_within_a_quarter(home, tmp_path, "lora")


def test_the_estimate_has_its_lines(tiny: Any, rows: list[dict[str, Any]]) -> None:
    found = estimate.estimate(tiny, TrainConfig(max_steps=3), snb.Dataset.from_list(rows))
    assert sum(gb for _, gb in found.lines) == pytest.approx(found.expected_gb)
    assert found.low_gb < found.expected_gb < found.high_gb
    assert {"weights", "activations", "logits of trained tokens"} <= {name for name, _ in found.lines}


@pytest.mark.parametrize(
    ("options", "at_once", "copies"),
    [
        ({"method": "lora"}, head_loss.CHUNK, None),
        ({"method": "grpo"}, head_loss.CHUNK, None),
        ({"method": "grpo", "temperature": 0.7}, None, None),  # divides logits, which the kernel never has
        ({"method": "full"}, None, 3),  # a trained head keeps them
        ({"method": "lora", "train_embeddings": True}, None, 3),
    ],
)
def test_logits_are_counted_as_they_stand(
    tiny: Any, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], at_once: int | None, copies: int | None
) -> None:
    monkeypatch.setattr(rule, "chosen", lambda possible, *_: (possible, "on every processor"))
    found = tiny.backend.costs(tiny, TrainConfig(**options))
    assert (found.logits_at_once, found.logits_copies) == (at_once, copies)
    monkeypatch.setattr(rule, "chosen", lambda *_: (frozenset(), "on none"))
    found = tiny.backend.costs(tiny, TrainConfig(**options))
    assert (found.logits_at_once, found.logits_copies) == (None, None)


def test_recomputing_needs_less(tiny: Any, rows: list[dict[str, Any]]) -> None:
    data = snb.Dataset.from_list(rows)
    plain = estimate.estimate(tiny, TrainConfig(), data)
    recomputed = estimate.estimate(tiny, TrainConfig(gradient_checkpointing="on"), data)
    assert dict(recomputed.lines)["activations"] < dict(plain.lines)["activations"]


LONG = [{"text": "One sentence behind the other. " * (3 + 7 * n)} for n in range(12)]
SHORT = [{"text": f"Note {n}."} for n in range(60)]


@pytest.mark.parametrize(
    ("method", "texts", "options"),
    [
        ("lora", SHORT, {}),
        ("lora", SHORT, {"packing": True, "max_length": 96}),
        ("cpt", LONG, {"max_length": 64}),
        ("cpt", LONG, {"max_length": 64, "packing": False}),
    ],
)
def test_an_epoch_goes_through_what_the_sampler_yields(
    tiny: Any, method: str, texts: list[dict[str, Any]], options: dict[str, Any]
) -> None:
    run = tiny.train(
        texts, method=method, num_train_epochs=1, per_device_train_batch_size=1, gradient_accumulation_steps=1,
        sample_max_new_tokens=0, **options,
    )  # fmt: skip
    found = estimate.estimate(tiny, TrainConfig(method=method, **options), snb.Dataset.from_list(texts))
    assert (found.items, found.counted) == (run.total_steps, True)


def test_the_time_of_a_packed_step_is_that_of_its_packs(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TorchBackend, "flops", lambda *_: 1e6)  # so that only the products count
    data, options = snb.Dataset.from_list(SHORT), {"max_steps": 3, "max_length": 96}
    plain = estimate.estimate(tiny, TrainConfig(**options), data)
    packed = estimate.estimate(tiny, TrainConfig(packing=True, **options), data)
    assert plain.seconds is not None and packed.seconds is not None and packed.items is not None
    assert packed.seconds / plain.seconds == pytest.approx(len(SHORT) / packed.items, rel=0.02)
    assert dict(packed.lines)["activations"] > dict(plain.lines)["activations"]


def test_the_time_is_that_of_the_number_format(
    home: Path, deep_model_dir: Path, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CPU with units for bf16 is two to three times as fast in it, one without them 40 times as slow."""
    rates = {"float32": 1e6, "bfloat16": 4e6}
    monkeypatch.setattr(TorchBackend, "flops", lambda _, dtype: rates[dtype])
    monkeypatch.setattr(rule, "kind", lambda *_: "a processor of next year")
    data, config = snb.Dataset.from_list(rows), TrainConfig(max_steps=3)
    models = [snb.load(str(deep_model_dir), dtype=dtype) for dtype in rates]
    wide, narrow = (estimate.estimate(model, config, data).seconds for model in models)
    assert wide is not None and narrow is not None
    assert wide / narrow == pytest.approx(4, rel=0.01)


def test_the_rate_of_products_is_measured_in_their_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "matmul_flops", devices.matmul_flops.__wrapped__)
    product, seen = torch.mm, []
    monkeypatch.setattr(torch, "mm", lambda a, b: seen.append(a.dtype) or product(a[:4], b))
    assert all(TorchBackend().flops(dtype) > 0 for dtype in ("float32", "bfloat16"))
    assert set(seen) == {torch.float32, torch.bfloat16}


def test_the_time_is_that_of_the_kernels(
    tiny: Any, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As fast as the rule's figure for linear layers says, and as plain torch where the rule or the user is against it."""
    monkeypatch.setattr(TorchBackend, "flops", lambda *_: 1e6)  # so that only the products count
    data, config = snb.Dataset.from_list(rows), TrainConfig(max_steps=3)

    def seconds() -> float:
        found = estimate.estimate(tiny, config, data).seconds
        assert found is not None
        return found

    monkeypatch.setattr(
        rule, "kind", lambda *_: "a processor of next year"
    )  # the kernel is on, but nobody has timed it
    plain = seconds()
    monkeypatch.setattr(rule, "kind", lambda *_: "AVX512 in float32")
    ours = seconds()
    assert plain / ours == pytest.approx(rule.MEASURED["AVX512 in float32"][LINEARS], rel=0.02)
    with monkeypatch.context() as asked:
        asked.setattr(tiny, "accelerator", "none")
        assert seconds() == pytest.approx(plain)
    with monkeypatch.context() as decided:
        decided.setattr(rule, "chosen", lambda *_: (frozenset(), "none is faster"))
        assert seconds() == pytest.approx(plain)
    monkeypatch.setattr(lora_operation, "linears", lambda *_: {})  # layers of the model's own classes
    assert seconds() == pytest.approx(plain)


@pytest.mark.parametrize(
    ("method", "steps", "share"),
    # A pass without gradients is half of one with those of LoRA; eight rows are seen at a step, sixty are there.
    [("dpo", 3, 1 / 2), ("dpo", 30, 60 / 240 / 2), ("kto", 3, 3 / 2), ("kto", 30, (2 * 60 / 240 + 1) / 2)],
)
def test_the_time_has_the_passes_of_the_reference_and_of_the_drift(
    tiny: Any, monkeypatch: pytest.MonkeyPatch, method: str, steps: int, share: float
) -> None:
    monkeypatch.setattr(TorchBackend, "flops", lambda *_: 1e6)  # so that only the products count
    data = snb.Dataset.from_list(pairs(60) if method == "dpo" else verdicts(60))
    config = TrainConfig(method=method, max_steps=steps, per_device_train_batch_size=8, gradient_accumulation_steps=1)
    whole = estimate.estimate(tiny, config, data).seconds
    monkeypatch.setattr(objectives.get(method), "looked_at", lambda *_: 0.0)
    training = estimate.estimate(tiny, config, data).seconds
    assert whole is not None and training is not None
    assert whole / training - 1 == pytest.approx(share, rel=0.01)


def test_weights_that_are_not_read_yet_are_counted_once(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(bytes(32_000_000))
    before = memory.unread_bytes([file])
    mapped = np.memmap(file, mode="r")
    assert before == 0
    assert memory.unread_bytes([file]) == pytest.approx(32_000_000, rel=0.05)
    assert int(mapped.sum()) == 0
    assert memory.unread_bytes([file]) < 1_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can be told to give memory back")
def test_freed_memory_is_not_counted_beside_what_will_fill_it(tiny: Any, rows: list[dict[str, Any]]) -> None:
    config, data = TrainConfig(max_steps=3), snb.Dataset.from_list(rows)
    before = estimate.estimate(tiny, config, data).expected_gb
    blocks = [torch.ones(25_000) for _ in range(3000)]
    kept = torch.ones(25_000)  # the last of them, or the C library would give all of it back by itself
    held = estimate.estimate(tiny, config, data).expected_gb
    assert held - before == pytest.approx(0.3, rel=0.2)
    del blocks
    assert estimate.estimate(tiny, config, data).expected_gb == pytest.approx(before, abs=0.05)
    assert kept.sum() == 25_000


def test_the_largest_step_counts_and_not_the_mean(tiny: Any) -> None:
    short = [{"text": "A short one."}] * 30
    long = [{"text": "A sentence that goes on. " * 40}]
    options = {
        "max_steps": 60,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 1,
        "max_length": 256,
    }
    config = TrainConfig(**options)
    mixed = dict(estimate.estimate(tiny, config, snb.Dataset.from_list(short + long)).lines)["activations"]
    alone = dict(estimate.estimate(tiny, config, snb.Dataset.from_list(long)).lines)["activations"]
    assert mixed == pytest.approx(alone, rel=0.01)


def test_16_bits_keep_less(home: Path, deep_model_dir: Path, rows: list[dict[str, Any]]) -> None:
    data, kept = snb.Dataset.from_list(rows), {}
    for dtype in ("float32", "bfloat16"):
        model = snb.load(str(deep_model_dir), dtype=dtype)
        kept[dtype] = dict(estimate.estimate(model, TrainConfig(), data).lines)["activations"]
    assert kept["bfloat16"] / kept["float32"] == pytest.approx(0.6)


def test_a_run_says_how_far_its_estimate_was_off(
    home: Path, tiny: Any, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"max_steps": 2, "background": False, "sample_max_new_tokens": 0, "start": "base"}
    run = tiny.train(rows, **options)
    found = run.state.record["estimate"]
    assert found["measured_gb"] == pytest.approx(run.peak_memory_gb, abs=0.001)
    assert found["off"] == pytest.approx(found["measured_gb"] / found["expected_gb"] - 1, abs=0.01)
    monkeypatch.setattr(estimate, "_held_besides", lambda model, weights: 0.0)  # as one that forgets the libraries
    run = tiny.train(rows, **options)
    (told,) = [warning for warning in run.state.warnings if warning["code"] == "memory-over-estimate"]
    assert "more than the" in told["what"] and run.state.record["estimate"]["off"] > 0.15
