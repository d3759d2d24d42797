"""JSON schemas that the library of grammars does not take as they are: what is accepted validates, what cannot be held is named."""

from __future__ import annotations

import json
import random
from typing import Any

import jsonschema
import llguidance
import numpy as np
import pytest

from shadownb.engine.inference import Constraint
from shadownb.engine.inference.constraint import grammar_of
from shadownb.errors import ConfigError
from tests.engine import random_schemas

BYTES = llguidance.LLTokenizer("byte")


def matcher_of(schema: Any) -> Any:
    constraint = Constraint.schema(schema)
    return llguidance.LLMatcher(BYTES, grammar_of(constraint.kind, constraint.text), log_level=0)


def accepts(matcher: Any, value: Any) -> bool:
    fresh, ids = matcher.deep_copy(), BYTES.tokenize_bytes(json.dumps(value, ensure_ascii=False).encode())
    return bool(fresh.try_consume_tokens(ids) == len(ids) and fresh.is_accepting())


def drawn(matcher: Any, seed: int, most: int = 300) -> str | None:
    """Return a finished answer of one who knows nothing; None where it was too long."""
    matcher, rng, said = matcher.deep_copy(), np.random.default_rng(seed), bytearray()
    while len(said) < most and not matcher.is_stopped():
        bits = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), np.uint8), bitorder="little")
        ways = np.flatnonzero(bits[:256])
        if matcher.is_stopped() or (matcher.is_accepting() and (not len(ways) or rng.random() < 0.5)):
            break
        weights = np.where(np.isin(ways, list(b'"]}')), float(len(ways)), np.where(ways < 128, 1.0, 0.05))
        said.append(int(rng.choice(ways, p=weights / weights.sum())))
        matcher.consume_token(said[-1])
    return said.decode("utf-8", "replace") if matcher.is_accepting() or matcher.is_stopped() else None


def checker(schema: Any) -> Any:
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    return kind(schema, format_checker=kind.FORMAT_CHECKER)


@pytest.mark.parametrize("start", range(0, 240, 40))
def test_what_is_accepted_validates_whatever_keywords_meet(start: int) -> None:
    taken = 0
    for seed in range(start, start + 40):
        rng = random.Random(seed)
        schema = random_schemas.schema(rng)
        try:
            matcher = matcher_of(schema)
        except ConfigError as error:
            assert ": " in error.what.partition("cannot be held: ")[2], "the keyword is named"
            continue
        taken += 1
        valid = checker(schema).is_valid
        for _ in range(20):
            value = random_schemas.value(rng)
            assert valid(value) or not accepts(matcher, value), (seed, schema, value)
        for walk in range(2):
            text = drawn(matcher, walk)
            assert text is None or valid(json.loads(text)), (seed, schema, text)
    assert taken >= 16, "of 40 that were drawn blindly, many are contradictions"


