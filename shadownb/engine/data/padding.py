"""Arrow's padding, taken out of canonical rows: nulls in tool schemas and arguments, whole numbers that became floats.

An Arrow column gives every object the keys of all, so a call to ``weather`` comes back with the arguments of ``search`` as nulls;
rows that went through datasets, parquet or pandas carry it on into JSONL. What is padding is decided so:

- **Schemas**: a null is padding, except ``default`` and ``const`` in a schema without any other null.
- **Arguments**: a null whose name the called tool's schema does not have is padding. One that the schema requires, or whose type
  may be null, is kept. One that is optional and may not be null is padding where every call to the tool has the same arguments, as
  Arrow makes them. Without a schema a null is padding where no call to that tool in the set has a value for it while another
  tool's calls do; rows from Arrow lose the others, too, as whether they were left out or null is not in them any more.
- **From Arrow** are rows of datasets, parquet and frames read from it, and those whose calls have the same argument names, whatever
  the tool: JSONL that was written from such rows.
- **Numbers**: a whole float is an integer where the schema says integer; without a schema where rows come from Arrow and every
  value of that argument is whole.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Row = dict[str, Any]

_INTEGER_KEYWORDS = frozenset(
    ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains")
)
_NUMBER_KEYWORDS = frozenset(
    ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "default", "const", "enum", "examples")
)
_NULL_MEANS = ("default", "const")
_REFERENCES = 8  # followed, for schemas that refer to themselves
_WORD = re.compile("[a-z]+")


@dataclass
class _Uses:
    """How the calls of a set use one tool's arguments."""

    shapes: set[frozenset[str]] = field(default_factory=set)
    filled: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)  # arguments with a value that is no whole float


class _Evidence(NamedTuple):
    """What speaks for padding: all calls to a tool have the same arguments; the rows come straight from Arrow.

    ``root`` is the tool's whole schema, in which references are followed.
    """

    alike: bool
    arrow: bool
    root: Row


def without_padding(rows: list[Row | None], *, arrow: bool = False) -> list[Row | None]:
    """Return canonical rows without what Arrow filled in; rows that have no tools are returned as they are.

    Parameters
    ----------
    arrow
        Whether the rows come straight out of Arrow (datasets, parquet), so that their nulls say nothing by themselves.
    """
    cleaned = [
        row and {**row, "tools": [_tool(tool) for tool in row["tools"]]} if row and "tools" in row else row
        for row in rows
    ]
    uses: defaultdict[str, _Uses] = defaultdict(_Uses)
    for call in (call for row in cleaned if row for call in _calls(row)):
        use = uses[call["name"]]
        use.shapes.add(frozenset(call["arguments"]))
        for name, value in call["arguments"].items():
            if value is not None:
                use.filled.add(name)
                if not _is_whole_float(value):
                    use.broken.add(name)
    if not uses:
        return cleaned
    arrow = arrow or (len(uses) > 1 and len(set().union(*(use.shapes for use in uses.values()))) == 1)
    return [row and _with_calls(row, _Arguments(row, uses, arrow)) for row in cleaned]


def _calls(row: Row) -> Iterator[Row]:
    for key in ("messages", "prompt", "completion", "chosen", "rejected"):
        for message in row.get(key) or ():
            for call in message.get("tool_calls") or ():
                yield call["function"]


def _with_calls(row: Row, arguments: _Arguments) -> Row:
    def message(given: Row) -> Row:
        if "tool_calls" not in given:
            return given
        calls = [{**call, "function": arguments.of(call["function"])} for call in given["tool_calls"]]
        return {**given, "tool_calls": calls}

    keys = [key for key in ("messages", "prompt", "completion", "chosen", "rejected") if isinstance(row.get(key), list)]
    return {**row, **{key: [message(given) for given in row[key]] for key in keys}}


class _Arguments:
    """The arguments of a row's calls, judged by the row's tools and by how the set uses them."""

    def __init__(self, row: Row, uses: dict[str, _Uses], arrow: bool) -> None:
        self.schemas = {tool["function"]["name"]: tool["function"].get("parameters") for tool in row.get("tools") or ()}
        self.uses, self.arrow = uses, arrow

    def of(self, function: Row) -> Row:
        name, schema = function["name"], self.schemas.get(function["name"])
        if isinstance(schema, dict) and isinstance(schema.get("properties"), dict):
            evidence = _Evidence(self.arrow or len(self.uses[name].shapes) == 1, self.arrow, schema)
            return {**function, "arguments": _by_schema(function["arguments"], schema, evidence)}
        return {**function, "arguments": self._by_uses(name, function["arguments"])}

    def _by_uses(self, name: str, arguments: Row) -> Row:
        own = self.uses[name]
        others = set().union(*(use.filled for tool, use in self.uses.items() if tool != name))
        kept: Row = {}
        for key, value in arguments.items():
            if value is None and (self.arrow or (key in others and key not in own.filled)):
                continue
            whole = self.arrow and key in own.filled and key not in own.broken
            kept[key] = int(value) if whole and _is_whole_float(value) else self._nested(value)
        return kept

    def _nested(self, value: Any) -> Any:
        return without_nulls(value) if self.arrow else value


