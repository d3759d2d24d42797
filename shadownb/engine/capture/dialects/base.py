"""What a wire dialect is: how its requests are checked, its errors are shaped and its answers are read.

A dialect never writes into what passes through. It reads recorded bytes: the facts that a row keeps (model, usage, finish
reason) from few events at once, the whole answer when somebody looks at it. Reading a hundred million chunks by the
vendors' clients would cost 1.3 and 2.4 s to import and about 10 ms a stream; the tests compare with them instead.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from shadownb.engine.capture.dialects import offered
from shadownb.engine.capture.sse import Event, events
from shadownb.engine.jsontext import Unreadable, dumps, loads, may_hold_halves, mended


class WireError(Exception):
    """A refusal that goes to the client in its dialect's error shape.

    Attributes
    ----------
    status
        HTTP status, 4xx or 5xx.
    param, code
        The field that is wrong, and a stable word for the reason, where the dialect carries them.
    """

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code


@dataclass
class Facts:
    """What a row keeps of an answer."""

    model: str | None = None
    response_id: str | None = None
    usage: dict[str, Any] | None = None
    finish_reason: str | None = None
    whole: bool = False  # the answer says of itself that it is complete
    error: dict[str, Any] | None = None


class Dialect(ABC):
    """One of the wire formats."""

    name: str
    path: str
    end_marks: tuple[bytes, ...] = (b"data: [DONE]", b"data:[DONE]")
    """Beginnings of the line that ends a stream."""
    end_types: tuple[str, ...] = ()
    """``type`` of the event that ends a stream, for senders that do not name their events."""

    end_fields: tuple[bytes, ...] = ()
    """Fields with which the last event of a stream begins that has no end of its own."""

    # -- requests -------------------------------------------------------------------------------------------------

    def validate(self, request: dict[str, Any]) -> None:
        """Raise :class:`WireError` 400 for what no server could take; judging values is left to the upstream."""
        need(request, "model", str, required=True)
        need(request, "stream", bool)
        need(request, "tools", list)
        self.check(request)

    @abstractmethod
    def check(self, request: dict[str, Any]) -> None:
        """The part of :meth:`validate` that is this dialect's own."""

    @abstractmethod
    def messages(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the request's messages in OpenAI's chat form."""

    def leading(self, request: dict[str, Any]) -> int:
        """Return how many of the first messages belong to this request alone, and not to the conversation it names."""
        return 0

    def no_conversation(self, request: dict[str, Any]) -> str | None:
        """Return why a request and its answer are no conversation in chat form; None where they are one."""
        return None

    def references(self, request: dict[str, Any]) -> list[str]:
        """Return the ids of earlier items that a request names instead of repeating them."""
        return []

    def with_items(self, request: dict[str, Any], items: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """Return a request with items in the place of their ids."""
        return request

    def hidden(self, request: dict[str, Any]) -> str | None:
        """Return what of the prompt only the provider knows; None where the request says it all, or names what was recorded."""
        return None

    def tools(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the tools that the client runs in OpenAI's chat form (see :mod:`.offered`)."""
        given = [tool for tool in listed(request.get("tools")) if isinstance(tool, dict)]
        return [found for tool in given for found in self.tool(tool)]

    def tool(self, tool: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what one entry of ``tools`` offers; nothing where the provider runs it."""
        return offered.of_chat(tool)

    # -- answers --------------------------------------------------------------------------------------------------

    def response(self, body: bytes, *, streamed: bool) -> dict[str, Any]:
        """Return the final answer in the dialect's own form; an empty object where the body is JSON, but no object.

        Raises
        ------
        Unreadable
            The body, or an event of the stream, is no JSON, is nested too deeply or is too long.
        """
        if streamed:
            whole = self.rebuild(list(events(body)))
            return mended(whole) if may_hold_halves(body) else whole
        try:
            value = loads(body)
        except Unreadable:
            raise
        except ValueError:
            raise Unreadable("it is no JSON" if body.strip() else "it is empty") from None
        return value if isinstance(value, dict) else {}

    @abstractmethod
    def rebuild(self, stream: Sequence[Event]) -> dict[str, Any]:
        """Put the final answer together from the events of a stream."""

    @abstractmethod
    def choices(self, response: dict[str, Any]) -> list[dict[str, Any]]:
        """Return ``{"index", "message", "finish_reason"}`` of each choice, messages in OpenAI's chat form."""

    def facts(self, body: bytes, *, streamed: bool) -> Facts:
        """Return what a row keeps, reading no more of a stream than that needs."""
        if streamed:
            return self.stream_facts(_unbroken(events(body)))
        return self.response_facts(self.response(body, streamed=False))

    @abstractmethod
    def response_facts(self, response: dict[str, Any]) -> Facts:
        """Facts of a final answer."""

    @abstractmethod
    def stream_facts(self, stream: Iterator[Event]) -> Facts:
        """Facts of a stream."""

    # -- errors ---------------------------------------------------------------------------------------------------

    def error(self, error: WireError) -> dict[str, Any]:
        """Return the body of a refusal; OpenAI's shape unless a dialect has its own."""
        kind = "invalid_request_error" if error.status < 500 else "server_error"
        return {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}


def _unbroken(stream: Iterator[Event]) -> Iterator[Event]:
    """Yield events. Raises :class:`Unreadable` where one breaks off, which no reader of few events would see."""
    for event in stream:
        if event.whole and event.data.lstrip()[:1] == b"{" and not event.data.rstrip().endswith(b"}"):
            raise Unreadable("an event of the stream is no JSON")
        yield event


def need(request: dict[str, Any], field: str, kind: type | tuple[type, ...], *, required: bool = False) -> None:
    """Raise :class:`WireError` unless a field has its type; an absent or null one is accepted where not required."""
    value = request.get(field)
    if value is None:
        if required:
            raise WireError(400, f"The field {field!r} is missing.", param=field, code="missing_required_parameter")
        return
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        wanted = " or ".join(_KINDS.get(k, k.__name__) for k in kinds)
        raise WireError(400, f"The field {field!r} must be {wanted}.", param=field, code="invalid_type")
    if required and not value and not isinstance(value, int):
        raise WireError(400, f"The field {field!r} is empty.", param=field, code="invalid_value")


def need_messages(request: dict[str, Any], roles: tuple[str, ...] | None = None) -> None:
    """Raise :class:`WireError` unless ``messages`` is a list of objects with a role."""
    need(request, "messages", list, required=True)
    for number, message in enumerate(request["messages"]):
        where = f"messages[{number}]"
        if not isinstance(message, dict):
            raise WireError(400, f"{where} must be an object.", param=where, code="invalid_type")
        role = message.get("role")
        if not isinstance(role, str) or not role or (roles is not None and role not in roles):
            known = f" Known: {', '.join(roles)}." if roles else ""
            raise WireError(400, f"{where}.role must be a role.{known}", param=f"{where}.role", code="invalid_value")
        if not isinstance(message.get("content"), str | list | None):
            raise WireError(
                400, f"{where}.content must be text or a list.", param=f"{where}.content", code="invalid_type"
            )


def listed(value: Any) -> list[Any]:
    """Return a list as it is, anything else as an empty one."""
    return value if isinstance(value, list) else []


def mapped(value: Any) -> dict[str, Any]:
    """Return an object as it is, anything else as an empty one."""
    return value if isinstance(value, dict) else {}


def place_of(data: dict[str, Any], field: str) -> int:
    """Return the number of a choice, item or block; 0 where the event has none."""
    value = data.get(field)
    return value if isinstance(value, int) else 0


def error_of(data: dict[str, Any]) -> dict[str, Any] | None:
    """Return the error that an answer or an event carries, in whatever form; None where it carries none."""
    error = data.get("error")
    if isinstance(error, dict) and error:
        return error
    if isinstance(error, str | list) and error:  # {"error": "overloaded", "error_type": "overloaded"}
        others = {k: v for k, v in data.items() if k in _OF_AN_ERROR and isinstance(v, str | int)}
        return {"message": error if isinstance(error, str) else dumps(error), **others}
    if "error" in (data.get("object"), data.get("type")):  # vLLM; the Responses API in a stream
        return {k: v for k, v in data.items() if k not in ("object", "sequence_number")}
    return None


def kind_of(event: Event, data: dict[str, Any]) -> str:
    """Return what an event is: the ``type`` in its data, else its name."""
    kind = data.get("type")
    return kind if isinstance(kind, str) else event.name


def text_of(value: Any) -> str:
    """Return the text of a content: a string, or the joined text of its parts."""
    if isinstance(value, str):
        return value
    parts = [part.get("text") if isinstance(part, dict) else part for part in listed(value)]
    return "".join(part for part in parts if isinstance(part, str))


def counts(usage: Any, names: dict[str, str]) -> dict[str, Any] | None:
    """Return a usage object under common names: ``names`` maps a (dotted) name of the wire to one of ours.

    What cannot be a count of tokens (negative, or more than a column of the store holds) is left out.
    """
    if not isinstance(usage, dict):
        return None
    found: dict[str, Any] = {}
    for theirs, ours in names.items():
        value: Any = usage
        for key in theirs.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS:
            found[ours] = value
    return found or None


_MOST_TOKENS = 2**53
_OF_AN_ERROR = ("error_type", "type", "code", "message", "status", "status_code")
_KINDS = {str: "text", bool: "true or false", list: "a list", dict: "an object", int: "a whole number"}
