"""Which spans are model calls: each is read by the convention it is written in, or left out for a reason that is reported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from shadownb.engine.jsontext import MAX_DEPTH, Unreadable, check_depth
from shadownb.engine.traces.conventions import CONVENTIONS
from shadownb.engine.traces.cut import as_long_as, hidden_in, length_limit, without_cuts
from shadownb.engine.traces.exchange import WITHHELD, Exchange, conversation_of
from shadownb.engine.traces.report import TraceReport
from shadownb.engine.traces.sessions import Turn
from shadownb.engine.traces.sources import SOURCES
from shadownb.engine.traces.spans import UNTOLD, Span
from shadownb.engine.trajectories.endings import ended_by_itself
from shadownb.engine.trajectories.graph import ran_at_the_provider
from shadownb.engine.trajectories.identity import PathHash

_CALLS = ("chat", "generate_content", "text_completion", "completion", "responses", "message")
_KINDS = ("openinference.span.kind", "traceloop.span.kind", "langfuse.observation.type")
_FAILED = "the call failed and has no answer"
_NO_PROMPT = "no prompt was recorded"
_SWITCH_ON = "switch on the recording of content in the instrumentation"
_RECORDS = frozenset(source.NAME for source in SOURCES)
_SIGNS = ("gen_ai.request.model", "gen_ai.response.model", "gen_ai.usage.", "llm.model_name", "llm.request.")


@dataclass
class SpanCall:
    """A span that was understood, in the form of a recorded call."""

    span: Span
    exchange: Exchange
    convention: str
    cut: tuple[str, ...] = ()
    """Attributes whose JSON was cut off."""
    too_long: tuple[str, ...] = ()
    """Attributes whose text is as long as the limit at which the texts of this export were cut."""
    hidden: tuple[str, ...] = ()
    """Contents that are placeholders, or end in the mark of a cut."""

    @property
    def status(self) -> str:
        """``ok``, ``error`` where the span failed, or ``cut`` where its content was cut off: such an answer is never trained."""
        return "error" if self.span.failure else "cut" if self.cut or self.too_long or self.hidden else "ok"

    @property
    def why_not_whole(self) -> str | None:
        """What is wrong with the answer, for the report; None where nothing is."""
        if self.span.failure:
            return f"the span failed ({self.span.failure})"
        if self.cut:
            return f"the JSON of {', '.join(self.cut[:3])} is cut off; raise OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"
        if self.too_long:
            return f"the text of {', '.join(self.too_long[:3])} is cut off; raise OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"
        if self.hidden:
            return f"{self.hidden[0]} was hidden or cut off by the instrumentation"
        if ran := self.withheld or next(filter(None, map(ran_at_the_provider, self.choices)), None):
            return f"the answer {ran}"
        reasons = [c.get("finish_reason") for c in self.choices if not ended_by_itself(None, c.get("finish_reason"))]
        return f"the answer ended with {reasons[0]!r}" if reasons else None

    @property
    def id(self) -> str:
        """The id of the span."""
        return self.span.span_id

    @cached_property
    def conversation(self) -> str | None:
        """The conversation that the span names."""
        return conversation_of(self.span)

    @property
    def session(self) -> str | None:
        """The conversation, else the trace."""
        return self.conversation or self.span.trace_id or None

    @property
    def headers(self) -> dict[str, str]:
        """What keeps the agents of one session apart, as in a recorded call."""
        agent = self.span.agent if isinstance(self.span, Turn) else ""
        return {"x-claude-code-agent-id": agent} if agent else {}

    @property
    def withheld(self) -> str | None:
        """Why an answer that came whole is not trained, as a recorder wrote it down."""
        return self.span.attributes.text(WITHHELD)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The prompt."""
        return self.exchange.messages

    @property
    def choices(self) -> list[dict[str, Any]]:
        """The answers."""
        return self.exchange.choices

    @property
    def tools(self) -> list[dict[str, Any]] | None:
        """The tool schemas."""
        return self.exchange.tools or None

    @property
    def model(self) -> str | None:
        """The model."""
        return self.exchange.model

    @property
    def usage(self) -> dict[str, int] | None:
        """Tokens by kind."""
        return self.exchange.usage

    @property
    def cost(self) -> float | None:
        """US dollars."""
        return self.exchange.cost

    @property
    def started_at(self) -> float | None:
        """Seconds since 1970."""
        return self.span.start

    @property
    def duration_s(self) -> float | None:
        """Seconds."""
        return None if self.span.start is None or self.span.end is None else self.span.end - self.span.start

    @cached_property
    def fingerprint(self) -> tuple[str, bytes]:
        """The same for two spans that tell of one call."""
        path = PathHash(self.span.trace_id)
        digest = b""
        for message in [*self.messages, *(choice["message"] for choice in self.choices)]:
            digest = path.push(message)
        return self.span.trace_id, digest


