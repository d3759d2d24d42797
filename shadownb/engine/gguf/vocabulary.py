"""The tokenizer of a model's folder in GGUF: tokens, merges, how words are split before them, and which tokens end an answer."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf

from shadownb.errors import ExportError

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# How words are split, by what tokenizer.json says of it, and llama.cpp's name for that.
_SPLITS: dict[tuple[str, ...], str] = {
    ("bytes",): "gpt-2",
    ("digits", "bytes"): "smollm",
    (_CONTRACTIONS + r"\p{N}{1,3}" + _REST,): "llama-bpe",
    (_CONTRACTIONS + r"\p{N}" + _REST,): "qwen2",
}
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_NO_MERGES = ["Ā Ā"]  # llama.cpp wants some: two zero bytes, which it takes apart again as no token is both


def write_vocabulary(
    writer: gguf.GGUFWriter, folder: Path, size: int, *, stops: Sequence[int], chat_template: str | None
) -> None:
    """Write the tokenizer of a folder.

    Parameters
    ----------
    size
        Rows of the table of embeddings: tokens that the tokenizer lacks are written as unused.
    stops
        Tokens that end an answer, the usual one first.

    Raises
    ------
    ExportError
        llama.cpp has nothing that splits words as this tokenizer does.
    """
    said = _json(folder / "tokenizer.json")
    model = said.get("model") or {}
    if model.get("type") != "BPE":
        raise ExportError(
            f"format='gguf': its tokenizer is {model.get('type') or 'not in tokenizer.json'}, and ShadowNB writes BPE.",
            fix="converter='official' uses llama.cpp's own converter; format='merged' keeps the tokenizer as it is.",
        )
    tokens, types = _tokens(said, size)
    if _is_bytes(said):
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(split_of(said))
        writer.add_token_list(tokens)
        writer.add_token_types(types)
        writer.add_token_merges(_merges(model) or _NO_MERGES)
    else:
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_list(tokens)
        writer.add_token_scores(_scores(model, tokens))
        writer.add_token_types(types)
        writer.add_add_space_prefix(_marks_the_first_word(said))
    _special(writer, folder, tokens, stops)
    if chat_template:
        writer.add_chat_template(chat_template)


def split_of(said: dict[str, Any]) -> str:
    """Return llama.cpp's name of how a byte-level tokenizer splits words."""
    steps = _steps(said.get("pre_tokenizer"))
    found = _SPLITS.get(tuple(steps))
    if found is None and not _merges(said["model"]):
        return "gpt-2"  # where every byte is a token it makes no difference
    if found is None:
        raise ExportError(
            "format='gguf': llama.cpp has no name that ShadowNB knows for how this tokenizer splits words.",
            why=f"tokenizer.json says {' then '.join(steps)[:200] or 'nothing of it'}.",
            fix="converter='official' uses llama.cpp's own converter; format='merged' keeps the tokenizer as it is.",
        )
    return found


def _steps(said: dict[str, Any] | None) -> list[str]:
    """Return a pre-tokenizer in short: bytes, digits, or the expression that it splits by."""
    if said is None:
        return []
    kind = said["type"]
    if kind == "Sequence":
        steps = [step for part in said["pretokenizers"] for step in _steps(part)]
        return steps
    if kind == "Split":
        return [str(said["pattern"].get("Regex") or said["pattern"])]
    if kind == "ByteLevel":  # behind a split it only changes how bytes are written
        return ["bytes"] if said.get("use_regex", True) else []
    if kind == "Digits" and said.get("individual_digits"):
        return ["digits"]
    return [kind]


def _is_bytes(said: dict[str, Any]) -> bool:
    return '"ByteLevel"' in json.dumps([said.get("pre_tokenizer"), said.get("decoder")])


def _tokens(said: dict[str, Any], size: int) -> tuple[list[str], list[int]]:
    known = {number: token for token, number in said["model"]["vocab"].items()}
    types = dict.fromkeys(known, int(gguf.TokenType.NORMAL))
    unknown = said["model"].get("unk_token")
    for number, token in known.items():
        if _BYTE.fullmatch(token) and not _is_bytes(said):
            types[number] = int(gguf.TokenType.BYTE)
        elif token == unknown:
            types[number] = int(gguf.TokenType.UNKNOWN)
    for added in said.get("added_tokens") or []:
        number = added["id"]
        known[number] = added["content"]
        if types.get(number) != int(gguf.TokenType.UNKNOWN):
            types[number] = int(gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED)
    if max(known) >= size:
        raise ExportError(
            f"format='gguf': the tokenizer has a token {max(known)}, and the model has embeddings of {size}.",
            fix="Save the model with as many embeddings as its tokenizer has tokens.",
        )
    unused = int(gguf.TokenType.UNUSED)
    return [known.get(n, f"[PAD{n}]") for n in range(size)], [types.get(n, unused) for n in range(size)]


def _merges(model: dict[str, Any]) -> list[str]:
    """Return the merges as GGUF has them: two parts with a space between, so that a space in a part is written as a byte."""
    pairs = [merge.split(" ", 1) if isinstance(merge, str) else merge for merge in model.get("merges") or []]
    return [" ".join(part.replace(" ", "Ġ") for part in pair) for pair in pairs]


def _scores(model: dict[str, Any], tokens: list[str]) -> list[float]:
    """Return the order of the merges as scores, by which SentencePiece's way of merging comes to the same tokens."""
    rank: dict[str, int] = {}
    for number, merge in enumerate(model.get("merges") or []):
        rank.setdefault("".join(merge.split(" ", 1) if isinstance(merge, str) else merge), number)
    least = -float(len(rank) + 1)
    return [float(-rank[token]) if token in rank else least for token in tokens]


def _marks_the_first_word(said: dict[str, Any]) -> bool:
    written = json.dumps([said.get("normalizer"), said.get("pre_tokenizer")])
    return '"Prepend"' in written or bool(re.search(r'"prepend_scheme": "(first|always)"', written))


def _special(writer: gguf.GGUFWriter, folder: Path, tokens: list[str], stops: Sequence[int]) -> None:
    import tokenizers

    config = _json(folder / "tokenizer_config.json")
    number = {token: place for place, token in enumerate(tokens)}

    def named(key: str) -> int | None:
        value = config.get(key)
        return number.get(str(value["content"] if isinstance(value, dict) else value))

    bos, pad, unknown = (named(f"{key}_token") for key in ("bos", "pad", "unk"))
    if bos is not None:
        writer.add_bos_token_id(bos)
    if pad is not None:
        writer.add_pad_token_id(pad)
    if unknown is not None:
        writer.add_unk_token_id(unknown)
    # The first is what ends an answer; llama.cpp ends one by the two others as well.
    for add, stop in zip(
        (writer.add_eos_token_id, writer.add_eot_token_id, writer.add_eom_token_id), stops, strict=False
    ):
        add(stop)
    whole = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = whole.encode("a", add_special_tokens=True).ids
    writer.add_add_bos_token(bos is not None and ids[:1] == [bos])
    writer.add_add_eos_token(False)  # a prompt ends where the answer begins


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(
            f"format='gguf': {path.name} of this model cannot be read ({error.__class__.__name__}).",
            why="ShadowNB writes the tokenizers of the tokenizers package.",
            fix="converter='official' uses llama.cpp's own converter.",
        ) from error
    return found
