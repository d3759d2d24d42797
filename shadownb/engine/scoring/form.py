"""Whether an answer has a form: JSON, code, a list, a table."""

from __future__ import annotations

import re
from collections.abc import Callable

from shadownb.engine import jsontext
from shadownb.engine.scoring.answers import fences, plain, without_reasoning
from shadownb.engine.scoring.base import Score
from shadownb.errors import ConfigError


class Format:
    """Score 1.0 where a whole answer has a form, with something in it.

    What it says is not judged: beside it there has to be a scorer that does.

    Parameters
    ----------
    kind
        ``json``: one object or list that is not empty, alone or in one fence. ``code``: one code fence and nothing beside it.
        ``bullets``, ``numbered``: a list of at least two entries, every line of which is one. ``table``: a table in markdown.

    Raises
    ------
    ConfigError
        There is no such kind.

    Examples
    --------
    >>> snb.scoring.Format("bullets")("- one\\n- two").value
    1.0
    """

    name: str = "format"

    def __init__(self, kind: str = "json") -> None:
        if kind not in _KINDS:
            raise ConfigError(f"kind={kind!r} is no form that is known.", fix=f"One of {', '.join(_KINDS)}.")
        self.kind = kind

    def __repr__(self) -> str:
        return f"Format({self.kind!r})"

    def __call__(self, output: str, expected: str = "") -> Score:
        """Return the score of an answer."""
        fits = _KINDS[self.kind](without_reasoning(output).strip())
        return Score(float(fits), self.kind if fits else f"no {self.kind} that is the whole answer")


def _json(text: str) -> bool:
    try:
        value = jsontext.loads_piece(plain(text), unique=True)
    except ValueError:
        return False
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(item not in ("", None, [], {}) for item in values)


def _code(text: str) -> bool:
    found = fences(text)
    return (
        len(found) == 1
        and text.startswith(("```", "~~~"))
        and text.endswith(("```", "~~~"))
        and bool(re.search(r"\w", found[0][1]))
    )


def _lines(begin: str) -> Callable[[str], bool]:
    entry = re.compile(rf"\s*(?:{begin})\s+.*\w")

    def fits(text: str) -> bool:
        lines = [line for line in text.splitlines() if line.strip()]
        return len(lines) > 1 and len(set(lines)) == len(lines) and all(map(entry.match, lines))

    return fits


def _table(text: str) -> bool:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) < 3 or not re.fullmatch(r"\|?(\s*:?-+:?\s*\|)+(\s*:?-+:?\s*)?", lines[1]):
        return False
    widths = {line.strip("|").count("|") for line in lines}
    return (
        widths.isdisjoint({0}) and len(widths) == 1 and all(re.search(r"\w", line) for line in (lines[0], *lines[2:]))
    )


_KINDS: dict[str, Callable[[str], bool]] = {
    "json": _json, "code": _code, "bullets": _lines("[-*•+]"), "numbered": _lines(r"\d+[.)]"), "table": _table,
}  # fmt: skip
