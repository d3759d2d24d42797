"""What goes into a generation and what comes out of it, without any framework.

``Completion`` is what one prompt produced, ``Reply`` is one assistant turn taken apart, and ``Generator`` is the protocol that
every inference backend follows.
"""

from __future__ import annotations

import html
import json
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from shadownb.engine.inference.adapters import AdapterSource
from shadownb.engine.inference.options import EFFORTS, Sampling
from shadownb.engine.replies.parts import ParsedReply

__all__ = [
    "EFFORTS",
    "Completion",
    "FinishReason",
    "Generator",
    "Outcome",
    "Reply",
    "Rollout",
    "Sampling",
    "TextStream",
    "Use",
]

FinishReason = Literal["stop", "length", "cancelled"]
Outcome = Literal["called", "abstained", "malformed"]
# Which weights answer: as they are, the base alone, or the base with an adapter that is not on the model.
Use = Literal["tuned", "base"] | AdapterSource


@dataclass(frozen=True)
class Completion:
    """What one prompt produced.

    Attributes
    ----------
    text
        The decoded answer with the markers of reasoning and calls, cut before a stop string or stop token.
    token_ids
        Every token the model produced, a closing stop token included.
    finish_reason
        ``stop`` (stop token or stop string), ``length`` (out of tokens) or ``cancelled``.
    prompt_tokens, completion_tokens
        Counts; ``completion_tokens == len(token_ids)``.
    stop_string
        The stop string that ended it; None where none did.
    logprobs
        Natural logarithm of the probability of each of ``token_ids`` in the model's own distribution, whatever the sampling
        made of that (see :class:`Sampling`); None where they were not asked for.
    top_logprobs
        At each of ``token_ids`` the likeliest tokens in that distribution, likeliest first, as (id, log-probability); None
        where they were not asked for.
    """

    text: str
    token_ids: list[int]
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    stop_string: str | None = None
    logprobs: list[float] | None = None
    top_logprobs: list[list[tuple[int, float]]] | None = None


@dataclass(frozen=True)
class Rollout:
    """One of several completions of one prompt, as :meth:`Generator.rollouts` gives them.

    Attributes
    ----------
    prompt
        The number of its prompt in the call.
    sample
        Which of the prompt's completions it is, from 0.
    completion
        With ``logprobs``.
    """

    prompt: int
    sample: int
    completion: Completion


@dataclass
class Reply:
    """A model's answer, taken apart. ``str(reply)`` is its content.

    Attributes
    ----------
    content
        The answer, without reasoning and tool calls.
    tool_calls
        As in OpenAI's API: ``{"id", "type": "function", "function": {"name", "arguments"}}``, the arguments as JSON text. A
        reply may also be made with ``{"name", "arguments"}``; ids that are missing are added.
    raw
        The text as it was generated, with the markers around reasoning and calls.
    finish_reason
        ``stop``, ``length`` (the answer reached ``max_new_tokens``) or ``cancelled``.
    usage
        Numbers of tokens: ``prompt_tokens``, ``completion_tokens``, ``total_tokens``.
    reasoning
        The model's reasoning before the answer; empty if there is none.
    malformed_calls
        ``{"text", "reason"}`` of each attempted tool call that cannot be read.
    reasoning_open
        Whether the reply ended before its reasoning did, so that there is no answer.
    remarks
        Other things worth knowing, in sentences, for example how a server ended the answer.
    sources
        Where the facts it was answered with come from (``model.facts``), if that was said when they were learned.
    token_ids
        Every generated token, including a final stop token; empty if the text comes from elsewhere.
    logprobs
        With ``logprobs=True``, the natural log-probability of each token in ``token_ids`` under the model's own distribution
        (see :class:`Sampling`); else None.
    parsed
        With ``schema=`` the answer as a value: an instance of the pydantic model that was given, else plain JSON; None where the
        answer was cut off.

    Examples
    --------
    >>> reply = model.chat([{"role": "user", "content": "I paid twice."}], temperature=0, logprobs=True)
    >>> str(reply), reply.outcome, reply.notes
    ('billing', 'abstained', [])
    >>> len(reply.token_ids), len(reply.logprobs), max(reply.logprobs) <= 0
    (8, 8, True)
    >>> reply.to_message()
    {'role': 'assistant', 'content': 'billing'}
    >>> call = snb.Reply("", tool_calls=[{"name": "refund", "arguments": {"order": 7}}])
    >>> call.tool_calls[0]["function"]
    {'name': 'refund', 'arguments': '{"order": 7}'}
    """

    content: str
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    role: str = "assistant"
    raw: str = ""
    finish_reason: FinishReason = "stop"
    usage: dict[str, int] = field(default_factory=dict)
    reasoning: str = ""
    malformed_calls: list[dict[str, str]] = field(default_factory=list)
    reasoning_open: bool = False
    remarks: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list, repr=False)
    logprobs: list[float] | None = field(default=None, repr=False)
    parsed: Any = None

    def __post_init__(self) -> None:
        self.tool_calls = [_as_wire(call) for call in self.tool_calls]

    @classmethod
    def from_completion(cls, completion: Completion, parsed: ParsedReply) -> Reply:
        """Build from a completion and what was parsed out of its text."""
        return cls(
            content=parsed.content,
            tool_calls=list(parsed.tool_calls),
            raw=completion.text,
            finish_reason=completion.finish_reason,
            usage={
                "prompt_tokens": completion.prompt_tokens,
                "completion_tokens": completion.completion_tokens,
                "total_tokens": completion.prompt_tokens + completion.completion_tokens,
            },
            reasoning=parsed.reasoning,
            malformed_calls=list(parsed.malformed_calls),
            reasoning_open=parsed.reasoning_open,
            token_ids=list(completion.token_ids),
            logprobs=None if completion.logprobs is None else list(completion.logprobs),
        )

    @property
    def outcome(self) -> Outcome:
        """``called`` if it called a tool, ``abstained`` if not, ``malformed`` if it tried to and the call cannot be read."""
        return "malformed" if self.malformed_calls else "called" if self.tool_calls else "abstained"

    def to_message(self) -> dict[str, Any]:
        """Return it as a message of OpenAI's API, to continue the conversation.

        The reasoning is in ``reasoning_content``, where chat templates look for it.
        """
        message: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.reasoning:
            message["reasoning_content"] = self.reasoning
        if self.tool_calls:
            message["tool_calls"] = [{**call, "function": dict(call["function"])} for call in self.tool_calls]
        return message

    def __str__(self) -> str:
        return self.content

    @property
    def notes(self) -> list[str]:
        """What is worth knowing about how the reply ended, in sentences; empty if nothing is."""
        found = [f"Not a valid call: {each['reason']}." for each in self.malformed_calls]
        if self.finish_reason == "length":
            found.append("Cut off at max_new_tokens.")
        if self.reasoning_open:
            found.append("It ended before its reasoning did, so there is no answer.")
        elif self.finish_reason == "stop" and self.outcome == "abstained" and not self.content.strip():
            found.append("The answer is empty.")
        found += [f"From memory: {source}." for source in self.sources]
        return [*found, *self.remarks]

    def _repr_html_(self) -> str:
        thought = (
            f'<details><summary>reasoning</summary><div style="white-space:pre-wrap">{html.escape(self.reasoning)}</div></details>'
            if self.reasoning
            else ""
        )
        calls = "".join(
            f"<div><code>{html.escape(call['name'])}({html.escape(call['arguments'])})</code></div>"
            for call in (each["function"] for each in self.tool_calls)
        )
        broken = "".join(f"<div><code>{html.escape(each['text'])}</code></div>" for each in self.malformed_calls)
        notes = "".join(f"<div><em>{html.escape(note)}</em></div>" for note in self.notes)
        return f'{thought}<div style="white-space:pre-wrap">{html.escape(self.content)}</div>{calls}{broken}{notes}'


