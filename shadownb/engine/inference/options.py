"""Sampling: how tokens are picked, and the words for how much to think. Validated on creation."""

from __future__ import annotations

import dataclasses
import math
import numbers
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from shadownb.errors import ConfigError, did_you_mean

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")  # what servers and templates call them


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


class SamplingOptions(TypedDict, total=False):
    """What :class:`Sampling` is made of, as keywords of ``generate``, ``chat`` and ``stream``."""

    max_new_tokens: int
    temperature: float
    top_p: float
    top_k: int
    repetition_penalty: float
    stop: str | Sequence[str]
    seed: int | None
    logprobs: bool


@dataclass(frozen=True)
class Sampling:
    """How tokens are sampled; validated on creation.

    Attributes
    ----------
    max_new_tokens
        Most tokens to produce for one prompt, the stop token included; at least 1.
    temperature
        0 always takes the most likely token (greedy); higher values give more varied answers.
    top_p
        Keep the likeliest tokens that together hold this share of the probability; above 0, at most 1.
    top_k
        Keep only this many of the likeliest tokens; 0 keeps all.
    repetition_penalty
        Above 1 makes tokens that already occur in the prompt or answer less likely; 1 turns it off.
    stop
        Strings that end the answer; the text is cut before them. A single string is allowed, too.
    seed
        The same seed, prompt and weights give the same answer. ``None`` draws a new seed. The global RNG is not used.
    logprobs
        Whether to return the log-probability of each token. It is that of the model's own distribution, before temperature,
        top_p, top_k and repetition_penalty: what a policy gradient and a judge need. From those the one that was sampled
        from can be computed only with the whole distribution, which nobody keeps.

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
    logprobs: bool = False

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
        if not isinstance(self.logprobs, bool):
            raise ConfigError(
                f"logprobs={self.logprobs!r} is neither True nor False.",
                fix="logprobs=True returns the log-probability of each token that was taken.",
            )

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
