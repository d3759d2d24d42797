"""JSON by a schema and field by field."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from shadownb.engine import jsontext
from shadownb.engine.scoring.answers import plain
from shadownb.engine.scoring.base import Score
from shadownb.engine.scoring.json_exact import same_json
from shadownb.errors import ConfigError


class JsonFields:
    """Score a JSON object by the share of its fields that are right; 0.0 where it breaks the schema.

    The answer has to be one JSON value, alone or in one code fence. Each field of the expected object counts with its weight,
    and each field that it does not have counts as a wrong one, so that naming more gains nothing. Where no object is expected,
    what fits the schema is right.

    Parameters
    ----------
    schema
        A JSON schema. None: the row's ``schema``, if it has one.
    weights
        ``{field: weight}``; a field that is not named weighs 1, one with 0 is not looked at.

    Raises
    ------
    ConfigError
        The schema is none, or a weight is below 0.

    Examples
    --------
    >>> judge = snb.scoring.JsonFields(weights={"queue": 3})
    >>> judge('{"queue": "billing", "urgent": true}', '{"queue": "billing", "urgent": false}')
    Score(value=0.75, reason='wrong: urgent')
    """

    name: str = "json_fields"

    def __init__(self, schema: Mapping[str, Any] | None = None, *, weights: Mapping[str, float] | None = None) -> None:
        self.schema, self.weights = schema, dict(weights or {})
        wrong = next((field for field, weight in self.weights.items() if not weight >= 0), None)
        if wrong is not None:
            raise ConfigError(f"The weight of {wrong!r} is {self.weights[wrong]!r}.", fix="Give 0 or more.")
        if schema is not None:
            _validator(schema)

    def __repr__(self) -> str:
        return f"JsonFields(schema={'given' if self.schema is not None else None}, weights={self.weights})"

    def check(self, expected: str) -> None:
        """Raise ValueError where an expected answer is no JSON object."""
        if expected.strip() and not isinstance(_parsed(expected), dict):
            raise ValueError("the expected answer is no JSON object")

    def __call__(self, output: str, expected: str = "", *, row: Mapping[str, Any] | None = None) -> Score:
        """Return the score of an answer."""
        self.check(expected)
        schema = self.schema if self.schema is not None else (row or {}).get("schema")
        schema = json.loads(schema) if isinstance(schema, str) else schema
        if schema is None and not expected.strip():
            return Score(None, "there is neither a schema nor an expected object")
        try:
            given = _parsed(plain(output))
        except ValueError as error:
            return Score(0.0, f"not JSON: {error}")
        broken = _broken(schema, given)
        if broken is not None:
            return Score(0.0, broken)
        return Score(1.0, "fits the schema") if not expected.strip() else self._compared(given, _parsed(expected))

    def _compared(self, given: Any, wanted: dict[str, Any]) -> Score:
        if not isinstance(given, dict):
            return Score(0.0, "not an object")
        weights = {field: self.weights.get(field, 1.0) for field in {**wanted, **given}}
        right = [field for field in wanted if field in given and same_json(given[field], wanted[field])]
        total = sum(weights.values())
        if not total:
            return Score(None, "no field has a weight")
        wrong = [field for field in weights if field not in right and weights[field]]
        value = sum(weights[field] for field in right) / total
        return Score(value, "every field is right" if not wrong else f"wrong: {', '.join(wrong)[:80]}")


def _parsed(text: str) -> Any:
    """Return the value of strict JSON. Raises ValueError."""
    value = jsontext.loads_piece(text.strip(), unique=True)
    if _has_constant(value):
        raise ValueError("NaN and infinities are not JSON")
    return value


def _has_constant(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(map(_has_constant, value.values()))
    return isinstance(value, list) and any(map(_has_constant, value))


def _broken(schema: Any, given: Any) -> str | None:
    """Return how a value breaks a schema, or None."""
    if schema is None:
        return None
    error = next(_validator(schema).iter_errors(given), None)
    return None if error is None else f"breaks the schema at {error.json_path}: {error.message[:100]}"


def _validator(schema: Any) -> Any:
    from jsonschema import SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry

    kind = validator_for(schema)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise ConfigError(f"schema is no JSON schema: {error.message}.", fix="See json-schema.org.") from None
    return kind(schema, registry=Registry())  # with a registry of its own nothing is fetched for a reference
