"""ChannelReader: replies that are messages with headers, as gpt-oss (Harmony) and Muse write them.

Behind ``<|start|>assistant`` a header says for whom a message is: ``to=functions.name`` is a call, the channel ``analysis`` or
``to=self`` is reasoning, everything else is content. ``<|message|>`` ends the header.
"""

from __future__ import annotations

import re

from shadownb.engine.replies import decoders
from shadownb.engine.replies.decoders import BadCall, Call
from shadownb.engine.replies.families import Markup
from shadownb.engine.replies.parts import Kind, Part, call_id
from shadownb.engine.replies.schema import Tools, typed
from shadownb.engine.replies.texts import Flow, held_back

_START, _MESSAGE = "<|start|>", "<|message|>"
_ENDS = ("<|end|>", "<|return|>", "<|call|>", "<|eom|>", "<|eot|>")
_HEADS = ("to=", "<|channel|>", "<|constrain|>", _MESSAGE)


class ChannelReader:
    """Reads replies of channels; see :class:`MarkupReader` for the parameters."""

    def __init__(self, markup: Markup, *, tail: str = "", tools: Tools = None, calls: bool = True) -> None:
        self._tools = tools
        self._reads_calls = calls
        # A prompt may already hold the beginning of the header, or even of the first message.
        _, begun, prefix = tail.rpartition(_START + "assistant")
        self._text = prefix if begun else ""
        self._header: str | None = None  # None while the header is read
        self._kind: Kind | None = None
        self._flows = {"content": Flow(), "reasoning": Flow()}
        self._body = ""
        self._calls = 0
        self._parts: list[Part] = []

    @property
    def reasoning_open(self) -> bool:
        return self._kind == "reasoning"

    def feed(self, text: str) -> list[Part]:
        self._text += text
        while self._step(ended=False):
            pass
        return self._taken()

    def finish(self) -> list[Part]:
        while self._step(ended=True):
            pass
        open_reasoning = self.reasoning_open
        if self._header is not None:
            self._end_message()
        for kind, flow in self._flows.items():
            self._say(kind, flow.end())
        self._kind = "reasoning" if open_reasoning else None
        return self._taken()

    def _taken(self) -> list[Part]:
        parts, self._parts = self._parts, []
        return parts

    def _step(self, *, ended: bool) -> bool:
        if not self._text:
            return False
        return self._read_header(ended) if self._header is None else self._read_body(ended)

    def _read_header(self, ended: bool) -> bool:
        text = re.sub(r"^\s*(?:<\|start\|>)?\s*(?:assistant)?", "", self._text).lstrip()
        plain = bool(text) and not any(head.startswith(text[: len(head)]) for head in _HEADS)
        between = self._text.lstrip()
        if plain and not ended and any(mark.startswith(between) for mark in (_START + "assistant", "assistant")):
            return False
        if plain or (ended and _MESSAGE not in self._text):
            self._begin("", "content")  # a model that was tuned without channels writes plain text
            if text.startswith(_HEADS):
                self._text = ""  # it ended within a header: nothing was said
            return bool(self._text)
        header, mark, rest = self._text.partition(_MESSAGE)
        if not mark:
            return False
        recipient = re.search(r"\bto=(?:functions\.)?([^\s<]+)", header)
        name = recipient.group(1) if recipient else ""
        if name and name not in ("self", "user", "assistant") and self._reads_calls:
            kind: Kind = "call"
        else:
            thinks = name == "self" or "<|channel|>analysis" in header
            kind = "reasoning" if thinks and not (name and name != "self") else "content"
        self._text = rest
        self._begin(name, kind)
        return True

    def _begin(self, name: str, kind: Kind) -> None:
        self._header, self._kind, self._body = name, kind, ""
        if kind in self._flows:
            self._flows[kind].again()

    def _read_body(self, ended: bool) -> bool:
        marks = (*_ENDS, _START)
        found = min(((at, mark) for mark in marks if (at := self._text.find(mark)) >= 0), default=None)
        keep = 0 if ended or found else held_back(self._text, marks)
        end = found[0] if found else len(self._text) - keep
        piece, self._text = self._text[:end], self._text[end:]
        if self._kind == "call":
            self._body += piece
        else:
            self._say(self._kind or "content", self._flows[self._kind or "content"].add(piece))
        if found is None:
            return False
        self._end_message()
        if found[1] != _START:
            self._text = self._text[len(found[1]) :]
        return True

    def _end_message(self) -> None:
        name, self._header = self._header or "", None
        if self._kind == "call":
            try:
                self._add_calls(name, self._decoded(name))
            except BadCall as error:
                self._parts.append(Part("malformed", f"to={name}{_MESSAGE}{self._body}", reason=str(error)))
        self._kind = None

    def _decoded(self, name: str) -> list[Call]:
        if "invoke name=" in self._body:
            return decoders.invoke_calls(self._body)
        return [(name, decoders.arguments_of(decoders.load_json(self._body.strip() or "{}"), name))]

    def _add_calls(self, name: str, found: list[Call]) -> None:
        for number, (called, written) in enumerate(found):
            arguments = typed(called, written, self._tools)
            text = "" if number else f"to={name}{_MESSAGE}{self._body}"
            call = {"id": call_id(self._calls, called, arguments), "name": called, "arguments": arguments}
            self._parts.append(Part("call", text, call))
            self._calls += 1

    def _say(self, kind: str, text: str) -> None:
        if text:
            self._parts.append(Part("content" if kind == "content" else "reasoning", text))
