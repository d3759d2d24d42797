"""Where the answer stands in what a model wrote: behind its reasoning, in its code fence, at its marker."""

from __future__ import annotations

import re

_OPEN, _CLOSE = re.compile(r"<(think|thinking|reasoning)>"), re.compile(r"</(?:think|thinking|reasoning)>")
_FENCE = re.compile(
    r"^(?P<mark>`{3,}|~{3,})[ \t]*(?P<language>[\w+#.-]*)[^\n`]*\n(?P<inside>.*?)^(?P=mark)[ \t]*$", re.M | re.S
)
_FENCE_MARK = re.compile(r"^\s*(?:`{3,}|~{3,})", re.M)
_WHOLE_FENCE = re.compile(r"\s*(`{3,}|~{3,})[ \t]*[\w+#.-]*[ \t]*\n(?P<inside>.*?)\n?\1\s*", re.S)


def without_reasoning(text: str) -> str:
    """Return what stands behind the reasoning; nothing where that was begun and not ended.

    A template may have opened the block in the prompt, so an end without a beginning ends one, too. What stands before a block
    belongs to it: an answer is what comes last.
    """
    ends = list(_CLOSE.finditer(text))
    behind = text[ends[-1].end() :] if ends else text
    opened = _OPEN.search(behind)
    if opened is None:
        return behind.lstrip("\n") if ends else text
    return behind[: opened.start()]


def unfenced(text: str) -> str:
    """Return the inside of a text that is one code fence and nothing else, else the text."""
    whole = _WHOLE_FENCE.fullmatch(text)
    return whole["inside"] if whole is not None and not _FENCE_MARK.search(whole["inside"]) else text


def fences(text: str) -> list[tuple[str, str]]:
    """Return (language, inside) of each code fence, in order; the language in lower case, or empty."""
    return [(found["language"].lower(), found["inside"]) for found in _FENCE.finditer(text)]


def plain(text: str) -> str:
    """Return an answer without reasoning, without a fence around the whole of it, and without white space at its ends."""
    return unfenced(without_reasoning(text)).strip()
