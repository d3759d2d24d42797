"""What environments return, in the forms that libraries have."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pydantic
import pytest

from shadownb.engine.environments import Step
from shadownb.engine.environments.adapters import Played
from shadownb.engine.environments.reading import read
from shadownb.engine.replies import ParsedReply


class EchoObservation(pydantic.BaseModel):
    """As OpenEnv's observations are."""

    echoed: str
    done: bool = False
    reward: float | None = None
    metadata: dict[str, Any] = {}


@dataclass
class Result:
    """As OpenEnv's StepResult is."""

    observation: EchoObservation
    reward: float | None = None
    done: bool = False


@dataclass
class Board:
    cells: list[int] = field(default_factory=lambda: [0, 1])
    note: str = "yours"


TURN = [{"role": "user", "content": "Go."}]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, Step()),
        ("hi", Step("hi")),
        (TURN, Step(TURN)),
        (Step("a", 1, True), Step("a", 1.0, True)),
        (("hi", {"info": 1}), Step("hi")),
        (("hi", 1, True), Step("hi", 1.0, True)),
        (("hi", 0.5, False, True, {}), Step("hi", 0.5, True)),
        ({"observation": "hi", "reward": 2, "done": False}, Step("hi", 2.0)),
        (Result(EchoObservation(echoed="hi"), 0.5, True), Step("hi", 0.5, True)),
        (EchoObservation(echoed="hi", done=True, reward=1.0), Step("hi", 1.0, True)),
        (SimpleNamespace(text="hi", reward=None, done=False), Step("hi")),
        (Board(), Step('{"cells": [0, 1], "note": "yours"}')),
    ],
)
def test_every_shape_is_a_step(given: Any, expected: Step) -> None:
    assert read(given) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [(3, "returned 3, which is no observation"), (("a", 1, 2, 3), "returned 4 values"), (("a", "x", True), "reward 'x'"),
     (("a", float("nan"), True), "reward nan")],
)  # fmt: skip
def test_what_is_none_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(given)


class Action(pydantic.BaseModel):
    message: str
    metadata: dict[str, Any] = {}


@dataclass
class Move:
    row: int
    column: int


class Typed:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def reset(self) -> str:
        return ""

    def step(self, action: Action) -> tuple[str, float, bool]:
        self.seen.append(action)
        return "", 0.0, False


class Moves(Typed):
    def step(self, action: Move) -> tuple[str, float, bool]:  # type: ignore[override]
        self.seen.append(action)
        return "", 0.0, False


class Parses(Typed):
    def parse_action(self, text: str) -> int:
        return int(text)


def now(function: Any) -> Any:
    return function()


def test_an_action_has_the_type_that_step_takes() -> None:
    for environment, text, expected in (
        (Typed(), "up", Action(message="up")),
        (Moves(), '{"row": 1, "column": 2}', Move(1, 2)),
        (Parses(), "7", 7),
    ):
        assert Played(environment).answer(ParsedReply(text), text, now).failed == 0
        assert environment.seen == [expected]
    broken = Played(Moves()).answer(ParsedReply("left"), "left", now)
    assert broken.failed == 1 and broken.messages[0]["content"] == "Error: an action is a JSON object with row, column"
