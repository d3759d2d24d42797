"""GGUF files of each architecture beside transformers: the same ids of a text, the same log-probabilities of every token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from shadownb.engine.backends.llamacpp import likelihood, tokenizer
from shadownb.engine.backends.llamacpp.file import GgufFile
from shadownb.engine.gguf.model import Facts, write_model
from shadownb.engine.rendering import Rendered
from shadownb.errors import ExportError
from tests.engine.rendering_tokenizers import byte_tokenizer
from tests.tiny_models import TEMPLATE

_LLAMA3 = {
    "rope_theta": 500000.0, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "Llama": {"attention_bias": True},
    "Llama-3": {"rope_parameters": _LLAMA3, "tie_word_embeddings": False},
    "Mistral": {"sliding_window": None},
    "Qwen2": {"tie_word_embeddings": True},
    "Qwen3": {"head_dim": 32},
    "Gemma2": {"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 64},
    "Gemma3": {"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 512},
    "Granite": {"attention_multiplier": 0.3, "embedding_multiplier": 3.0, "residual_multiplier": 0.5, "logits_scaling": 2.0},
    "Olmo2": {},
}  # fmt: skip
TEXT = (
    "Café déjà vu — 123 😊\n\tif x:\n        return 'Straße'  東京 привет <|im_start|>user\nI'm HELLO_world<|im_end|>"
)


def made(folder: Path, kind: str, **options: Any) -> Any:
    """Write a random model of two layers whose norms are not all one."""
    words = byte_tokenizer(TEMPLATE)
    name = kind.split("-", maxsplit=1)[0]
    config = getattr(transformers, "Gemma3TextConfig" if name == "Gemma3" else f"{name}Config")(
        **{
            "vocab_size": len(words), "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512, "initializer_range": 0.2,
            "bos_token_id": None, "eos_token_id": words.eos_token_id, "pad_token_id": words.eos_token_id,
        }
        | KINDS.get(kind, {}) | options
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, f"{name}ForCausalLM")(config).float().eval()
        for parameter in model.parameters():
            if parameter.ndim == 1:
                torch.nn.init.normal_(parameter, 1.0, 0.1)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return model


def known_to_torch(model: Any, ids: list[int]) -> Any:
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0, :-1].double().log_softmax(-1).numpy()


def known_to_llamacpp(path: Path, ids: list[int]) -> Any:
    file = GgufFile(path)
    try:
        return np.concatenate([found for _, _, found in likelihood.distributions(file, [Rendered(ids, ids)], None)])
    finally:
        file.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_answers_as_its_source(kind: str, tmp_path: Path) -> None:
    model = made(tmp_path, kind)
    words = transformers.AutoTokenizer.from_pretrained(tmp_path)
    write_model(tmp_path, tmp_path / "model.gguf", "f32", Facts(kind, stops=[words.eos_token_id]))
    file = GgufFile(tmp_path / "model.gguf")
    assert tokenizer.difference(file, words, TEXT) == ""
    file.close()
    ids = words(TEXT * 2)["input_ids"]
    ours, theirs = known_to_torch(model, ids), known_to_llamacpp(tmp_path / "model.gguf", ids)
    assert np.abs(ours - theirs).max() < 0.1, "keys and values are kept in 16 bits there, so some rounding is left"
    assert float((np.exp(ours) * (ours - theirs)).sum(-1).mean()) < 1e-4


def test_what_is_no_architecture_of_ours_says_what_writes_it(tmp_path: Path) -> None:
    made(tmp_path, "GPTNeoX")
    with pytest.raises(ExportError, match=r"GPTNeoXForCausalLM[\s\S]*converter='official'"):
        write_model(tmp_path, tmp_path / "model.gguf", "f32", Facts("x"))


def test_a_tokenizer_that_splits_words_in_a_way_of_its_own_is_refused(tmp_path: Path) -> None:
    made(tmp_path, "Llama")
    file = tmp_path / "tokenizer.json"
    said = json.loads(file.read_text())
    said["model"]["merges"] = [["a", "b"]]
    said["model"]["vocab"]["ab"] = max(said["model"]["vocab"].values())
    said["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "ab+"}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
    ]}  # fmt: skip
    file.write_text(json.dumps(said))
    with pytest.raises(ExportError, match=r"splits words[\s\S]*ab\+"):
        write_model(tmp_path, tmp_path / "model.gguf", "f32", Facts("x"))


def test_a_weight_that_is_not_a_number_is_refused(tmp_path: Path) -> None:
    model = made(tmp_path, "Llama")
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[3, 3] = float("nan")
    model.save_pretrained(tmp_path)
    with pytest.raises(ExportError, match="NaN"):
        write_model(tmp_path, tmp_path / "model.gguf", "q8_0", Facts("x"))
