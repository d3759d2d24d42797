"""Tokenizers made up for tests: a byte-level one and one that marks word starts, with any template."""

from __future__ import annotations

from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

CHATML = ("<|im_start|>", "<|im_end|>")

# Shows an empty reasoning block in the last turn only, as reasoning models do.
REASONING = (
    "{%- for message in messages %}"
    "{%- if message['role'] == 'assistant' %}"
    "{{- '<|im_start|>assistant\\n' + ('<think>\\n\\n</think>\\n\\n' if loop.last else '')"
    " + message['content'] + '<|im_end|>\\n' }}"
    "{%- else %}{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)

# Puts the system text into the last user turn, refuses turns that do not alternate, and begins with bos.
INST = (
    "{{- bos_token }}"
    "{%- set system = messages[0]['content'] if messages[0]['role'] == 'system' else '' %}"
    "{%- set turns = messages[1:] if system else messages %}"
    "{%- for message in turns %}"
    "{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{- raise_exception('roles must alternate') }}{%- endif %}"
    "{%- if message['role'] == 'user' %}"
    "{{- '[INST]' + (system + '\\n\\n' if system and loop.revindex <= 2 - (loop.length % 2) else '') }}"
    "{{- message['content'] + '[/INST]' }}"
    "{%- else %}{{- ' ' + message['content'] + eos_token }}{%- endif %}"
    "{%- endfor %}"
)


def byte_tokenizer(
    template: str | None = None,
    special: tuple[str, ...] = ("<|endoftext|>", *CHATML),
    bos: str | None = None,
    eos: str = "<|im_end|>",
) -> Any:
    """Return a tokenizer with one token a byte and the given special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={char: number for number, char in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return _wrapped(inner, template, special, bos, eos)


def word_tokenizer(
    template: str | None = None, special: tuple[str, ...] = ("<s>", "</s>"), bos: str = "<s>", eos: str = "</s>"
) -> Any:
    """Return a tokenizer that puts a word-start mark before the first piece of every text, and adds bos."""
    letters = ["▁", *map(chr, range(33, 127)), "\n", "▁answer", "▁hi", "<unk>"]
    merges = []
    for word in ("▁answer", "▁hi"):
        for end in range(2, len(word) + 1):
            merges.append((word[: end - 1], word[end - 1]))
            if word[:end] not in letters:
                letters.append(word[:end])
    vocabulary = {piece: number for number, piece in enumerate(letters)}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    inner.decoder = decoders.Metaspace(prepend_scheme="first")
    tokenizer = _wrapped(inner, template, special, bos, eos)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, tokenizer.bos_token_id)]
    )
    return tokenizer


def _wrapped(inner: Tokenizer, template: str | None, special: tuple[str, ...], bos: str | None, eos: str) -> Any:
    inner.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    make: Any = PreTrainedTokenizerFast
    tokenizer = make(tokenizer_object=inner, bos_token=bos, eos_token=eos, pad_token=eos)
    tokenizer.chat_template = template
    return tokenizer
