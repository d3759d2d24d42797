"""What a sweep tries: options with choices or ranges, as a user writes them, as JSON, and checked against TrainConfig."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from shadownb.engine.config import TrainConfig
from shadownb.engine.config_fields import config_fields
from shadownb.errors import ConfigError, did_you_mean

# Where and beside what a trial trains is no property of what it learns.
_NOT_SWEPT = ("executor", "queue", "notify", "report_to", "resume_from_checkpoint", "sample_prompts", "logging_steps")
_RANGE = re.compile(r"\s*(?P<low>[^.\s].*?)\s*\.\.\s*(?P<high>[^\s:]+)\s*(?::?\s*(?P<log>log))?\s*")
_MOST_COMBINATIONS = 100_000  # that are counted one by one


@dataclass(frozen=True)
class Choices:
    """One of several values."""

    values: tuple[Any, ...]

    @property
    def size(self) -> float:
        """How many values there are."""
        return len(self.values)


@dataclass(frozen=True)
class Range:
    """A number from ``low`` to ``high``, both included; with ``log`` every factor is as likely as every other."""

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def size(self) -> float:
        """How many values there are."""
        return self.high - self.low + 1 if self.whole else math.inf


Space = dict[str, Choices | Range]


def read(space: Mapping[str, Any], fields: Mapping[str, Any], method: str) -> Space:
    """Return a space as it is meant, each of its values tried on TrainConfig.

    Parameters
    ----------
    space
        By option: a list of choices; ``(low, high)`` or ``(low, high, "log")``; or text, ``"4, 8, 16"`` or ``"1e-5..1e-3 log"``.
    fields
        The options that all trials share.

    Raises
    ------
    ConfigError
        An option is unknown, is given twice, cannot be swept, or does not take a value.
    """
    if not isinstance(space, Mapping) or not space:
        raise ConfigError(f"space={space!r} names no options.", fix="For example {'learning_rate': [1e-4, 1e-3]}.")
    found: Space = {name: _axis(name, given) for name, given in space.items()}
    if "method" in found and isinstance(found["method"], Range):
        raise ConfigError("space: 'method' has names, no range.", fix="{'method': ['lora', 'dora']}")
    methods = found["method"].values if "method" in found and isinstance(found["method"], Choices) else (method,)
    known = [field.name for field in config_fields()]
    for name, axis in found.items():
        if name not in known:
            raise ConfigError(f"space: {name!r} is not a training option.{did_you_mean(name, known)}")
        if name in _NOT_SWEPT:
            raise ConfigError(
                f"space: {name!r} changes nothing that is learned.", fix="Give it as an option beside space."
            )
        if name in fields:
            raise ConfigError(f"{name} is in space and given as {fields[name]!r}, too.", fix="Give it once.")
        values = axis.values if isinstance(axis, Choices) else (axis.low, axis.high)
        for value in values:
            TrainConfig(**{"method": methods[0], **fields, name: value})  # raises what is wrong with it
    return found


def _axis(name: str, given: Any) -> Choices | Range:
    if isinstance(given, str):
        given = _of_text(given)
    if isinstance(given, tuple) and len(given) in (2, 3) and all(_is_number(each) for each in given[:2]):
        log = len(given) == 3
        if log and given[2] != "log":
            raise ConfigError(f"space: {name}={given!r}.", fix='A range is (low, high) or (low, high, "log").')
        low, high = given[:2]
        if not low < high or (log and low <= 0):
            why = "A logarithm needs numbers above 0." if log and low <= 0 else ""
            raise ConfigError(f"space: {name}={given!r} is no range.", why=why, fix="(low, high) with low < high.")
        return Range(low, high, log)
    if isinstance(given, list | tuple) and given:
        values = tuple(dict.fromkeys(given))
        if len(values) < len(given):
            raise ConfigError(f"space: {name}={given!r} has a value twice.")
        return Choices(values)
    raise ConfigError(
        f"space: {name}={given!r} says no values.",
        fix='A list of choices, [4, 8], or a range, (1e-5, 1e-3, "log").',
    )


def _of_text(text: str) -> Any:
    """Return what a text means: ``4, 8, 16`` is a list, ``1e-5..1e-3 log`` a range."""
    found = _RANGE.fullmatch(text)
    if found is not None:
        low, high = value_of(found["low"]), value_of(found["high"])
        if _is_number(low) and _is_number(high):
            return (low, high, "log") if found["log"] else (low, high)
    return [value_of(part) for part in text.split(",") if part.strip()]


def value_of(text: str) -> Any:
    """Return a typed value: a whole number, a number, yes or no, else the text."""
    text = text.strip()
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False, "none": None}.get(text.lower(), text)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def size_of(space: Space) -> float:
    """Return how many combinations there are; infinity where one of them is a number."""
    return math.prod(axis.size for axis in space.values())


def combinations(space: Space) -> Iterator[dict[str, Any]]:
    """Yield all combinations of a space that has an end, the last option changing first."""
    axes = [
        axis.values if isinstance(axis, Choices) else tuple(range(int(axis.low), int(axis.high) + 1))
        for axis in space.values()
    ]
    for values in itertools.product(*axes):
        yield dict(zip(space, values, strict=True))


def is_countable(space: Space) -> bool:
    """Whether :func:`combinations` ends soon."""
    return size_of(space) <= _MOST_COMBINATIONS


def to_json(space: Space) -> dict[str, Any]:
    """Return a space as JSON values."""
    return {name: asdict(axis) for name, axis in space.items()}


def from_json(content: Mapping[str, Any]) -> Space:
    """Return the space that :func:`to_json` described."""
    return {
        name: Choices(tuple(found["values"])) if "values" in found else Range(**found)
        for name, found in content.items()
    }


def in_words(axis: Choices | Range) -> str:
    """Return an axis as a user may write it in a line."""
    if isinstance(axis, Choices):
        return ", ".join(map(str, axis.values))
    return f"{axis.low:g}..{axis.high:g}{' log' if axis.log else ''}"
