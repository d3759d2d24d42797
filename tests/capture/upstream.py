"""A model's API for the tests: a server on a real socket that answers, delays, streams, splits, compresses, drops and fails.

It answers every dialect with ``echo: <last user text>`` in words, unless a test gives it another ``answer``.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body or b"{}")
        return value


@dataclass
class Reply:
    """Writes one answer; every method sends at once."""

    writer: asyncio.StreamWriter
    chunked: bool = field(default=False)

    async def head(self, status: int = 200, **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} X"] + [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if "content_length" not in headers:
            lines.append("transfer-encoding: chunked")
            self.chunked = True
        self.writer.write("\r\n".join([*lines, "", ""]).encode())
        await self.writer.drain()

    async def piece(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%s\r\n" % (len(data), data) if self.chunked else data)
        await self.writer.drain()

    async def end(self) -> None:
        if self.chunked:
            self.writer.write(b"0\r\n\r\n")
            await self.writer.drain()

    async def json(self, content: Any, status: int = 200, **headers: str) -> None:
        body = json.dumps(content).encode()
        await self.head(status, content_type="application/json", content_length=str(len(body)), **headers)
        await self.piece(body)

    def drop(self) -> None:
        """Close the connection here and now."""
        self.writer.transport.abort()


Answer = Callable[[Seen, Reply], Awaitable[None]]


class Upstream:
    """The server; ``with Upstream() as upstream`` runs it in a thread."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer: Answer = answer or echo
        self.seen: list[Seen] = []
        self.open = 0

    def __enter__(self) -> Upstream:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        started = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512), self._loop
        )
        self._server = started.result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_: object) -> None:
        def stop() -> None:
            self._server.close()
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._loop.call_soon(self._loop.stop)

        self._loop.call_soon_threadsafe(stop)
        self._thread.join(60)

    def stop_listening(self) -> None:
        """Take no more connections. On return the port is closed: who connects earlier waits to be accepted, and is reset."""

        async def close() -> None:
            self._server.close()

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                method, path, _ = lines[0].split(" ")
                headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                seen = Seen(method, path, headers, body)
                self.seen.append(seen)
                self.open += 1
                try:
                    await self.answer(seen, Reply(writer))
                finally:
                    self.open -= 1
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


# -- what it says ----------------------------------------------------------------------------------------------------


def said_to(seen: Seen) -> str:
    """Return the text of the last user turn, in whatever dialect."""
    request = seen.json
    turns = request.get("messages") or request.get("input") or request.get("prompt")
    if isinstance(turns, str):
        return turns
    content = next((turn["content"] for turn in reversed(turns) if turn.get("role") == "user"), "results")
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


async def echo(seen: Seen, reply: Reply) -> None:
    """Answer with what was said."""
    path = seen.path.partition("?")[0]
    if path == "/v1/models":
        await reply.json(
            {"object": "list", "data": [{"id": "gpt-4o", "object": "model", "created": 1, "owned_by": "x"}]}
        )
        return
    if path == "/v1/embeddings":
        await reply.json(
            {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}], "model": "e"}
        )
        return
    if path == "/v1/messages/count_tokens":
        await reply.json({"input_tokens": 3})
        return
    text = f"echo: {said_to(seen)}"
    if seen.json.get("stream"):
        await stream(reply, sse(path, text))
    else:
        await reply.json(whole(path, text))


async def stream(reply: Reply, pieces: list[bytes], **headers: str) -> None:
    """Send pieces as a stream of events."""
    await reply.head(content_type="text/event-stream", **headers)
    for piece in pieces:
        await reply.piece(piece)
    await reply.end()


def event(data: Any, name: str | None = None) -> bytes:
    return (
        (f"event: {name}\n" if name else "").encode()
        + b"data: "
        + json.dumps(data, ensure_ascii=False).encode()
        + b"\n\n"
    )


def words(text: str) -> list[str]:
    return re.findall(r"\S+\s*|\s+", text)


def whole(path: str, text: str) -> dict[str, Any]:
    """Return a whole answer in the dialect of a path."""
    count = len(words(text))
    if path == "/v1/messages":
        return {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
                "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": None,
                "usage": {"input_tokens": 7, "output_tokens": count}}  # fmt: skip
    if path == "/v1/responses":
        return response(text, count)
    if path == "/v1/completions":
        choice: dict[str, Any] = {"index": 0, "text": text, "logprobs": None, "finish_reason": "stop"}
    else:
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    kind = "text_completion" if path == "/v1/completions" else "chat.completion"
    return {"id": "c1", "object": kind, "created": 1, "model": "gpt-4o-2024-08-06", "choices": [choice],
            "usage": {"prompt_tokens": 7, "completion_tokens": count, "total_tokens": 7 + count}}  # fmt: skip


def response(text: str, count: int, status: str = "completed") -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    return {"id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": "gpt-4o-2024-08-06",
            "output": [item] if text else [], "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
            "usage": {"input_tokens": 7, "input_tokens_details": {"cached_tokens": 2}, "output_tokens": count,
                      "output_tokens_details": {"reasoning_tokens": 1}, "total_tokens": 7 + count}}  # fmt: skip


def sse(path: str, text: str, cut: Callable[[str], list[str]] = words) -> list[bytes]:
    """Return the events of a streamed answer in the dialect of a path, one piece each; ``cut`` makes the deltas."""
    count = len(words(text))
    if path == "/v1/messages":
        message = {**whole(path, ""), "content": [], "stop_reason": None}
        start = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        deltas = [
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": w}} for w in cut(text)
        ]
        rest = [
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {"output_tokens": count},
            },
            {"type": "message_stop"},
        ]
        return [
            event(data, data["type"]) for data in [{"type": "message_start", "message": message}, start, *deltas, *rest]
        ]
    if path == "/v1/responses":
        place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        item = {"id": "msg_1", "type": "message", "status": "in_progress", "role": "assistant", "content": []}
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": {**response("", 0, "in_progress"), "usage": None}},
            {"type": "response.output_item.added", "output_index": 0, "item": item},
            {
                "type": "response.content_part.added",
                **place,
                "part": {"type": "output_text", "text": "", "annotations": []},
            },
            *({"type": "response.output_text.delta", **place, "delta": w, "logprobs": []} for w in cut(text)),
            {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
            {"type": "response.output_item.done", "output_index": 0, "item": response(text, count)["output"][0]},
            {"type": "response.completed", "response": response(text, count)},
        ]
        return [event({**data, "sequence_number": n}, data["type"]) for n, data in enumerate(events)]
    key = "text" if path == "/v1/completions" else "delta"
    kind = "text_completion" if path == "/v1/completions" else "chat.completion.chunk"
    head = {"id": "c1", "object": kind, "created": 1, "model": "gpt-4o-2024-08-06"}
    pieces = [
        event({**head, "choices": [{"index": 0, key: w if key == "text" else {"content": w}, "finish_reason": None}]})
        for w in cut(text)
    ]
    end = {"index": 0, key: "" if key == "text" else {}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 7, "completion_tokens": count, "total_tokens": 7 + count}
    return [*pieces, event({**head, "choices": [end], "usage": usage}), b"data: [DONE]\n\n"]
