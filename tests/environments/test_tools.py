"""Typed functions as tools: what a model is shown, what they are called with, and what is said of a call that cannot be made."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import pydantic
import pytest

from shadownb.engine.environments.tools import tool_of
from shadownb.errors import ConfigError


class Place(pydantic.BaseModel):
    row: int
    column: int = 0


def refund(order: int, reason: Literal["late", "broken"] = "late", places: list[Place] | None = None) -> dict[str, Any]:
    """Pay an order back.

    Only once an order.

    Args:
        order: Its number.
        reason (str): Why it is paid
            back.

    Returns:
        What was done.
    """
    return {"order": order, "reason": reason, "rows": [place.row for place in places or ()]}


def documented(amount: float) -> str:
    """Double it.

    Parameters
    ----------
    amount : float
        What is doubled.
    """
    return str(2 * amount)


def test_a_schema_says_what_signature_and_docstring_say() -> None:
    tool = tool_of(refund)
    function = tool.schema["function"]
    assert (function["name"], function["description"]) == ("refund", "Pay an order back. Only once an order.")
    parameters = function["parameters"]
    assert parameters["required"] == ["order"] and "title" not in str(parameters)
    assert parameters["properties"]["order"] == {"type": "integer", "description": "Its number."}
    assert parameters["properties"]["reason"]["enum"] == ["late", "broken"]
    assert parameters["properties"]["reason"]["description"] == "Why it is paid back."
    assert (
        tool_of(documented).schema["function"]["parameters"]["properties"]["amount"]["description"]
        == "What is doubled."
    )


def test_an_argument_may_be_called_title() -> None:
    def book(title: str) -> str:
        """Find a book."""
        return title

    tool = tool_of(book)
    assert (
        list(tool.schema["function"]["parameters"]["properties"]) == ["title"]
        and tool.call({"title": "Emma"}) == "Emma"
    )


def test_it_is_called_with_typed_values() -> None:
    tool = tool_of(refund)
    assert tool.call({"order": "7", "places": [{"row": 3}]}) == '{"order": 7, "reason": "late", "rows": [3]}'

    async def later(x: int) -> int:
        """Wait."""
        await asyncio.sleep(0)
        return x + 1

    assert tool_of(later).call({"x": 1}) == "2"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "order: Field required"),
        ({"order": "x"}, "order: Input should be a valid integer"),
        ({"order": 1, "colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"order": 1, "reason": "gone"}, "reason: Input should be 'late' or 'broken'"),
        ([1], r"the arguments of refund are \[1\], not an object"),
    ],
)
def test_a_call_that_cannot_be_made_says_why(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tool_of(refund).call(given)


def test_an_argument_without_a_type_is_refused() -> None:
    def bad(x) -> str:  # type: ignore[no-untyped-def]
        return x

    with pytest.raises(ConfigError, match="bad has an argument 'x' without a type"):
        tool_of(bad)
