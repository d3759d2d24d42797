"""What ``reset`` and ``step`` of an environment return, in the forms that libraries have, read as one: :class:`Step`."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shadownb.engine.messages import is_message_list

_AROUND = ("done", "reward", "metadata")  # of an observation of OpenEnv, beside what it says
_TEXTS = ("text", "message", "content", "prompt", "observation")


@dataclass(frozen=True)
class Step:
    """What an environment answers.

    Attributes
    ----------
    observation
        What the model sees next: a text, or messages.
    reward
        What the action was worth; None where nothing was said of it.
    done
        Whether the episode is over.

    Examples
    --------
    >>> from shadownb.engine.environments import Step
    >>> Step("It is higher.", reward=0.0)
    Step(observation='It is higher.', reward=0.0, done=False)
    >>> Step("It is higher.").messages
    [{'role': 'user', 'content': 'It is higher.'}]
    """

    observation: str | list[dict[str, Any]] = ""
    reward: float | None = None
    done: bool = False

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The observation as messages; empty where there is none."""
        if isinstance(self.observation, str):
            return [{"role": "user", "content": self.observation}] if self.observation else []
        return self.observation


@dataclass(frozen=True)
class Outcome:
    """What came of one reply.

    Attributes
    ----------
    messages
        What the model sees next.
    calls, failed, late
        How many tools were called, how many of those raised or could not be called, and how many were ended for their time.
    """

    messages: list[dict[str, Any]] = field(default_factory=list)
    reward: float | None = None
    done: bool = False
    calls: int = 0
    failed: int = 0
    late: int = 0


def read(given: Any) -> Step:
    """Return what an environment gave as a Step.

    A text is an observation alone. ``(observation, reward, done)`` and Gymnasium's five are taken apart, objects and dicts by
    ``observation``, ``reward`` and ``done``; OpenEnv's observations have the last two themselves.

    Raises
    ------
    ValueError
        It is nothing of that, or its reward is no finite number.
    """
    if isinstance(given, Step):
        return dataclasses.replace(given, reward=_number(given.reward))
    if given is None or isinstance(given, str) or is_message_list(given):
        return Step(_said(given))
    if isinstance(given, tuple):
        return _of_tuple(given)
    facts = _fields(given)
    if facts is None:
        raise ValueError(f"the environment returned {given!r:.80}, which is no observation")
    said = facts.get("observation", {name: value for name, value in facts.items() if name not in _AROUND})
    reward = facts.get("reward")
    return Step(_said(said), _number(reward), bool(facts.get("done", facts.get("terminated", False))))


def _of_tuple(given: tuple[Any, ...]) -> Step:
    if len(given) == 2 and isinstance(given[1], Mapping):  # Gymnasium's reset: observation, info
        return Step(_said(given[0]))
    if len(given) == 3:
        return Step(_said(given[0]), _number(given[1]), bool(given[2]))
    if len(given) == 5:
        return Step(_said(given[0]), _number(given[1]), bool(given[2]) or bool(given[3]))
    raise ValueError(
        f"the environment returned {len(given)} values; (observation, reward, done) are three, Gymnasium's are five"
    )


def _said(value: Any) -> str | list[dict[str, Any]]:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if is_message_list(value):
        return [dict(message) for message in value]
    facts = _fields(value)
    return as_text(value if facts is None else {k: v for k, v in facts.items() if k not in _AROUND and v is not None})


def as_text(value: Any) -> str:
    """Return a value as what a model reads: texts as they are, anything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        if len(value) == 1 and isinstance(only := next(iter(value.values())), str):
            return only
        texts = [value[name] for name in _TEXTS if isinstance(value.get(name), str)]
        if len(texts) == 1 and not any(value[name] for name in value if value[name] is not texts[0]):
            return str(texts[0])
    return json.dumps(value, ensure_ascii=False, default=str)


def _fields(value: Any) -> dict[str, Any] | None:
    """Return the fields of a dict, a dataclass, a pydantic model or a plain object; None of what has none."""
    if isinstance(value, Mapping):
        return {str(name): held for name, held in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        found: dict[str, Any] = dump()
        return found
    if isinstance(value, int | float | Sequence | bytes):
        return None
    held = {name: one for name, one in getattr(value, "__dict__", {}).items() if not name.startswith("_")}
    return held or None


def _number(value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"the environment gave the reward {value!r:.60}, which is no number") from None
    if not math.isfinite(number):
        raise ValueError(f"the environment gave the reward {number}")
    return number
