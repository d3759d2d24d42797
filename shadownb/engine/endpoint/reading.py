"""What a server answered, as a :class:`~shadownb.engine.inference.Reply`; what is no answer raises and is never an empty reply."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from shadownb.engine.capture.dialects.base import listed, mapped, text_of
from shadownb.engine.capture.dialects.chat import ChatDialect
from shadownb.engine.capture.dialects.contents import part_text
from shadownb.engine.inference import Reply
from shadownb.engine.jsontext import dumps
from shadownb.engine.messages.calls import call_arguments
from shadownb.engine.replies import Reader, TextReader, choose_markup, collected, open_reader
from shadownb.engine.trajectories.endings import ended_by_itself, plain_reason

CHAT = ChatDialect()

_LIMITS = ("length", "max_tokens", "model_length", "max_output_tokens")
_WITHHELD = ("content_filter", "safety", "recitation", "blocklist", "prohibited_content", "spii", "refusal")
_REASONINGS = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
_THOUGHT_ENDS = "</think>"


class NoAnswer(Exception):
    """Why what came is no answer; ``again`` where the same question may get one."""

    def __init__(self, reason: str, *, again: bool = False) -> None:
        super().__init__(reason)
        self.again = again


def content_reader(tools: list[dict[str, Any]] | None, *, thought: bool) -> Reader:
    """Return what takes content apart where the server did not: one without the parser for its model sends the markup as text.

    Parameters
    ----------
    thought
        Whether reasoning came in a field of its own, so that the content holds none.
    """
    if thought and not tools:
        return TextReader()
    markup = choose_markup("")
    return open_reader(
        dataclasses.replace(markup, reasoning=()) if thought else markup, tools=tools or [], calls=bool(tools)
    )


def reply_of(response: Mapping[str, Any], tools: list[dict[str, Any]] | None, *, stopped: bool = False) -> Reply:
    """Return the reply in a final answer.

    Raises
    ------
    NoAnswer
        There is none in it: no choice, no message, nothing said, withheld by a filter, or ended by an error.
    """
    choices = CHAT.choices(dict(response))
    if not choices and not stopped:
        raise NoAnswer("it has no choices", again=True)
    choice = choices[0] if choices else {"message": {}, "finish_reason": None}
    error = mapped(next(iter(listed(response.get("choices"))), None)).get("error")
    reason = plain_reason(choice["finish_reason"]) if choice["finish_reason"] is not None else None
    if (error or reason == "error") and not stopped:
        raise NoAnswer(f"it ended with an error: {_words(error) or 'the server does not say which'}", again=True)
    if reason in _WITHHELD:
        raise NoAnswer(f"the server withheld it (finish_reason {reason!r})")
    reply = _read(choice["message"], tools)
    reply.usage = CHAT.response_facts(dict(response)).usage or {}
    reply.finish_reason = "cancelled" if stopped else "length" if reason in _LIMITS else "stop"
    if stopped:
        return reply
    said = reply.content or reply.tool_calls or reply.malformed_calls or reply.reasoning
    if not said and choice["message"].get("content") is None and reason not in _LIMITS:
        raise NoAnswer("its content is null, and it calls no tool", again=True)
    reply.reasoning_open = reply.reasoning_open or bool(
        reply.reasoning and reply.finish_reason == "length" and not (reply.content or reply.outcome != "abstained")
    )
    if reason is None:
        reply.remarks.append("The server gave no finish_reason, so it may be cut.")
    elif reason not in _LIMITS and not ended_by_itself("chat", reason):
        reply.remarks.append(f"It ended with finish_reason {reason!r}, which is not known as a whole answer's.")
    return reply


def _read(message: Mapping[str, Any], tools: list[dict[str, Any]] | None) -> Reply:
    calls, malformed = _calls(message)
    text = text_of(message.get("content"))
    reasoning = reasoning_of(message)
    remarks = []
    if not text and isinstance(message.get("refusal"), str) and message["refusal"]:
        text = message["refusal"]
        remarks.append("The server marks it as a refusal.")
    raw = text
    for each in listed(message.get("malformed_tool_calls")):  # ours: a loaded model behind a capture
        broken = {"text": str(mapped(each).get("text", "")), "reason": str(mapped(each).get("reason", ""))}
        text = text.replace(broken["text"], "", 1)
        malformed.append(broken)
    begun = text.lstrip().startswith("<think>")
    if not reasoning and _THOUGHT_ENDS in text and not begun and "<think>" not in text:
        # The template opened it, and the server sends what the model wrote.
        reasoning, _, text = text.partition(_THOUGHT_ENDS)
        reasoning, text = reasoning.strip(), text.lstrip("\n")
    reader = content_reader(None if calls else tools, thought=bool(reasoning))
    parsed = collected([*reader.feed(text), *reader.finish()], reasoning_open=reader.reasoning_open)
    return Reply(
        content=parsed.content,
        tool_calls=[*parsed.tool_calls, *calls],
        raw=raw,
        reasoning=reasoning or parsed.reasoning,
        malformed_calls=[*parsed.malformed_calls, *malformed],
        reasoning_open=parsed.reasoning_open,
        remarks=remarks,
    )


def reasoning_of(message: Mapping[str, Any]) -> str:
    """Return the reasoning of a message or a delta, under whichever of the names that servers give it."""
    return next((text for name in _REASONINGS if (text := part_text(message.get(name)))), "")


def _calls(message: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Return the calls, and those that cannot be made: they are counted, and never nothing."""
    calls: list[dict[str, Any]] = []
    malformed: list[dict[str, str]] = []
    given = list(listed(message.get("tool_calls")))
    if message.get("function_call"):  # of 2023, and of some that still speak so
        given.append({"function": message["function_call"]})
    for call in given:
        function = mapped(mapped(call).get("function"))
        name, arguments = function.get("name"), function.get("arguments")
        try:
            if not isinstance(name, str) or not name:
                raise ValueError("it has no name")
            found = {"id": mapped(call).get("id"), "name": name, "arguments": call_arguments(arguments)}
        except ValueError as error:
            text = arguments if isinstance(arguments, str) and not name else dumps(function or call)
            malformed.append({"text": text, "reason": str(error)})
        else:
            calls.append(found)
    return calls, malformed


def _words(error: Any) -> str:
    return error if isinstance(error, str) else text_of(mapped(error).get("message")) or (dumps(error) if error else "")
