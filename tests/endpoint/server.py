"""What a server of chat completions answers in the tests of endpoints: good answers, and every kind of bad one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from tests.capture.upstream import Reply, Seen, Upstream, said_to

KEY = "sk-canary-4f1b7c2e9d8a6b5c3e2f1a0b9c8d7e6f"
Way = Callable[[Seen, Reply], Awaitable[None]]


def ask(text: str = "hi") -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def completion(message: Any, finish: Any = "stop", **more: Any) -> dict[str, Any]:
    """Return a whole answer."""
    choice = {"index": 0, "message": message, "finish_reason": finish}
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    return {
        "id": "c",
        "object": "chat.completion",
        "model": "gpt-4o-2024-08-06",
        "choices": [choice],
        "usage": usage,
        **more,
    }


def answers(content: Any, status: int = 200, **headers: str) -> Way:
    """Answer with JSON."""

    async def way(seen: Seen, reply: Reply) -> None:
        await reply.json(content, status, **headers)

    return way


def says(text: str | None, finish: Any = "stop", **more: Any) -> Way:
    """Answer with a text."""
    return answers(completion({"role": "assistant", "content": text, **more}, finish))


def refuses(status: int, message: str = "No.", **headers: str) -> Way:
    """Answer with a status and OpenAI's error."""
    return answers({"error": {"message": message, "type": "t", "code": None}}, status, **headers)


def sends(body: bytes, content_type: str = "text/html", status: int = 200) -> Way:
    """Answer with bytes."""

    async def way(seen: Seen, reply: Reply) -> None:
        await reply.head(status, content_type=content_type, content_length=str(len(body)))
        await reply.piece(body)

    return way


async def drops(seen: Seen, reply: Reply) -> None:
    """Close the connection without a word."""
    reply.drop()


async def cut(seen: Seen, reply: Reply) -> None:
    """Close the connection in the middle of a body."""
    await reply.head(content_type="application/json", content_length="500")
    await reply.piece(b'{"choices": [{"mess')
    reply.drop()


async def hangs(seen: Seen, reply: Reply) -> None:
    """Say nothing for as long as anybody waits."""
    await asyncio.sleep(600)


async def echoes(seen: Seen, reply: Reply) -> None:
    """Answer with what was asked."""
    await reply.json(completion({"role": "assistant", "content": f"echo: {said_to(seen)}"}))


def in_turn(*ways: Way) -> Way:
    """Do each in turn, then the last again and again."""
    left: Iterator[Way] = iter(ways)

    async def way(seen: Seen, reply: Reply) -> None:
        await next(left, ways[-1])(seen, reply)

    return way


def by_text(otherwise: Way = echoes, **ways: Way) -> Way:
    """Do what the question's first word names."""

    async def way(seen: Seen, reply: Reply) -> None:
        await ways.get(said_to(seen).split()[0], otherwise)(seen, reply)

    return way


__all__ = ["KEY", "Upstream", "answers", "ask", "by_text", "completion", "cut", "drops", "echoes", "hangs", "in_turn", "refuses",
           "said_to", "says", "sends"]  # fmt: skip
