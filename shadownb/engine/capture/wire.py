"""Small things of HTTP that every route shares: who may ask, how a body is read, which headers go on and which are kept."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.datastructures import Headers
from starlette.types import Receive, Send

from shadownb.engine.capture.dialects import WireError
from shadownb.engine.capture.encodings import NotDecoded, decoder
from shadownb.engine.jsontext import parse

TAGS = "x-shadownb-tags"
"""Header in which a client gives its call tags: ``name=value, name=value``."""

# Hop by hop (RFC 9110), or this proxy's own business.
_NOT_FORWARDED = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
     "transfer-encoding", "upgrade", "host", "content-length", "authorization", "x-api-key", "api-key", "x-goog-api-key",
     "cookie", "origin", "referer", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "expect",
     "accept-encoding", TAGS}
)  # fmt: skip
_NOT_RETURNED = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "te", "trailer", "transfer-encoding", "upgrade"}
)
# What a record keeps. A list of what is allowed, because keys travel in headers nobody has heard of.
_KEPT = frozenset(
    {"user-agent", "content-type", "anthropic-version", "anthropic-beta", "openai-beta", "traceparent", "x-request-id",
     "request-id", "openai-processing-ms", "openai-version", "retry-after", "x-stainless-retry-count", "x-stainless-lang",
     "x-stainless-package-version", "x-claude-code-agent-id", "x-claude-code-parent-agent-id"}
)  # fmt: skip
_DECODABLE = ("gzip", "deflate", "identity")
_LONGEST_READ = 4000
_DRAINED = 256 * 2**20  # bytes of a refused body that are read so that the client gets to see the refusal
_DRAINED_OF_STRANGERS = 1 << 20  # of one who has no token
_SILENT_SECONDS = 60.0  # that a client may be silent in the middle of a body


class Guard:
    """Checks Host, Origin and token of every request; ``whose`` says in a refusal which token is meant."""

    def __init__(
        self, token: str, port: int, allow_hosts: Iterable[str] = (), whose: str = "the capture's token (proxy.token)"
    ) -> None:
        self._token, self._whose = token.encode(), whose
        self._allowed = {"127.0.0.1", "localhost", "[::1]", *(name.lower() for name in allow_hosts)}
        self._port = port

    def check(self, headers: Headers) -> None:
        """Raise :class:`WireError` 403 for a foreign Host or Origin, 401 for a wrong or missing token."""
        self.check_origin(headers)
        bearer = headers.get("authorization", "")
        given = [bearer[7:].strip() if bearer[:7].lower() == "bearer " else ""]
        given += [headers.get(name, "") for name in ("x-api-key", "api-key", "x-goog-api-key")]
        if not any(hmac.compare_digest(each.encode("latin-1", "replace"), self._token) for each in given):
            raise WireError(401, f"Wrong API key: give {self._whose} as the API key.", code="invalid_api_key")

    def check_origin(self, headers: Headers) -> None:
        """Raise :class:`WireError` 403 for a foreign Host or Origin."""
        if not self._is_allowed(headers.get("host", "")):
            raise WireError(
                403, "This Host is not allowed here. allow_hosts= names those that are.", code="host_not_allowed"
            )
        origin = headers.get("origin")
        if origin is not None and not self._is_allowed(origin.partition("://")[2]):
            raise WireError(403, "This Origin is not allowed here.", code="origin_not_allowed")

    def without_token(self, query: bytes) -> bytes:
        """Return a query without the fields that hold the token: some clients send keys there, and it shall not go on."""
        return b"&".join(field for field in query.split(b"&") if self._token not in unquote_to_bytes(field))

    def _is_allowed(self, host: str) -> bool:
        """Whether a host, with the port if one is given, is one of ours."""
        host = host.lower()
        name, colon, port = host.rpartition(":")
        if not colon or port.endswith("]"):
            name, port = host, ""
        return host in self._allowed or (name in self._allowed and port in ("", str(self._port)))


async def drain(receive: Receive, headers: Headers, *, known: bool) -> None:
    """Read what a refused client still writes, so that it gets to see why; of one without the token no more than a little."""
    with contextlib.suppress(WireError):
        await read_body(receive, headers, 0, drained=_DRAINED if known else _DRAINED_OF_STRANGERS)


async def read_body(receive: Receive, headers: Headers, cap: int, *, drained: int = _DRAINED) -> bytes | None:
    """Return a request's body, or None if the client has gone.

    Raises
    ------
    WireError
        413 when it is longer than ``cap`` bytes, 408 when nothing more of it comes.
    """
    size, parts = 0, []
    while True:
        try:
            message = await asyncio.wait_for(receive(), _SILENT_SECONDS)
        except TimeoutError:
            raise WireError(
                408, f"Nothing more of the body came for {_SILENT_SECONDS:.0f} seconds.", code="request_timeout"
            ) from None
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size <= cap:
            parts.append(part)
        else:
            parts.clear()
        if not message.get("more_body", False):
            break
        if size > cap + drained:
            break
    if size > cap:
        raise WireError(
            413, f"The body has more than {cap} bytes, the most that is taken here.", code="request_too_large"
        )
    return b"".join(parts)


def plain_body(body: bytes, headers: Headers, cap: int) -> bytes:
    """Return a request's body decompressed; the same object where it is not compressed.

    Raises
    ------
    WireError
        413 when it comes to more than ``cap`` bytes, 415 when its encoding is not known, 400 when it is not encoded so.
    """
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return body
    known = decoder(encoding, cap)
    if known is None:
        raise WireError(
            415,
            f"The encoding {encoding[:40]!r} is not taken here; gzip, deflate, br and zstd are.",
            code="unsupported_encoding",
        )
    try:
        return known.feed(body)
    except NotDecoded as error:
        if "more than is read" in str(error):
            raise WireError(
                413, f"The body comes to more than {cap} bytes, the most that is taken here.", code="request_too_large"
            ) from None
        raise WireError(400, f"The body is not {encoding[:40]}.", code="invalid_encoding") from None


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body. Raises :class:`WireError` 400."""
    try:
        value = parse(body)
    except RecursionError:
        raise WireError(400, "The body is nested too deeply.", code="invalid_json") from None
    except ValueError:  # wrong UTF-8 as well
        raise WireError(400, "The body is not valid JSON.", code="invalid_json") from None
    if not isinstance(value, dict):
        raise WireError(400, "The body must be a JSON object.", code="invalid_json")
    return value


def forwarded(headers: Headers) -> list[tuple[str, str]]:
    """Return the request headers that go on to the upstream."""
    named = {name.strip().lower() for name in headers.get("connection", "").split(",")}
    going = [(name, value) for name, value in headers.items() if name not in _NOT_FORWARDED and name not in named]
    # Only what can be read again later is asked for; the bytes go through as they come.
    wanted = [e.strip() for e in headers.get("accept-encoding", "identity").lower().split(",")]
    encodings = [e for e in wanted if e.partition(";")[0].strip() in _DECODABLE]
    return [*going, ("accept-encoding", ", ".join(encodings) or "identity")]


def returned(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the upstream's headers that go back to the client."""
    return [(name.lower(), value) for name, value in headers if name.lower().decode("latin-1") not in _NOT_RETURNED]


def kept(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the headers that a record keeps; they are cut to their length when keys are out of them."""
    return {name.lower(): value[:_LONGEST_READ] for name, value in headers if name.lower() in _KEPT}


async def send_json(send: Send, status: int, content: Any, *, hang_up: bool = False) -> None:
    """Send a JSON answer of our own; ``hang_up`` ends the connection with it."""
    body = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(b"connection", b"close")] if hang_up else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
