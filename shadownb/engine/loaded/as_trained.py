"""Asking a model as it was trained: where a question starts when the caller does not say, and what differs when he does.

One rule for every way to ask. What is left out is as in the rows (``AS_TRAINED``), what is given is taken as it is, and None or
an empty value means none. Messages that bring a system message of their own are taken as they are.
"""

from __future__ import annotations

import contextlib
import contextvars
import enum
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from shadownb.engine.messages import RowProblem, canonical_messages, canonical_tools
from shadownb.errors import ConfigError, DataError, ShadowWarning

if TYPE_CHECKING:
    from shadownb.engine.data.trained_on import Difference, TrainedOn

Message = dict[str, Any]
Tools = Sequence[dict[str, Any]] | None


class _AsTrained(enum.Enum):
    AS_TRAINED = "as trained"

    def __repr__(self) -> str:
        return self.name


AS_TRAINED: Final = _AsTrained.AS_TRAINED
AsTrained = Literal[_AsTrained.AS_TRAINED]

_PACKAGE = str(Path(__file__).parents[2])
_quiet = contextvars.ContextVar("quiet", default=False)


def conversation(
    trained_on: TrainedOn | None, messages: Sequence[Message], system: str | AsTrained | None, tools: Tools | AsTrained
) -> tuple[list[Message], list[dict[str, Any]] | None]:
    """Return messages and tools to ask with: what is left out is taken from the rows.

    Raises
    ------
    ConfigError
        A system prompt is given beside messages that begin with another one.
    DataError
        These are no messages, or no tools.
    """
    try:
        turns = canonical_messages(messages, allow_empty=True)
        schemas = trained_tools(trained_on) if tools is AS_TRAINED else canonical_tools(tools)
    except RowProblem as problem:
        raise DataError(f"These messages cannot be rendered: {problem}.", fix="Correct that message.") from None
    own = turns[0]["content"] if turns[0]["role"] == "system" else None
    if system is not AS_TRAINED and system and own not in (None, system):
        raise ConfigError(
            f"system={_short(system)} was given, but the messages begin with the system message {_short(own)}.",
            fix="Give one of the two.",
        )
    if own is None:
        # Rows may have an empty system message, which their template shows; only a caller's empty one means none.
        prompt = trained_system(trained_on) if system is AS_TRAINED else system or None
        turns = [*([{"role": "system", "content": prompt}] if prompt is not None else []), *turns]
    return turns, list(schemas) if schemas else None


def trained_system(trained_on: TrainedOn | None) -> str | None:
    """Return the system prompt of the rows; None where they share none, or nothing is known."""
    return trained_on.system_prompt if trained_on is not None else None


def trained_tools(trained_on: TrainedOn | None) -> list[dict[str, Any]] | None:
    """Return the tools of the rows; None where they share none, or nothing is known."""
    return trained_on.offered_tools if trained_on is not None else None


def is_plain(
    trained_on: TrainedOn | None,
    template: bool | None,
    system: str | AsTrained | None,
    tools: Tools | AsTrained,
    *,
    thinks: bool = False,
) -> bool:
    """Return whether a prompt is plain text to go on from: as it is asked for, or because the training was on such.

    ``thinks`` says that something about thinking was asked for.

    Raises
    ------
    ConfigError
        Plain text was asked for together with what only a chat template can carry.
    """
    chat = thinks or bool(system is not AS_TRAINED and system) or bool(tools is not AS_TRAINED and tools)
    if template is False and chat:
        raise ConfigError(
            "template=False makes the prompt plain text, which has no system prompt, no tools and no switch for thinking.",
            fix="Leave out template=False, or system, tools, enable_thinking and reasoning_effort.",
        )
    if template is None:
        return trained_on is not None and trained_on.plain and not chat
    return not template


# -- saying what differs -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Let nothing be told inside the block, because whoever asks shows it in another way (this thread only)."""
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def tell(told: set[Any], trained_on: TrainedOn, differences: Sequence[Difference]) -> None:
    """Warn of each kind of difference once for the same rows; ``told`` remembers it."""
    if _quiet.get():
        return
    for difference in differences:
        key = (trained_on.system.known, trained_on.tools.known, trained_on.rows, difference.code)
        if key not in told:
            told.add(key)
            warnings.warn(f"{difference.text} {_REMEDY[difference.code]}", ShadowWarning, stacklevel=_to_the_caller())


_REMEDY = {
    "no-system": "Leave system out to start from theirs (model.trained_on.system_prompt).",
    "other-system": "Leave system out to start as the rows do.",
    "no-tools": "Leave tools out to offer theirs (model.trained_on.offered_tools).",
    "other-tools": "Leave tools out to start as the rows do.",
    "template": "template=False goes on from the text as it is.",
    "no-template": "Leave template out to ask as the rows do.",
}


def _to_the_caller() -> int:
    """Return the stack level of the first frame outside of this package, as :func:`tell` hands it to ``warn``."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    return level


def _short(text: str | None) -> str:
    return repr(text if text is None or len(text) <= 60 else f"{text[:57]}...")
