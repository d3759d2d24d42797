"""Types for arguments that a markup wrote as plain text: what the tool's schema says, else what the text looks like."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from shadownb.engine.replies.decoders import BadCall, Written, load_json

Tools = Sequence[dict[str, Any]] | None
_DEEP = 8  # references followed, for schemas that refer to themselves


def typed(name: str, arguments: dict[str, Any], tools: Tools) -> dict[str, Any]:
    """Return the arguments with every :class:`Written` value as the type that the schema of ``name`` gives it."""
    if not any(isinstance(value, Written) for value in arguments.values()):
        return arguments
    parameters = next(
        (_function(tool).get("parameters") for tool in tools or () if _function(tool).get("name") == name), None
    )
    root = parameters if isinstance(parameters, dict) else {}
    properties = root.get("properties")
    known = properties if isinstance(properties, dict) else {}
    return {
        key: _value(str(value), known.get(key), root) if isinstance(value, Written) else value
        for key, value in arguments.items()
    }


def names_of(tools: Tools) -> set[str]:
    """Return the names of the tools that were offered."""
    return {str(_function(tool).get("name")) for tool in tools or ()}


def _function(tool: Any) -> dict[str, Any]:
    function = tool.get("function", tool) if isinstance(tool, dict) else {}
    return function if isinstance(function, dict) else {}


def _value(text: str, schema: Any, root: dict[str, Any]) -> Any:
    types, constants = _allowed(schema, root)
    for constant in constants:
        if text == constant or (not isinstance(constant, str) and text in (json.dumps(constant), str(constant))):
            return constant
    if "null" in types and text.strip() in ("null", "None"):
        return None
    if "string" in types:
        return text
    if types:
        found = _as_one_of(text.strip(), types)
        return text if found is None else found
    return _guessed(text)


def _allowed(schema: Any, root: dict[str, Any], depth: int = 0) -> tuple[set[str], list[Any]]:
    """Return the JSON types and the constants that a schema allows."""
    if not isinstance(schema, dict) or depth > _DEEP:
        return set(), []
    kinds = schema.get("type")
    types = {kinds} if isinstance(kinds, str) else {kind for kind in kinds or () if isinstance(kind, str)}
    types = {kind.lower() for kind in types} | ({"null"} if schema.get("nullable") is True else set())
    constants = [value for value in [*(schema.get("enum") or ()), schema.get("const")] if value is not None]
    inner = [*(schema.get("anyOf") or ()), *(schema.get("oneOf") or ()), *(schema.get("allOf") or ())]
    if isinstance(reference := schema.get("$ref"), str) and reference.startswith("#/"):
        at: Any = root
        for step in reference[2:].split("/"):
            at = at.get(step) if isinstance(at, dict) else None
        inner.append(at)
    for each in inner:
        more, others = _allowed(each, root, depth + 1)
        types |= more
        constants += others
    return types, constants


def _as_one_of(text: str, types: set[str]) -> Any:
    """Return the text as one of the types, or None where it is none of them."""
    if "boolean" in types and text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        value = load_json(text)
    except BadCall:
        return None
    whole = isinstance(value, float) and math.isfinite(value) and value.is_integer()
    if "integer" in types and "number" not in types and whole:
        return int(value)  # 3.0 is an integer in JSON Schema
    fits = {
        "integer": type(value) is int,
        "number": type(value) in (int, float),
        "object": isinstance(value, dict),
        "array": isinstance(value, list),
    }
    return value if any(fits.get(kind, False) for kind in types) else None


def _guessed(text: str) -> Any:
    """Return what a text without a schema is: a value where it is written exactly as one, else text (as ``007`` is)."""
    if text in ("True", "False", "None"):  # how templates write Python's values
        return {"True": True, "False": False, "None": None}[text]
    try:
        value = load_json(text)
    except BadCall:
        return text
    if isinstance(value, str) or (type(value) in (int, float) and json.dumps(value) != text):
        return text
    return value
