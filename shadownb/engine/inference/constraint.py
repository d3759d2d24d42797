"""Constraint: what form an answer has to have. Which tokens that allows is worked out by :mod:`.constraining`."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from shadownb.errors import ConfigError, MissingDependencyError

Kind = Literal["schema", "regex", "grammar"]

# Between two tokens of JSON: nothing, a space, or a new line with its indentation. Without an end a small model writes blanks
# for ever.
_BLANKS = r"(\n {0,16}| ?)"
_FREE = {"type": "object"}  # what json_object of OpenAI's API means


@dataclass(frozen=True)
class Constraint:
    """The form of an answer: a JSON schema, a regular expression or a grammar.

    Attributes
    ----------
    kind
        ``schema``, ``regex`` or ``grammar``.
    text
        The schema as JSON, the expression, or the grammar in Lark's syntax.
    begun
        What of the form stands in the prompt already, where the answer goes on from it.
    after
        A text that comes first, free of the form: the end of a model's reasoning.

    Raises
    ------
    ConfigError
        The form cannot be held; the message names the keyword, or where the grammar is wrong.

    Examples
    --------
    >>> from shadownb.engine.inference import Constraint
    >>> Constraint.schema({"enum": ["billing", "shipping"]}).kind
    'schema'
    >>> Constraint.regex("[0-9]{4}").text
    '[0-9]{4}'
    """

    kind: Kind
    text: str
    begun: str = ""
    after: str = ""

    def __post_init__(self) -> None:
        problem = _problem(self.kind, self.text)
        if problem:
            raise ConfigError(f"{self.kind}={_short(self.text)} cannot be held: {problem}", fix=_FIXES[self.kind])

    @classmethod
    def schema(cls, schema: Any) -> Constraint:
        """Return the form of JSON that a schema accepts: a dict, its text, True (any JSON object), or a pydantic model."""
        if schema is True:
            schema = _FREE
        if inspect.isclass(schema) and hasattr(schema, "model_json_schema"):
            schema = _closed(schema.model_json_schema())
        if isinstance(schema, str):
            try:
                schema = json.loads(schema)
            except ValueError:
                raise ConfigError(f"schema={_short(schema)} is no JSON.", fix=_FIXES["schema"]) from None
        if not isinstance(schema, dict):
            raise ConfigError(
                f"schema={_short(schema)} is no JSON schema.", fix="Give a dict, its text, or a pydantic model."
            )
        try:
            text = json.dumps(schema, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigError(f"The schema is no JSON: {error}.", fix=_FIXES["schema"]) from None
        return cls("schema", text)

    def read(self, text: str) -> Any:
        """Return the value that an answer of a schema is. Raises ValueError where it was cut off."""
        return json.loads(self.begun + text)

    @classmethod
    def regex(cls, pattern: Any) -> Constraint:
        """Return the form of text that a regular expression matches as a whole."""
        return cls("regex", _text("regex", pattern))

    @classmethod
    def grammar(cls, grammar: Any) -> Constraint:
        """Return the form that a grammar derives: Lark's syntax with a rule ``start``, or llama.cpp's GBNF with ``root``."""
        text = _text("grammar", grammar)
        library()
        from llguidance.gbnf_to_lark import any_to_lark

        try:
            return cls("grammar", any_to_lark(text))
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(f"grammar={_short(text)} cannot be read: {error}.", fix=_FIXES["grammar"]) from None


def _closed(schema: Any) -> Any:
    """Return the schema of a class with its objects closed: fields that it does not have it would only drop."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: value if key in _VALUES else _closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        found["additionalProperties"] = False
    return found


_FIXES = {
    "schema": "Leave the keyword out of the schema and check it on the answer, or give a regex or a grammar.",
    "regex": "Give an expression of Rust's regex syntax, without look-around and back references.",
    "grammar": "Give a grammar in Lark's syntax with a rule 'start', or in GBNF with a rule 'root'.",
}


def library() -> Any:
    """Return llguidance. Raises MissingDependencyError where it is not installed."""
    try:
        import llguidance
    except ImportError:
        raise MissingDependencyError(
            "Answers of a given form (schema, regex, grammar, tool_choice) need the package llguidance.",
            fix="pip install llguidance",
        ) from None
    return llguidance


def spaced(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema with the blanks that its JSON may have, and without the leap seconds that few readers take."""
    return {**_without_leap_seconds(schema), "x-guidance": {"whitespace_pattern": _BLANKS}}


def _without_leap_seconds(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_leap_seconds(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: value if key in _VALUES else _without_leap_seconds(value) for key, value in schema.items()}
    if schema.get("format") in ("time", "date-time") and "pattern" not in schema:
        found["pattern"] = ":[0-9]{2}:[0-5][0-9]"
    return found


_VALUES = ("const", "enum", "default", "examples")  # no schemas


def grammar_of(kind: Kind, text: str) -> str:
    """Return a form as llguidance takes it."""
    matcher = library().LLMatcher
    if kind == "schema":
        return str(matcher.grammar_from_json_schema(json.dumps(spaced(json.loads(text)))))
    return str(matcher.grammar_from_regex(text) if kind == "regex" else matcher.grammar_from_lark(text))


@lru_cache(maxsize=512)
def _problem(kind: Kind, text: str) -> str:
    """Return why a form cannot be held; an empty string where it can."""
    matcher = library().LLMatcher
    is_error, said = matcher.validate_grammar_with_warnings(grammar_of(kind, text))
    return " ".join(str(said[0]).split())[:400] if said and (is_error or kind == "schema") else ""


def _text(option: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{option}={_short(value)} is no text.", fix=_FIXES[option])
    return value


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 200 else f"{shown[:200]}..."