OBJECT = {"type": "object"}
# (schema, values that are to be accepted, values that are not)
HELD: list[tuple[Any, list[Any], list[Any]]] = [
    ({"type": "string", "not": {"enum": ["ab", "b"]}}, ["", "a", "abc", "c"], ["ab", "b", 1]),
    ({"not": {"type": ["integer", "boolean"]}}, ["x", None, {}], [1, True]),
    ({"type": "integer", "not": {"minimum": 3, "maximum": 5}}, [2, 6], [3, 4, 5]),
    ({"oneOf": [{"type": "string", "minLength": 2}, {"type": "string", "maxLength": 4}]}, ["a", "abcde"], ["abc"]),
    ({"if": {"maxLength": 2}, "then": {"pattern": "^a"}, "else": {"pattern": "^b"}}, ["ab", "bcd"], ["bc", "abc"]),
    ({**OBJECT, "properties": {"kind": {"enum": ["card", "cash"]}, "number": {"type": "string"}}, "required": ["kind"],
      "if": {"properties": {"kind": {"const": "card"}}}, "then": {"required": ["number"]}, "additionalProperties": False},
     [{"kind": "cash"}, {"kind": "card", "number": "1"}], [{"kind": "card"}]),
    ({**OBJECT, "dependentRequired": {"a": ["b"]}}, [{}, {"b": 1}, {"b": 1, "a": 2}], [{"a": 1}]),
    ({**OBJECT, "dependentSchemas": {"a": {"properties": {"b": {"type": "null"}}}}}, [{"b": 1}, {"a": 1}], [{"a": 1, "b": 1}]),
    ({"type": "array", "contains": {"const": 7}}, [[7], [1, 7, 2]], [[], [1, 2]]),
    ({"type": "array", "contains": {"type": "null"}, "maxContains": 1}, [[None], [1, None]], [[None, None], [1]]),
    ({"type": "array", "items": {"enum": ["x", "y", "z"]}, "uniqueItems": True}, [[], ["z", "x"]], [["x", "x"], ["w"]]),
    ({"type": "array", "items": {"enum": list("abcdefgh")}, "uniqueItems": True}, [["a", "h"], list("abcdefgh")], [["a", "a"]]),
    ({"type": "array", "prefixItems": [{"type": "boolean"}, {"type": "boolean"}], "uniqueItems": True, "items": False},
     [[True, False], [True]], [[True, True]]),
    ({**OBJECT, "propertyNames": {"enum": ["a", "b"]}}, [{}, {"a": 1, "b": 2}], [{"c": 1}]),
    ({**OBJECT, "propertyNames": {"pattern": "^[a-z]+$"}}, [{"ab": 1}], [{"A": 1}]),
    ({**OBJECT, "allOf": [{"properties": {"a": True}}], "properties": {"b": True}, "unevaluatedProperties": False},
     [{"b": 1}, {"a": 1}], [{"c": 1}]),
    ({**OBJECT, "anyOf": [{"required": ["a"], "properties": {"a": True}}, {"required": ["b"], "properties": {"b": True}}],
      "unevaluatedProperties": {"type": "null"}},
     [{"a": 1}, {"a": 1, "c": None}, {"a": 1, "b": 2}], [{"c": None}, {"a": 1, "c": 1}]),
    ({"type": "array", "prefixItems": [{"const": 1}], "anyOf": [{"prefixItems": [True, {"const": 2}]}, True],
      "unevaluatedItems": False}, [[1], [1, 2]], [[1, 3], [1, 2, 3]]),
    ({"const": "ab", "not": {"maxLength": 1}}, ["ab"], ["a"]),
    ({"enum": [1, "a", [1]], "oneOf": [{"type": "string"}, {"minItems": 2}]}, [1], ["a", [1]]),
    ({"$id": "urn:x", "$ref": "#name", "$defs": {"any": {"$anchor": "name", "type": "integer"}}}, [1], ["a"]),
    ({"$ref": "#/$defs/tree", "$defs": {"tree": {**OBJECT, "properties": {"next": {"$ref": "#/$defs/tree"},
      "n": {"not": {"const": 0}}},
      "additionalProperties": False}}}, [{}, {"next": {"n": 1}}], [{"next": {"n": 0}}, {"m": 1}]),
    ({"$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "items": [{"const": 1}], "additionalItems": False},
     [[1], []], [[2], [1, 2]]),
    ({"$schema": "http://json-schema.org/draft-07/schema#", **OBJECT, "dependencies": {"a": ["b"], "c": {"required": ["d"]}}},
     [{"b": 1}, {"d": 1, "c": 1}], [{"a": 1}, {"c": 1}]),
    ({"$schema": "http://json-schema.org/draft-04/schema#", "type": "number", "minimum": 1, "exclusiveMinimum": True}, [2], [1]),
    ({"type": "string", "format": "date"}, ["2024-02-28"], ["2023-02-29", "2024-04-31", "0000-01-01", "2024-13-01"]),
    ({"type": "string", "format": "date-time"}, ["2024-02-28T23:59:59Z"], ["2023-02-29T00:00:00Z", "2024-01-01T23:59:60Z"]),
    ({"type": "string", "format": "json-pointer"}, ["", "/a/b~1c"], ["a", "/~2"]),
    ({"type": "string", "format": "int32"}, ["anything"], [1]),
    ({"maxProperties": 1.0, **OBJECT, "not": False}, [{}, {"a": 1}], [{"a": 1, "b": 2}]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "good", "bad"), HELD, ids=lambda each: json.dumps(each)[:50] if isinstance(each, dict) else ""
)
def test_a_keyword_that_the_library_lacks_is_held(schema: Any, good: list[Any], bad: list[Any]) -> None:
    valid, matcher = checker(schema).is_valid, matcher_of(schema)
    assert [valid(value) for value in good] == [True] * len(good) and not any(map(valid, bad)), "the example is right"
    assert [accepts(matcher, value) for value in good] == [True] * len(good)
    assert not [value for value in bad if accepts(matcher, value)]
    for seed in range(6):
        text = drawn(matcher, seed)
        assert text is None or valid(json.loads(text)), text


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, "uniqueItems: "),
        ({"type": "string", "not": {"pattern": "^a"}}, "not: what pattern refuses"),
        ({"type": "object", "propertyNames": {"format": "email"}}, "propertyNames: "),
        ({"type": "object", "minProperties": 2}, "minProperties: "),
        ({"$ref": "https://example.org/other.json"}, "$ref: "),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}}, "$ref: "),
        ({"not": {}}, "not"),
        ({"not": 3}, "not"),
        ({"properties": {"a": {"allOf": [{"contains": 1}]}}}, "contains"),
        ({"type": "string", "properties": {"oneOf": 1}, "oneOf": "x"}, "oneOf"),
    ],
)
def test_what_cannot_be_held_is_refused_by_the_keyword(schema: Any, says: str) -> None:
    with pytest.raises(ConfigError, match="cannot be held") as caught:
        Constraint.schema(schema)
    assert says in caught.value.what.partition("cannot be held: ")[2]


def test_what_the_library_takes_is_left_as_it_is_and_fields_may_have_the_names_of_keywords() -> None:
    fields = {name: {"type": "string", "format": "date"} for name in ("const", "default", "format", "not", "if")}
    schema = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    matcher = matcher_of(schema)
    assert accepts(matcher, dict.fromkeys(fields, "2024-02-28"))
    assert not accepts(matcher, {**dict.fromkeys(fields, "2024-02-28"), "default": "2023-02-29"})
