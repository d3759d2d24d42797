"""Sessions of Claude Code (``~/.claude/projects``), its sub-agents' files among them.

Each content block of an answer is a line of its own, with the id of the answer it belongs to; lines name the line before them.
Results of calls that ran side by side hang from the line of their call, so that the way back from the next answer passes only
one of them: results are found by the ids of their calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shadownb.engine.capture.dialects import dialect
from shadownb.engine.traces.sessions.turns import Message, Turn, turn
from shadownb.engine.traces.spans import seconds
from shadownb.engine.trajectories.identity import calls_of, message_text

NAME = "claude-code"
MISSING = "the system prompt, the tool schemas, and what the agent added to prompts by itself"

_WIRE = dialect("messages")
_SAID = ("user", "assistant")
_NOT_A_MODEL = "<synthetic>"
_INTERRUPTED = "[Request interrupted by user"
Line = Mapping[str, Any]


def recognises(lines: Sequence[Line]) -> bool:
    """Whether the lines are entries of a session."""
    return any(_is_message(line) and "parentUuid" in line and "sessionId" in line for line in lines)


def turns_of(lines: Sequence[Line]) -> Iterator[Turn]:
    """Yield the answers in a file, each with the way back from it."""
    found = _Entries(lines)
    for entry in found.answers:
        yield found.turn(entry)


def _is_message(line: Line) -> bool:
    return line.get("type") in _SAID and isinstance(line.get("message"), Mapping)


@dataclass(eq=False)
class _Entry:
    """What one answer said, over all its lines; or one line that is none of an answer's."""

    line: Line
    parent: str | None
    messages: list[Message]
    blocks: list[Any] = field(default_factory=list)
    reason: Any = None
    usage: Any = None
    end: Any = None

    @property
    def is_answer(self) -> bool:
        return self.line.get("type") == "assistant"


class _Entries:
    """The lines of a file by their names, and the conversation that leads to each."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.by_name: dict[str, _Entry] = {}  # also of lines that are no messages, through which the way leads
        self.answers: list[_Entry] = []
        self.results: dict[tuple[str, str], Message] = {}
        self._ways: dict[int, list[Message]] = {}
        by_answer: dict[tuple[Any, ...], _Entry] = {}
        for line in lines:
            name = str(line.get("uuid") or "")
            if not name or line.get("isVisibleInTranscriptOnly"):
                continue
            parent = str(line.get("parentUuid") or "") or None
            message = line.get("message") if _is_message(line) else None
            if message is None or message.get("model") == _NOT_A_MODEL or line.get("isApiErrorMessage"):
                self.by_name[name] = _Entry({**line, "type": "aside"}, parent, [])
            elif line["type"] == "assistant":
                key = (_agent(line), str(message.get("id") or name))
                entry = by_answer.get(key)
                if entry is None:
                    entry = by_answer[key] = _Entry(line, parent, [])
                    self.answers.append(entry)
                content = message.get("content")
                entry.blocks += content if isinstance(content, list) else [{"type": "text", "text": str(content or "")}]
                entry.reason = message.get("stop_reason") or entry.reason
                entry.usage, entry.end = message.get("usage") or entry.usage, line.get("timestamp")
                self.by_name[name] = entry
            else:
                given = {"role": "user", "content": message.get("content")}
                entry = _Entry(line, parent, _WIRE.messages({"messages": [given]}))
                self.by_name[name] = entry
                for told in entry.messages:
                    if told["role"] == "tool":
                        self.results[_agent(line), str(told.get("tool_call_id"))] = told
                    elif message_text(told).startswith(_INTERRUPTED):
                        self._interrupt(parent)
        for entry in self.answers:
            (answer,) = _WIRE.messages({"messages": [{"role": "assistant", "content": entry.blocks}]})
            entry.messages = [answer]

    def _interrupt(self, parent: Any) -> None:
        before = self.by_name.get(str(parent))
        if before is not None and before.is_answer and before.reason is None:
            before.reason = "interrupted"

    def turn(self, entry: _Entry) -> Turn:
        line = entry.line
        message = line["message"]
        facts = _WIRE.response_facts({"content": [], "usage": entry.usage})
        return turn(
            NAME,
            str(line.get("sessionId") or ""),
            str(message.get("id") or line.get("uuid")),
            self.way_to(entry),
            entry.messages[0],
            reason=entry.reason,
            model=message.get("model"),
            usage=facts.usage,
            start=seconds(line.get("timestamp")),
            end=seconds(entry.end),
            agent=_agent(line),
        )

    def way_to(self, entry: _Entry) -> list[Message]:
        """Return the messages before an entry, from the beginning of its conversation."""
        chain, seen = [], {id(entry)}
        before = self.by_name.get(str(entry.parent))
        while before is not None and id(before) not in seen and id(before) not in self._ways:
            seen.add(id(before))
            chain.append(before)
            before = self.by_name.get(str(before.parent))
        way = list(self._ways[id(before)]) if before is not None and id(before) in self._ways else []
        for each in reversed(chain):
            way += self._told(each)
            self._ways[id(each)] = list(way)
        return way

    def _told(self, entry: _Entry) -> list[Message]:
        """Return what an entry adds: an answer with the results of its calls, wherever they hang; else what is no result."""
        if not entry.is_answer:
            return [message for message in entry.messages if message["role"] != "tool"]
        agent = _agent(entry.line)
        results = [self.results.get((agent, str(call["id"]))) for call in calls_of(entry.messages[0])]
        return [*entry.messages, *(result for result in results if result is not None)]


def _agent(line: Line) -> str:
    """Return the agent that a line belongs to; sub-agents of earlier versions share one file, told by a mark alone."""
    return str(line.get("agentId") or ("sidechain" if line.get("isSidechain") else ""))
