"""How a local model's answer looks on the wire: one writer a dialect."""

from __future__ import annotations

from shadownb.engine.answering.writers.base import AnswerWriter, Choice
from shadownb.engine.answering.writers.chat import ChatWriter, CompletionsWriter
from shadownb.engine.answering.writers.messages import MessagesWriter
from shadownb.engine.answering.writers.responses import ResponsesWriter

__all__ = ["AnswerWriter", "Choice", "writer_for"]

_WRITERS: dict[str, type[AnswerWriter]] = {
    "chat": ChatWriter,
    "completions": CompletionsWriter,
    "responses": ResponsesWriter,
    "messages": MessagesWriter,
}


def writer_for(dialect: str) -> type[AnswerWriter]:
    """Return the writer of a dialect."""
    return _WRITERS[dialect]
