"""What goes into a generation and what comes out of it, without any framework.

``Sampling`` says how to pick tokens, ``Completion`` is what one prompt produced, ``Reply`` is a parsed assistant turn,
and ``Generator`` is the protocol that every inference backend follows.
"""

from __future__ import annotations

import dataclasses
import html
import json
import math
import numbers
import operator
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from shadownb.errors import ConfigError, did_you_mean

FinishReason = Literal["stop", "length", "cancelled"]
Use = Literal["tuned", "base"]


def _integer(option: str, value: Any, low: int, high: int) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise ConfigError(f"{option}={value!r} is not a whole number.", fix=f"Give {option} from {low} on.") from None
    if not low <= number <= high:
        raise ConfigError(f"{option}={value!r} is out of range.", fix=f"Give a whole number from {low} to {high}.")
    return number


def _number(option: str, value: Any, rule: str, accepts: Callable[[float], bool]) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ConfigError(f"{option}={value!r} is not a number.", fix=f"Give a number {rule}.")
    number = float(value)
    if not math.isfinite(number) or not accepts(number):
        raise ConfigError(f"{option}={value!r} is out of range.", fix=f"Give a number {rule}.")
    return number


@dataclass(frozen=True)
class Sampling:
    """How tokens are picked; validated on creation.

    Attributes
    ----------
    max_new_tokens
        Most tokens to produce for one prompt, the stop token included; at least 1.
    temperature
        0 takes the likeliest token each time (greedy); higher is more varied.
    top_p
        Keep the likeliest tokens that together hold this share of the probability; above 0, at most 1.
    top_k
        Keep only this many of the likeliest tokens; 0 keeps all.
    repetition_penalty
        Above 1 makes tokens that already stand in prompt or answer less likely; 1 is off.
    stop
        Strings that end the answer; the text is cut before them. A single string is taken as one of them.
    seed
        Same seed, prompt and weights: same answer. ``None`` draws a fresh one. Never touches the global RNG.

    Raises
    ------
    ConfigError
        A value is out of range; the message names the option and the value.
    """

    max_new_tokens: int = 256
    temperature: float = 0.7
    top_p: float = 0.95
    top_k: int = 0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        put("max_new_tokens", _integer("max_new_tokens", self.max_new_tokens, 1, 1_000_000))
        put("temperature", _number("temperature", self.temperature, "of at least 0", lambda x: x >= 0))
        put("top_p", _number("top_p", self.top_p, "above 0 and at most 1", lambda x: 0 < x <= 1))
        put("top_k", _integer("top_k", self.top_k, 0, 1_000_000))
        put("repetition_penalty", _number("repetition_penalty", self.repetition_penalty, "above 0", lambda x: x > 0))
        put("stop", self._stop_strings(self.stop))
        if self.seed is not None:
            put("seed", _integer("seed", self.seed, 0, 2**63 - 1))

    @staticmethod
    def _stop_strings(value: Any) -> tuple[str, ...]:
        strings = (value,) if isinstance(value, str) else () if value is None else value
        if not isinstance(strings, Sequence) or not all(isinstance(s, str) and s for s in strings):
            raise ConfigError(f"stop={value!r} is not a list of strings.", fix="Give non-empty strings: stop=['END'].")
        return tuple(dict.fromkeys(strings))

    @classmethod
    def from_options(cls, **options: Any) -> Sampling:
        """Build from keyword options; an unknown name raises ``ConfigError`` with the closest known one."""
        known = [f.name for f in dataclasses.fields(cls)]
        for name, value in options.items():
            if name not in known:
                raise ConfigError(
                    f"Unknown sampling option {name}={value!r}.{did_you_mean(name, known)}",
                    fix=f"Known options: {', '.join(known)}.",
                )
        return cls(**options)

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature == 0


@dataclass(frozen=True)
class Completion:
    """What one prompt produced.

    Attributes
    ----------
    text
        The decoded answer, cut before a stop string or stop token.
    token_ids
        Every token the model produced, a closing stop token included.
    finish_reason
        ``stop`` (stop token or stop string), ``length`` (out of tokens) or ``cancelled``.
    prompt_tokens, completion_tokens
        Counts; ``completion_tokens == len(token_ids)``.
    """

    text: str
    token_ids: list[int]
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int


@dataclass
class Reply:
    """One assistant turn, parsed.

    ``str(reply)`` is its content. ``tool_calls`` holds dicts with ``id``, ``name`` and ``arguments``; an id that is
    missing is made. ``raw`` is the text as generated, ``usage`` counts tokens.
    """

    content: str
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    role: str = "assistant"
    raw: str = ""
    finish_reason: FinishReason = "stop"
    usage: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tool_calls = [
            {
                "id": call.get("id") or f"call_{uuid.uuid4().hex[:24]}",
                "name": call["name"],
                "arguments": call.get("arguments", {}),
            }
            for call in self.tool_calls
        ]

    @classmethod
    def from_completion(cls, completion: Completion, content: str, tool_calls: Sequence[dict[str, Any]] = ()) -> Reply:
        """Build from a completion and what a renderer parsed out of its text."""
        return cls(
            content=content,
            tool_calls=list(tool_calls),
            raw=completion.text,
            finish_reason=completion.finish_reason,
            usage={
                "prompt_tokens": completion.prompt_tokens,
                "completion_tokens": completion.completion_tokens,
                "total_tokens": completion.prompt_tokens + completion.completion_tokens,
            },
        )

    def to_message(self) -> dict[str, Any]:
        """Return the OpenAI wire form: each tool call has an id, a type, and its arguments as a JSON string."""
        message: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.tool_calls:
            message["tool_calls"] = [
                {
                    "id": call["id"],
                    "type": "function",
                    "function": {"name": call["name"], "arguments": _as_json(call["arguments"])},
                }
                for call in self.tool_calls
            ]
        return message

    def __str__(self) -> str:
        return self.content

    def _repr_html_(self) -> str:
        calls = "".join(
            f"<div><code>{html.escape(call['name'])}({html.escape(_as_json(call['arguments']))})</code></div>"
            for call in self.tool_calls
        )
        return f'<div style="white-space:pre-wrap">{html.escape(self.content)}</div>{calls}'


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
    """What every inference backend offers. Prompts are token ids, so that rendering stays in one place."""

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        *,
        use: Use = "tuned",
        should_stop: Callable[[], bool] | None = None,
    ) -> list[Completion]:
        """Complete each prompt; the result has the order of ``prompts``."""
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
