"""A server that speaks OpenAI's API as vLLM's and SGLang's do, as a program: ``python -m tests.serving.scripted ARGUMENTS``.

It notes its arguments and requests beside it, answers what a test wants, and can be killed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """Answers chat completions with what was asked."""

    protocol_version = "HTTP/1.1"
    folder: Path
    model: str

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer health and models."""
        if self.path == "/v1/models":
            self._send(200, {"object": "list", "data": [{"id": self.model, "object": "model"}]})
        else:
            self._send(200 if self.path == "/health" else 404, {})

    def do_POST(self) -> None:
        """Answer a request with its own body as text; ``slow`` in it takes until the process is killed."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with open(self.folder / "seen.jsonl", "a") as seen:
            seen.write(json.dumps({"path": self.path, "body": body}) + "\n")
        text = json.dumps(body)
        if "please be slow" in text:
            time.sleep(600)
        usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        self._send(
            200, {"id": "x", "object": "chat.completion", "model": body["model"], "choices": [choice], "usage": usage}
        )

    def _send(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(arguments: list[str]) -> None:
    """Serve until the end."""
    folder = Path(os.environ["SCRIPTED_FOLDER"])
    with open(folder / "started.jsonl", "a") as started:
        started.write(json.dumps({"pid": os.getpid(), "arguments": arguments}) + "\n")
    if (folder / "fail").exists():
        print("CUDA out of memory, as they say", flush=True)
        sys.exit(3)
    Handler.folder = folder
    Handler.model = arguments[arguments.index("--served-model-name") + 1]
    port = int(arguments[arguments.index("--port") + 1])
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
