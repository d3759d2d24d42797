"""The bodies of calls, from each markup's text to names and arguments.

A decoder takes what stands in a call's block and returns every call in it, or raises :class:`BadCall` with the reason. Values
of markups that write text without quotes come as :class:`Written`; :mod:`typing` gives them the type that the tool's schema
asks for.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from shadownb.engine.jsontext import Unreadable, check_depth, mended, unique_keys

Call = tuple[str, dict[str, Any]]

NAME = r"[\w.\-/:]+"


class BadCall(ValueError):
    """Why a text that was meant as a call is none."""


class Written(str):
    """A value as plain text, whose type the markup does not say."""

    __slots__ = ()


def json_calls(body: str, *, alone: bool = False) -> list[Call]:
    """Read objects with a name and arguments: one, a list, or several behind each other.

    Parameters
    ----------
    alone
        Refuse other text beside them.
    """
    found = _json_values(body, alone)
    values = [item for value in found for item in (value if isinstance(value, list) else [value])]
    if not values:
        raise BadCall("it holds no JSON object")
    return [call_of(value) for value in values]


def call_of(value: Any) -> Call:
    """Return the call that a JSON value is. A nested object is an argument, whatever keys it has."""
    if not isinstance(value, dict):
        raise BadCall(f"{shown(value)} is no object with a name and arguments")
    function = value.get("function")
    if isinstance(function, dict):
        return call_of(function)
    name = value.get("name") or value.get("tool_name") or function
    if not isinstance(name, str) or not name:
        raise BadCall("it has no name")
    keys = [key for key in _ARGUMENTS if key in value]
    if len(keys) > 1:
        raise BadCall(f"it has both {keys[0]} and {keys[1]}")
    beside = next((key for key in value if key not in _BESIDE), None)
    if not keys and beside is not None:
        raise BadCall(f"it has {shown(beside)} and no arguments")
    return name, arguments_of(value[keys[0]] if keys else {}, name)


_ARGUMENTS = ("arguments", "parameters", "args")
_BESIDE = ("name", "tool_name", "function", "type", "id", "tool_call_id", "index")


def arguments_of(value: Any, name: str) -> dict[str, Any]:
    """Return arguments that may be JSON text."""
    if isinstance(value, str):
        value = load_json(value) if value.strip() else {}
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadCall(f"the arguments of {name!r} are no object but {shown(value)}")
    return value


def load_json(text: str) -> Any:
    """Read a whole text as JSON. Models write raw line breaks inside strings, so those are allowed."""
    try:
        return _sound(_DECODER.decode(text))
    except RecursionError:
        raise BadCall("it is nested too deeply") from None
    except ValueError as error:
        raise BadCall(f"it is not valid JSON: {error}") from None


def _json_values(body: str, alone: bool) -> list[Any]:
    found: list[Any] = []
    start = re.search(r"[\[{]", body)
    at = start.start() if start else -1
    while at >= 0:
        try:
            value, end = _DECODER.raw_decode(body, at)
        except RecursionError:
            raise BadCall("it is nested too deeply") from None
        except ValueError as error:
            raise BadCall(f"it is not valid JSON: {error}") from None
        found.append(_sound(value))
        more = re.compile(r"[\s,;]*(?=[\[{])").match(body, end)
        at = more.end() if more else -1
        if alone and not more and body[end:].strip(" \t\r\n;"):
            raise BadCall(f"{shown(body[end:].strip())} follows it")
    return found


def _sound(value: Any) -> Any:
    """Return a value that whoever gets the call can write again: not nested too deeply, without halves of characters."""
    try:
        check_depth(value)
    except Unreadable:
        raise BadCall("it is nested too deeply") from None
    return mended(value)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    return float(digits) if math.isfinite(float(digits)) else _no_constant(digits)


_DECODER = json.JSONDecoder(
    strict=False, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=unique_keys
)


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def tagged_calls(body: str) -> list[Call]:
    """Read what stands in ``<tool_call>``: JSON, ``<function=...>`` or ``<arg_key>`` pairs, whichever it is."""
    text = body.strip()
    if text.startswith("<function="):
        return function_calls(text)
    if "<arg_key>" in text or re.fullmatch(NAME, text):
        return [_pairs_call(text)]
    return json_calls(text)


_FUNCTION = re.compile(r"<function=([^>\n]+)>(.*?)</function>\s*(?=<function=|\Z)", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^>\n]+)>(?:\r?\n)?(.*?)(?:\r?\n)?</parameter>\s*(?=<parameter=|\Z)", re.DOTALL)


def function_calls(body: str) -> list[Call]:
    """Read ``<function=name>`` with ``<parameter=key>`` blocks, as Qwen3.5 and Nemotron write them."""
    text = body.strip()
    calls, at = [], 0
    for found in _FUNCTION.finditer(text):
        if text[at : found.start()].strip():
            break
        at = found.end()
        calls.append((found.group(1).strip(), _tag_values(_PARAMETER, found.group(2))))
    if not calls or at < len(text):
        raise BadCall("a <function=...> block is not closed")
    return calls


_PAIR = re.compile(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>\s*(?=<arg_key>|\Z)", re.DOTALL)


def _pairs_call(text: str) -> Call:
    name, mark, rest = text.partition("<arg_key>")
    return name.strip(), _tag_values(_PAIR, mark + rest)


_AROUND = re.compile(r"\A\s*<(?:\w+:)?function_calls>|</(?:\w+:)?function_calls>\s*\Z")
_INVOKE = re.compile(r"<(?:\w+:)?invoke name=\"([^\"]+)\">(.*?)</(?:\w+:)?invoke>", re.DOTALL)
NAMED = re.compile(
    r"<(?:\w+:)?parameter name=\"([^\"]+)\">(.*?)</(?:\w+:)?parameter>\s*(?=<(?:\w+:)?parameter |\Z)", re.DOTALL
)


def invoke_calls(body: str) -> list[Call]:
    """Read ``<invoke name="...">`` with ``<parameter name="...">``, with or without a prefix before the tags' names."""
    blocks = _whole(_INVOKE, _AROUND.sub("", body), "an <invoke> block")
    return [(found.group(1), _tag_values(NAMED, found.group(2))) for found in blocks]


