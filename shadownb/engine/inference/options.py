"""Sampling: how tokens are picked, and the words for how much to think. Validated on creation."""

from __future__ import annotations

import dataclasses
import math
import numbers
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from shadownb.engine.inference.constraint import Constraint
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
    min_p: float
    presence_penalty: float
    frequency_penalty: float
    logit_bias: Mapping[int, float]
    ignore_eos: bool
    top_logprobs: int
    schema: Any
    regex: str
    grammar: str


# A temperature below this leaves the likeliest token alone; numbers that were divided by it would be infinite in fp32.
_SURE = 1e-6
_FORMS = ("schema", "regex", "grammar")  # options that become one constraint


@dataclass(frozen=True)
class Sampling:
    """How tokens are sampled; validated on creation.

    Attributes
    ----------
    max_new_tokens
        Most tokens to produce for one prompt, the stop token included; at least 1.
    temperature
        0 to 1000. 0 always takes the most likely token (greedy), and so does anything below 1e-6; higher values give more varied
        answers.
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
    min_p
        Keep tokens that are at least this share as likely as the likeliest; 0 keeps all.
    presence_penalty, frequency_penalty
        Taken off the logit of a token that the answer has already, once, and for each time it has it; -2 to 2.
    logit_bias
        Numbers added to the logits of token ids, -100 to 100.
    ignore_eos
        Whether to go on past tokens that end an answer, up to ``max_new_tokens``: for measurements.
    top_logprobs
        Of how many of the likeliest tokens to return the log-probability at each place, at most 20.
    constraint
        The form that the answer has to have; the options ``schema``, ``regex`` and ``grammar`` make one.

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
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    ignore_eos: bool = False
    top_logprobs: int = 0
    constraint: Constraint | None = None

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        put("max_new_tokens", _integer("max_new_tokens", self.max_new_tokens, 1, 1_000_000))
        put("temperature", _number("temperature", self.temperature, "from 0 to 1000", lambda x: 0 <= x <= 1000))
        if self.temperature < _SURE:
            put("temperature", 0.0)
        put("top_p", _number("top_p", self.top_p, "above 0 and at most 1", lambda x: 0 < x <= 1))
        put("top_k", _integer("top_k", self.top_k, 0, 1_000_000))
        put(
            "repetition_penalty",
            _number("repetition_penalty", self.repetition_penalty, "from 0.01 to 100", lambda x: 0.01 <= x <= 100),
        )
        put("stop", self._stop_strings(self.stop))
        if self.seed is not None:
            put("seed", _integer("seed", self.seed, 0, 2**63 - 1))
        if not isinstance(self.logprobs, bool):
            raise ConfigError(
                f"logprobs={self.logprobs!r} is neither True nor False.",
                fix="logprobs=True returns the log-probability of each token that was taken.",
            )
        put("min_p", _number("min_p", self.min_p, "from 0 to 1", lambda x: 0 <= x <= 1))
        for name in ("presence_penalty", "frequency_penalty"):
            put(name, _number(name, getattr(self, name), "from -2 to 2", lambda x: -2 <= x <= 2))
        put("logit_bias", self._biases(self.logit_bias))
        if not isinstance(self.ignore_eos, bool):
            raise ConfigError(f"ignore_eos={self.ignore_eos!r} is neither True nor False.", fix="Give True or False.")
        put("top_logprobs", _integer("top_logprobs", self.top_logprobs, 0, 20))
        if self.constraint is not None and not isinstance(self.constraint, Constraint):
            raise ConfigError(
                f"constraint={self.constraint!r} is no form of an answer.", fix="Give schema=, regex= or grammar=."
            )
        if self.constraint is not None and self.ignore_eos:
            raise ConfigError("ignore_eos=True goes on past the end of a form.", fix="Leave one of the two out.")

    @staticmethod
    def _biases(value: Any) -> tuple[tuple[int, float], ...]:
        pairs = value.items() if isinstance(value, Mapping) else value
        try:
            read = [(int(token), number) for token, number in pairs]
        except (TypeError, ValueError):
            raise ConfigError(
                f"logit_bias={value!r} is no table of token ids.", fix="Give {token id: number from -100 to 100}."
            ) from None
        for token, _ in read:
            _integer("logit_bias", token, 0, 2**31)
        return tuple(
            sorted(
                (t, _number("logit_bias", number, "from -100 to 100", lambda x: -100 <= x <= 100)) for t, number in read
            )
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
        known = [*(f.name for f in dataclasses.fields(cls) if f.name != "constraint"), *_FORMS]
        given = {name: options.pop(name) for name in _FORMS if options.get(name) is not None}
        if len(given) > 1:
            raise ConfigError(f"{' and '.join(given)} are two forms of one answer.", fix="Give one of them.")
        for name, form in given.items():
            options["constraint"] = getattr(Constraint, name)(form)
        options = {name: value for name, value in options.items() if name not in _FORMS}
        for name, value in options.items():
            if name not in (*known, "constraint"):
                raise ConfigError(
                    f"Unknown sampling option {name}={value!r}.{did_you_mean(name, known)}",
                    fix=f"Known options: {', '.join(known)}.",
                )
        return cls(**options)

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature == 0

    def as_dict(self) -> dict[str, Any]:
        """Return the options as JSON values, those that change nothing left out but for the oldest: what is kept goes by them."""
        defaults = {f.name: f.default for f in dataclasses.fields(self)}
        found = dataclasses.asdict(self)
        return {name: value for name, value in found.items() if name in _OLDEST or value != defaults[name]}

    def require(self, honoured: Collection[str], who: str) -> None:
        """Raise :class:`ConfigError` for the first option that changes something and is not among those that ``who`` honours."""
        for name in self.as_dict():
            if name not in _OLDEST and name not in honoured:
                told = self.constraint.kind if name == "constraint" and self.constraint is not None else name
                raise ConfigError(f"{who} cannot honour {told}.", fix=f"Leave {told} out, or ask another engine.")


_OLDEST = frozenset(
    {"max_new_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "stop", "seed", "logprobs"}
)
NEWER = ("min_p", "presence_penalty", "frequency_penalty", "logit_bias", "ignore_eos", "top_logprobs", "constraint")
"""Options that not every generator has; one that lacks some refuses them by :meth:`Sampling.require`."""
