"""Which conversation a request belongs to, and whether it repeats an earlier one, by what the client itself says."""

from __future__ import annotations

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shadownb.engine.capture.dialects import Dialect
from shadownb.engine.jsontext import loads

if TYPE_CHECKING:
    from shadownb.engine.capture.call import Call
    from shadownb.engine.ports.capture_store import CaptureStore

# Codex sends session_id; x-session-id is what many agents' clients can be told to send.
_HEADERS = (
    "x-session-id", "session-id", "session_id", "x-claude-code-session-id", "x-conversation-id", "conversation_id",
)  # fmt: skip
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_CLAUDE_CODE = re.compile(r"session_([0-9a-f-]{36})")  # in metadata.user_id
_LONGEST = 200
_LONGEST_READ = 4000  # what is stored is cut to 200 when keys are out of it, so that no half of one is left
_REMEMBERED = 4096  # bodies and conversations; a client repeats a call within minutes


def session_of(headers: Mapping[str, str], request: dict[str, Any]) -> str | None:
    """Return what the request says of its session: a header, a conversation id, else its trace id."""
    for name in _HEADERS:
        if value := headers.get(name):
            return value[:_LONGEST_READ]
    if conversation := conversation_of(request, _LONGEST_READ):
        return conversation
    metadata = request.get("metadata")
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    if not isinstance(user, str):
        return None
    if found := _CLAUDE_CODE.search(user):
        return found.group(1)
    return _session_in(user)


def _session_in(user: str) -> str | None:
    """Return the session of a ``user_id`` that is JSON, as Claude Code sends it since 2.1."""
    if not user.lstrip().startswith("{"):
        return None
    try:
        value = loads(user)
    except ValueError:
        return None
    session = value.get("session_id") if isinstance(value, dict) else None
    return session[:_LONGEST_READ] if isinstance(session, str) and session else None


def conversation_of(request: dict[str, Any], longest: int = _LONGEST) -> str | None:
    """Return the id of the conversation that the provider keeps and this request goes on with, or None."""
    conversation = request.get("conversation")
    if isinstance(conversation, dict):
        conversation = conversation.get("id")
    if not isinstance(conversation, str) or not conversation:
        return None
    return conversation[:longest].encode("utf-8", "replace").decode()  # as the store will have it


def trace_of(headers: Mapping[str, str]) -> str | None:
    """Return the trace id of a W3C ``traceparent``, or None."""
    found = _TRACEPARENT.fullmatch(headers.get("traceparent", "").strip().lower())
    return found.group(1) if found and set(found.group(1)) != {"0"} else None


class Conversations:
    """The latest recorded answer in each conversation that a provider keeps: its requests hold only what is new."""

    def __init__(self, store: CaptureStore[Call]) -> None:
        self._store = store
        self._latest: OrderedDict[str, str] = OrderedDict()

    def before(self, conversation: str) -> str | None:
        """Return the id of the call that the next request goes on from; None for the first one."""
        if conversation not in self._latest:  # perhaps it began before this recording did
            for call in self._store.calls(
                session=conversation, dialect="responses", status="ok", newest_first=True, limit=1
            ):
                return call.id
        return self._latest.get(conversation)

    def went_on(self, conversation: str, call_id: str) -> None:
        """Remember the answer of a call as the latest."""
        self._latest[conversation] = call_id
        self._latest.move_to_end(conversation)
        if len(self._latest) > _REMEMBERED:
            self._latest.popitem(last=False)


class Retries:
    """Finds the call that a retry repeats: the same body, and a client that says it tries again."""

    def __init__(self) -> None:
        self._calls: OrderedDict[bytes, str] = OrderedDict()

    def see(self, call_id: str, headers: Mapping[str, str], body: bytes) -> str | None:
        """Remember a call and return the id of the one it repeats, or None."""
        key = hashlib.blake2b(body, digest_size=16).digest()
        earlier = self._calls.pop(key, None)
        self._calls[key] = call_id
        if len(self._calls) > _REMEMBERED:
            self._calls.popitem(last=False)
        return earlier if headers.get("x-stainless-retry-count", "0") not in ("", "0") else None


def is_sampled(share: float, salt: str, session: str | None, dialect: Dialect, request: dict[str, Any]) -> bool:
    """Return whether a call is among the share that is recorded.

    A conversation is recorded as a whole or not at all: its session decides, or, without one, its first user message.
    """
    if share >= 1:
        return True
    key = session
    if key is None:
        try:
            first = next((m for m in dialect.messages(request) if m.get("role") == "user"), {})
            key = json.dumps(first.get("content"), sort_keys=True)
        except RecursionError:
            key = ""
    digest = hashlib.blake2b(f"{salt}\n{key}".encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64
