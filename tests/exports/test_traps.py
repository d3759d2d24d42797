"""What went silently wrong elsewhere: scales of adapters, ends of answers, heads that are no longer tied, templates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import shadownb as snb
from shadownb.engine.exporters.modelfile import turns_of
from shadownb.errors import ExportError
from tests.exports.conftest import ROWS

SHORT: dict[str, Any] = {
    "max_steps": 6,
    "learning_rate": 2e-2,
    "sample_max_new_tokens": 0,
    "background": False,
    "lora_r": 8,
}
ASKED = [row["messages"][:2] for row in ROWS[:5]]


def answers(model: Any, **options: Any) -> list[str]:
    return [reply.content for reply in model.chat(ASKED, system=None, temperature=0.0, max_new_tokens=6, **options)]


def fresh(folder: Path, **options: Any) -> Any:
    return snb.load(str(folder), dtype="float32", max_length=256, **options)


def test_a_rank_stabilised_adapter_keeps_its_scale_in_gguf(home: Path, byte_model_dir: Path, tmp_path: Path) -> None:
    model = fresh(byte_model_dir)
    model.train(ROWS, method="lora", use_rslora=True, **SHORT)
    fresh(byte_model_dir).export(tmp_path / "base", quant="f32", report=False)
    loaded = snb.load(str(tmp_path / "base"), backend="llamacpp")
    model.export(tmp_path / "lora", format="gguf-lora", report=False)
    loaded.load_adapter(tmp_path / "lora", None)
    assert answers(loaded) == answers(model) != answers(loaded, use="base")
    assert loaded.loss(ROWS) == pytest.approx(model.loss(ROWS), abs=0.01)
    loaded.unload()


def test_what_llamacpp_would_add_otherwise_is_refused(home: Path, byte_model_dir: Path, tmp_path: Path) -> None:
    model = fresh(byte_model_dir)
    model.train(ROWS, method="dora", **SHORT)
    with pytest.raises(ExportError, match=r"DoRA[\s\S]*format='gguf'"):
        model.export(tmp_path / "none", format="gguf-lora")
    assert not (tmp_path / "none").exists()
    model.export(tmp_path / "whole", quant="f32", report=False)
    loaded = snb.load(str(tmp_path / "whole"), backend="llamacpp")
    assert loaded.loss(ROWS) == pytest.approx(model.loss(ROWS), abs=0.01), "merged, it is exact"
    loaded.unload()


def test_a_model_in_16_bits_is_exported_from_its_merge_in_32(home: Path, byte_model_dir: Path, tmp_path: Path) -> None:
    model = snb.load(str(byte_model_dir), dtype="bfloat16", max_length=256)
    model.train(ROWS, method="lora", **SHORT)
    model.export(tmp_path / "out", quant="f32", report=False)
    folder = model.save(tmp_path / "adapter")
    exact = fresh(byte_model_dir, adapter=folder)
    loaded = snb.load(str(tmp_path / "out"), backend="llamacpp")
    assert loaded.loss(ROWS) == pytest.approx(exact.loss(ROWS), abs=2e-3)
    loaded.unload()


def test_a_head_that_is_no_longer_the_embeddings_stays_so(home: Path, byte_model_dir: Path, tmp_path: Path) -> None:
    """The config says tied; merged head and embedding must both be in the file, or be the same."""
    model = fresh(byte_model_dir)
    model.train(ROWS, method="lora", train_embeddings=True, **SHORT)
    want = model.loss(ROWS)
    model.export(tmp_path / "whole", format="merged", dtype="float32", report=False)
    assert fresh(tmp_path / "whole").loss(ROWS) == pytest.approx(want, abs=1e-3)
    model.export(tmp_path / "gguf", quant="f32", report=False)
    loaded = snb.load(str(tmp_path / "gguf"), backend="llamacpp")
    assert loaded.loss(ROWS) == pytest.approx(want, abs=0.01)
    loaded.unload()


def test_the_end_that_was_trained_is_named_in_every_file(tuned: Any, tmp_path: Path) -> None:
    ends = set(tuned.renderer.stop_token_ids)
    tuned.export(tmp_path / "whole", format="merged", report=False)
    named = json.loads((tmp_path / "whole" / "generation_config.json").read_text())["eos_token_id"]
    assert ends <= set(named if isinstance(named, list) else [named])
    tuned.export(tmp_path / "gguf", quant="f16", report=False)
    for place in ("whole", "gguf"):
        backend = "llamacpp" if place == "gguf" else "torch"
        loaded = snb.load(str(tmp_path / place), backend=backend)
        assert set(loaded.renderer.stop_token_ids) == ends
        assert loaded.renderer.render_prompt(ASKED[0]) == tuned.renderer.render_prompt(ASKED[0])
        loaded.unload()


def test_a_template_that_does_more_than_turns_gets_no_wrong_modelfile(
    tuned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "{%- for m in messages %}{{ m['role'] }}: {{ m['content'] | upper }}\n{%- endfor %}assistant:"
    from shadownb.engine.rendering import Renderer

    odd = Renderer(tuned.tokenizer, chat_template=text)
    monkeypatch.setattr(type(tuned), "renderer", property(lambda self: odd))
    assert turns_of(tuned) is None


def test_two_calibrations_weigh_errors_differently(tuned: Any, tmp_path: Path) -> None:
    """An importance matrix that was never measured would give the same file twice."""
    import gguf

    other = [{"messages": [{"role": "user", "content": "ZZZZ!"}, {"role": "assistant", "content": "0000"}]}] * 4
    found = []
    for number, rows in enumerate((None, ROWS, other)):
        tuned.export(tmp_path / str(number), quant="q4_k_m", importance=rows, report=False)
        file = next((tmp_path / str(number)).glob("*.gguf"))
        tensors = {each.name: each.data for each in gguf.GGUFReader(str(file)).tensors}
        found.append(tensors["blk.0.attn_q.weight"])
    assert not np.array_equal(found[0], found[1]) and not np.array_equal(found[1], found[2])


def test_numbers_of_the_activations_are_those_of_the_layers(tuned: Any) -> None:
    from shadownb.engine.exporters.calibration import rendered

    rows = rendered(tuned, ROWS[:2], marked=True)
    found = tuned.backend.activations(tuned, rows, "tuned")
    seen: list[Any] = []
    layer = dict(tuned.module.named_modules())["base_model.model.model.layers.1.mlp.down_proj"]
    hook = layer.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0].detach().reshape(-1, inputs[0].shape[-1]))
    )
    with torch.no_grad():
        for row in rows:
            tuned.module(torch.tensor([row.input_ids]))
    hook.remove()
    want = torch.cat(seen).square().mean(0).numpy()
    assert found["model.layers.1.mlp.down_proj"] == pytest.approx(want, rel=1e-4)
    assert set(found) >= {"model.layers.0.self_attn.q_proj", "model.layers.1.mlp.gate_proj"}


def test_the_base_is_left_as_it_was(tuned: Any, byte_model_dir: Path, tmp_path: Path) -> None:
    before = load_file(byte_model_dir / "model.safetensors")
    said = answers(tuned)
    tuned.export(tmp_path / "out", quant="q8_0", report=False)
    assert tuned.verify_base()[0] and answers(tuned) == said
    after = load_file(byte_model_dir / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
