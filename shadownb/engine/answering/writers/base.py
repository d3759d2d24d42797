"""What every writer of answers has in common."""

from __future__ import annotations

import json
import secrets
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from shadownb.engine.answering.asks import Ask
    from shadownb.engine.answering.tokens import TokenChance


@dataclass
class Choice:
    """One answer: text, calls in OpenAI's wire form, and why it ended.

    Attributes
    ----------
    malformed
        ``{"text", "reason"}`` of what looks like a call and is none; the text is part of the content as well.
    logprobs
        Its tokens with their log-probabilities; None where they were not asked for.
    """

    index: int
    content: str
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    finish: Literal["stop", "length", "tool_calls"] = "stop"
    stop_string: str | None = None
    tokens: int = 0
    reasoning: str = ""
    malformed: list[dict[str, str]] = field(default_factory=list)
    logprobs: list[TokenChance] | None = None

    def message(self) -> dict[str, Any]:
        """Return it as a message in chat form, to go on from."""
        found: dict[str, Any] = {"role": "assistant", "content": self.content}
        if self.reasoning:
            found["reasoning_content"] = self.reasoning
        return {**found, "tool_calls": self.tool_calls} if self.tool_calls else found


class AnswerWriter(ABC):
    """Writes one answer, whole or as a stream: ``begin``, then ``reasoning``, ``text`` and ``finish`` for each choice, ``end``."""

    prefix = "resp"

    def __init__(self, model: str, ask: Ask) -> None:
        self.model = model
        self.ask = ask
        self.id = f"{self.prefix}{secrets.token_hex(12)}"
        self.created = int(time.time())

    @abstractmethod
    def begin(self) -> bytes:
        """Frames before any text."""

    @abstractmethod
    def text(self, index: int, piece: str) -> bytes:
        """Frames of a piece of text of a choice."""

    @abstractmethod
    def reasoning(self, index: int, piece: str) -> bytes:
        """Frames of a piece of reasoning of a choice."""

    @abstractmethod
    def finish(self, choice: Choice) -> bytes:
        """Frames that end a choice: its tool calls and its finish reason."""

    @abstractmethod
    def end(self, choices: list[Choice], prompt_tokens: int, completion_tokens: int) -> bytes:
        """Frames that end the stream."""

    @abstractmethod
    def content(self, choices: list[Choice], prompt_tokens: int, completion_tokens: int) -> dict[str, Any]:
        """The whole answer."""

    def whole(self, choices: list[Choice], prompt_tokens: int, completion_tokens: int) -> bytes:
        """The whole answer as a body."""
        return dumped(self.content(choices, prompt_tokens, completion_tokens))


def dumped(value: Any) -> bytes:
    """Return JSON as bytes."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def frame(value: Any, *, event: str | None = None) -> bytes:
    """Return one server-sent event."""
    head = f"event: {event}\n".encode() if event else b""
    return head + b"data: " + (value if isinstance(value, bytes) else dumped(value)) + b"\n\n"


def token_counts(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Return usage as OpenAI's chat has it."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
