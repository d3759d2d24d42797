"""Sessions of the Pi coding agent, and of harnesses that write as it does: a tree of entries, each with its parent.

The last entry of each branch is a conversation; where the history was shortened, a summary stands for what lies before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shadownb.engine.traces.chat import chat_messages
from shadownb.engine.traces.sessions.turns import Message, Turn, turn
from shadownb.engine.traces.spans import finite, seconds

NAME = "pi"
MISSING = "the system prompt and the tool schemas"

_ROLES = {
    "toolResult": "tool",
    "bashExecution": "user",
    "custom": "user",
    "branchSummary": "user",
    "compactionSummary": "user",
}
_REASONS = {"toolUse": "tool_use", "stop": "stop"}
_COUNTS = {
    "prompt_tokens": ("input", "cacheRead", "cacheWrite"),
    "completion_tokens": ("output",),
    "cached_tokens": ("cacheRead",),
}


def recognises(lines: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the lines are entries with parents behind a session's header."""
    headed = any(line.get("type") == "session" and "version" in line for line in lines)
    return headed or any(line.get("type") == "message" and "parentId" in line for line in lines)


def turns_of(lines: Sequence[Mapping[str, Any]]) -> Iterator[Turn]:
    """Yield the answers of the sessions in a file, each with its branch before it."""
    session = ""
    prompts: dict[str, list[Message]] = {}  # what the model knew after each entry
    last = ""
    for number, line in enumerate(lines):
        kind, name = line.get("type"), str(line.get("id") or number)
        if kind == "session":
            session, prompts, last = str(line.get("id") or ""), {}, ""
            continue
        parent = line.get("parentId", last)
        before = prompts.get(str(parent), []) if parent else []
        if kind in ("compaction", "branch_summary") and line.get("summary"):
            kept = _kept(lines, line, prompts) if kind == "compaction" else before
            after = (
                [{"role": "user", "content": str(line["summary"])}, *kept]
                if kind == "compaction"
                else [*before, {"role": "user", "content": str(line["summary"])}]
            )
        elif kind in ("message", "custom_message"):
            given = line.get("message") if kind == "message" else line
            messages = _messages(given) if isinstance(given, Mapping) else []
            after = list(before)
            for message in messages:
                if message["role"] == "assistant" and isinstance(given, Mapping):
                    yield _turn(session, name, after, message, given, line)
                after.append(message)
        else:
            after = before
        prompts[name], last = after, name


def _kept(
    lines: Sequence[Mapping[str, Any]], entry: Mapping[str, Any], prompts: dict[str, list[Message]]
) -> list[Message]:
    """Return the messages that a compaction left as they were: those from its first kept entry on."""
    first = str(entry.get("firstKeptEntryId") or "")
    before = prompts.get(str(entry.get("parentId")), [])
    held = next((line for line in lines if str(line.get("id")) == first), None)
    earlier = prompts.get(str(held.get("parentId")), []) if held is not None else before
    return before[len(earlier) :]


def _messages(given: Mapping[str, Any]) -> list[Message]:
    role = str(given.get("role") or "user")
    if role == "bashExecution":  # the user ran it; the model sees command and output
        if given.get("excludeFromContext"):
            return []
        return [{"role": "user", "content": f"Ran `{given.get('command')}`\n{given.get('output') or ''}"}]
    content = given.get("content")
    blocks = [_block(block) for block in content] if isinstance(content, list) else content
    names = {"tool_call_id": given.get("toolCallId")} if role == "toolResult" else {}
    return chat_messages({"role": _ROLES.get(role, role), "content": blocks, **names})


def _block(block: Any) -> Any:
    if isinstance(block, Mapping) and block.get("type") == "toolCall":
        return {
            "type": "tool_call",
            "id": block.get("id"),
            "name": block.get("name"),
            "arguments": block.get("arguments"),
        }
    if isinstance(block, Mapping) and block.get("type") == "image" and "data" in block:
        return {"type": "image_url", "image_url": {"url": f"data:{block.get('mimeType')};base64,{block['data']}"}}
    return block


def _turn(
    session: str, name: str, prompt: list[Message], message: Message, given: Mapping[str, Any], line: Mapping[str, Any]
) -> Turn:
    usage = given.get("usage")
    held = usage if isinstance(usage, Mapping) else {}
    counts = (
        {ours: sum(finite(held.get(key)) or 0 for key in theirs) for ours, theirs in _COUNTS.items()} if held else {}
    )
    costs = held.get("cost")
    reason = given.get("stopReason")
    failed = reason in ("error", "aborted")
    return turn(
        NAME,
        session,
        name,
        prompt,
        message,
        reason=_REASONS.get(str(reason), reason),
        model=given.get("responseModel") or given.get("model"),
        usage={**counts, "total_tokens": counts["prompt_tokens"] + counts["completion_tokens"]} if counts else None,
        cost=(finite(costs.get("total")) or None) if isinstance(costs, Mapping) else None,
        start=seconds(given.get("timestamp")),
        end=seconds(line.get("timestamp")),
        failure=str(given.get("errorMessage") or reason)[:200] if failed else None,
    )
