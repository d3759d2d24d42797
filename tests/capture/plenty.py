"""A store of many calls as agents leave them, written by the store's own statements without a proxy: 20,000 in two seconds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from shadownb.engine.capture import CaptureStore
from shadownb.engine.capture.exchange import Record, pack
from shadownb.engine.capture.folder import CaptureFolder
from shadownb.engine.capture.schema import connect
from shadownb.engine.capture.writer import insert

SYSTEM = "You answer customers of a parcel service. " + "Be brief, look things up, and never promise a date. " * 24
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"{name} looks something up in the books of the service, by a number or by words.",
            "parameters": {"type": "object", "properties": {"of": {"type": "string"}, "days": {"type": "integer"}}},
        },
    }
    for name in ("track", "refund", "customer", "depot")
]
WORDS = (  # noqa: SIM905
    "parcel late depot van door neighbour signature weight label customs letter box damaged wet lost found scan route city "
    "driver weekend morning address street number code refund invoice price stamp return sender receiver"
).split()
MODELS = ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4")
_AT_ONCE = 1000


def records(calls: int, seed: int = 0) -> Iterator[Record]:
    """Yield calls of agents that use a tool none to six times, eight at once; a fifth streams, some fail, half have sessions."""
    chance = Random(seed)
    running = [_agent(chance, number) for number in range(8)]
    begun = len(running)
    for number in range(calls):
        at = chance.randrange(len(running))
        values = next(running[at], None)
        if values is None:
            running[at] = _agent(chance, begun)
            begun += 1
            values = next(running[at])
        yield _record(number, chance, *values)


def plenty(calls: int, name: str = "plenty", home: Path | None = None, seed: int = 0) -> CaptureStore:
    """Return a store with so many calls."""
    folder = CaptureFolder.create(name, home)
    connection = connect(folder.database, write=True)
    page: list[Record] = []
    for record in records(calls, seed):
        page.append(record)
        if len(page) == _AT_ONCE:
            _commit(connection, page)
            page = []
    _commit(connection, page)
    connection.close()
    return CaptureStore(folder)


def _commit(connection: Any, page: list[Record]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    insert(connection, page)
    connection.execute("COMMIT")


def _sentence(chance: Random, least: int, most: int) -> str:
    return " ".join(chance.choices(WORDS, k=chance.randint(least, most)))


def _agent(chance: Random, number: int) -> Iterator[tuple[str | None, str, list[dict[str, Any]], dict[str, Any], str]]:
    """Yield (session, model, prompt, answer, status) of each call of one task."""
    session = f"s{number}" if number % 2 else None
    model = MODELS[number % 3]
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": f"Case {number}: {_sentence(chance, 20, 80)}?"},
    ]
    for step in range(chance.randrange(7)):
        name = chance.choice(TOOLS)["function"]["name"]
        arguments = json.dumps({"of": f"p{chance.randrange(10**6)}", "days": step})
        call = {"id": f"t{number}x{step}", "type": "function", "function": {"name": name, "arguments": arguments}}
        answer = {"role": "assistant", "content": None, "tool_calls": [call]}
        if chance.random() < 0.01:
            yield session, model, list(messages), {"role": "assistant", "content": "cut"}, "cut"
        yield session, model, list(messages), answer, "ok"
        messages += [answer, {"role": "tool", "tool_call_id": call["id"], "content": _sentence(chance, 20, 120)}]
    yield (
        session,
        model,
        messages,
        {"role": "assistant", "content": f"Answer {number}: {_sentence(chance, 10, 60)}."},
        "ok",
    )


def _record(
    number: int, chance: Random, session: str | None, model: str, prompt: list[dict[str, Any]], answer: Any, status: str
) -> Record:
    stream = chance.random() < 0.2
    request = json.dumps({"model": model, "messages": prompt, "tools": TOOLS, "stream": stream}).encode()
    head = {"id": f"chatcmpl-{number}", "model": model, "object": "chat.completion" + ".chunk" * stream}
    finish = "tool_calls" if answer.get("tool_calls") else "stop"
    usage = {"prompt_tokens": len(request) // 4, "completion_tokens": 30, "total_tokens": len(request) // 4 + 30}
    if stream:
        deltas = [{"role": "assistant", "content": ""}]
        if answer.get("tool_calls"):
            deltas.append({"tool_calls": [{**call, "index": at} for at, call in enumerate(answer["tool_calls"])]})
        deltas += [{"content": f"{word} "} for word in (answer["content"] or "").split(" ") if word]
        chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}], "usage": usage})
        response = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    else:
        choices = [{"index": 0, "message": answer, "finish_reason": finish}]
        response = json.dumps({**head, "choices": choices, "usage": usage}).encode()
    bodies = pack(request), pack(response), pack(json.dumps([[20.0, len(response)]]).encode())
    columns = {
        "id": f"call_{number:013}", "session": session, "dialect": "chat", "model": model, "response_model": model,
        "response_id": head["id"], "route": "upstream", "stream": int(stream), "started_at": 1.7e9 + number,
        "first_byte_s": 0.02, "duration_s": 0.5, "prompt_tokens": usage["prompt_tokens"], "completion_tokens": 30,
        "usage": json.dumps(usage), "cost": 0.001 * (number % 7) if number % 10 else None, "status": status, "http_status": 200,
        "finish_reason": finish if status == "ok" else None, "title": str(prompt[1]["content"])[:160],
        "stored_bytes": sum(map(len, bodies)), "redacted": 0, "headers": '{"user-agent": "agent/1"}',
        "extra": json.dumps({"sse": stream}),
    }  # fmt: skip
    return Record(columns, *bodies)
