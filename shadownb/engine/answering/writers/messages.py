"""Local answers as Anthropic's Messages."""

from __future__ import annotations

import json
from typing import Any

from shadownb.engine.answering.writers.base import AnswerWriter, Choice, frame

_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


class MessagesWriter(AnswerWriter):
    """A ``message`` and its events; the count of the prompt's tokens comes with the last but one, when it is known."""

    prefix = "msg_"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._blocks = 0
        self._open = ""  # the kind of block that is being written

    def begin(self) -> bytes:
        message = {**self._head(), "content": [], "stop_reason": None, "stop_sequence": None, "usage": _usage(0, 0)}
        return _event("message_start", message=message)

    def text(self, index: int, piece: str) -> bytes:
        begun = self._block("text", {"type": "text", "text": ""})
        return begun + _event("content_block_delta", index=self._blocks, delta={"type": "text_delta", "text": piece})

    def reasoning(self, index: int, piece: str) -> bytes:
        begun = self._block("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        delta = {"type": "thinking_delta", "thinking": piece}
        return begun + _event("content_block_delta", index=self._blocks, delta=delta)

    def _block(self, kind: str, block: dict[str, Any]) -> bytes:
        """Begin a block unless one of this kind is open, after ending what is."""
        if self._open == kind:
            return b""
        ended = self._ended()
        self._open = kind
        return ended + _event("content_block_start", index=self._blocks, content_block=block)

    def _ended(self) -> bytes:
        if not self._open:
            return b""
        self._open, number = "", self._blocks
        self._blocks += 1
        return _event("content_block_stop", index=number)

    def finish(self, choice: Choice) -> bytes:
        frames = [self._ended()]
        for call in choice.tool_calls:
            block = {"type": "tool_use", "id": call["id"], "name": call["function"]["name"], "input": {}}
            partial = {"type": "input_json_delta", "partial_json": call["function"]["arguments"]}
            frames += [
                _event("content_block_start", index=self._blocks, content_block=block),
                _event("content_block_delta", index=self._blocks, delta=partial),
                _event("content_block_stop", index=self._blocks),
            ]
            self._blocks += 1
        return b"".join(frames)

    def end(self, choices: list[Choice], prompt_tokens: int, completion_tokens: int) -> bytes:
        delta = _stop(choices[0])
        return _event("message_delta", delta=delta, usage=_usage(prompt_tokens, completion_tokens)) + _event(
            "message_stop"
        )

    def content(self, choices: list[Choice], prompt_tokens: int, completion_tokens: int) -> dict[str, Any]:
        choice = choices[0]
        thought = {"type": "thinking", "thinking": choice.reasoning, "signature": ""}
        blocks: list[dict[str, Any]] = [thought] if choice.reasoning else []
        blocks += [{"type": "text", "text": choice.content}] if choice.content else []
        for call in choice.tool_calls:
            function = call["function"]
            blocks.append(
                {
                    "type": "tool_use",
                    "id": call["id"],
                    "name": function["name"],
                    "input": json.loads(function["arguments"]),
                }
            )
        return {**self._head(), "content": blocks, **_stop(choice), "usage": _usage(prompt_tokens, completion_tokens)}

    def _head(self) -> dict[str, Any]:
        return {"id": self.id, "type": "message", "role": "assistant", "model": self.model}


def _event(kind: str, **fields: Any) -> bytes:
    return frame({"type": kind, **fields}, event=kind)


def _stop(choice: Choice) -> dict[str, Any]:
    if choice.stop_string is not None and not choice.tool_calls:
        return {"stop_reason": "stop_sequence", "stop_sequence": choice.stop_string}
    return {"stop_reason": _REASONS[choice.finish], "stop_sequence": None}


def _usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    return {"input_tokens": prompt_tokens, "output_tokens": completion_tokens}