def read_calls(spans: list[Span], report: TraceReport) -> list[SpanCall]:
    """Return the model calls among spans; what is none, or repeats one, is counted in the report."""
    found: list[SpanCall] = []
    agents: list[SpanCall] = []
    limit = length_limit(spans)
    for span in spans:
        try:
            outcome = _read(span)
        except Exception as error:  # whatever it holds: one span is not worth the others
            outcome = f"it cannot be read ({error if isinstance(error, Unreadable) else type(error).__name__})"
        if isinstance(outcome, SpanCall):
            outcome.too_long = tuple(as_long_as(span, limit))
        if isinstance(outcome, str):
            report.leave_out(outcome, _example(span))
        elif span.attributes.get("gen_ai.operation.name") == "invoke_agent":
            agents.append(outcome)
        else:
            found.append(outcome)
    traced = {call.span.trace_id for call in found}
    for agent in agents:  # an agent's span repeats what its calls say, where these were recorded, too
        if agent.span.trace_id in traced:
            report.leave_out(
                "not a model call (invoke_agent), and its calls have spans of their own", _example(agent.span)
            )
        else:
            found.append(agent)
    kept = _without_repeats(found, {(s.trace_id, s.span_id): s.parent_id for s in spans}, report)
    report.understood.update(call.convention for call in kept)
    for call in kept:
        if why := call.why_not_whole:
            report.keep_untrained(why, _example(call.span))
    return kept


def _read(span: Span) -> SpanCall | str:
    """Return the call of a span, or the reason why it is none."""
    if isinstance(span, Turn):
        hidden = hidden_in([], [choice["message"] for choice in span.exchange.choices])
        return (
            SpanCall(span, span.exchange, span.source, hidden=tuple(hidden)) if span.exchange.messages else _NO_PROMPT
        )
    other = _not_a_call(span)
    if other is not None:
        return other
    span, cut = without_cuts(span)
    for name, read in CONVENTIONS.items():
        exchange = read(span)
        if exchange is None:
            continue
        check_depth(exchange.messages, MAX_DEPTH + 16)
        check_depth(exchange.choices, MAX_DEPTH + 16)
        if not any(message.get("content") for message in exchange.messages):
            return f"{_NO_PROMPT} ({name}); {_SWITCH_ON}"
        if not exchange.choices:
            return _FAILED if span.failure else f"no answer was recorded ({name})"
        hidden = hidden_in(exchange.messages, [choice["message"] for choice in exchange.choices])
        return SpanCall(
            span, exchange, span.source if span.source in _RECORDS else name, tuple(cut), hidden=tuple(hidden)
        )
    if span.failure and (span.attributes.any(*_SIGNS) or span.source in _RECORDS):
        return _FAILED
    if span.attributes.any(*_SIGNS) or span.kind == "LLM":
        return f"a model call without its content; {span.attributes.text(UNTOLD) or _SWITCH_ON}"
    return "not written in a known convention"


def _not_a_call(span: Span) -> str | None:
    operation = span.attributes.text("gen_ai.operation.name")
    if operation is not None and operation not in (*_CALLS, "invoke_agent"):
        return f"not a model call ({operation})"
    kind = span.attributes.text(*_KINDS) or (span.kind if span.source == "phoenix" else None)
    if kind is not None and kind.lower() not in ("llm", "generation", "unknown"):
        return f"not a model call ({kind.lower()})"
    return None


def _example(span: Span) -> str:
    names = ", ".join(span.attributes.keys()[:4])
    return f"{span.name or 'span'} {span.span_id}".strip() + (f" [{names}]" if names else "")


def _without_repeats(
    calls: list[SpanCall], parents: dict[tuple[str, str], str | None], report: TraceReport
) -> list[SpanCall]:
    """Leave out calls that a span above tells of already: two instrumentations often record the same call."""
    told = {(call.span.trace_id, call.span.span_id): call for call in calls}
    kept = []
    for call in calls:
        key = (call.span.trace_id, call.span.span_id)
        above, seen = parents.get(key), {key[1]}
        while above and above not in seen:
            other = told.get((key[0], above))
            if other is not None and other.fingerprint == call.fingerprint:
                break
            seen.add(above)
            above = parents.get((key[0], above))
        else:
            kept.append(call)
            continue
        other.exchange = replace(other.exchange, tools=other.exchange.tools or call.exchange.tools)
        report.leave_out("it repeats the call of a span above it", _example(call.span))
    return kept
