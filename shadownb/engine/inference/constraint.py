"""Constraint: what form an answer has to have. Which tokens that allows is worked out by :mod:`.constraining`."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from shadownb.engine.inference.schemas import formats
from shadownb.engine.inference.schemas.documents import Cannot, mapped, walk
from shadownb.engine.inference.schemas.names import check_count
from shadownb.engine.inference.schemas.rewriting import Rewriter
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
    if not isinstance(schema, dict):
        return schema
    found = mapped(schema, _closed)
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


def grammar_of(kind: Kind, text: str) -> str:
    """Return a form as llguidance takes it."""
    if kind == "schema":
        return _grammar(json.loads(_taken(text)[0]))
    matcher = library().LLMatcher
    return str(matcher.grammar_from_regex(text) if kind == "regex" else matcher.grammar_from_lark(text))


def taken(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema as llguidance takes it, with the blanks that its JSON may have; for a part of a grammar."""
    found: dict[str, Any] = json.loads(_taken(json.dumps(schema, ensure_ascii=False))[0])
    return found


@lru_cache(maxsize=512)
def _problem(kind: Kind, text: str) -> str:
    """Return why a form cannot be held; an empty string where it can."""
    if kind == "schema":
        return _taken(text)[1]
    is_error, said = library().LLMatcher.validate_grammar_with_warnings(grammar_of(kind, text))
    return _line(said) if said and is_error else ""


@lru_cache(maxsize=512)
def _taken(text: str) -> tuple[str, str]:
    """Return a schema as llguidance takes it, and why it cannot be held: as it is where it is taken so, else rewritten."""
    schema = json.loads(text)
    plain = _spaced(formats.exact(schema))
    problem = _against(plain)
    try:
        for each in walk(schema):
            check_count(each)
        if not problem:
            return json.dumps(plain), ""
        rewriter = Rewriter(schema)
        found = _spaced(rewriter.whole())
        for keyword, part, lost in rewriter.sites:
            if _against(_spaced(rewriter.with_definitions(part))):
                raise Cannot(keyword, f"{lost} cannot be held")
    except Cannot as error:
        return json.dumps(plain), str(error)
    except RecursionError:
        return json.dumps(plain), "it is nested too deeply"
    except (TypeError, AttributeError, ValueError, KeyError):  # of a keyword whose value is of no type that it may have
        return json.dumps(plain), problem
    left = _against(found)
    if not left:
        return json.dumps(found), ""
    return json.dumps(plain), problem if "nimplemented" in left else f"{problem}: {left}"


def _spaced(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "x-guidance": {"whitespace_pattern": _BLANKS}}


def _grammar(schema: dict[str, Any]) -> str:
    return str(library().LLMatcher.grammar_from_json_schema(json.dumps(schema)))


def _against(schema: dict[str, Any]) -> str:
    """Return what llguidance says against a schema, warnings included."""
    _, said = library().LLMatcher.validate_grammar_with_warnings(_grammar(schema))
    return _line(said) if said else ""


def _line(said: Any) -> str:
    return " ".join(str(said[0]).split())[:400]


def _text(option: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{option}={_short(value)} is no text.", fix=_FIXES[option])
    return value


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 200 else f"{shown[:200]}..."
