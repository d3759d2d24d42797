"""A random sentence encoder of a few kilobytes, in the format of the real one."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp


@cache
def tiny_encoder() -> Path:
    """Return its folder, made once a process."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = Path(mkdtemp(prefix="tiny-encoder-"))
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    BertModel(config).save_pretrained(folder)
    return folder
