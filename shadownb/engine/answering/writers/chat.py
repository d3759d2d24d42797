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
        return calls + self._chunk(choice.index, told, choice.finish, self._chances(choice))

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
        return {
            "index": choice.index,
            "message": message,
            "logprobs": self._chances(choice),
            "finish_reason": choice.finish,
        }

    def _chances(self, choice: Choice) -> dict[str, Any] | None:
        if choice.logprobs is None:
            return None
        return {"content": [each.as_chat() for each in choice.logprobs], "refusal": None}

    def _chunk(
        self, index: int, delta: dict[str, Any], finish: str | None = None, chances: dict[str, Any] | None = None
    ) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": chances, "finish_reason": finish}
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
        return self._text_chunk(choice.index, "", choice.finish, self._chances(choice))

    def _choice(self, choice: Choice) -> dict[str, Any]:
        chances = self._chances(choice)
        return {"index": choice.index, "text": choice.content, "logprobs": chances, "finish_reason": choice.finish}

    def _chances(self, choice: Choice) -> dict[str, Any] | None:
        if choice.logprobs is None:
            return None
        at = 0
        offsets = []
        for each in choice.logprobs:
            offsets.append(at)
            at += len(each.text)
        return {
            "tokens": [each.text for each in choice.logprobs],
            "token_logprobs": [each.logprob for each in choice.logprobs],
            "top_logprobs": [
                None if each.logprob is None else {top.text: top.logprob for top in each.top}
                for each in choice.logprobs
            ]
            if self.ask.sampling.top_logprobs
            else None,
            "text_offset": offsets,
        }

    def _text_chunk(self, index: int, piece: str, finish: str | None, chances: dict[str, Any] | None = None) -> bytes:
        choice = {"index": index, "text": piece, "logprobs": chances, "finish_reason": finish}
        return frame({**self._head(self.object_chunk), "choices": [choice]})
