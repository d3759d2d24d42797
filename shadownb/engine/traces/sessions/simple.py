"""Hugging Face's Session Trace Simple Format: a line that names the session, then one line a message.

The format: https://huggingface.co/docs/hub/session-traces-format. It knows no finish reasons and no tools. llama.app writes its
branches with ids and parents; these are read as in Pi's files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shadownb.engine.traces.chat import chat_messages
from shadownb.engine.traces.sessions.turns import Message, Turn, turn
from shadownb.engine.traces.spans import seconds

NAME = "hf-session"
MISSING = "tool schemas, and how answers ended"


def recognises(lines: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the lines begin with a session's header, or are its messages."""
    return any(line.get("type") == "session" and line.get("harness") for line in lines)


def turns_of(lines: Sequence[Mapping[str, Any]]) -> Iterator[Turn]:
    """Yield the answers of the sessions in a file."""
    session, prompt = "", list[Message]()
    for number, line in enumerate(lines):
        if line.get("type") == "session":
            session, prompt = str(line.get("id") or ""), []
        given = line.get("message")
        if line.get("type") != "message" or not isinstance(given, Mapping):
            continue
        for message in chat_messages(as_chat(given)):
            if message["role"] == "assistant":
                time = seconds(given.get("timestamp"))
                name = f"{session}-{number}" if session else str(number)
                yield turn(NAME, session, name, prompt, message, model=given.get("model"), start=time)
            prompt.append(message)


def as_chat(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message with its fields under OpenAI's names."""
    names = {"toolCalls": "tool_calls", "toolCallId": "tool_call_id", "reasoningContent": "reasoning_content"}
    kept = ("role", "content", *names, *names.values())
    return {names.get(key, key): value for key, value in message.items() if key in kept}
