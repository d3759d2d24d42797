"""A model's config is read as transformers reads it, or refused by name; sums over a vocabulary are exact."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import shadownb as snb
from shadownb.errors import ModelError
from tests.engine.methods_data import logits, mlx_logits
from tests.tiny_models import byte_gpt2, byte_unusual


@pytest.fixture
def changed(byte_model_dir: Path, tmp_path: Path) -> Any:
    """Writes the tiny model with other lines in its config; None takes one away."""

    def made(**lines: Any) -> Path:
        folder = tmp_path / "changed"
        shutil.copytree(byte_model_dir, folder)
        file = folder / "config.json"
        config = {**json.loads(file.read_text(encoding="utf-8")), **lines}
        file.write_text(json.dumps({k: v for k, v in config.items() if v is not None}), encoding="utf-8")
        return folder

    return made


LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 20_000.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "default", "rope_theta": 300.0},
        {"rope_type": "linear", "rope_theta": 500.0, "factor": 2.0},
        LLAMA3,
    ],
    ids=["default", "linear", "llama3"],
)
def test_rotations_are_those_that_transformers_writes(changed: Any, rope: dict[str, Any]) -> None:
    folder = changed(rope_parameters=rope)
    mlx, theirs = (snb.load(str(folder), backend=name, dtype="float32") for name in ("mlx", "torch"))
    torch.testing.assert_close(logits(mlx), logits(theirs), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ({"rope_parameters": {"rope_theta": 300.0, "partial_rotary_factor": 0.5}}, "partial_rotary_factor=0.5"),
        (
            {"rope_parameters": {"full_attention": {"rope_theta": 9.0}, "sliding_attention": {"rope_theta": 300.0}}},
            "full_attention, sliding_attention",
        ),
        ({"rope_parameters": {"rope_type": "unheard_of", "rope_theta": 9.0}}, "unheard_of"),
        ({"hidden_act": "gelu"}, "hidden_act='gelu'"),
        ({"model_type": "unheard_of"}, "unheard_of"),
    ],
)
def test_what_mlx_lm_would_read_as_another_model_is_refused_by_name(
    changed: Any, lines: dict[str, Any], named: str
) -> None:
    with pytest.raises(ModelError) as caught:
        snb.load(str(changed(**lines)), backend="mlx")
    assert named in str(caught.value) and "backend='torch'" in caught.value.fix


def test_a_head_that_the_config_says_nothing_of_is_not_dropped(tmp_path: Path) -> None:
    """mlx-lm ties head and embeddings where the config is silent; the files have both."""
    from tests.tiny_models import byte_llama

    folder = byte_llama(tmp_path / "untied")
    model = snb.load(str(folder), backend="torch", dtype="float32").module
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
    model.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    del config["tie_word_embeddings"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    mlx, theirs = (snb.load(str(folder), backend=name, dtype="float32") for name in ("mlx", "torch"))
    torch.testing.assert_close(logits(mlx), logits(theirs), atol=1e-3, rtol=0)


def test_files_that_mlx_lm_finds_no_place_for_are_an_error_with_a_way_on(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="parameters not in model") as caught:
        snb.load(str(byte_gpt2(tmp_path / "gpt2", 128)), backend="mlx")
    assert "backend='torch'" in caught.value.fix


@pytest.mark.parametrize("kind", ["Gemma2", "Mistral", "Qwen3"])
def test_windows_that_mlx_lm_leaves_out_bound_the_positions(tmp_path: Path, kind: str) -> None:
    """Beyond a window it computes another model without a word: logits of Gemma 2 were off by 3.7."""
    import transformers

    from tests.tiny_models import TEMPLATE, byte_tokenizer

    tokenizer = byte_tokenizer(TEMPLATE)
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
        max_position_embeddings=512, initializer_range=0.2, vocab_size=len(tokenizer), sliding_window=24,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=None,
    )  # fmt: skip
    getattr(transformers, f"{kind}ForCausalLM")(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    mlx, theirs = (snb.load(str(tmp_path / "model"), backend=name, dtype="float32") for name in ("mlx", "torch"))
    ids = [3 + 7 * n % 200 for n in range(60)]
    here = min(60, mlx.weights.positions)
    with torch.no_grad():
        torch.testing.assert_close(
            mlx_logits(mlx, ids[:here]), theirs.module(torch.tensor([ids[:here]])).logits[0], atol=1e-3, rtol=0
        )
    assert mlx.weights.positions == (512 if kind == "Qwen3" else 24), "Qwen 3 has no windows unless it says so"


def test_of_experts_it_is_said_that_they_get_no_adapter(tmp_path: Path) -> None:
    folder = byte_unusual(tmp_path / "moe", "Qwen3Moe")
    with pytest.raises(
        ModelError, match=r"dtype='bfloat16'.*32 bits alone on a CPU"
    ):  # else answers ended in MLX's own error
        snb.load(str(folder), backend="mlx", dtype="bfloat16", device="cpu")
    model = snb.load(str(folder), backend="mlx", dtype="float32", max_length=64)
    rows = [{"prompt": "One?", "completion": "two"}]
    run = model.train(rows, max_steps=1, background=False, sample_max_new_tokens=0)
    assert run.status == "succeeded", run.error
    words = str(run.reach)
    assert "experts" in words and "so that tokens keep their experts" in words
    model.detach_adapter()
    assert "in another form than the files" in (model.blocked("full") or "") or "on backend mlx" in model.blocked(
        "full"
    )


def test_sums_over_a_vocabulary_are_as_exact_as_32_bits_allow() -> None:
    import mlx.core as mx

    from shadownb.engine.backends.mlx import sums, worker

    x = np.random.default_rng(0).normal(0, 3, (4, 49_152)).astype(np.float32)
    wanted = np.logaddexp.reduce(x.astype(np.float64), axis=1)
    for width in (49_152, 49_000, 100):
        part = x[:, :width]
        wanted = np.logaddexp.reduce(part.astype(np.float64), axis=1)
        found = np.array(worker.run(lambda part=part: sums.log_sum_exp(mx.array(part)).tolist()))
        assert np.abs(found - wanted).max() < 4e-6
        total = np.array(worker.run(lambda part=part: sums.sum_last(mx.array(np.abs(part))).tolist()))
        assert np.abs(total / np.abs(part).astype(np.float64).sum(axis=1) - 1).max() < 1e-6
