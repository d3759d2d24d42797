"""By which endings an answer is known to be complete. Anything else (a limit, a filter, an error, a pause, nothing) is not.

A list of bad endings would train whatever is new: an answer that was cut short has no end of its own, and trained, it teaches to
stop in the middle of a sentence.
"""

from __future__ import annotations

from typing import Any

# What speaks OpenAI's chat says stop, tool_calls or function_call; TGI eos_token and stop_sequence, Together eos, some end_turn.
_CHAT = frozenset({"stop", "tool_calls", "function_call", "eos", "eos_token", "stop_sequence", "end_turn", "tool_use"})
_MESSAGES = frozenset({"end_turn", "tool_use", "stop_sequence"})  # not pause_turn, refusal, max_tokens, ...
_RESPONSES = frozenset({"completed"})
# Of spans: those above, OpenTelemetry's tool_call, Gemini's and Cohere's words, Bedrock's and Vercel's.
_SPANS = (
    _CHAT | _MESSAGES | _RESPONSES | {"tool_call", "tool-calls", "complete", "finish", "finished", "eot", "endoftext"}
)

_GEMINI = frozenset({"stop"})  # not max_tokens, safety, recitation, malformed_function_call, ...

GOOD = {"chat": _CHAT, "completions": _CHAT, "messages": _MESSAGES, "responses": _RESPONSES, "gemini": _GEMINI}


def ended_by_itself(dialect: str | None, reason: Any) -> bool:
    """Return whether an answer is complete by its finish reason.

    Parameters
    ----------
    dialect
        Of a recorded call. There no reason means that the end never came. None for what was read from spans, or made by hand:
        many instrumentations record none, so none is no sign there.
    """
    if dialect is not None:
        return plain_reason(reason) in GOOD.get(dialect, _SPANS)
    return reason is None or plain_reason(reason) in _SPANS


def plain_reason(reason: Any) -> str:
    """Return a reason as it is compared: ``FinishReason.STOP`` and ``FINISH_REASON_STOP`` are ``stop``."""
    text = str(reason).strip().lower()
    return text.rpartition(".")[2].removeprefix("finish_reason_").removeprefix("finishreason")
