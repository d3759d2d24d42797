"""Sessions of Codex (``~/.codex/sessions``): items of the Responses API with what the command line did around them.

An answer is all items that the model gave between two inputs. Newer versions say up to which item each was sampled, which
tells answers apart also where calls ran before the answer had ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shadownb.engine.capture.dialects.items import items_to_messages
from shadownb.engine.traces.exchange import tokens
from shadownb.engine.traces.sessions.turns import Message, Turn, turn
from shadownb.engine.traces.spans import seconds

NAME = "codex"
MISSING = "the tool schemas"
Line = Mapping[str, Any]


def recognises(lines: Sequence[Line]) -> bool:
    """Whether the lines are a rollout."""
    return any(
        line.get("type") in ("session_meta", "response_item") and isinstance(line.get("payload"), Mapping)
        for line in lines
    )


def turns_of(lines: Sequence[Line]) -> Iterator[Turn]:
    """Yield the answers of the sessions in a file."""
    session: _Session | None = None
    for number, line in enumerate(lines):
        payload = line.get("payload")
        if not isinstance(payload, Mapping):
            continue
        if line.get("type") == "session_meta" or session is None:
            if session is not None and session.name == str(payload.get("id") or ""):
                continue  # a session that goes on in the same file repeats its head
            if session is not None:
                yield from session.ended()
            session = _Session(payload if line.get("type") == "session_meta" else {})
        yield from session.take(str(line.get("type")), payload, line, number)
    if session is not None:
        yield from session.ended()


class _Session:
    """One session as it goes on: what the model knows by now, and the answer that it is giving."""

    def __init__(self, head: Line) -> None:
        self.name = str(head.get("id") or "")
        self.model: Any = None
        base = head.get("base_instructions") or head.get("instructions")
        text = base.get("text") if isinstance(base, Mapping) else base
        self.known: list[Message] = [{"role": "system", "content": text}] if isinstance(text, str) and text else []
        self._head = len(self.known)
        self._items: list[dict[str, Any]] = []  # of the answer
        self._sampled: Any = None
        self._late: list[dict[str, Any]] = []  # results that came before the answer had ended
        self._start: float | None = None
        self._end: float | None = None
        self._number = 0
        self._usage: dict[str, int] | None = None

    def take(self, kind: str, payload: Line, line: Line, number: int) -> Iterator[Turn]:
        """Take one line; yields the answer that ended before it."""
        if kind == "turn_context":
            self.model = payload.get("model") or self.model
        elif kind == "token_usage_record":
            self._usage = _tokens(payload.get("usage"))
        elif kind == "event_msg":
            yield from self._event(payload)
        elif kind == "compacted":
            yield from self.ended()
            history = payload.get("replacement_history")
            told = items_to_messages(history) if isinstance(history, list) else []
            summary = [{"role": "user", "content": str(payload.get("message") or "")}] if payload.get("message") else []
            self.known = self.known[: self._head] + (told or summary)
        elif kind == "response_item":
            yield from self._item(dict(payload), line, number)

    def _event(self, payload: Line) -> Iterator[Turn]:
        kind = payload.get("type")
        if kind == "token_count" and isinstance(info := payload.get("info"), Mapping) and self._usage is None:
            self._usage = _tokens(info.get("last_token_usage"))
        elif kind in ("turn_aborted", "stream_error"):
            # Tokens are counted when an answer has ended; what was stopped then is a tool.
            yield from self.ended("aborted" if self._usage is None else None)

    def _item(self, item: dict[str, Any], line: Line, number: int) -> Iterator[Turn]:
        if _is_input(item):
            if self._items and str(item.get("type")).endswith("_output"):
                self._late.append(item)
                return
            yield from self.ended()
            self.known += items_to_messages([item])
            return
        about = line.get("metadata")
        sampled = about.get("sampled_through_sequence") if isinstance(about, Mapping) else None
        same = sampled == self._sampled if sampled is not None else not self._late
        if self._items and not same:
            yield from self.ended()
        if not self._items:
            self._start, self._number, self._sampled = seconds(line.get("timestamp")), number, sampled
        self._items.append(item)
        self._end = seconds(line.get("timestamp"))

    def ended(self, reason: str | None = None) -> Iterator[Turn]:
        """Yield the answer that was being given, if any."""
        items, late, self._items, self._late = self._items, self._late, [], []
        usage, self._usage = self._usage, None
        if items:
            (answer,) = items_to_messages(items)
            broken = [item for item in items if item.get("status") not in (None, "completed")]
            name = f"{self.name}-{self._number}" if self.name else str(self._number)
            yield turn(
                NAME,
                self.name,
                name,
                self.known,
                answer,
                reason=reason or ("incomplete" if broken else None),
                model=self.model,
                usage=usage,
                start=self._start,
                end=self._end,
            )
            self.known.append(answer)
        self.known += items_to_messages(late)


def _is_input(item: Line) -> bool:
    kind = str(item.get("type") or "message")
    return (
        kind.endswith("_output")
        or (kind == "message" and item.get("role") != "assistant")
        or kind == "compaction_trigger"
    )


def _tokens(usage: Any) -> dict[str, int] | None:
    if not isinstance(usage, Mapping):
        return None
    names = {"input_tokens": usage.get("input_tokens"), "output_tokens": usage.get("output_tokens")}
    return tokens({**names, "total_tokens": usage.get("total_tokens")})
