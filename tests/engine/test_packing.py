"""Each architecture takes several rows in one pass the way that is right for it: loss and gradients are those of plain rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, PreTrainedConfig

import shadownb as snb
from shadownb import errors
from shadownb.engine.backends.torch import attention, packed_batch
from shadownb.engine.rendering import Rendered
from shadownb.engine.rendering.packing import split
from tests.engine.methods_data import OPTIONS, chats
from tests.engine.rendering_tokenizers import byte_tokenizer
from tests.tiny_models import TEMPLATE

pytestmark = pytest.mark.other_cpu

WINDOW = 12  # shorter than every row, so that a window that counts from another row would be seen
LLAMA_LIKE = {"intermediate_size": 64, "num_key_value_heads": 2, "max_position_embeddings": 256}
SIZES = {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
TOKENS = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}

# name: (class of its config, how its rows are packed, what is special)
ARCHITECTURES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", "rows", LLAMA_LIKE),
    "qwen2": ("Qwen2Config", "rows", LLAMA_LIKE),
    "qwen2 window": (
        "Qwen2Config",
        "positions",
        {**LLAMA_LIKE, "use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    ),
    "qwen3": ("Qwen3Config", "rows", {**LLAMA_LIKE, "head_dim": 8}),
    "qwen3 experts": (
        "Qwen3MoeConfig",
        "rows",
        {**LLAMA_LIKE, "head_dim": 8, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
    ),
    "gemma": ("GemmaConfig", "rows", {**LLAMA_LIKE, "head_dim": 8}),
    "gemma2": ("Gemma2Config", "single", {**LLAMA_LIKE, "head_dim": 8, "sliding_window": WINDOW}),
    "gemma3": ("Gemma3TextConfig", "positions", {**LLAMA_LIKE, "head_dim": 8, "sliding_window": WINDOW}),
    "phi3": ("Phi3Config", "rows", LLAMA_LIKE),
    "phi3 window": ("Phi3Config", "positions", {**LLAMA_LIKE, "sliding_window": WINDOW}),
    "mistral": ("MistralConfig", "positions", {**LLAMA_LIKE, "head_dim": 8, "sliding_window": WINDOW}),
    "stablelm": ("StableLmConfig", "positions", LLAMA_LIKE),
    "gpt2": ("GPT2Config", "rows", {"n_positions": 256}),
    # Takes position ids, and builds its mask without them.
    "falcon": ("FalconConfig", "single", {}),
    "falcon alibi": ("FalconConfig", "single", {"alibi": True}),
    "bloom": ("BloomConfig", "single", {}),
    "gpt-oss": (
        "GptOssConfig",
        "single",
        {**LLAMA_LIKE, "head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": WINDOW},
    ),
    "lfm2": ("Lfm2Config", "single", {**LLAMA_LIKE, "full_attn_idxs": [1]}),
}


def made(name: str) -> Any:
    """Return a random model of an architecture, with weights wide enough that attention matters."""
    kind, _, special = ARCHITECTURES[name]
    config: PreTrainedConfig = getattr(transformers, kind)(**SIZES, **TOKENS, **special, initializer_range=0.2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config).eval()


def rows() -> list[Rendered]:
    """Four rows that start alike, of different lengths."""
    start, found = list(range(100, 124)), []
    for number in range(4):
        own = [150 + (17 * number + 7 * offset) % 90 for offset in range(5 + 7 * number)]
        answer = [240 + number, 250 + number, 2]
        found.append(Rendered([*start, *own, *answer], [-100] * (len(start) + len(own)) + answer))
    return found


def plain(model: Any) -> tuple[float, dict[str, torch.Tensor]]:
    """Return loss and gradients as anybody would compute them: a row a pass, all logits."""
    model.zero_grad()
    total = torch.zeros(())
    for row in rows():
        logits = model(input_ids=torch.tensor([row.input_ids]), use_cache=False).logits[0, :-1].float()
        total = total + cross_entropy(logits, torch.tensor(row.labels[1:]), ignore_index=-100, reduction="sum")
    total.backward()
    return total.item(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def packed(model: Any, packing: attention.Packing) -> tuple[float, dict[str, torch.Tensor]]:
    """Return loss and gradients as they are trained: as few passes as the packing allows."""
    model.zero_grad()
    total = 0.0
    limit = 0 if packing.kind == "single" else 4096
    for group in split([(row,) for row in rows()], limit, share=packing.shares_start):
        batch = packed_batch.pack([rows()[number] for number in group], share=packing.shares_start)
        with attention.batch_layout(model, batch, packing) as layout:
            logits = attention.target_logits(model, batch, {"input_ids": batch.input_ids}, layout)
            loss = cross_entropy(logits, batch.targets, reduction="sum")
            loss.backward()
        total += loss.item()
    return total, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_packed_rows_are_plain_rows(name: str) -> None:
    model = made(name)
    packing = attention.choose_packing(model)
    assert packing.kind == ARCHITECTURES[name][1], packing.reason
    loss, gradients = plain(model)
    got, got_gradients = packed(model, packing)
    assert got == pytest.approx(loss, rel=1e-5)
    assert gradients.keys() == got_gradients.keys()
    whole = torch.stack([gradient.norm() for gradient in gradients.values()]).norm()
    for parameter, gradient in gradients.items():
        # A bias of the keys has no gradient but rounding, so a part of the whole gradient counts as nothing.
        off = (got_gradients[parameter] - gradient).norm() / torch.maximum(gradient.norm(), 1e-4 * whole)
        assert off < 1e-3, parameter


@pytest.mark.parametrize("name", ["falcon", "falcon alibi"])
def test_a_mask_that_ignores_position_ids_is_found_out(name: str) -> None:
    """What the config says would pack these; rows would see each other, and nothing would tell."""
    model = made(name)
    (promised,) = attention._candidates(model)
    assert promised.kind == "positions"
    assert abs(packed(model, promised)[0] - plain(model)[0]) > 0.1
    assert "see each other" in attention.choose_packing(model).reason


@pytest.mark.parametrize("argument", [{"softcap": 30.0}, {"s_aux": torch.zeros(4)}, {"is_causal": False}])
def test_an_argument_that_changes_attention_is_not_left_out(argument: dict[str, Any]) -> None:
    model = made("llama")
    batch = packed_batch.pack(rows(), share=True)
    ours = attention.choose_packing(model)
    with (
        pytest.raises(errors.ModelError, match=next(iter(argument))),
        attention.batch_layout(model, batch, ours) as layout,
    ):
        model(input_ids=batch.input_ids, use_cache=False, **layout, **argument)


def test_the_trial_leaves_the_model_as_it_was() -> None:
    model = made("mistral").train()
    model.lm_head.requires_grad_(False)
    attention.choose_packing(model)
    assert model.training
    assert not model.lm_head.weight.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())


def test_rows_with_a_learned_prompt_are_packed_only_where_it_can_stand_before_each() -> None:
    assert attention.choose_packing(made("mistral"), prefixed=True).kind == "single"
    assert attention.choose_packing(made("llama"), prefixed=True).kind == "rows"


@pytest.mark.parametrize("method", ["lora", "prompt"])
@pytest.mark.parametrize("name", ["mistral", "falcon", "bloom"])
def test_a_run_does_not_depend_on_what_a_pass_holds(home: Path, tmp_path: Path, name: str, method: str) -> None:
    """Steps of four rows in one pass, or in a pass each."""
    folder = tmp_path / "base"
    made(name).save_pretrained(folder)
    byte_tokenizer(TEMPLATE).save_pretrained(folder)
    losses = []
    for most in (16, 4096):
        model = snb.load(str(folder), max_length=256, dtype="float32")
        run = model.train(chats(), method=method, background=False, **OPTIONS, max_tokens_per_forward=most)
        losses.append(run.losses())
        model.unload()
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
