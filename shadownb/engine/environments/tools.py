"""Tools: Python functions with typed signatures, as schemas that a model is shown, and called with what it says."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pydantic

from shadownb.engine.environments.reading import as_text
from shadownb.errors import ConfigError

# "name: what it is" of Google's Args, "name : type" with lines below of numpy's Parameters.
_ARGUMENT = re.compile(r"^\s*(\w+)\s*(?:\([^)]*\))?\s*:\s*(.+)$")
_SECTION = re.compile(r"^\s*(Args|Arguments|Parameters|Returns|Raises|Examples?)\s*:?\s*$")


@dataclass(frozen=True)
class Tool:
    """One function that a model may call.

    Attributes
    ----------
    schema
        As in OpenAI's API.
    """

    name: str
    function: Callable[..., Any]
    arguments: type[pydantic.BaseModel]
    schema: dict[str, Any]

    def call(self, given: Any) -> str:
        """Return what it gives as text.

        Raises
        ------
        ValueError
            The arguments are not those of its signature.
        Exception
            Whatever it raises itself.
        """
        from shadownb.engine.scoring.limits import finished

        if not isinstance(given, Mapping):
            raise ValueError(f"the arguments of {self.name} are {given!r:.60}, not an object")
        try:
            values = self.arguments.model_validate(dict(given))
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or self.name
            raise ValueError(f"{where}: {first['msg']}") from None
        found = finished(self.function(**{name: getattr(values, name) for name in values.model_fields_set}))
        return "" if found is None else as_text(found)


def tool_of(function: Callable[..., Any]) -> Tool:
    """Return a typed function as a tool; its docstring says what it and its arguments are for.

    Raises
    ------
    ConfigError
        An argument has no type, or one that no schema can say.
    """
    name = getattr(function, "__name__", type(function).__name__)
    hints = typing.get_type_hints(function)
    said, told = _described(inspect.getdoc(function) or "")
    fields: dict[str, Any] = {}
    for argument in inspect.signature(function).parameters.values():
        if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
            continue
        if argument.name not in hints:
            raise ConfigError(
                f"The tool {name} has an argument {argument.name!r} without a type.",
                why="The model is shown a schema of each tool, made of its signature.",
                fix=f"Write it as def {name}({argument.name}: str, ...), with a docstring that says what it is for.",
            )
        default = ... if argument.default is argument.empty else argument.default
        fields[argument.name] = (hints[argument.name], pydantic.Field(default, description=told.get(argument.name)))
    try:
        arguments = pydantic.create_model(name, __config__=pydantic.ConfigDict(extra="forbid"), **fields)
        parameters = arguments.model_json_schema()
    except pydantic.errors.PydanticUserError as error:
        raise ConfigError(
            f"The tool {name} has an argument whose type no schema can say: {str(error).splitlines()[0]}",
            fix="Use str, int, float, bool, lists, dicts, Literal, or pydantic models.",
        ) from None
    parameters = _plain(
        {key: value for key, value in parameters.items() if key not in ("title", "additionalProperties")}
    )
    schema = {"type": "function", "function": {"name": name, "description": said, "parameters": parameters}}
    return Tool(name, function, arguments, schema)


def _plain(schema: Any) -> Any:
    """Return a schema without the titles that pydantic writes over every argument."""
    if isinstance(schema, dict):
        named = schema.get("properties")
        found = {key: _plain(value) for key, value in schema.items() if key != "title" or not isinstance(value, str)}
        if isinstance(named, dict):
            found["properties"] = {key: _plain(value) for key, value in named.items()}
        return found
    return [_plain(value) for value in schema] if isinstance(schema, list) else schema


def _described(text: str) -> tuple[str, dict[str, str]]:
    """Return what a docstring says of a function, and of each of its arguments."""
    said: list[str] = []
    told: dict[str, str] = {}
    section = last = ""
    for line in text.splitlines():
        found = _SECTION.match(line)
        if found:
            section = found[1]
        elif not section:
            said.append(line.strip())
        elif section in ("Args", "Arguments", "Parameters"):
            named = _ARGUMENT.match(line)
            if named and (section != "Parameters" or not line.startswith(" ")):
                last = named[1]
                told[last] = "" if section == "Parameters" else named[2].strip()
            elif last and line.strip("- "):
                told[last] = f"{told[last]} {line.strip()}".strip()
    return " ".join(part for part in said if part), {name: text for name, text in told.items() if text}
