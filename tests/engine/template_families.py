"""Tokenizers with the chat templates that trl ships, on a small made-up vocabulary, so that a family loads in milliseconds.

Words merge across what templates write next to them (line breaks, angle brackets), so that a border between two pieces
shows in the ids.
"""

from __future__ import annotations

import functools
import re
from importlib import util
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

_WORDS = (
    "the", "and", "you", "user", "assistant", "system", "tool", "call", "weather", "answer", "question", "What", "It",
    "name", "arguments", "rain", "town", "Bern", "sunny", "thought", "because", "is", "in", "<|", "|>", "<think", "think>",
    "</", "im", "_start", "_end", "\n\n", ".\n", '":', '{"', '"}', "end", "start", "of", "turn", "```", "INST", "[/", "tool_",
)  # fmt: skip
_SPECIAL = re.compile(
    r"<[|｜][^|｜<>'{} ]+[|｜]>|<\|[a-z_]+>|<[a-z_]+\|>|<\|\"\|>|\[/?(?:INST|TOOL_CALLS|AVAILABLE_TOOLS|TOOL_RESULTS)\]|\[gMASK\]|"
    r"<(?:sop|s|/s|start_of_turn|end_of_turn|end_of_utterance|BOS_TOKEN|EOS_TOKEN)>"
)
_TAGS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
_ENDS = {
    "gptoss": "<|return|>", "llama3": "<|eot_id|>", "gemma": "<eos>", "diffusion_gemma": "<eos>", "phi3": "<|endoftext|>",
    "deepseek": "<｜end▁of▁sentence｜>", "cohere": "<|END_OF_TURN_TOKEN|>", "glm4moe": "<|endoftext|>",
    "muse": "<|eot|>", "llava_next": "</s>", "idefics3": "<end_of_utterance>", "smolvlm": "<end_of_utterance>",
}  # fmt: skip
_BEGINS = {
    "llama3": "<|begin_of_text|>", "gemma": "<bos>", "diffusion_gemma": "<bos>", "deepseek": "<｜begin▁of▁sentence｜>",
    "cohere": "<BOS_TOKEN>", "lfm2": "<|startoftext|>", "muse": "<|begin_of_text|>", "llava_next": "<s>",
}  # fmt: skip


def folder() -> Path:
    """The folder of trl's chat templates; trl itself is not imported."""
    spec = util.find_spec("trl")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "chat_templates"


def names() -> list[str]:
    """Every template that trl ships, but its own variants for training."""
    return sorted(path.stem for path in folder().glob("*.jinja") if not path.stem.endswith("_training"))


def template(name: str) -> str:
    """The text of a template, with a fixed date where it writes today's."""
    return re.sub(r"strftime_now\([^)]*\)", "'1 May 2026'", (folder() / f"{name}.jinja").read_text(encoding="utf-8"))


def family(name: str, text: str | None = None) -> Any:
    """A tokenizer of a family, with its template or the one that is given."""
    text = template(name) if text is None else text
    eos = _of(name, _ENDS) or "<|im_end|>"
    bos = _of(name, _BEGINS)
    control = {*_SPECIAL.findall(text), eos} | ({bos} if bos else set())
    inner = Tokenizer.from_str(_vocabulary())
    inner.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in sorted(control)])
    inner.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in _TAGS if tag in text])
    make: Any = PreTrainedTokenizerFast
    tokenizer = make(tokenizer_object=inner, bos_token=bos, eos_token=eos, pad_token=eos)
    tokenizer.chat_template = text
    return tokenizer


def _of(name: str, table: dict[str, str]) -> str | None:
    return next((token for start, token in table.items() if name.startswith(start)), None)


@functools.cache
def _vocabulary() -> str:
    def as_bytes(text: str) -> str:
        ((piece, _),) = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
        return str(piece)

    pieces = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = []
    for word in (as_bytes(mark + word) for word in _WORDS for mark in ("", " ")):
        for end in range(2, len(word) + 1):
            if word[:end] not in pieces:
                merges.append((word[: end - 1], word[end - 1]))
                pieces.append(word[:end])
    inner = Tokenizer(models.BPE(vocab={piece: number for number, piece in enumerate(pieces)}, merges=merges))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    return inner.to_str()
