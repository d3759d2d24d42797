"""Proof that what a row says reaches the model: the parts of its messages that a template leaves out, found before training.

A conversation of the same shape, with a number of its own in place of every text, is rendered once; what the template
leaves out of that it leaves out of every such row. (Short texts would be found by chance somewhere else.)
Reasoning of earlier turns is not missed: most templates leave it out by design. That of a reply that is trained is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from shadownb.engine.rendering.styles import reasoning_of
from shadownb.engine.rendering.templates import PROBE_CALL
from shadownb.errors import DataError

if TYPE_CHECKING:
    from shadownb.engine.rendering.layout import Layout

OnDrop = Literal["auto", "refuse", "leave_out", "bundled"]
Kind = Literal["system", "text", "text beside a call", "tool result", "reasoning", "name", "wording"]
Sequences = list[tuple["Layout", set[int], list[dict[str, Any]]]]

# Without these a reply is still one to what the row says, so that by default they are only counted.
LEFT_OUT_BY_DEFAULT: tuple[Kind, ...] = ("reasoning", "name")
WORDS: dict[Kind, str] = {
    "system": "system text",
    "text": "text of a message",
    "text beside a call": "text beside a tool call",
    "tool result": "tool result",
    "reasoning": "reasoning of a reply",
    "name": "name of who speaks",
    "wording": "exact wording of a message",
}
CODES: dict[Kind, str] = {
    "system": "system-not-rendered",
    "text": "text-not-rendered",
    "text beside a call": "text-not-rendered",
    "tool result": "tools-not-rendered",
    "reasoning": "reasoning-not-rendered",
    "name": "name-not-rendered",
    "wording": "text-not-rendered",
}
_TAGS = re.compile(r"(</?think>|\[/?THINK\]|<\|channel>|<channel\|>)")
_CLOSING = ("</think>", "[/THINK]", "<channel|>")
_CLOSING_TAGS = frozenset(_CLOSING)


class Drop(NamedTuple):
    """What a template leaves out of a conversation: the kind of part, and the message that has it."""

    kind: Kind
    message: int

    def __str__(self) -> str:
        return f"the {WORDS[self.kind]} (messages[{self.message}])"


def shape(messages: list[dict[str, Any]], tools: Any, wanted: Collection[int]) -> Any:
    """Return what decides which parts of a conversation a template leaves out; the same for rows that differ in words."""
    turns = tuple(
        (
            message["role"],
            tuple(part if _TAGS.fullmatch(part) else bool(part.strip()) for part in _TAGS.split(message["content"])),
            bool(reasoning_of(message)),
            bool(message.get("name")),
            len(message.get("tool_calls") or []),
        )
        for message in messages
    )
    return turns, bool(tools), frozenset(wanted)


def find_drops(
    messages: list[dict[str, Any]], wanted: Collection[int], sequences: Callable[[list[dict[str, Any]]], Sequences]
) -> tuple[Drop, ...]:
    """Return what is left out of conversations of this shape.

    Parameters
    ----------
    wanted
        The turns that are trained.
    sequences
        Renders messages as they are trained: (layout, turns trained in it, its messages) each.
    """
    probes, parts = _probes(messages)
    found: set[Drop] = set()
    for layout, trained, shown in sequences(probes):
        for index, kind, probe in parts:
            if index >= len(shown) or (kind == "reasoning" and index not in trained):
                continue
            if probe not in (layout.turn(index) if index in trained and index in wanted else layout.text):
                found.add(Drop(kind, index))
    return tuple(sorted(found, key=lambda drop: (drop.message, drop.kind)))


def find_changes(messages: list[dict[str, Any]], layout: Layout, trained: Collection[int]) -> tuple[Drop, ...]:
    """Return the messages of a row whose words a template changes: cut, escaped, in other letters, without their tags.

    White space at the ends is a template's own, and so is the form of tool results; reasoning is looked for elsewhere.
    """
    found = []
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            continue
        written = layout.turn(index) if index in trained else layout.text
        pieces = _TAGS.split(message["content"])
        said = [
            piece.strip()
            for place, piece in enumerate(pieces)
            if not (message["role"] == "assistant" and _CLOSING_TAGS.intersection(pieces[place:]))
        ]
        if not all(piece in written for piece in said):
            found.append(Drop("wording", index))
    return tuple(found)


def refused_by(drops: Iterable[Drop], on_drop: OnDrop) -> list[Drop]:
    """Return what a row is refused for."""
    if on_drop == "leave_out":
        return []
    return [drop for drop in drops if on_drop != "auto" or drop.kind not in LEFT_OUT_BY_DEFAULT]


def refuse(drops: list[Drop], on_drop: OnDrop) -> DataError:
    """Return the error that names what is left out and what can be done about it."""
    bundled = (
        "No bundled part can write it for this template and tokenizer"
        if on_drop == "bundled"
        else "on_template_drop='bundled' has it written by a bundled template"
    )
    return DataError(
        f"The chat template leaves out {', '.join(map(str, drops[:3]))}.",
        why="A model cannot learn or follow what it does not see.",
        fix=f"{bundled}, on_template_drop='leave_out' goes on without it; model.certify() shows what this template carries.",
        code=CODES[drops[0].kind],
    )


def _probes(messages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[tuple[int, Kind, str]]]:
    """Return the messages with a number for every text, and (message index, kind, number) of each."""
    parts: list[tuple[int, Kind, str]] = []

    def probe(index: int, kind: Kind) -> str:
        text = f"8{len(parts):05d}42"  # has no case, no ends to strip and nothing to escape
        parts.append((index, kind, text))
        return text

    def content(index: int, message: dict[str, Any]) -> str:
        written = []
        pieces = _TAGS.split(message["content"])
        for place, piece in enumerate(pieces):
            inside = message["role"] == "assistant" and any(tag in pieces[place:] for tag in _CLOSING)
            kind: Kind = "reasoning" if inside else _kind_of(message)
            blank = not piece.strip() or _TAGS.fullmatch(piece)
            written.append(piece if blank else probe(index, kind))
        return "".join(written)

    changed = []
    for index, message in enumerate(messages):
        probed = {**message, "content": content(index, message)}
        if reasoning_of(message):
            probed["reasoning_content"] = probe(index, "reasoning")
        if message.get("name") and message["role"] != "tool":
            probed["name"] = probe(index, "name")
        if message.get("tool_calls"):
            function = PROBE_CALL["tool_calls"][0]["function"]
            probed["tool_calls"] = [{**call, "function": function} for call in message["tool_calls"]]
        changed.append(probed)
    return changed, parts


def _kind_of(message: dict[str, Any]) -> Kind:
    kinds: dict[str, Kind] = {"system": "system", "tool": "tool result"}
    return kinds.get(message["role"], "text beside a call" if message.get("tool_calls") else "text")
