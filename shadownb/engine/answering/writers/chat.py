"""Local answers as OpenAI's chat completions and text completions."""

from __future__ import annotations

from typing import Any

from shadownb.engine.answering.writers.base import AnswerWriter, Choice, frame, token_counts


class ChatWriter(AnswerWriter):
    """``chat.completion`` and its chunks; reasoning as ``reasoning_content``, as open servers have it."""

    prefix = "chatcmpl-"
    object_whole, object_chunk = "chat.completion", "chat.completion.chunk"

    def begin(self) -> bytes:
        return b"".join(self._chunk(n, {"role": "assistant", "content": ""}) for n in range(self.ask.choices))

    def text(self, index: int, piece: str) -> bytes:
        return self._chunk(index, {"content": piece})

    def reasoning(self, index: int, piece: str) -> bytes:
        return self._chunk(index, {"reasoning_content": piece})

    def finish(self, choice: Choice) -> bytes:
        calls = b"".join(
            self._chunk(choice.index, {"tool_calls": [{"index": place, **call}]})
            for place, call in enumerate(choice.tool_calls)
        )
        told = {"malformed_tool_calls": choice.malformed} if choice.malformed else {}
        return calls + self._chunk(choice.index, told, choice.finish)

    def end(self, choices: list[Choice], prompt_tokens: int, completion_tokens: int) -> bytes:
        usage = b""
        if self.ask.include_usage:
            usage = frame(
                {
                    **self._head(self.object_chunk),
                    "choices": [],
                    "usage": token_counts(prompt_tokens, completion_tokens),
                }
            )
        return usage + frame(b"[DONE]")

    def content(self, choices: list[Choice], prompt_tokens: int, completion_tokens: int) -> dict[str, Any]:
        return {
            **self._head(self.object_whole),
            "choices": [self._choice(choice) for choice in choices],
            "usage": token_counts(prompt_tokens, completion_tokens),
        }

    def _choice(self, choice: Choice) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": choice.content, "refusal": None}
        if choice.tool_calls:
            message["content"] = choice.content or None
            message["tool_calls"] = choice.tool_calls
        if choice.reasoning:
            message["reasoning_content"] = choice.reasoning
        if choice.malformed:
            message["malformed_tool_calls"] = choice.malformed
        return {"index": choice.index, "message": message, "logprobs": None, "finish_reason": choice.finish}

    def _chunk(self, index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return frame({**self._head(self.object_chunk), "choices": [choice]})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


class CompletionsWriter(ChatWriter):
    """``text_completion``."""

    prefix = "cmpl-"
    object_whole = object_chunk = "text_completion"

    def begin(self) -> bytes:
        return b""

    def text(self, index: int, piece: str) -> bytes:
        return self._text_chunk(index, piece, None)

    def finish(self, choice: Choice) -> bytes:
        return self._text_chunk(choice.index, "", choice.finish)

    def _choice(self, choice: Choice) -> dict[str, Any]:
        return {"index": choice.index, "text": choice.content, "logprobs": None, "finish_reason": choice.finish}

    def _text_chunk(self, index: int, piece: str, finish: str | None) -> bytes:
        choice = {"index": index, "text": piece, "logprobs": None, "finish_reason": finish}
        return frame({**self._head(self.object_chunk), "choices": [choice]})
