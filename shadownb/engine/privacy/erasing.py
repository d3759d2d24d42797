"""Finding a person by what is written of them, and what an erasure has come to.

Whoever keeps texts (recordings, runs, answers of comparisons, saved models) is an eraser: the registry names them, so that
``captures.delete(where=...)`` reaches each without knowing it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from shadownb.engine.privacy.literals import changed_inside
from shadownb.errors import ConfigError

DELETED = "[deleted]"
_SHORTEST = 3  # characters: what is shorter stands in every conversation
_BETWEEN_DIGITS = r"[\s.\-/()]{0,3}"
_ESCAPED = re.compile(r"\\+(?:u([0-9a-fA-F]{4})|([nrt\"/]))")
_NUMBER = re.compile(r"[+\d][\d\s.\-/()]{5,}\d")


class Wanted:
    """The texts by which a person is found: a name, an address, a number.

    Capitals and line breaks make no difference, nor do blanks and hyphens in a number.

    Raises
    ------
    ConfigError
        There is no text, or one of less than three characters.
    """

    def __init__(self, texts: str | Iterable[str]) -> None:
        given = [texts] if isinstance(texts, str) else list(texts)
        for text in given or [""]:
            if not isinstance(text, str) or len(text.strip()) < _SHORTEST:
                raise ConfigError(
                    f"where={text!r} is no text to find somebody by.",
                    fix=f"Give a name, an address or a number of {_SHORTEST} characters or more, or a list of them.",
                )
        self.texts = tuple(text.strip() for text in given)
        self._pattern = re.compile("|".join(f"(?<!\\w){_form(text)}(?!\\w)" for text in self.texts), re.IGNORECASE)

    def is_in(self, text: str) -> bool:
        """Return whether one of the texts stands in this one."""
        return self._pattern.search(text) is not None

    def is_in_body(self, body: bytes) -> bool:
        """Return whether one stands in JSON, also escaped and in JSON that is itself a text."""
        if self.is_in(body.decode("utf-8", "replace")):
            return True
        return b"\\" in body and self.is_in(_unescaped(body.decode("utf-8", "replace")))

    def without(self, text: str) -> str:
        """Return a text, or JSON, in which ``[deleted]`` stands in their place."""
        return changed_inside(text, lambda said: self._pattern.sub(DELETED, said))

    def __repr__(self) -> str:
        return f"Wanted({len(self.texts)} texts)"  # they are what shall be forgotten


def _unescaped(text: str) -> str:
    """Return a text without the escapes of JSON, however often it was made a string of another one."""
    plain = _ESCAPED.sub(
        lambda match: chr(int(match[1], 16)) if match[1] else " " if match[2] in "nrt" else match[2], text
    )
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _form(text: str) -> str:
    if _NUMBER.fullmatch(text):
        digits = re.sub(r"\D", "", text)
        return (r"\+?" if text.startswith("+") else "") + _BETWEEN_DIGITS.join(digits)
    return r"\s+".join(map(re.escape, text.split()))


@dataclass
class Erased:
    """What was deleted, or would be.

    Attributes
    ----------
    calls
        How many calls of each capture.
    rows, samples
        By run: how many rows of its data, and how many of its samples.
    runs
        Runs that were trained on it, those that went on from one of them included.
    models
        Folders of saved models that hold what these runs trained.
    answers
        Kept answers of comparisons.
    notes
        What is left to do.
    dry_run
        Whether nothing was changed.
    """

    calls: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    samples: Counter[str] = field(default_factory=Counter)
    runs: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    answers: int = 0
    notes: list[str] = field(default_factory=list)
    dry_run: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible values."""
        counted = {name: dict(getattr(self, name)) for name in ("calls", "rows", "samples")}
        return {**counted, "runs": self.runs, "models": self.models, "answers": self.answers, "notes": self.notes}

    def __repr__(self) -> str:
        said = "Would be deleted" if self.dry_run else "Deleted"
        lines = [
            f"{said}: {_sum(self.calls, 'call', 'capture')}, {_sum(self.rows, 'row', 'run')}, "
            f"{_sum(self.samples, 'sample', 'run')}, {self.answers:,} kept answers."
        ]
        if self.runs:
            lines.append(f"Trained on it, and marked so: {', '.join(self.runs)}.")
        if self.models:
            lines.append(f"Saved models of these runs: {', '.join(self.models)}.")
        if self.runs or self.models:
            lines.append("What weights have learned stays in them: train again without it, and delete these.")
        return "\n".join([*lines, *self.notes])


def _sum(counts: Counter[str], what: str, of: str) -> str:
    total, places = sum(counts.values()), sum(count > 0 for count in counts.values())
    where = f" of {places:,} {of}{'' if places == 1 else 's'}" if total else ""
    return f"{total:,} {what}{'' if total == 1 else 's'}{where}"


class Eraser(Protocol):
    """Deletes what is written of a person from what somebody keeps."""

    def __call__(self, wanted: Wanted, home: Path, erased: Erased) -> None:
        """Delete it, and add to ``erased`` what was found; change nothing where ``erased.dry_run`` is set.

        Called in the order in which the registry names them: runs before the models that they made.
        """
