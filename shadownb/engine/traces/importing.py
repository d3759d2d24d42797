"""Spans to trajectories: the calls among them are put together to episodes, and scored where the spans say how well they went."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from shadownb.engine.traces.calls import SpanCall, read_calls
from shadownb.engine.traces.envelopes import load, spans_in
from shadownb.engine.traces.exchange import Exchange
from shadownb.engine.traces.report import TraceReport
from shadownb.engine.traces.spans import EVALUATION, Span, finite
from shadownb.engine.trajectories.episodes import Episodes
from shadownb.engine.trajectories.trajectory import Trajectory
from shadownb.errors import ConfigError, DataError

if TYPE_CHECKING:
    from shadownb.engine.data import Dataset

Builder = Literal["conversation", "per_request"]


class Imported(list[Trajectory]):
    """The imported trajectories: a list, with a ``report`` of what became of the spans.

    Examples
    --------
    >>> episodes = snb.traces.from_otlp("spans.json")
    >>> len(episodes), episodes.report.total
    (2, 2)
    """

    def __init__(self, trajectories: Iterable[Trajectory], report: TraceReport) -> None:
        super().__init__(trajectories)
        self.report = report

    def __repr__(self) -> str:
        return f"{super().__repr__()}\n{self.report}"

    def _repr_html_(self) -> str:
        return self.report._repr_html_() + "".join(t._repr_html_() for t in self[:3])


def from_spans(
    spans: Any, *, builder: Builder = "conversation", reward_key: str | None = None, thinking: bool = False
) -> Imported:
    """Return the trajectories in a list of spans, or in a file of them as :func:`from_otlp` reads it.

    Parameters
    ----------
    spans
        Spans as JSON objects, in any envelope; span, trace and run objects of OpenTelemetry's SDK, MLflow, LangSmith and the
        Agents SDK; or the path of a file, or of a folder of exports and session files.
    builder
        ``conversation`` makes one trajectory of the calls that continue a conversation; ``per_request`` makes one of each call.
    reward_key
        The attribute (or Langfuse score) with the reward: of the trajectory's last call that has it, else of any span of its
        trace. If none has it, the reward is None.
    thinking
        Keep the model's reasoning, as ``reasoning_content``.

    Returns
    -------
    Imported
        A list of :class:`Trajectory` with a ``report``.

    Raises
    ------
    ConfigError
        ``builder`` is unknown.
    DataError
        A text is neither JSON nor the path of a file.

    Examples
    --------
    >>> import json
    >>> spans = json.load(open("spans.json"))
    >>> episodes = snb.traces.from_spans(spans, reward_key="reward")
    >>> [(episode.final_content(), episode.reward) for episode in episodes]
    [('shipping', 0.0), ('billing', 1.0)]
    """
    report = TraceReport()
    return _imported(load(spans, report), report, builder, reward_key, thinking)


def from_otlp(
    source: Any, *, builder: Builder = "conversation", reward_key: str | None = None, thinking: bool = False
) -> Imported:
    """Return the trajectories of a trace export: a path, JSON text (of any length), JSON lines, a dict or a list.

    Options and result are those of :func:`from_spans`. Raises :class:`DataError` if the source is neither JSON nor a file.

    Examples
    --------
    >>> episodes = snb.traces.from_otlp("spans.json")
    >>> [episode.first_user_content() for episode in episodes]
    ['Where is my parcel?', 'I paid twice.']
    """
    report = TraceReport()
    return _imported(load(source, report), report, builder, reward_key, thinking)


def to_dataset(
    source: Any,
    *,
    builder: Builder = "conversation",
    reward_key: str | None = None,
    thinking: bool = False,
    min_reward: float | None = None,
    name: str = "traces",
) -> Dataset:
    """Return a dataset of chat rows from a trace export, spans, or trajectories. Options are those of :func:`from_spans`.

    Parameters
    ----------
    min_reward
        Keep only trajectories with at least this reward; those without a reward are left out.

    Raises
    ------
    DataError
        No model call was understood (the message has the reasons), or none reaches ``min_reward``.

    Examples
    --------
    >>> snb.traces.to_dataset("spans.json", reward_key="reward", min_reward=0.5)
    Dataset('traces', 1 row, format='chat')
    """
    from shadownb.engine.data import Dataset

    if isinstance(source, list) and source and all(isinstance(entry, Trajectory) for entry in source):
        found: list[Trajectory] = source
    else:
        imported = from_otlp(source, builder=builder, reward_key=reward_key, thinking=thinking)
        if not imported:
            raise DataError(
                "No model call was understood in this export.",
                why=str(imported.report),
                fix="Export spans of model calls with their content; traces.from_otlp(...).report lists every reason.",
            )
        found = imported
    kept = [t for t in found if min_reward is None or (t.reward is not None and t.reward >= min_reward)]
    if not kept:
        rewards = [trajectory.reward for trajectory in found if trajectory.reward is not None]
        raise DataError(
            f"min_reward={min_reward!r} leaves none of {len(found):,} trajectories.",
            why=f"The highest reward is {max(rewards):g}." if rewards else "None of them has a reward.",
            fix="Lower min_reward, or name the attribute of the reward with reward_key.",
        )
    return Dataset.from_trajectories(kept, name=name)


def _imported(value: Any, report: TraceReport, builder: Builder, reward_key: str | None, thinking: bool) -> Imported:
    if builder not in ("conversation", "per_request"):
        raise ConfigError(f"builder={builder!r} is unknown.", fix="Use 'conversation' or 'per_request'.")
    spans = spans_in(value, report)
    calls = read_calls(spans, report)
    for call in calls if not thinking else ():
        _forget_thoughts(call.exchange)
    calls.sort(key=lambda call: call.started_at or 0.0)
    found = [t for graph in _graphs(calls, builder) for t in graph.trajectories()]
    by_id = {(call.id, call.session): call for call in calls}
    rewards = _rewards(spans, reward_key) if reward_key else {}
    for trajectory in found:
        told = [by_id[facts.id, facts.session] for facts in trajectory.calls]
        _describe(trajectory, told)
        if reward_key:
            trajectory.reward = _reward(told, reward_key, rewards)
    found.sort(key=lambda trajectory: trajectory.started_at or 0.0)
    report.trajectories = len(found)
    return Imported(found, report)


def _graphs(calls: list[SpanCall], builder: Builder) -> list[Episodes]:
    if builder == "per_request":
        return [Episodes().extend([call]) for call in calls]
    # A conversation may run through many traces, one for each turn; only a conversation's own id keeps others out.
    named = Episodes().extend(call for call in calls if call.conversation is not None)
    return [named, Episodes(join_sessions=True).extend(call for call in calls if call.conversation is None)]


def _describe(trajectory: Trajectory, told: list[SpanCall]) -> None:
    last = told[-1]
    if last.conversation is None:
        trajectory.metadata.pop("session", None)
    trajectory.metadata |= {"trace_id": last.span.trace_id, "convention": last.convention}


def _forget_thoughts(exchange: Exchange) -> None:
    for message in [*exchange.messages, *(choice["message"] for choice in exchange.choices)]:
        message.pop("reasoning_content", None)


# -- rewards --------------------------------------------------------------------------------------------------------------


def _value(span: Span, key: str) -> float | None:
    value = span.attributes.first(key, f"langfuse.score.{key}")
    for event in span.events if value is None else ():
        if event.name == EVALUATION and event.attributes.text("gen_ai.evaluation.name") == key:
            value = event.attributes.get("gen_ai.evaluation.score.value")
    return float(value) if isinstance(value, bool) else finite(value)


def _rewards(spans: list[Span], key: str) -> dict[str, float]:
    return {span.trace_id: value for span in spans if (value := _value(span, key)) is not None}


def _reward(told: list[SpanCall], key: str, by_trace: dict[str, float]) -> float | None:
    own = [value for call in reversed(told) if (value := _value(call.span, key)) is not None]
    return own[0] if own else by_trace.get(told[-1].span.trace_id)
