"""Session files of agents: one file a session, one line an event, from Claude Code, Codex, Pi, and in Hugging Face's format.

A format is a module with ``NAME``, ``recognises(lines)`` and ``turns_of(lines)``. Such a file says what was said, and not the
prompt as it was sent: what it leaves out stands in ``MISSING`` and goes to the report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from shadownb.engine.traces.sessions import claude_code, codex, pi, simple
from shadownb.engine.traces.sessions.turns import Turn

Line = Mapping[str, Any]


class Format(Protocol):
    """What a module in this room has."""

    NAME: str
    MISSING: str

    def recognises(self, lines: Sequence[Line], /) -> bool: ...

    def turns_of(self, lines: Sequence[Line], /) -> Iterator[Turn]: ...


FORMATS: tuple[Format, ...] = (claude_code, codex, pi, simple)
_LOOKED_AT = 50  # lines that may come before one by which a format is known


def format_of(lines: Sequence[Any]) -> Format | None:
    """Return the format of a file's lines; None where they are no session."""
    first = [line for line in lines[:_LOOKED_AT] if isinstance(line, Mapping)]
    return next((each for each in FORMATS if first and each.recognises(first)), None)


__all__ = ["FORMATS", "Format", "Turn", "format_of"]
