"""The wire dialects that are recorded: one module each, found by name or by the path of a request."""

from __future__ import annotations

from shadownb.engine.capture.dialects.base import Dialect, Facts, WireError
from shadownb.engine.capture.dialects.chat import ChatDialect
from shadownb.engine.capture.dialects.completions import CompletionsDialect
from shadownb.engine.capture.dialects.gemini import GeminiDialect
from shadownb.engine.capture.dialects.messages import MessagesDialect
from shadownb.engine.capture.dialects.responses import ResponsesDialect

__all__ = ["Dialect", "Facts", "WireError", "by_path", "dialect"]

_DIALECTS: tuple[Dialect, ...] = (
    ChatDialect(),
    CompletionsDialect(),
    ResponsesDialect(),
    MessagesDialect(),
    GeminiDialect(),
)
_BY_NAME = {each.name: each for each in _DIALECTS}
_BY_PATH = {each.path: each for each in _DIALECTS if each.path}


def dialect(name: str) -> Dialect:
    """Return the dialect of a name; raises ``KeyError`` for one that this version does not know."""
    return _BY_NAME[name]


def by_path(path: str) -> Dialect | None:
    """Return the dialect whose calls arrive at a path (without ``/v1``)."""
    return _BY_PATH.get(path)
