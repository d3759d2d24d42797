"""How a template writes a call, as a grammar: so that an answer can be made to call a tool, with arguments of its schema.

The template is asked to write a call (:mod:`.reading`); what stands around its JSON is the form. Templates that write calls in
another way than JSON (Python's, XML's) have none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shadownb.engine.inference.constraint import taken

Schema = dict[str, Any]
_NAME, _ARGUMENTS = "probe_call", {"probe_text": "it's a\\b\nend"}
_ANY: Schema = {"type": "object"}


@dataclass(frozen=True)
class CallForm:
    """What stands around a call's JSON.

    Attributes
    ----------
    before, after
        The text on both sides, markers included.
    marker
        What begins a call, in ``before``; empty where nothing does that no text would.
    keys
        The keys of the JSON with name and arguments in it; empty where the JSON is the arguments alone and the name stands in
        ``before``.
    listed
        Whether the JSON stands in a list.
    fixed
        Other values that the JSON has.
    """

    before: str
    after: str
    marker: str
    keys: tuple[str, ...]
    listed: bool
    fixed: tuple[tuple[str, Any], ...] = ()

    def grammar(self, tools: Sequence[dict[str, Any]], special: Sequence[tuple[str, int]], *, free: bool) -> str:
        """Return a grammar in Lark's syntax.

        Parameters
        ----------
        tools
            Of which one is called, in chat form.
        special
            Added tokens, as (text, id).
        free
            Whether the answer may be text without a call, and have text before calls; else it is one call.
        """
        calls = [self._call(tool["function"], special) for tool in tools]
        rules = [f"call_{number}: {rule}" for number, rule in enumerate(calls)]
        either = " | ".join(f"call_{number}" for number in range(len(calls)))
        if not free:
            return "\n".join([f"start: {either}", *rules])
        # Up to the marker that begins a call everything is free; then the call is as its schema says.
        marker = _written(self.marker, special)
        if marker.startswith("<["):
            head = [f"start: (/(.|\\n)*/ {marker} body)* /(.|\\n)*/"]
        else:
            head = ["start: (head body)* /(.|\\n)*/", f"head[lazy]: /(.|\\n)*/ {marker}"]
        rest = [self._call(tool["function"], special, behind_marker=True) for tool in tools]
        bodies = [f"body_{number}: {rule}" for number, rule in enumerate(rest)]
        return "\n".join([*head, f"body: {' | '.join(f'body_{n}' for n in range(len(rest)))}", *bodies])

    def _call(
        self, function: dict[str, Any], special: Sequence[tuple[str, int]], *, behind_marker: bool = False
    ) -> str:
        arguments, name = function.get("parameters") or _ANY, function["name"]
        if self.keys:
            known = dict(self.fixed)
            values = {
                key: {"const": name}
                if place == "name"
                else arguments
                if place == "arguments"
                else {"const": known[key]}
                for key, place in zip(self.keys, self._places(), strict=True)
            }
            schema: Schema = _closed(values)
            # References of a tool's schema lead to its own top, which is another one here.
            schema = _lifted(schema, arguments)
        else:
            schema = arguments
        before = self.before.replace(_NAME, name)
        if behind_marker:
            before = before.partition(self.marker)[2]
        opening, closing = ("[", "]") if self.listed else ("", "")
        parts = [
            _written(before + opening, special),
            f"%json {json.dumps(taken(schema))}",
            _written(closing + self.after, special),
        ]
        return " ".join(part for part in parts if part)

    def _places(self) -> list[str]:
        known = dict(self.fixed)
        found = [key for key in self.keys if key not in known]
        return ["fixed" if key in known else "name" if key == found[0] else "arguments" for key in self.keys]


def call_form(written: str, markers: Sequence[str] = ()) -> CallForm | None:
    """Return the form of the probe call as a template wrote it, with which of ``markers`` it begins; None where it is no JSON."""
    decoder = json.JSONDecoder(strict=False)
    at = written.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(written, at)
        except ValueError:
            at = written.find("{", at + 1)
            continue
        found = _form_of(value, written[:at], written[end:], markers)
        if found is not None:
            return found
        at = written.find("{", at + 1)
    return None


def _form_of(value: Any, before: str, after: str, markers: Sequence[str]) -> CallForm | None:
    marker = next((each for each in markers if each in before), "")
    listed = before.endswith("[") and after.startswith("]")
    if listed:
        before, after = before[:-1], after[1:]
    if value == _ARGUMENTS:
        return CallForm(before, after, marker, (), listed) if before.count(_NAME) == 1 else None
    if not isinstance(value, dict) or _ARGUMENTS not in value.values() or _NAME not in value.values():
        return None
    order = [value[key] for key in value]
    if order.index(_NAME) > order.index(_ARGUMENTS):
        return None
    fixed = tuple((key, each) for key, each in value.items() if each not in (_NAME, _ARGUMENTS))
    return CallForm(before, after, marker, tuple(value), listed, fixed)


def _closed(properties: dict[str, Any]) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _lifted(schema: Schema, inner: Schema) -> Schema:
    """Return a schema with the definitions of the one inside it at its own top."""
    kept: Schema = {key: inner[key] for key in ("$defs", "definitions") if key in inner}
    return {**schema, **kept}


def _written(text: str, special: Sequence[tuple[str, int]]) -> str:
    """Return a text in Lark's syntax, control tokens by their ids."""
    ids = dict(special)
    if not ids:
        return json.dumps(text) if text else ""
    pieces = re.split(f"({'|'.join(re.escape(token) for token in sorted(ids, key=len, reverse=True))})", text)
    return " ".join(f"<[{ids[piece]}]>" if piece in ids else json.dumps(piece) for piece in pieces if piece)
