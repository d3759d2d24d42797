"""The form that a request asks of its answer: a schema, an expression, a grammar, or a call of a tool."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from shadownb.engine.capture.dialects import WireError
from shadownb.engine.capture.dialects.base import listed, mapped
from shadownb.engine.inference import Constraint
from shadownb.errors import ConfigError

if TYPE_CHECKING:
    from shadownb.engine.answering.asks import Ask
    from shadownb.engine.rendering import Renderer

_OURS: dict[str, Callable[[Any], Constraint]] = {
    "json": Constraint.schema,
    "regex": Constraint.regex,
    "grammar": Constraint.grammar,
    "choice": lambda values: Constraint.regex(_either(values)),
}
_FIELDS = {
    "json_schema": "json", "guided_json": "json", "guided_regex": "regex", "grammar": "grammar",
    "guided_grammar": "grammar", "guided_choice": "choice",
}  # fmt: skip


def _either(values: Any) -> str:
    import re

    if not isinstance(values, list) or not values or not all(isinstance(each, str) and each for each in values):
        raise ConfigError(f"choice={values!r} is no list of texts.", fix="Give the texts to choose from.")
    return "|".join(re.escape(each) for each in values)


def form_of(name: str, request: dict[str, Any]) -> Constraint | None:
    """Return the form that a request asks for. Raises :class:`WireError` 400 where it cannot be held, or there are two."""
    found: dict[str, Callable[[], Constraint]] = {}
    said = _format(name, request)
    if said is not None and said[1].get("type", "text") != "text":
        found[said[0]] = lambda: _of_format(*said)
    for field, kind in _FIELDS.items() if name in ("chat", "completions") else ():
        if (value := request.get(field)) is not None:
            found[field] = lambda kind=kind, value=value: _OURS[kind](value)  # type: ignore[misc]
    outputs = request.get("structured_outputs") if name in ("chat", "completions") else None
    if outputs is not None:
        if not isinstance(outputs, dict) or len(outputs) != 1 or next(iter(outputs)) not in _OURS:
            raise WireError(
                400,
                f"structured_outputs takes one of {', '.join(_OURS)}.",
                param="structured_outputs",
                code="invalid_value",
            )
        kind, value = next(iter(outputs.items()))
        found["structured_outputs"] = lambda: _OURS[kind](value)
    if len(found) > 1:
        raise WireError(
            400, f"{' and '.join(found)} are two forms of one answer.", param=list(found)[1], code="invalid_value"
        )
    for field, make in found.items():
        try:
            return make()
        except ConfigError as error:
            raise WireError(
                400, f"{field}: {error.what} {error.fix or ''}".strip(), param=field, code="invalid_value"
            ) from None
    return None


def _format(name: str, request: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Return where a dialect says which format it wants, and what it says."""
    if name in ("chat", "completions"):
        field, value = "response_format", request.get("response_format")
    elif name == "responses":
        text = request.get("text")
        if text is not None and not isinstance(text, dict):
            raise WireError(400, "The field 'text' must be an object.", param="text", code="invalid_type")
        if mapped(text).get("verbosity") not in (None, "medium"):
            raise WireError(
                400, "A local model does not support the field 'text.verbosity'.", param="text.verbosity",
                code="unsupported_parameter",
            )  # fmt: skip
        field, value = "text.format", mapped(text).get("format")
    else:
        config = request.get("output_config")
        field, value = "output_config.format", mapped(config).get("format")
        if value is None and request.get("output_format") is not None:
            field, value = "output_format", request["output_format"]
        if odd := next((key for key in mapped(config) if key not in ("format", "effort")), None):
            raise WireError(
                400, f"A local model does not support the field 'output_config.{odd}'.", param=f"output_config.{odd}",
                code="unsupported_parameter",
            )  # fmt: skip
    if value is None:
        return None
    if not isinstance(value, dict):
        raise WireError(400, f"The field {field!r} must be an object.", param=field, code="invalid_type")
    return field, value