def _whole(pattern: re.Pattern[str], body: str, what: str) -> list[re.Match[str]]:
    """Return the matches that a body is made of. Of several calls none may be lost because the next one is broken."""
    found = list(pattern.finditer(body))
    rest = pattern.sub("", body).strip()
    if not found or rest:
        raise BadCall(f"{what} is missing or not closed" + (f": {shown(rest)}" if rest else ""))
    return found


def _tag_values(pattern: re.Pattern[str], text: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    at = 0
    for found in pattern.finditer(text):
        if text[at : found.start()].strip():
            break
        at = found.end()
        name = found.group(1).strip()
        if name in values:
            raise BadCall(f"{shown(name)} stands in it twice")
        values[name] = Written(found.group(2))
    if text[at:].strip():
        raise BadCall(f"its arguments break off at {shown(text[at:].strip())}")
    return values


def gemma_calls(body: str, *, quote: str = '<|"|>') -> list[Call]:
    """Read ``call:name{key:value}`` with strings between two quotes of their own, as Gemma 4 and FunctionGemma write it."""
    found = re.fullmatch(r"\s*call:(" + NAME + r")\s*(\{.*\})\s*", body, re.DOTALL)
    if not found:
        raise BadCall("it is not of the form call:name{...}")
    pieces = found.group(2).split(quote)
    if len(pieces) % 2 == 0:
        raise BadCall("a string in it is not closed")
    for number, piece in enumerate(pieces):
        bare = re.sub(r"([{,]\s*)([^\s{}\[\],:\"]+)(\s*:)", r'\1"\2"\3', piece)
        pieces[number] = json.dumps(piece) if number % 2 else bare
    return [(found.group(1), arguments_of(load_json("".join(pieces)), found.group(1)))]


_DEEPSEEK = re.compile(r"<｜tool▁call▁begin｜>(.*?)<｜tool▁sep｜>(.*?)<｜tool▁call▁end｜>", re.DOTALL)


def deepseek_calls(body: str) -> list[Call]:
    """Read DeepSeek's calls: kind and name with fenced JSON (V3, R1), or name and JSON (V3.1)."""
    calls = []
    for found in _whole(_DEEPSEEK, body, "a call"):
        head, rest = found.group(1).strip(), found.group(2).strip()
        fenced = re.fullmatch(r"([^\n]+)\n```json\n(.*)\n```", rest, re.DOTALL)
        name, text = (fenced.group(1).strip(), fenced.group(2)) if fenced else (head, rest)
        calls.append((name, arguments_of(load_json(text), name)))
    return calls


_KIMI = re.compile(r"<\|tool_call_begin\|>\s*(.*?)<\|tool_call_argument_begin\|>(.*?)<\|tool_call_end\|>", re.DOTALL)


def kimi_calls(body: str) -> list[Call]:
    """Read ``functions.name:0`` with JSON arguments, as Kimi writes them."""
    calls = []
    for found in _whole(_KIMI, body, "a call"):
        name = re.sub(r":\d+$", "", found.group(1).strip()).removeprefix("functions.")
        calls.append((name, arguments_of(load_json(found.group(2)), name)))
    return calls


def mistral_calls(body: str) -> list[Call]:
    """Read what follows ``[TOOL_CALLS]``: a JSON list, or a name with ``[ARGS]`` and JSON."""
    named = re.fullmatch(r"\s*(" + NAME + r")\s*(?:\[CALL_ID\][\w-]*)?\s*(?:\[ARGS\])?\s*(\{.*\})\s*", body, re.DOTALL)
    if named:
        return [(named.group(1), arguments_of(load_json(named.group(2)), named.group(1)))]
    return json_calls(body)
