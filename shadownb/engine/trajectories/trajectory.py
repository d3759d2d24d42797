"""Trajectory: one episode, as the messages that were exchanged and what is known about the calls that made them."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from shadownb.engine.jsontext import MAX_DEPTH, dumps, loads
from shadownb.engine.trajectories.endings import ended_by_itself
from shadownb.engine.trajectories.identity import calls_of, message_text, role_of, task_hash, task_text
from shadownb.errors import DataError

Message = dict[str, Any]
_STATUS_WORDS = {"error": "failed", "cut": "broke off", "client_gone": "the client left", "unread": "cannot be read"}


@dataclass(frozen=True)
class CallFacts:
    """What is known about the call that produced one assistant turn.

    Attributes
    ----------
    id
        Of the recorded call, or of the span it was read from.
    message
        Index of the turn in ``Trajectory.messages``.
    choice
        Which of several answers to one request this is.
    model, dialect, route, session
        As in the recorded call; ``route`` is ``upstream`` or ``local``.
    status, finish_reason
        ``ok``, or how the call ended otherwise.
    started_at, duration_s
        Seconds since 1970, and seconds.
    usage, cost
        Tokens by kind, and US dollars; None where they are not known.
    withheld
        Why an answer that came whole is not trained: it rests on what only the provider knows (a search that it made, a part of the
        prompt that was not sent); None where it does not.
    """

    id: str
    message: int
    choice: int = 0
    model: str | None = None
    dialect: str | None = None
    route: str | None = None
    session: str | None = None
    status: str = "ok"
    finish_reason: str | None = None
    started_at: float | None = None
    duration_s: float | None = None
    usage: dict[str, Any] | None = None
    cost: float | None = None
    withheld: str | None = None

    @property
    def complete(self) -> bool:
        """Whether the answer arrived whole and ended by itself, in one of the ways that its dialect is known for, and what it
        rests on is known."""
        return self.status == "ok" and self.withheld is None and ended_by_itself(self.dialect, self.finish_reason)

    @property
    def why_not_complete(self) -> str:
        """What was wrong, in a few words; empty for a complete answer."""
        if self.complete:
            return ""
        if self.status != "ok":
            return _STATUS_WORDS.get(self.status, self.status)
        if self.withheld is not None:
            return self.withheld
        return "no finish reason" if self.finish_reason is None else f"ended with {self.finish_reason!r}"


@dataclass
class Trajectory:
    """One episode: a conversation, its tools and its reward.

    Attributes
    ----------
    messages
        Messages as in OpenAI's API, from the first to the last answer.
    tools
        Schemas of the tools that the model had, or None.
    reward
        The score of the episode; None until it is scored, which is not the same as 0.0.
    metrics
        Other named numbers.
    metadata
        Anything else, for example ``session``, ``task`` and ``kind`` (see :mod:`~shadownb.engine.trajectories.episodes`).
    logs
        Lines of text that the code which ran or scored the episode added.
    calls
        The recorded calls, one for each assistant turn that a model really produced. If empty (a trajectory made by hand),
        every assistant turn counts as produced.

    Examples
    --------
    >>> track = {"id": "c1", "type": "function", "function": {"name": "track", "arguments": '{"parcel": 7}'}}
    >>> episode = snb.Trajectory(
    ...     [
    ...         {"role": "user", "content": "Where is parcel 7?"},
    ...         {"role": "assistant", "content": None, "tool_calls": [track]},
    ...         {"role": "tool", "tool_call_id": "c1", "content": "in Utrecht"},
    ...         {"role": "assistant", "content": "It is in Utrecht."},
    ...     ],
    ...     reward=1.0,
    ... )
    >>> episode.first_user_content(), episode.final_content()
    ('Where is parcel 7?', 'It is in Utrecht.')
    >>> episode.assistant_turns, episode.sampled_turns, episode.trainable_turns
    ([1, 3], [1, 3], [1, 3])
    >>> episode.tool_calls
    [{'id': 'c1', 'name': 'track', 'arguments': {'parcel': 7}}]
    >>> episode.task, len(episode.task_hash)
    ('Where is parcel 7?', 32)
    >>> snb.Trajectory.from_json(episode.to_json()).to_dict() == episode.to_dict()
    True
    >>> recorded = snb.traces.from_otlp("spans.json")[0]
    >>> recorded.models, recorded.call_ids, recorded.usage, recorded.cost
    (...)
    >>> recorded.root_call == recorded.call_ids[0]  # it is no sub-agent's
    True
    >>> recorded.started_at, recorded.duration_s  # seconds
    (1000000000.0, 0.5)
    """

    messages: list[Message]
    tools: list[dict[str, Any]] | None = None
    reward: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    logs: list[str] = field(default_factory=list)
    calls: list[CallFacts] = field(default_factory=list)

    # -- content --------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.messages)

    def final_content(self) -> str:
        """Return the text of the last assistant turn, or ""."""
        return next((message_text(m) for m in reversed(self.messages) if role_of(m) == "assistant"), "")

    def first_user_content(self) -> str:
        """Return the text of the first user message, or ""."""
        return next((message_text(m) for m in self.messages if role_of(m) == "user"), "")

    @property
    def task(self) -> str:
        """``metadata["task"]``, else the text of what was asked, without system prompts."""
        named = self.metadata.get("task")
        return str(named) if named is not None else task_text(self.messages)

    @property
    def task_hash(self) -> str:
        """A hash of the task, 32 hexadecimal digits: the same for all attempts at one task."""
        named = self.metadata.get("task")
        return task_hash([{"role": "user", "content": str(named)}] if named is not None else self.messages)

    @property
    def assistant_turns(self) -> list[int]:
        """Indices of all assistant messages."""
        return [index for index, message in enumerate(self.messages) if role_of(message) == "assistant"]

    @property
    def sampled_turns(self) -> list[int]:
        """Indices of the assistant messages that a recorded call produced; of all if no calls are known."""
        return sorted({call.message for call in self.calls}) if self.calls else self.assistant_turns

    @property
    def trainable_turns(self) -> list[int]:
        """Those of ``sampled_turns`` whose answer is complete."""
        if not self.calls:
            return self.assistant_turns
        return sorted({call.message for call in self.calls if call.complete})

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        """All tool calls as ``{"id", "name", "arguments"}``, in order."""
        return [call for index in self.assistant_turns for call in calls_of(self.messages[index])]

    @property
    def root_call(self) -> str | None:
        """The first call of the task that this is a part of: the same for an agent, its sub-agents, and who it was handed to."""
        named = self.metadata.get("root_call")
        return str(named) if named is not None else next(iter(self.call_ids), None)

    # -- of the calls -----------------------------------------------------------------------------------------------

    @property
    def call_ids(self) -> list[str]:
        """The ids of the recorded calls, in the order of their turns."""
        return [call.id for call in self.calls]

    @property
    def models(self) -> list[str]:
        """Names of the models that answered, each once."""
        return list(dict.fromkeys(call.model for call in self.calls if call.model))

    @property
    def usage(self) -> dict[str, int]:
        """Numbers of tokens by kind, summed over the calls that report them."""
        total: Counter[str] = Counter()
        for call in self.calls:
            total.update(
                {k: v for k, v in (call.usage or {}).items() if isinstance(v, int) and not isinstance(v, bool)}
            )
        return dict(total)

    @property
    def cost(self) -> float | None:
        """Cost of all calls in US dollars; None if that of any call is unknown."""
        costs = [call.cost for call in self.calls]
        return sum(cost for cost in costs if cost is not None) if costs and None not in costs else None

    @property
    def started_at(self) -> float | None:
        """When the first call began, in seconds since 1970."""
        return min((call.started_at for call in self.calls if call.started_at is not None), default=None)

    @property
    def duration_s(self) -> float | None:
        """Seconds from the start of the first call to the end of the last, including the time between calls."""
        ends = [c.started_at + (c.duration_s or 0.0) for c in self.calls if c.started_at is not None]
        return max(ends) - self.started_at if ends and self.started_at is not None else None

    # -- out ----------------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values; empty fields are left out."""
        found: dict[str, Any] = {"messages": self.messages}
        for name in ("tools", "metrics", "metadata", "logs"):
            if getattr(self, name):
                found[name] = getattr(self, name)
        if self.reward is not None:
            found["reward"] = self.reward
        if self.calls:
            found["calls"] = [{k: v for k, v in asdict(call).items() if v is not None} for call in self.calls]
        return found

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Trajectory:
        """Return the trajectory of :meth:`to_dict`; fields of later versions are ignored.

        Raises
        ------
        DataError
            There are no messages.

        Examples
        --------
        >>> messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
        >>> episode = snb.Trajectory.from_dict({"messages": messages, "reward": 1.0})
        >>> episode.final_content()
        'Hello'
        """
        messages = content.get("messages") if isinstance(content, dict) else None
        if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
            raise DataError("A trajectory needs messages, a list of objects.", fix="Pass what to_dict() returned.")
        known = {f.name for f in fields(CallFacts)}
        calls = [CallFacts(**{k: v for k, v in call.items() if k in known}) for call in content.get("calls") or []]
        own = {f.name for f in fields(cls)} - {"calls"}
        return cls(**{k: v for k, v in content.items() if k in own}, calls=calls)

    def to_json(self) -> str:
        """Return :meth:`to_dict` as one line of JSON."""
        return dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Trajectory:
        """Return the trajectory of :meth:`to_json`. Raises :class:`DataError` if the text is not one.

        Examples
        --------
        >>> text = snb.Trajectory([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]).to_json()
        >>> snb.Trajectory.from_json(text).final_content()
        'Hello'
        """
        try:
            return cls.from_dict(loads(text, max_depth=MAX_DEPTH + 32))
        except ValueError as error:
            if isinstance(error, DataError):
                raise
            raise DataError(
                f"This is not the JSON of a trajectory: {error}", fix="Pass what to_json() wrote."
            ) from None

    def __repr__(self) -> str:
        facts = [f"{len(self.messages)} messages", f"{len(self.assistant_turns)} assistant turns"]
        if self.tool_calls:
            facts.append(f"{len(self.tool_calls)} tool calls")
        if self.reward is not None:
            facts.append(f"reward={self.reward:g}")
        return f"Trajectory({', '.join(facts)})"

    def _repr_html_(self) -> str:
        from shadownb.engine.trajectories.display import trajectory_html

        return trajectory_html(self)
