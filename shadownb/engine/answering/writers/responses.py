"""Local answers as OpenAI's Responses."""

from __future__ import annotations

from typing import Any

from shadownb.engine.answering.writers.base import AnswerWriter, Choice, frame


class ResponsesWriter(AnswerWriter):
    """A ``response`` with its items, and the events that build it up."""

    prefix = "resp_"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._number = 0
        self._message_id = f"msg_{self.id[5:]}"
        self._reasoning_id = f"rs_{self.id[5:]}"
        self._said = ""
        self._thought = ""
        self._open = ""  # the kind of item that is being written
        self._done = 0  # items that are finished
        self._chances: list[dict[str, Any]] = []  # of the whole answer, known at its end

    def begin(self) -> bytes:
        response = self._response("in_progress", [], None)
        return self._event("response.created", response=response) + self._event(
            "response.in_progress", response=response
        )

    def reasoning(self, index: int, piece: str) -> bytes:
        self._thought += piece
        if self._said:  # its item is closed; the response at the end has the whole of it
            return b""
        frames = b""
        if not self._open:
            self._open = "reasoning"
            item = {**self._reasoning("in_progress", ""), "content": []}
            frames = self._event("response.output_item.added", output_index=self._done, item=item)
        return frames + self._reasoning_event("response.reasoning_text.delta", delta=piece)

    def text(self, index: int, piece: str) -> bytes:
        frames = b""
        if self._open != "message":
            frames = self._item_done()
            self._open = "message"
            item = {**self._message("in_progress"), "content": []}
            place = {"item_id": self._message_id, "output_index": self._done, "content_index": 0}
            frames += self._event("response.output_item.added", output_index=self._done, item=item)
            frames += self._event("response.content_part.added", **place, part=_part(""))
        self._said += piece
        return frames + self._text_event("response.output_text.delta", delta=piece, logprobs=[])

    def _item_done(self) -> bytes:
        """End the item that is being written."""
        kind, self._open = self._open, ""
        frames = b""
        if kind == "reasoning":
            item = self._reasoning("completed", self._thought)
            frames = self._reasoning_event("response.reasoning_text.done", text=self._thought)
            frames += self._event("response.output_item.done", output_index=self._done, item=item)
        elif kind == "message":
            item = self._message("completed", self._said)
            frames = self._text_event("response.output_text.done", text=self._said, logprobs=self._chances)
            frames += self._text_event("response.content_part.done", part=_part(self._said, self._chances))
            frames += self._event("response.output_item.done", output_index=self._done, item=item)
        self._done += bool(kind)
        return frames

    def finish(self, choice: Choice) -> bytes:
        self._chances = [each.as_chat() for each in choice.logprobs or []]
        frames = self._item_done()
        for number, call in enumerate(choice.tool_calls):
            item, index = self._call(call), self._done + number
            arguments = item["arguments"]
            frames += self._event(
                "response.output_item.added",
                output_index=index,
                item={**item, "arguments": "", "status": "in_progress"},
            )
            where = {"item_id": item["id"], "output_index": index}
            frames += self._event("response.function_call_arguments.delta", **where, delta=arguments)
            frames += self._event(
                "response.function_call_arguments.done", **where, name=item["name"], arguments=arguments
            )
            frames += self._event("response.output_item.done", output_index=index, item=item)
        return frames

    def end(self, choices: list[Choice], prompt_tokens: int, completion_tokens: int) -> bytes:
        response = self._final(choices[0], prompt_tokens, completion_tokens)
        return self._event(f"response.{response['status']}", response=response)

    def content(self, choices: list[Choice], prompt_tokens: int, completion_tokens: int) -> dict[str, Any]:
        return self._final(choices[0], prompt_tokens, completion_tokens)

    def _final(self, choice: Choice, prompt_tokens: int, completion_tokens: int) -> dict[str, Any]:
        self._chances = [each.as_chat() for each in choice.logprobs or []]
        items = [self._reasoning("completed", choice.reasoning)] if choice.reasoning else []
        items += [self._message("completed", choice.content)] if choice.content or not choice.tool_calls else []
        items += [self._call(call) for call in choice.tool_calls]
        usage = {
            "input_tokens": prompt_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": completion_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": prompt_tokens + completion_tokens,
        }
        return self._response("incomplete" if choice.finish == "length" else "completed", items, usage)

    def _response(self, status: str, output: list[Any], usage: dict[str, Any] | None) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": None,
            "metadata": {},
            "model": self.model,
            "output": output,
            "parallel_tool_calls": not self.ask.one_call,
            "temperature": self.ask.sampling.temperature,
            "tool_choice": self._tool_choice(),
            "tools": [],
            "top_p": self.ask.sampling.top_p,
            "usage": usage,
        }

    def _tool_choice(self) -> Any:
        forced = self.ask.forced
        return {"type": "function", "name": forced} if forced not in ("", "required") else forced or "auto"

    def _message(self, status: str, text: str = "") -> dict[str, Any]:
        return {
            "id": self._message_id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [_part(text, self._chances)],
        }

    def _reasoning(self, status: str, text: str) -> dict[str, Any]:
        content = [{"type": "reasoning_text", "text": text}]
        return {"id": self._reasoning_id, "type": "reasoning", "status": status, "summary": [], "content": content}

    def _reasoning_event(self, kind: str, **fields: Any) -> bytes:
        where = {"item_id": self._reasoning_id, "output_index": self._done, "content_index": 0}
        return self._event(kind, **where, **fields)

    def _call(self, call: dict[str, Any]) -> dict[str, Any]:
        function = call["function"]
        return {
            "id": f"fc_{call['id']}",
            "type": "function_call",
            "status": "completed",
            "call_id": call["id"],
            "name": function["name"],
            "arguments": function["arguments"],
        }

    def _text_event(self, kind: str, **fields: Any) -> bytes:
        return self._event(kind, item_id=self._message_id, output_index=self._done, content_index=0, **fields)

    def _event(self, kind: str, **fields: Any) -> bytes:
        number, self._number = self._number, self._number + 1
        return frame({"type": kind, "sequence_number": number, **fields}, event=kind)


def _part(text: str, chances: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": chances or []}
