"""Regular expressions of names and texts: none of these words, so many characters."""

from __future__ import annotations

from collections.abc import Sequence

_ANY = r"[\s\S]"
_SPECIAL = set(r"\^$.|?*+()[]{}-/&~#")


def escaped(text: str) -> str:
    """Return an expression of one text."""
    return "".join(f"\\{sign}" if sign in _SPECIAL else sign for sign in text)


def none_of(words: Sequence[str]) -> str:
    """Return an expression of all other texts: those that leave the tree of these words somewhere, or end inside it."""
    return f"^{_outside([word for word in dict.fromkeys(words)])}$"


def _outside(words: list[str]) -> str:
    """Return an expression of what is none of these endings."""
    if not words:
        return f"{_ANY}*"
    after: dict[str, list[str]] = {}
    for word in words:
        if word:
            after.setdefault(word[0], []).append(word[1:])
    ways = [] if "" in words else [""]
    ways.append(f"[^{''.join(map(escaped, after))}]{_ANY}*" if after else f"{_ANY}+")
    ways += [f"{escaped(sign)}{_outside(rest)}" for sign, rest in after.items()]
    return f"({'|'.join(ways)})"


def of_length(low: int, high: int | None) -> str:
    """Return an expression of texts of so many characters."""
    return f"^{_ANY}{{{low},{'' if high is None else high}}}$"
