"""Arrow's padding: nulls in schemas and arguments, whole numbers as floats; what is truly null stays."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest

from shadownb.engine.data import Dataset

Row = dict[str, Any]


def tool(name: str, properties: Row, *required: str) -> Row:
    schema: Row = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "parameters": {**schema, "required": list(required)}}}


WEATHER = tool("weather", {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}}, "city")
SEARCH = tool(
    "search",
    {
        "query": {"type": "string", "enum": ["sea", "pier"]},
        "before": {"type": ["string", "null"]},
        "where": {"type": "object", "properties": {"field": {"type": "string"}, "limit": {"type": "integer"}}},
        "ids": {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
    },
    "query",
)
PING = {
    "type": "function",
    "function": {"name": "ping", "description": "No arguments.", "parameters": {"type": "object", "properties": {}}},
}


def asks(tools: list[Row], *calls: tuple[str, Row]) -> Row:
    made = [{"type": "function", "function": {"name": name, "arguments": arguments}} for name, arguments in calls]
    messages = [{"role": "user", "content": "do"}, {"role": "assistant", "content": "", "tool_calls": made}]
    return {"messages": messages, "tools": tools}


ROWS = [
    asks([WEATHER], ("weather", {"city": "Oskin", "days": 3})),
    asks([WEATHER], ("weather", {"city": "Veldra"})),
    asks([SEARCH, WEATHER], ("search", {"query": "sea", "before": None}), ("weather", {"city": "Oskin"})),
    asks([SEARCH], ("search", {"query": "pier", "before": "1911", "where": {"field": "name"}, "ids": [1, 2]})),
    asks([PING], ("ping", {})),
    {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hello.", "weight": 1}]},
]


def with_floats(value: Any) -> Any:
    """What pandas makes of whole numbers beside missing ones."""
    if isinstance(value, dict):
        return {key: with_floats(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [with_floats(entry) for entry in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def as_datasets(rows: list[Row], _: Path) -> Dataset:
    return Dataset.from_datasets(datasets.Dataset.from_list(rows))


def as_parquet(rows: list[Row], folder: Path) -> Dataset:
    datasets.Dataset.from_list(rows).to_parquet(folder / "rows.parquet")
    return Dataset.load(folder / "rows.parquet")


def as_jsonl(rows: list[Row], folder: Path) -> Dataset:
    datasets.Dataset.from_list(rows).to_json(folder / "rows.jsonl")
    assert "null" in (folder / "rows.jsonl").read_text(), "the padding is in the file"
    return Dataset.load(folder / "rows.jsonl")


def as_frame(rows: list[Row], _: Path) -> Dataset:
    return Dataset.from_pandas(datasets.Dataset.from_list(rows).to_pandas())


def as_frame_json(rows: list[Row], folder: Path) -> Dataset:
    datasets.Dataset.from_list(rows).to_pandas().to_json(folder / "rows.jsonl", orient="records", lines=True)
    return Dataset.load(folder / "rows.jsonl")


def as_list_of_arrow(rows: list[Row], _: Path) -> Dataset:
    return Dataset.from_list(list(datasets.Dataset.from_list(rows)))


WAYS = [as_datasets, as_parquet, as_jsonl, as_frame, as_frame_json, as_list_of_arrow]
EXPECTED = Dataset.from_list(ROWS).canonical_rows()


def test_rows_that_never_saw_arrow_are_as_they_were() -> None:
    plain = copy.deepcopy(ROWS)
    assert Dataset.from_list(plain).canonical_rows() == EXPECTED == ROWS and plain == ROWS


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("floats", [False, True], ids=["", "floats"])
def test_padding_is_taken_out_on_every_way_in(way: Callable[..., Dataset], floats: bool, tmp_path: Path) -> None:
    data = way(with_floats(ROWS) if floats else ROWS, tmp_path)
    assert data.report.ok, data.report
    found = data.canonical_rows()
    assert found == EXPECTED
    as_written = [json.dumps(rows, sort_keys=True) for rows in (found, EXPECTED)]
    assert as_written[0] == as_written[1], "1.0 is not written where 1 was"


@pytest.mark.parametrize("way", WAYS)
def test_without_schemas_it_is_taken_out_as_well(way: Callable[..., Dataset], tmp_path: Path) -> None:
    calls = [
        ("weather", {"city": "Oskin", "days": 3}),
        ("weather", {"city": "Veldra"}),
        ("ping", {}),
        ("count", {"to": 7}),
    ]
    rows = [{"messages": asks([], call)["messages"]} for call in calls]
    assert way(with_floats(rows), tmp_path).canonical_rows() == Dataset.from_list(rows).canonical_rows() == rows


def test_one_stray_null_does_not_make_the_others_padding() -> None:
    rows = [
        asks([WEATHER], ("weather", {"city": "a", "mood": None})),
        asks([], ("f", {"x": None})),
        asks([], ("f", {})),
    ]
    found = Dataset.from_list(rows).canonical_rows()
    calls = [row["messages"][1]["tool_calls"][0]["function"]["arguments"] for row in found]
    assert calls == [{"city": "a"}, {"x": None}, {}], "weather knows no mood; of f nothing speaks for padding"


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        ({"type": ["string", "null"]}, True),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, True),
        ({"type": "string", "nullable": True}, True),
        ({"enum": ["a", None]}, True),
        ({}, True),
        ({"type": "string"}, False),
    ],
)
def test_a_null_that_the_schema_allows_is_true(kind: Row, kept: bool) -> None:
    own = tool("f", {"x": kind, "y": {"type": "string"}}, "y")
    rows = [
        asks([own, WEATHER], ("f", {"x": None, "y": "b"})),
        asks([own, WEATHER], ("weather", {"city": "a", "days": 1})),
    ]
    found = Dataset.from_datasets(datasets.Dataset.from_list(rows)).canonical_rows()
    (call,) = found[0]["messages"][1]["tool_calls"]
    assert call["function"]["arguments"] == ({"x": None, "y": "b"} if kept else {"y": "b"})


def test_a_null_that_the_schema_requires_is_true_and_one_among_varied_calls_too() -> None:
    required = tool("f", {"x": {"type": "string"}}, "x")
    rows = [asks([required, WEATHER], ("f", {"x": None})), asks([required, WEATHER], ("weather", {"city": "a"}))]
    found = Dataset.from_datasets(datasets.Dataset.from_list(rows)).canonical_rows()
    assert found[0]["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"x": None}
    optional = tool("f", {"x": {"type": "string"}, "y": {"type": "string"}})
    varied = [
        asks([optional], ("f", {"x": None})),
        asks([optional], ("f", {"y": "b"})),
        asks([optional], ("f", {"x": "c"})),
    ]
    assert Dataset.from_list(varied).canonical_rows() == varied, (
        "calls that differ in their arguments never were in Arrow"
    )
    given = [asks([], ("f", {"x": None})), asks([], ("f", {"x": "a"}))]
    assert [row["messages"] for row in Dataset.from_list(given).canonical_rows()] == [row["messages"] for row in given]


def test_a_default_of_null_is_kept_where_nothing_else_was_filled_in() -> None:
    own = tool("f", {"x": {"type": ["string", "null"], "default": None}})
    assert Dataset.from_list([asks([own], ("f", {}))]).canonical_rows()[0]["tools"] == [own]
    padded = tool("f", {"x": {"type": "string", "default": None, "enum": None}, "other": None})
    cleaned = Dataset.from_list([asks([padded], ("f", {}))]).canonical_rows()[0]["tools"]
    assert cleaned == [tool("f", {"x": {"type": "string"}})]


def test_floats_of_numbers_stay_floats() -> None:
    own = tool("f", {"x": {"type": "number"}, "n": {"type": "integer"}, "both": {"type": ["integer", "number"]}})
    found = Dataset.from_list([asks([own], ("f", {"x": 20.0, "n": 3.0, "both": 4.0}))]).canonical_rows()
    assert (
        json.dumps(found[0]["messages"][1]["tool_calls"][0]["function"]["arguments"])
        == '{"x": 20.0, "n": 3, "both": 4.0}'
    )
    free = Dataset.from_list([asks([], ("f", {"x": 20.0}))]).canonical_rows()
    assert json.dumps(free[0]["messages"][1]["tool_calls"][0]["function"]["arguments"]) == '{"x": 20.0}'


def _held_as_text(row: Row) -> Row:
    """A row whose schemas are JSON text, so that Arrow pads its arguments alone."""
    return {**row, "tools": json.dumps(row["tools"])}


@pytest.mark.parametrize(
    ("kind", "defs"),
    [
        ({"$ref": "#/$defs/Place"}, {"Place": {"type": "object", "properties": {"lat": {"type": "number"}}}}),
        ({"allOf": [{"$ref": "#/$defs/Place"}]}, {"Place": {"$ref": "#/$defs/Other"}, "Other": {"type": "string"}}),
        ({"enum": ["a", "b"]}, {}),
        ({"const": "a"}, {}),
    ],
)
def test_a_schema_that_names_its_type_elsewhere_knows_padding(kind: Row, defs: Row) -> None:
    own = tool("f", {"x": kind, "n": {"type": "integer"}}, "n")
    own["function"]["parameters"]["$defs"] = defs
    value = {"lat": 1.5} if "$ref" in kind else "a"
    rows = [asks([own, WEATHER], ("f", {"n": 1})), asks([own, WEATHER], ("f", {"n": 2, "x": value}))]
    held = datasets.Dataset.from_list([_held_as_text(row) for row in rows])
    found = Dataset.from_datasets(held).canonical_rows()
    assert [row["messages"][1]["tool_calls"][0]["function"]["arguments"] for row in found] == [
        {"n": 1},
        {"n": 2, "x": value},
    ]


def test_a_reference_that_may_be_null_or_leads_to_itself_keeps_its_null() -> None:
    maybe = {"Place": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "Round": {"$ref": "#/$defs/Round"}}
    for name in maybe:
        own = tool("f", {"x": {"$ref": f"#/$defs/{name}"}, "n": {"type": "integer"}}, "n")
        own["function"]["parameters"]["$defs"] = maybe
        found = Dataset.from_list([asks([own], ("f", {"n": 1, "x": None}))]).canonical_rows()
        assert found[0]["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"n": 1, "x": None}


@pytest.mark.parametrize("kind", ["int", "int, optional", "INTEGER", "Optional[int]", "float, int"])
def test_whole_numbers_of_types_in_python_s_words(kind: str) -> None:
    own = tool("f", {"n": {"type": kind}})
    found = Dataset.from_list([asks([own], ("f", {"n": 3.0}))]).canonical_rows()
    written = json.dumps(found[0]["messages"][1]["tool_calls"][0]["function"]["arguments"])
    assert written == ('{"n": 3.0}' if "float" in kind else '{"n": 3}')