def _by_schema(arguments: Row, schema: Row, evidence: _Evidence) -> Row:
    properties, required = schema["properties"], schema.get("required") or ()
    closed = schema.get("additionalProperties") in (None, False)
    kept: Row = {}
    for key, value in arguments.items():
        known = properties.get(key)
        if value is None:
            foreign = key not in properties and closed
            omitted = evidence.alike and key not in required and not _may_be_null(known, evidence.root)
            if foreign or omitted:
                continue
        kept[key] = _typed(value, known, evidence)
    return kept


def _typed(value: Any, schema: Any, evidence: _Evidence) -> Any:
    """Return one argument as its schema means it, at any depth."""
    schema = _followed(schema if isinstance(schema, dict) else {}, evidence.root)
    if _is_whole_float(value):
        return int(value) if _is_integer(_kinds(schema, evidence.root)) else value
    if isinstance(value, dict):
        if isinstance(schema.get("properties"), dict):
            return _by_schema(value, schema, evidence)
        return without_nulls(value) if evidence.arrow else value
    if isinstance(value, list):
        return [_typed(entry, schema.get("items"), evidence) for entry in value]
    return value


def _followed(schema: Row, root: Row) -> Row:
    """Return what a schema refers to within the tool's own (``#/$defs/...``, as pydantic writes nested models), else itself."""
    for _ in range(_REFERENCES):
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            break
        at: Any = root
        for step in reference[2:].split("/"):
            at = at.get(step) if isinstance(at, dict) else None
        if not isinstance(at, dict):
            break
        schema = at
    return schema


def _kinds(schema: Any, root: Row, depth: int = 0) -> Iterator[str]:
    """Return the types that a schema names in small letters, also those of its alternatives and of what it refers to."""
    if not isinstance(schema, dict) or depth > _REFERENCES:
        return
    schema = _followed(schema, root)
    kind = schema.get("type")
    yield from (each.lower() for each in ([kind] if isinstance(kind, str) else kind or ()) if isinstance(each, str))
    values = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    yield from ("null" for value in values if value is None)
    yield from ("value" for value in values if value is not None and not kind)
    for group in ("anyOf", "oneOf", "allOf"):
        for entry in schema.get(group) or ():
            yield from _kinds(entry, root, depth + 1)


def _is_integer(kinds: Iterable[str]) -> bool:
    """Whether types mean whole numbers alone: JSON Schema's ``integer``, or Python's ``int, optional`` (xlam's)."""
    named = {word for kind in kinds for word in _WORD.findall(kind)}
    return bool(named & {"integer", "int", "long"}) and not named & {"number", "float", "double"}


def _may_be_null(schema: Any, root: Row) -> bool:
    if not isinstance(schema, dict):
        return schema is not None
    kinds = set(_kinds(schema, root))
    return _followed(schema, root).get("nullable") is True or not kinds or bool(kinds & {"null", "none"})


def _tool(tool: Row) -> Row:
    """Return a tool without the nulls of its schema, its counts as integers."""
    function = tool["function"]
    padded = _nulls(function) - _meant(function) > 0
    return {**tool, "function": _schema_without(function, padded, False, ())}


def _schema_without(value: Any, padded: bool, integer: bool, required: Iterable[str], names: bool = False) -> Any:
    if isinstance(value, list):
        return [_schema_without(entry, padded, integer, ()) for entry in value]
    if not isinstance(value, dict):
        return int(value) if integer and _is_whole_float(value) else value
    whole_numbers = not names and _is_integer(_kinds(value, value))
    kept: Row = {}
    for key, entry in value.items():
        if entry is None:
            if names and key in required:
                kept[key] = {}  # Arrow has no object without keys: this property had no type
            elif not names and key in _NULL_MEANS and not padded:
                kept[key] = None
            continue
        whole = not names and (key in _INTEGER_KEYWORDS or (key in _NUMBER_KEYWORDS and whole_numbers))
        inner = (value.get("required") or ()) if key == "properties" and not names else ()
        kept[key] = _schema_without(entry, padded, whole, inner, names=key == "properties" and not names)
    return kept


def _nulls(value: Any) -> int:
    """Return how many keys of a nested value hold null."""
    if isinstance(value, dict):
        return sum(1 if entry is None else _nulls(entry) for entry in value.values())
    return sum(map(_nulls, value)) if isinstance(value, list) else 0


def _meant(value: Any) -> int:
    """Return how many of them may be meant: a default or constant that is null."""
    if isinstance(value, dict):
        return sum((key in _NULL_MEANS) if entry is None else _meant(entry) for key, entry in value.items())
    return sum(map(_meant, value)) if isinstance(value, list) else 0


def _is_whole_float(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def without_nulls(value: Any) -> Any:
    """Return a nested value without the keys that hold null; nulls in lists stay."""
    if isinstance(value, dict):
        return {key: without_nulls(entry) for key, entry in value.items() if entry is not None}
    return [without_nulls(entry) for entry in value] if isinstance(value, list) else value


_JUDGED = frozenset(("arguments", "parameters", "tools", "functions"))


def unfilled(row: Row) -> Row:
    """Return a row from Arrow without nulls in nested values; those of schemas and arguments are judged later, with the set."""
    return {key: value if key in _JUDGED else _unfilled(value) for key, value in row.items()}


def _unfilled(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: entry for key, entry in value.items() if entry is not None}
        return {key: entry if key in _JUDGED else _unfilled(entry) for key, entry in kept.items()}
    return [_unfilled(entry) for entry in value] if isinstance(value, list) else value
