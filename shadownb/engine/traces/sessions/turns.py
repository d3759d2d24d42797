"""Turn: an answer in a session file, with the conversation up to it, as a span that needs no reading any more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shadownb.engine.traces.exchange import Exchange
from shadownb.engine.traces.spans import Attributes, Span

Message = dict[str, Any]


@dataclass
class Turn(Span):
    """One answer of a model.

    Attributes
    ----------
    exchange
        The conversation up to it, and the answer.
    agent
        Which agent of the session gave it; empty for the outermost.
    """

    exchange: Exchange = field(default_factory=lambda: Exchange([], []))
    agent: str = ""


def turn(
    source: str,
    session: str,
    identifier: str,
    prompt: list[Message],
    answer: Message,
    *,
    reason: Any = None,
    model: Any = None,
    usage: Mapping[str, Any] | None = None,
    cost: float | None = None,
    start: float | None = None,
    end: float | None = None,
    failure: str | None = None,
    agent: str = "",
) -> Turn:
    """Return the turn of an answer; ``prompt`` is copied, its messages are shared with the other turns of the session."""
    choice: dict[str, Any] = {"message": {"role": "assistant", **answer}}
    if reason:
        choice["finish_reason"] = str(reason)
    exchange = Exchange(list(prompt), [choice], model=str(model) if model else None, cost=cost)
    exchange.usage = {name: int(count) for name, count in (usage or {}).items()} or None
    return Turn(
        trace_id=session,
        span_id=identifier,
        name="answer",
        start=start,
        end=end,
        source=source,
        attributes=Attributes({"session.id": session} if session else {}),
        failure=failure,
        exchange=exchange,
        agent=agent,
    )
