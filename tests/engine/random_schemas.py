"""Schemas and values drawn from a seed, of every keyword and few names, so that the keywords meet each other."""

from __future__ import annotations

import random
from typing import Any

_NAMES = ("a", "b", "c", "ab")
_TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")


def value(rng: random.Random, deep: int = 0) -> Any:
    """Return a value of JSON."""
    kind = rng.randrange(8 if deep < 2 else 6)
    if kind == 6:
        return [value(rng, deep + 1) for _ in range(rng.randrange(3))]
    if kind == 7:
        return {name: value(rng, deep + 1) for name in rng.sample(_NAMES, rng.randrange(3))}
    return rng.choice([None, True, False, 0, 1, 2, 3, -1, 1.5, "", "a", "b", "ab", "abc", "2020-01-01"])


def schema(rng: random.Random) -> dict[str, Any]:
    """Return a schema with two definitions that it may refer to."""
    found = _part(rng, 0)
    root = found if isinstance(found, dict) else {"anyOf": [found]}
    return {**root, "$defs": {"x": _part(rng, 1), "y": _part(rng, 2)}}


def _part(rng: random.Random, deep: int) -> Any:
    if deep > 3 or rng.random() < 0.08:
        return rng.choice([True, {}, {"type": rng.choice(_TYPES)}, {"const": value(rng)}, deep < 2])
    found: dict[str, Any] = {}
    for _ in range(rng.choice([1, 1, 2, 2, 3])):
        found.update(rng.choice(_KEYWORDS)(rng, lambda: _part(rng, deep + 1)))
    return found


def _some(rng: random.Random, part: Any, least: int, most: int) -> list[Any]:
    return [part() for _ in range(rng.randint(least, most))]


_KEYWORDS: list[Any] = [
    lambda rng, part: {"type": rng.choice([*_TYPES, ["string", "null"], ["object", "array"], ["integer", "string"]])},
    lambda rng, part: {"enum": [value(rng) for _ in range(rng.randint(1, 4))]},
    lambda rng, part: {"const": value(rng)},
    lambda rng, part: {
        rng.choice(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]): rng.choice([0, 1, 2, -1, 1.5])
    },
    lambda rng, part: {rng.choice(["minLength", "maxLength"]): rng.randrange(4)},
    lambda rng, part: {"format": rng.choice(["date", "email", "int32", "uuid"])},
    lambda rng, part: {"multipleOf": rng.choice([1, 2, 0.5])},
    lambda rng, part: {"items": part()},
    lambda rng, part: {"prefixItems": _some(rng, part, 1, 2)},
    lambda rng, part: {rng.choice(["minItems", "maxItems"]): rng.randrange(4)},
    lambda rng, part: {"uniqueItems": True},
    lambda rng, part: {"contains": part()},
    lambda rng, part: {"contains": part(), "minContains": rng.randrange(3), "maxContains": rng.randrange(3)},
    lambda rng, part: {"properties": {name: part() for name in rng.sample(_NAMES, rng.randint(1, 2))}},
    lambda rng, part: {"required": rng.sample(_NAMES, rng.randint(1, 2))},
    lambda rng, part: {"additionalProperties": rng.choice([False, False, part()])},
    lambda rng, part: {"patternProperties": {rng.choice(["^a", "b$", "^.$"]): part()}},
    lambda rng, part: {"propertyNames": rng.choice([{"maxLength": 1}, {"enum": ["a", "b"]}, {"pattern": "^a"}])},
    lambda rng, part: {rng.choice(["minProperties", "maxProperties"]): rng.randrange(3)},
    lambda rng, part: {"dependentRequired": {rng.choice(_NAMES): rng.sample(_NAMES, 1)}},
    lambda rng, part: {"dependentSchemas": {rng.choice(_NAMES): part()}},
    lambda rng, part: {rng.choice(["allOf", "anyOf", "oneOf"]): _some(rng, part, 1, 3)},
    lambda rng, part: {"oneOf": _some(rng, part, 2, 3)},
    lambda rng, part: {"not": part()},
    lambda rng, part: {"if": part(), "then": part(), "else": part()},
    lambda rng, part: {"if": part(), rng.choice(["then", "else"]): part()},
    lambda rng, part: {"unevaluatedProperties": rng.choice([False, part()])},
    lambda rng, part: {"unevaluatedItems": rng.choice([False, part()])},
    lambda rng, part: {"$ref": rng.choice(["#/$defs/x", "#/$defs/y"])},
]
