"""Turn: what an answer says, in the one form in which an answer and its reference can be compared."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shadownb.engine.replies import parse_reply


@dataclass(frozen=True)
class Turn:
    """An answer or a reference.

    Attributes
    ----------
    content
        The text that stands after the reasoning.
    calls
        ``{"name", "arguments"}`` in the order in which they were made.
    malformed
        Markup of what was meant as a call and is none.
    finish
        ``stop``, ``length`` or ``cancelled``; of a reference always ``stop``.
    reasoning_open
        Whether it ended inside the reasoning.
    remarks
        What else is to be known of an answer, in sentences.
    raw
        An answer as it was written, with its reasoning and markup; empty of a reference.
    continues
        Whether it goes on from a problem's prompt as it stands: a completion of a file of samples.
    """

    content: str
    calls: list[dict[str, Any]] = field(default_factory=list)
    malformed: list[str] = field(default_factory=list)
    finish: str = "stop"
    reasoning_open: bool = False
    remarks: list[str] = field(default_factory=list)
    raw: str = ""
    continues: bool = False

    @classmethod
    def of_message(cls, message: Mapping[str, Any]) -> Turn:
        """Read a message of a row. Reasoning that stands in its content is taken off, as it is off an answer."""
        content = message.get("content") or ""
        if not isinstance(content, str):
            content = "".join(part.get("text") or "" for part in content if isinstance(part, Mapping))
        if content.lstrip().startswith("<think>"):
            parsed = parse_reply(content, calls=False)
            content = content if parsed.reasoning_open else parsed.content
        return cls(content, [_call(call.get("function") or call) for call in message.get("tool_calls") or ()])

    def read_by(self, renderer: Any, tools: list[dict[str, Any]] | None) -> Turn:
        """Return the turn read as replies of a model are, where its text holds calls or reasoning in that model's markup.

        Rows that were written for one template have them there, and the same answer of a model comes taken apart.
        """
        if self.calls:
            return self
        parsed = renderer.read_reply(self.content, tools or [], prompt=[])
        if parsed.malformed_calls or parsed.reasoning_open or not (parsed.tool_calls or parsed.reasoning):
            return self
        return dataclasses.replace(self, content=parsed.content, calls=[_call(call) for call in parsed.tool_calls])

    @classmethod
    def of_reply(cls, reply: Any) -> Turn:
        """Read a reply."""
        turn = cls.of_message({"content": reply.content, "tool_calls": reply.tool_calls})
        broken = [str(each.get("text", "")) for each in getattr(reply, "malformed_calls", ())]
        finish = str(getattr(reply, "finish_reason", "stop"))
        is_open, remarks = bool(getattr(reply, "reasoning_open", False)), list(getattr(reply, "remarks", ()))
        return cls(turn.content, turn.calls, broken, finish, is_open, remarks, str(getattr(reply, "raw", "") or ""))

    @property
    def outcome(self) -> str:
        """``called``, ``abstained`` or ``malformed``: a call that cannot be read is neither of the others."""
        return "malformed" if self.malformed else "called" if self.calls else "abstained"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a score does not say.

        ``cut at the limit``, ``malformed call``, ``no answer after the reasoning``, ``empty``, and remarks in sentences.
        """
        found = {
            "cut at the limit": self.finish == "length",
            "malformed call": bool(self.malformed),
            "no answer after the reasoning": self.reasoning_open,
            "empty": not (self.text.strip() or self.reasoning_open),
        }
        return (*(note for note, is_so in found.items() if is_so), *self.remarks)

    @property
    def text(self) -> str:
        """What scorers of text get: the content, then the calls as one JSON list whose keys are sorted.

        Two turns that call the same tools with the same arguments have the same text here, whatever order the keys of the
        arguments had and whether they came as JSON text. The order of the calls counts: the first may be what the second
        needs.
        """
        calls = json.dumps([_sorted(call) for call in self.calls], ensure_ascii=False) if self.calls else ""
        return "\n".join(part for part in (self.content, calls, *self.malformed) if part)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form that is kept on disk."""
        return {
            "content": self.content,
            "calls": self.calls,
            "malformed": self.malformed,
            "finish": self.finish,
            "reasoning_open": self.reasoning_open,
            "remarks": self.remarks,
            "raw": self.raw,
            **({"continues": True} if self.continues else {}),
        }


def _call(function: Mapping[str, Any]) -> dict[str, Any]:
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        with contextlib.suppress(ValueError, RecursionError):
            arguments = json.loads(arguments) if arguments.strip() else {}
    return {"name": function.get("name"), "arguments": {} if arguments is None else arguments}


def _sorted(value: Any) -> Any:
    """Return a call with the keys of its arguments in order, at every depth; the name comes first."""
    if isinstance(value, dict):
        first = {"name": value["name"]} if "name" in value and "arguments" in value else {}
        return first | {key: _sorted(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, float) and value.is_integer():
        return int(value)  # 1.0 and 1 are the same number in JSON
    return [_sorted(item) for item in value] if isinstance(value, list) else value