def _as_wire(call: dict[str, Any]) -> dict[str, Any]:
    """Return a call in OpenAI's form; an id that it lacks is made."""
    said = call.get("function") or call
    function = {"name": said["name"], "arguments": _as_json(said.get("arguments", {}))}
    return {"id": call.get("id") or f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}


def _as_json(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


@runtime_checkable
class TextStream(Protocol):
    """An iterator over text deltas that can be closed early."""

    completion: Completion | None

    def __iter__(self) -> TextStream: ...
    def __next__(self) -> str: ...
    def close(self) -> None: ...


@runtime_checkable
class Generator(Protocol):
    """What every inference backend offers. Prompts are token ids, so that rendering stays in one place.

    An adapter answers as if it were alone on the base, whatever is on the model and also while that is trained: between two
    steps, with the trained state, its gradients and modes left as they are. One that cannot stand there is refused by name with
    a :class:`~shadownb.errors.ModelError`, before any row is answered (:meth:`Weights.check_beside`).
    """

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        *,
        use: Use | Sequence[Use] = "tuned",
        should_stop: Callable[[], bool] | None = None,
    ) -> list[Completion]:
        """Complete each prompt; the result has the order of ``prompts``.

        ``use`` says which weights answer, or has one word a prompt. A prompt gets the same answer whoever answers the others.
        """
        ...

    def stream(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        *,
        use: Use = "tuned",
        should_stop: Callable[[], bool] | None = None,
    ) -> TextStream:
        """Complete one prompt piece by piece; the joined pieces are the completion's text."""
        ...

    def rollouts(
        self,
        prompts: Sequence[Sequence[int]],
        n: int,
        sampling: Sampling,
        *,
        use: Use = "tuned",
        skip: Collection[tuple[int, int]] = (),
        should_stop: Callable[[], bool] | None = None,
    ) -> Iterator[Rollout]:
        """Complete each prompt ``n`` times and give every completion once it is finished, in any order.

        A completion depends on the weights, its prompt, ``sampling.seed`` and its two numbers alone (to rounding: products of
        other shapes sum in another order), so that a batch that was broken off goes on with the same tokens.

        The weights are held while tokens are computed and free while the caller has a completion, so that whoever waits for
        them is answered in between. Closing the iterator ends it.

        Parameters
        ----------
        skip
            ``(prompt, sample)`` of completions that are there already.
        should_stop
            Looked at after every token and while waiting for the weights; true ends the iteration, without what is unfinished.

        Raises
        ------
        ModelError
            As in :meth:`generate`, before anything is computed; or the weights were changed between two completions.
        ConfigError
            ``n`` is below 1.
        """
        ...
