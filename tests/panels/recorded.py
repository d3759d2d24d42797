"""Stores of recorded calls for the panel tests: put there by SQL, in the form in which the proxy writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from shadownb.engine.capture import CaptureStore
from shadownb.engine.capture.database import Database
from shadownb.engine.capture.exchange import pack
from shadownb.engine.capture.folder import CaptureFolder
from shadownb.engine.capture.schema import connect

Message = dict[str, Any]


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def says(text: str) -> Message:
    return {"role": "assistant", "content": text}


def calls(name: str, number: int = 0, **arguments: Any) -> Message:
    function = {"name": name, "arguments": json.dumps(arguments)}
    call = {"id": f"tool_{name}_{number}", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def result(text: str, name: str, number: int = 0) -> Message:
    return {"role": "tool", "tool_call_id": f"tool_{name}_{number}", "content": text}


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}


def record(
    exchanges: Iterable[tuple[list[Message], Message]],
    *,
    name: str = "recorded",
    session: str | None = None,
    tools: list[dict[str, Any]] | None = None,
    **columns: Any,
) -> CaptureStore:
    """Add calls, each a prompt and its answer, to the store of this name."""
    folder = CaptureFolder.create(name)
    connection = connect(folder.database, write=True)
    first = int(connection.execute("SELECT COUNT(*) FROM calls").fetchone()[0])
    connection.execute("BEGIN")
    for number, (messages, answer) in enumerate(exchanges, start=first):
        usage = {"prompt_tokens": 10, "completion_tokens": 2}
        row = {
            "id": f"call_{number:07}", "session": session, "dialect": "chat", "model": "gpt-4o",
            "response_model": "gpt-4o", "route": "upstream", "stream": 0, "started_at": 1000.0 + number,
            "duration_s": 0.5, **usage, "usage": json.dumps(usage), "cost": 0.01, "status": "ok", "http_status": 200,
            "finish_reason": "stop", "title": str(messages[-1].get("content"))[:80], "stored_bytes": 100, **columns,
        }  # fmt: skip
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO calls ({', '.join(row)}) VALUES ({marks})", list(row.values()))
        request = {"model": "gpt-4o", "messages": messages, **({"tools": tools} if tools else {})}
        response = {"model": "gpt-4o", "choices": [{"index": 0, "message": answer, "finish_reason": "stop"}]}
        bodies = (row["id"], pack(json.dumps(request).encode()), pack(json.dumps(response).encode()), pack(b"[]"))
        connection.execute("INSERT INTO bodies VALUES (?, ?, ?, ?)", bodies)
    connection.execute("COMMIT")
    connection.close()
    return CaptureStore(folder)


def loop(task: str, steps: int = 2) -> list[tuple[list[Message], Message]]:
    """Return the calls of an agent that uses a tool ``steps`` times and then answers."""
    messages = [{"role": "system", "content": "Use the tools."}, user(task)]
    found = []
    for step in range(steps):
        answer = calls("look", step, at=step)
        found.append((list(messages), answer))
        messages += [answer, result(f"seen {step}", "look", step)]
    return [*found, (list(messages), says(f"Done: {task}"))]


class Traffic:
    """Counts what a panel sends to its page and what is read from a store.

    Attributes
    ----------
    bytes
        Of all messages, as JSON.
    rows
        That SQLite gave.
    """

    def __init__(self, panel: Any, monkeypatch: Any) -> None:
        self.bytes = self.rows = 0
        send, read = panel._send, Database.read

        def counted_send(message: Any, buffers: Any = None) -> Any:
            self.bytes += len(json.dumps(message, default=str))
            return send(message, buffers)

        def counted_read(database: Any, *args: Any) -> Any:
            found = read(database, *args)
            self.rows += len(found)
            return found

        monkeypatch.setattr(panel, "_send", counted_send)
        monkeypatch.setattr(Database, "read", counted_read)

    def clear(self) -> None:
        self.bytes = self.rows = 0
