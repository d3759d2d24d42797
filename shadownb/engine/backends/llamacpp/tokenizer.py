"""Text and ids of a GGUF file: by the tokenizer that lies beside it, else by one that transformers makes of it.

llama.cpp has a tokenizer of its own, which knows no template of ours and takes control tokens in what people write for such.
So ids come from transformers', and an export compares what both make of a text.
"""

from __future__ import annotations

import hashlib
import shutil
import uuid
from pathlib import Path
from typing import Any

from shadownb.engine.backends.llamacpp.file import GgufFile
from shadownb.engine.home import subfolder
from shadownb.errors import ModelError

# Letters with marks, numbers, more than one script, a code's indents and a sign outside of the first plane.
TEXT = "Café déjà vu — 123 456.7 😊  naïve\n\tif x:\n        return 'Straße'  東京 привет I'm HELLO_world"


def of(path: Path) -> Any:
    """Return the tokenizer of a GGUF file.

    Raises
    ------
    ModelError
        Nothing lies beside it, and transformers can make none of it.
    """
    beside = (path.parent / "tokenizer.json").is_file() or (path.parent / "tokenizer_config.json").is_file()
    return _read(path.parent if beside else _made(path))


def _read(folder: Path) -> Any:
    """Return a folder's tokenizer; where it is a file tokenizer.json without importing torch, which would take 1.6 s."""
    if (folder / "tokenizer.json").is_file():
        from transformers import PreTrainedTokenizerFast

        return PreTrainedTokenizerFast.from_pretrained(folder)
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def _made(path: Path) -> Path:
    """Return the folder of a tokenizer made of a GGUF file, once: that takes 10 s for 50,000 tokens."""
    mark = f"{path.resolve()}:{path.stat().st_size}:{path.stat().st_mtime_ns}"
    target = subfolder("models") / f"tokenizer-{path.stem}-{hashlib.sha256(mark.encode()).hexdigest()[:8]}"
    if target.is_dir():
        return target
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, trust_remote_code=False)
    except Exception as error:  # the library raises what it likes for an architecture that it does not know
        raise ModelError(
            f"No tokenizer can be made of {path.name}.",
            why=str(error).splitlines()[0] if str(error) else type(error).__name__,
            fix="Put tokenizer.json and tokenizer_config.json of the model that it was made of beside it.",
        ) from error
    aside = target.with_name(f".{target.name}-{uuid.uuid4().hex[:8]}")
    tokenizer.save_pretrained(str(aside))
    try:
        aside.rename(target)
    except OSError:  # another process was first
        shutil.rmtree(aside, ignore_errors=True)
    return target


def difference(file: GgufFile, tokenizer: Any, text: str = TEXT) -> str:
    """Return where llama.cpp reads a text otherwise than the tokenizer does, in words; empty where both agree."""
    ours = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    theirs = file.tokens(text)
    if ours == theirs:
        return ""
    place = next((n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    return (
        f"token {place} of a test text is {tokenizer.decode(ours[place : place + 3])!r} to the tokenizer "
        f"and {tokenizer.decode(theirs[place : place + 3])!r} to llama.cpp"
    )