def _of_format(field: str, value: dict[str, Any]) -> Constraint:
    kind = value.get("type")
    if kind == "json_object":  # of OpenAI, and of llama.cpp with a schema
        return Constraint.schema(value.get("schema", True))
    if kind == "regex" and isinstance(value.get("regex"), str):
        return Constraint.regex(value["regex"])
    if kind in ("grammar", "lark") and value.get("grammar") is not None:
        return Constraint.grammar(value["grammar"])
    if kind != "json_schema":
        raise ConfigError(f"{field}.type={kind!r} is unknown.", fix="Give json_schema or json_object.")
    inner = value.get("json_schema") if isinstance(value.get("json_schema"), dict) else value
    schema = mapped(inner).get("schema")
    if schema is None:
        raise ConfigError(f"{field} has no schema.", fix="Give one, or the type json_object.")
    return Constraint.schema(schema)


def forced_of(name: str, request: dict[str, Any], tools: Sequence[dict[str, Any]]) -> str:
    """Return which call a request demands: empty, ``none``, ``required``, or a tool's name."""
    choice = request.get("tool_choice")
    kind = choice.get("type") if isinstance(choice, dict) else choice
    if kind in (None, "auto"):
        return ""
    if kind == "none":
        return "none"
    names = [tool["function"]["name"] for tool in tools]
    if kind in ("required", "any"):
        if not names:
            raise WireError(
                400, "tool_choice demands a call, and there are no tools.", param="tool_choice", code="invalid_value"
            )
        return "required"
    named = mapped(choice).get("name") or mapped(mapped(choice).get("function")).get("name")
    if kind in ("function", "tool") and isinstance(named, str):
        if named not in names:
            raise WireError(
                400,
                f"tool_choice names {named[:80]!r}, which is none of the tools.",
                param="tool_choice",
                code="invalid_value",
            )
        return named
    raise WireError(
        400, f"tool_choice={str(choice)[:80]!r} is not supported: auto, none, required, or a function.",
        param="tool_choice", code="unsupported_parameter",
    )  # fmt: skip


def strict_tools(request: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of the tools whose arguments have to follow their schema."""
    found = []
    for tool in listed(request.get("tools")):
        inner = mapped(tool.get("function")) if isinstance(tool, dict) and "function" in tool else mapped(tool)
        if (inner.get("strict") is True or mapped(tool).get("strict") is True) and isinstance(inner.get("name"), str):
            found.append(inner["name"])
    return tuple(found)


def constraint_of(ask: Ask, renderer: Renderer, prompt: Sequence[int]) -> Constraint | None:
    """Return what an answer is held to. Raises :class:`WireError` 400 where the template has no such form."""
    try:
        if ask.form is not None:
            return renderer.held(ask.form, prompt) if ask.messages else ask.form
        if not (ask.forced or ask.strict):
            return None
        field = "tool_choice" if ask.forced else "tools[].strict"
        form = renderer.call_form
        if form is None or (not ask.forced and not form.marker):
            raise WireError(
                400, f"This model's chat template writes calls in a form that {field} cannot be held in.", param=field,
                code="unsupported_parameter",
            )  # fmt: skip
        tools = [t for t in ask.tools or [] if ask.forced in ("", "required", t["function"]["name"])]
        loose = [t if t["function"]["name"] in ask.strict or ask.forced else _loose(t) for t in tools]
        return Constraint("grammar", form.grammar(loose, renderer.special_tokens, free=not ask.forced))
    except ConfigError as error:
        param = "tool_choice" if ask.forced else "tools"
        raise WireError(400, f"{error.what} {error.fix or ''}".strip(), param=param, code="invalid_value") from None


def _loose(tool: dict[str, Any]) -> dict[str, Any]:
    return {**tool, "function": {**tool["function"], "parameters": {"type": "object"}}}
