"""A stand-in for a rented model, for tutorials without a key: it speaks chat completions and decides on tool calls by rule."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ParcelDesk:
    """A server on this machine that answers as a model would that helps customers find parcels.

    It asks ``track_parcel(parcel=...)`` for every number in the question, such as A123, and tells what came back.

    Attributes
    ----------
    url
        Where clients of OpenAI's API reach it.

    Examples
    --------
    >>> from shadownb.stand_in import ParcelDesk
    >>> desk = ParcelDesk()
    >>> desk.url
    'http://127.0.0.1:.../v1'
    >>> desk.stop()
    """

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self._server.serve_forever, name="shadownb-stand-in", daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def stop(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


def decide(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the next assistant message: ask for each parcel that was not looked up yet, then answer."""
    question = next(message["content"] for message in messages if message["role"] == "user")
    results = [json.loads(message["content"]) for message in messages if message["role"] == "tool"]
    wanted = re.findall(r"\b[A-Z]\d{3}\b", question)
    if len(results) < len(wanted):
        calls = [
            {
                "id": f"call_{number}",
                "type": "function",
                "function": {"name": "track_parcel", "arguments": json.dumps({"parcel": number})},
            }
            for number in wanted[len(results) :]
        ]
        return {"role": "assistant", "content": None, "tool_calls": calls}
    found = " ".join(f"{each['parcel']} is {each['status']}, expected {each['expected']}." for each in results)
    return {
        "role": "assistant",
        "content": found or "Which parcel do you mean? Please send me its number, such as A123.",
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        message = decide(request["messages"])
        asked, told = (len(json.dumps(part)) // 4 for part in (request["messages"], message))
        reason = "tool_calls" if message.get("tool_calls") else "stop"
        answer = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": request["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": reason}],
            "usage": {"prompt_tokens": asked, "completion_tokens": told, "total_tokens": asked + told},
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of each request."""
