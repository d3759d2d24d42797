"""How one instance of an environment is played, whatever shape its class has.

``step`` makes it one of actions: OpenEnv's and Gymnasium's, and the plainest of our own. Without ``step`` its public methods are
tools, as with trl's ``environment_factory``. Beside that it may have ``tools`` (functions that can be called along with ``step``),
``get_reward()``, which has the last word about what the episode was worth, and ``close()``.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import typing
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from shadownb.engine.environments.calling import Late
from shadownb.engine.environments.reading import Outcome, Step, as_text, read
from shadownb.engine.environments.tools import Tool, tool_of
from shadownb.engine.replies import ParsedReply
from shadownb.engine.scoring.limits import finished
from shadownb.errors import ConfigError

_RESERVED = ("reset", "step", "state", "close", "get_reward", "tools", "parse_action", "render", "seed")


class Call(Protocol):
    """Has something of the environment called, in its thread and within its time."""

    def __call__(self, function: Callable[[], Any]) -> Any: ...


class Played:
    """One instance, for one episode after the other."""

    def __init__(self, environment: Any) -> None:
        if not callable(getattr(environment, "reset", None)):
            raise ConfigError(
                f"environment={type(environment).__name__} has no reset().",
                fix="Give a class with reset(**row), and with step(action), or with typed methods that are tools.",
            )
        self._environment = environment
        self._steps = callable(getattr(environment, "step", None))
        offered = list(getattr(environment, "tools", None) or []) if self._steps else _methods(environment)
        self.tools: dict[str, Tool] = {tool.name: tool for tool in map(tool_of, offered)}
        if not self._steps and not self.tools:
            raise ConfigError(
                f"environment={type(environment).__name__} has neither step() nor a public method that could be a tool.",
                fix="Give it step(action), which returns (observation, reward, done); or typed methods with docstrings.",
            )
        self._gained: float | None = None

    @property
    def schemas(self) -> list[dict[str, Any]]:
        """The tools that a model is offered."""
        return [tool.schema for tool in self.tools.values()]

    @property
    def takes_text(self) -> bool:
        """Whether a reply without a call is an action, and not the end."""
        return self._steps

    def reset(self, row: Mapping[str, Any], seed: int) -> Step:
        """Begin an episode; ``row`` are the columns of the data's row, of which it gets those that it takes."""
        self._gained = None
        taken = _taken(self._environment.reset, {**row, "seed": seed})
        step = read(finished(self._environment.reset(**taken)))
        return step

    def answer(self, reply: ParsedReply, text: str, call: Call) -> Outcome:
        """Return what comes of a reply.

        Tools that raise, cannot be called or take too long are observations, and so is an error of ``step``.

        Raises
        ------
        Late
            A call could not be ended, so that nothing can be asked of this environment any more.
        """
        if reply.tool_calls or (reply.malformed_calls and self.tools):
            return self._called(reply, call)
        if not self._steps:
            return Outcome(done=True)
        try:
            step: Step = call(lambda: read(finished(self._environment.step(self._action(text)))))
        except Late as late:
            if not late.ended:
                raise
            return Outcome(_told(f"Error: the step {late}."), late=1)
        except Exception as error:
            return Outcome(_told(f"Error: {_words(error)}"), failed=1)
        if step.reward is not None:
            self._gained = (self._gained or 0.0) + step.reward
        return Outcome(step.messages, step.reward, step.done)

    def _called(self, reply: ParsedReply, call: Call) -> Outcome:
        messages: list[dict[str, Any]] = []
        failed = late = 0
        for made in reply.tool_calls:
            tool = self.tools.get(made["name"])
            try:
                if tool is None:
                    raise ValueError(f"there is no tool {made['name']!r}; there are {', '.join(self.tools) or 'none'}")
                arguments = made["arguments"]
                arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
                said = call(partial(tool.call, arguments))
            except Late as error:
                if not error.ended:
                    raise
                late += 1
                said = f"Error: {made['name']} {error}."
            except Exception as error:
                failed += 1
                said = f"Error: {_words(error)}"
            messages.append({"role": "tool", "tool_call_id": made.get("id"), "name": made["name"], "content": said})
        for broken in reply.malformed_calls:
            failed += 1
            messages += _told(f"Error: the call cannot be read: {broken['reason']}.")
        return Outcome(messages, calls=len(reply.tool_calls) + len(reply.malformed_calls), failed=failed, late=late)

    def reward(self) -> float | None:
        """Return what the episode was worth: what ``get_reward`` says, else the sum of the steps' rewards."""
        own = getattr(self._environment, "get_reward", None)
        return read(("", finished(own()), True)).reward if callable(own) else self._gained

    def close(self) -> None:
        """Close it, where it can be closed."""
        own = getattr(self._environment, "close", None)
        if callable(own):
            finished(own())

    def _action(self, text: str) -> Any:
        """Return a reply in the form that ``step`` takes: by ``parse_action``, by its type hint, else as the text that it is."""
        own = getattr(self._environment, "parse_action", None)
        if callable(own):
            return own(text)
        wanted = _first_hint(self._environment.step)
        if not isinstance(wanted, type) or wanted in (str, object):
            return text
        names = _required(wanted)
        if names is None:
            return text
        if len(names) == 1:
            return wanted(**{names[0]: text})
        try:
            given = json.loads(text)
        except ValueError:
            given = None
        if not isinstance(given, dict):
            raise ValueError(f"an action is a JSON object with {', '.join(names)}")
        return wanted(**given)


def _methods(environment: Any) -> list[Callable[..., Any]]:
    """Return the public methods that its class has, but for those that have a meaning of their own."""
    names = [name for name in dir(type(environment)) if not name.startswith("_") and name not in _RESERVED]
    found = [getattr(environment, name) for name in names if inspect.isroutine(getattr(type(environment), name))]
    order = {name: place for kind in reversed(type(environment).__mro__) for place, name in enumerate(vars(kind))}
    return sorted(found, key=lambda method: order.get(method.__name__, 0))


def _taken(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return {}
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return dict(given)
    return {each.name: given[each.name] for each in parameters if each.name in given}


def _first_hint(function: Callable[..., Any]) -> Any:
    try:
        hints = typing.get_type_hints(function)
        first = next(iter(inspect.signature(function).parameters), "")
    except (NameError, TypeError, ValueError):
        return None
    return hints.get(first)


def _required(kind: type) -> list[str] | None:
    """Return the fields that a dataclass or a pydantic model cannot be made without; None of another type."""
    if dataclasses.is_dataclass(kind):
        return [
            each.name
            for each in dataclasses.fields(kind)
            if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING and each.init
        ]
    fields = getattr(kind, "model_fields", None)
    return [name for name, field in fields.items() if field.is_required()] if isinstance(fields, dict) else None


def _told(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def _words(error: Exception) -> str:
    text = as_text(str(error)).strip()
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}".rstrip(": ")
