"""What a schema does not accept, keyword by keyword; what has no such form is left out, and noted as lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from shadownb.engine.inference.schemas import words
from shadownb.engine.inference.schemas.finite import TYPES, kind_of
from shadownb.engine.inference.schemas.joining import Held, as_boolean, both, either

if TYPE_CHECKING:
    from shadownb.engine.inference.schemas.rewriting import Rewriter

# Of one number: the type that the keyword is about, and the keyword that refuses what it accepts.
_TURNED = {
    "minimum": ("number", "exclusiveMaximum", 0), "maximum": ("number", "exclusiveMinimum", 0),
    "exclusiveMinimum": ("number", "maximum", 0), "exclusiveMaximum": ("number", "minimum", 0),
    "minLength": ("string", "maxLength", -1), "maxLength": ("string", "minLength", 1),
    "minItems": ("array", "maxItems", -1), "maxItems": ("array", "minItems", 1),
    "minProperties": ("object", "maxProperties", -1), "maxProperties": ("object", "minProperties", 1),
}  # fmt: skip
_LOST = ("pattern", "format", "multipleOf", "uniqueItems", "propertyNames", "patternProperties", "additionalProperties")


def against(rewriter: Rewriter, schema: Any) -> Held:
    """Return what accepts a part of what a schema refuses."""
    if not isinstance(schema, dict):
        return not as_boolean(schema)
    said = rewriter.said(schema)
    return either(*(way for key in said for way in _ways(rewriter, said, key, schema)))


def _ways(rewriter: Rewriter, said: dict[str, Any], key: str, schema: dict[str, Any]) -> Iterable[Held]:
    """Return the ways to fail at a keyword."""
    if key in ("$ref", "$dynamicRef"):
        return [rewriter.reference(rewriter.target(schema, key), accepts=False)]
    if key in _TURNED:
        return _turned(rewriter, key, said[key])
    if key in _WAYS:
        return _WAYS[key](rewriter, said)
    if (key in _LOST and said[key] not in (True, {})) or key in ("unevaluatedProperties", "unevaluatedItems"):
        rewriter.lost.append(f"what {key} refuses")
    return []


def _turned(rewriter: Rewriter, key: str, value: Any) -> list[Held]:
    kind, other, step = _TURNED[key]
    if other == "minProperties" and value > 0:
        rewriter.lost.append("objects with more names")  # which may repeat
        return []
    return [] if value + step < 0 and kind != "number" else [{"type": kind, other: value + step}]


def _required(rewriter: Rewriter, said: dict[str, Any]) -> Iterator[Held]:
    yield from ({"type": "object", "properties": {name: False}} for name in said["required"])


def _properties(rewriter: Rewriter, said: dict[str, Any]) -> Iterator[Held]:
    for name, each in said["properties"].items():
        part = against(rewriter, each)
        if part is not False:
            yield {"type": "object", "required": [name], "properties": {name: part}}


def _prefix(rewriter: Rewriter, said: dict[str, Any]) -> Iterator[Held]:
    for number, each in enumerate(said["prefixItems"]):
        yield from _item(number, against(rewriter, each))


def _items(rewriter: Rewriter, said: dict[str, Any]) -> Iterator[Held]:
    yield from _item(len(said.get("prefixItems") or ()), against(rewriter, said["items"]))


def _one_of(rewriter: Rewriter, said: dict[str, Any]) -> Iterator[Held]:
    """Yield none of them, and two at once."""
    yield both(*(against(rewriter, each) for each in said["oneOf"]))
    for one, other in itertools.combinations(said["oneOf"], 2):
        if not rewriter.values.apart(one, other):
            yield both(rewriter.held(one), rewriter.held(other))


def _cases(rewriter: Rewriter, said: dict[str, Any]) -> Iterator[Held]:
    yield both(rewriter.held(said["if"]), against(rewriter, said.get("then", True)))
    yield both(against(rewriter, said["if"]), against(rewriter, said.get("else", True)))


def _contains(rewriter: Rewriter, said: dict[str, Any]) -> Iterator[Held]:
    part = against(rewriter, said["contains"]) if said.get("minContains", 1) else False
    if part is not False:
        yield {"type": "array", "items": part}
        yield {"type": "array", "maxItems": 0}


def _needs(rewriter: Rewriter, said: dict[str, Any]) -> Iterator[Held]:
    for name, needs in said["dependentRequired"].items():
        for need in needs:
            if need != name:
                yield {"type": "object", "required": [name], "properties": {need: False}}


def _dependents(rewriter: Rewriter, said: dict[str, Any]) -> Iterator[Held]:
    for name, each in said["dependentSchemas"].items():
        yield both({"type": "object", "required": [name]}, against(rewriter, each))


def _item(number: int, part: Held) -> Iterator[Held]:
    if part is not False:
        yield {"type": "array", "minItems": number + 1, "prefixItems": [*[True] * number, part]}


def _of_other_types(rewriter: Rewriter, said: list[str]) -> list[Held]:
    left = [kind for kind in TYPES if kind not in said]
    if "integer" in said and "number" in left:
        left.remove("number")
        rewriter.lost.append("numbers that are no integers")
    return [{"type": left}] if left else []


def _of_other_values(rewriter: Rewriter, values: list[Any]) -> list[Held]:
    """Return other types, and of the types of these values what lies between and beside them."""
    by_kind: dict[str, list[Any]] = {}
    for value in values:
        by_kind.setdefault(kind_of(value), []).append(value)
    found: list[Held] = []
    if others := [kind for kind in TYPES if kind not in by_kind]:
        found.append({"type": others})
    if left := [each for each in (False, True) if each not in by_kind.get("boolean", (False, True))]:
        found.append({"enum": left})
    if numbers := sorted(set(by_kind.get("number", ()))):
        found.append({"type": "number", "exclusiveMaximum": numbers[0]})
        found += [
            {"type": "number", "exclusiveMinimum": a, "exclusiveMaximum": b} for a, b in itertools.pairwise(numbers)
        ]
        found.append({"type": "number", "exclusiveMinimum": numbers[-1]})
    if texts := by_kind.get("string"):
        found.append({"type": "string", "pattern": words.none_of(texts)})
    for kind, low, high in (("array", "minItems", "maxItems"), ("object", "minProperties", "maxProperties")):
        if sizes := {len(each) for each in by_kind.get(kind, ())}:
            rewriter.lost.append(f"{kind}s as long as the given ones")
            if kind == "array" or not max(sizes):  # of several free names one may repeat
                found.append({"type": kind, low: max(sizes) + 1})
            if min(sizes):
                found.append({"type": kind, high: min(sizes) - 1})
    return found


_WAYS: dict[str, Callable[[Rewriter, dict[str, Any]], Iterable[Held]]] = {
    "type": lambda rewriter, said: _of_other_types(
        rewriter, [said["type"]] if isinstance(said["type"], str) else said["type"]
    ),
    "const": lambda rewriter, said: _of_other_values(rewriter, [said["const"]]),
    "enum": lambda rewriter, said: _of_other_values(rewriter, said["enum"]),
    "required": _required,
    "properties": _properties,
    "prefixItems": _prefix,
    "items": _items,
    "allOf": lambda rewriter, said: [against(rewriter, each) for each in said["allOf"]],
    "anyOf": lambda rewriter, said: [both(*(against(rewriter, each) for each in said["anyOf"]))],
    "oneOf": _one_of,
    "not": lambda rewriter, said: [rewriter.held(said["not"])],
    "if": _cases,
    "contains": _contains,
    "dependentRequired": _needs,
    "dependentSchemas": _dependents,
}
