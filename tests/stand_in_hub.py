"""A hub on a socket of this machine: what its client asks for when it fetches a model or signs in, and nothing else."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

TOKEN = "hf_" + "a" * 34
_COMMIT = "c" * 40


class Hub:
    """Models by their id, each with its files.

    Attributes
    ----------
    gated
        Ids that only a request with :data:`TOKEN` may read.
    go
        What is left of a file after its first half is sent once this is set.
    begun
        Set once the first half of a large file is sent.
    """

    def __init__(self) -> None:
        self.models: dict[str, dict[str, bytes]] = {}
        self.gated: set[str] = set()
        self.go, self.begun = threading.Event(), threading.Event()
        self.go.set()
        self.sent: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self._answer(body=False)

            def do_GET(self) -> None:
                self._answer(body=True)

            def log_message(self, *_: object) -> None:
                pass

            def _answer(self, *, body: bool) -> None:
                path = urlsplit(self.path).path
                signed_in = self.headers.get("Authorization") == f"Bearer {TOKEN}"
                if path == "/api/whoami-v2":
                    known = {"name": "somebody", "auth": {"accessToken": {"displayName": "test", "role": "read"}}}
                    return self._json(known) if signed_in else self._refuse(401, "", "Invalid credentials")
                api, _, rest = path.partition("/api/models/")
                parts = (rest if not api and rest else path.lstrip("/")).split("/")
                name = "/".join(parts[:2])
                files = hub.models.get(name)
                if files is None:
                    return self._refuse(404, "RepoNotFound", "Repository not found")
                if not rest and parts[2:3] == ["resolve"]:
                    if name in hub.gated and not signed_in:
                        return self._refuse(401, "GatedRepo", f"Access to model {name} is restricted")
                    return self._file(parts[4], files[parts[4]], body=body)
                if parts[2:3] == ["tree"]:
                    return self._json([{"type": "file", "path": each, **_facts(files[each])} for each in files])
                siblings = [{"rfilename": each, **_facts(files[each])} for each in files]
                return self._json({"id": name, "sha": _COMMIT, "siblings": siblings, "tags": [], "private": False})

            def _json(self, value: object) -> None:
                content = json.dumps(value).encode()
                self._head(200, {"Content-Type": "application/json", "Content-Length": str(len(content))})
                self.wfile.write(content)

            def _refuse(self, status: int, code: str, words: str) -> None:
                self._head(status, {"X-Error-Code": code, "X-Error-Message": words, "Content-Length": "0"})

            def _file(self, name: str, content: bytes, *, body: bool) -> None:
                digest = _facts(content)["oid"]
                self._head(200, {"ETag": f'"{digest}"', "X-Repo-Commit": _COMMIT, "Content-Length": str(len(content))})
                if not body:
                    return
                hub.sent.append(name)
                half = len(content) // 2
                with contextlib.suppress(OSError):  # it was stopped
                    self.wfile.write(content[:half])
                    self.wfile.flush()
                    if name.endswith(".safetensors"):
                        hub.begun.set()
                        hub.go.wait(60)
                    self.wfile.write(content[half:])

            def _head(self, status: int, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self.go.set()
        self._server.shutdown()
        self._server.server_close()


def _facts(content: bytes) -> dict[str, object]:
    digest = hashlib.sha1(content).hexdigest()
    return {"size": len(content), "blobId": digest, "oid": digest}


@contextlib.contextmanager
def running_hub() -> Iterator[Hub]:
    """Run a hub inside the block."""
    hub = Hub()
    try:
        yield hub
    finally:
        hub.close()
