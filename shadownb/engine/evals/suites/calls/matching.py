"""Whether calls are those that are meant: names, arguments, types and values, as BFCL's possible answers state them.

A possible answer lists for each argument the values that are right; an empty text among them means that it may be left out. Texts
are equal without capitals, blanks and ``, . / - _ * ^``, so that a date may be written in several ways.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from shadownb.engine.scoring.answers import fences, without_reasoning

Call = tuple[str, dict[str, Any]]

_IGNORED = re.compile(r"[ ,./\-_*^]")
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,), "any": (str,), "integer": (int,), "float": (float, int), "number": (float, int), "boolean": (bool,),
    "array": (list,), "tuple": (list,), "dict": (dict,), "object": (dict,),
}  # fmt: skip


def plain_name(name: str) -> str:
    """Return a function's name as servers take it: without dots."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", name)


def calls_in(text: str) -> tuple[list[Call], str]:
    """Return the calls that a text makes, and what is wrong with it where it was meant as calls and is none.

    JSON objects with ``name`` and ``arguments``, alone or in a list, and Python: ``[area(base=10, height=5)]``. Prose around a list
    is no matter; prose alone makes no call.
    """
    text = without_reasoning(text).strip()
    found = fences(text)
    inner = (found[-1][1] if found else text).strip()
    for each in dict.fromkeys((inner, *re.findall(r"\[.*\]|\{.*\}", inner, re.DOTALL))):
        calls = _of_json(each)
        if calls is None:
            calls = _of_python(each)
        if calls is not None:
            return calls, ""
    meant = re.search(r'^\s*[\[{]|"(?:name|arguments)"\s*:|^\[?\s*[\w.]+\(|<tool_call>|<function', inner)
    return [], "it cannot be read as calls" if meant else ""


def _of_json(text: str) -> list[Call] | None:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return None
    listed = told if isinstance(told, list) else [told]
    calls = []
    for each in listed:
        function = each.get("function", each) if isinstance(each, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            return None
        arguments = function.get("arguments", function.get("parameters", {}))
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments)
            except ValueError:
                return None
        if not isinstance(arguments, dict):
            return None
        calls.append((function["name"], arguments))
    return calls


def _of_python(text: str) -> list[Call] | None:
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        nodes = tree.elts if isinstance(tree, ast.List | ast.Tuple) else [tree]
        calls = []
        for node in nodes:
            if not isinstance(node, ast.Call) or node.args:
                return None
            calls.append(
                (ast.unparse(node.func), {str(key.arg): _value(key.value) for key in node.keywords if key.arg})
            )
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return calls


def _value(node: ast.expr) -> Any:
    """Return a literal's value; a name is a variable, which possible answers have as text, as are ``true`` and ``null``."""
    if isinstance(node, ast.Name):
        return {"true": True, "false": False, "null": None, "none": None}.get(node.id.lower(), node.id)
    value = ast.literal_eval(node)
    return json.loads(json.dumps(value)) if isinstance(value, tuple | dict | list) else value


def wrong_with(
    calls: Sequence[Call], possible: Sequence[Mapping[str, Any]], functions: Sequence[Mapping[str, Any]]
) -> str:
    """Return why calls are not those of a possible answer, in any order; nothing where they are."""
    if len(calls) != len(possible):
        return f"{len(calls)} calls, expected {len(possible)}"
    left, reason = list(calls), ""
    schemas = {plain_name(function["name"]): function["parameters"] for function in functions}
    for each in possible:
        ((name, arguments),) = each.items()
        reasons = [_wrong(call, plain_name(name), arguments, schemas.get(plain_name(name), {})) for call in left]
        if "" not in reasons:
            same_name = [
                why for call, why in zip(left, reasons, strict=True) if plain_name(call[0]) == plain_name(name)
            ]
            reason = (same_name or reasons)[0]
            return reason
        left.pop(reasons.index(""))
    return reason


def _wrong(call: Call, name: str, possible: Mapping[str, Sequence[Any]], schema: Mapping[str, Any]) -> str:
    if plain_name(call[0]) != name:
        return f"calls {call[0]}, expected {name}"
    details = schema.get("properties", {})
    if missing := next((each for each in schema.get("required", ()) if each not in call[1]), None):
        return f"{name} lacks {missing}"
    for argument, value in call[1].items():
        if argument not in details or argument not in possible:
            return f"{name} has no argument {argument}"
        if not _typed(value, details[argument], possible[argument]):
            return f"{argument}={value!r} is no {details[argument].get('type')}"
        if not any(_same(value, each) for each in possible[argument] if not (each == "" and value != "")):
            return f"{argument}={value!r}, expected {_shown(possible[argument])}"
    missing = next((each for each, values in possible.items() if each not in call[1] and "" not in values), None)
    return f"{name} lacks {missing}" if missing else ""


def _shown(possible: Sequence[Any]) -> str:
    return " or ".join(repr(each) for each in possible if each != "")[:120]


def _typed(value: Any, details: Mapping[str, Any], possible: Sequence[Any]) -> bool:
    """Whether a value has the argument's type, or that of its possible answers: the name of a variable is a text."""
    wanted = _TYPES.get(str(details.get("type")), (object,))
    as_answered = next((type(each) for each in possible if each != ""), None)
    if as_answered is not None and type(value) is as_answered:
        return True
    return isinstance(value, wanted)


def _same(value: Any, possible: Any) -> bool:
    """Whether a value is a possible one; a possible object lists the values of each of its keys."""
    if isinstance(value, str) and isinstance(possible, str):
        return _text(value) == _text(possible)
    if isinstance(value, bool) or isinstance(possible, bool):
        return value is possible
    if isinstance(value, list) and isinstance(possible, list):
        return len(value) == len(possible) and all(map(_same, value, possible))
    if isinstance(value, dict) and isinstance(possible, dict):
        for key, each in value.items():
            if key not in possible or not any(_same(each, one) for one in _listed(possible[key])):
                return False
        return all(key in value or "" in _listed(values) for key, values in possible.items())
    return type(value) in (int, float, type(None)) and bool(value == possible)


def _listed(values: Any) -> list[Any]:
    return values if isinstance(values, list) else [values]


def _text(text: str) -> str:
    return _IGNORED.sub("", text).lower().replace("'", '"')
