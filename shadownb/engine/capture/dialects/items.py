"""Items of the Responses API in chat form: reasoning, text and calls of one turn become one assistant message.

Calls that a client runs (functions, custom tools, shells, patches) are tool calls, and what it answers are results, also where the
API has an item of its own for each. What the provider ran itself stays under ``other_items``.
"""

from __future__ import annotations

from typing import Any

from shadownb.engine.capture.dialects.base import listed, text_of
from shadownb.engine.jsontext import dumps

Item = dict[str, Any]

# Calls that have no name: the field with what they do, and the name of the tool (see :mod:`.offered`).
_CALLS = {
    "local_shell_call": ("action", "local_shell"),
    "shell_call": ("action", "shell"),
    "apply_patch_call": ("operation", "apply_patch"),
    "computer_call": ("action", "computer"),
}


def items_to_messages(items: list[Any]) -> list[dict[str, Any]]:
    """Return items in chat form."""
    found: list[dict[str, Any]] = []
    open_turn: dict[str, Any] | None = None
    for item in items:
        if not isinstance(item, dict):
            continue
        kind = item.get("type") or ("message" if "role" in item else None)
        kind = kind if isinstance(kind, str) else None
        if kind == "message" and item.get("role") != "assistant":
            open_turn = None
            found.append({"role": item.get("role"), "content": content_of(item.get("content"))})
        elif kind is not None and kind.endswith("_call_output"):
            open_turn = None
            found.append({"role": "tool", "tool_call_id": _call_id(item), "content": _output(item.get("output"))})
        else:
            if open_turn is None:
                open_turn = {"role": "assistant", "content": None}
                found.append(open_turn)
            _into_turn(open_turn, kind, item)
    return found


def _into_turn(turn: dict[str, Any], kind: str | None, item: Item) -> None:
    if kind == "message":
        turn["content"] = (turn["content"] or "") + text_of(item.get("content"))
        refusals = [p.get("refusal") for p in listed(item.get("content")) if isinstance(p, dict) and p.get("refusal")]
        if refusals:
            turn["refusal"] = "".join(map(str, refusals))
    elif kind == "function_call":
        _call(turn, item, item.get("name"), item.get("arguments") or "{}")
    elif kind == "custom_tool_call":
        _call(turn, item, item.get("name"), dumps({"input": item.get("input")}))
    elif kind in _CALLS:
        field, name = _CALLS[kind]
        _call(
            turn,
            item,
            name,
            dumps(item.get(field) if isinstance(item.get(field), dict) else {"input": item.get(field)}),
        )
    elif kind == "reasoning":
        text = text_of(item.get("content")) or text_of(item.get("summary"))
        if text:
            turn["reasoning_content"] = turn.get("reasoning_content", "") + text
    else:
        turn.setdefault("other_items", []).append(item)


def _call(turn: dict[str, Any], item: Item, name: Any, arguments: Any) -> None:
    call = {"id": _call_id(item), "type": "function", "function": {"name": name, "arguments": arguments}}
    turn.setdefault("tool_calls", []).append(call)


def _call_id(item: Item) -> Any:
    return item.get("call_id") or item.get("id")


def _output(output: Any) -> Any:
    if isinstance(output, str):
        return output
    if isinstance(output, list) and any(
        isinstance(p, dict) and "text" not in p and "image_url" not in p for p in output
    ):
        return dumps(output)  # of a shell: a list of what each command wrote
    if isinstance(output, dict) and isinstance(output.get("image_url"), str):  # a picture of the screen
        return [{"type": "image_url", "image_url": {"url": output["image_url"]}}]
    return dumps(output) if isinstance(output, dict) else content_of(output)


def content_of(content: Any) -> Any:
    """Return the content of an item in chat form: text where it is text alone."""
    parts = listed(content)
    if isinstance(content, str) or not parts:
        return content
    if all(isinstance(part, dict) and part.get("type") in ("input_text", "output_text", "text") for part in parts):
        return text_of(parts)
    return [_part(part) for part in parts]


def _part(part: Any) -> Any:
    if isinstance(part, dict) and part.get("type") in ("input_text", "output_text"):
        return {"type": "text", "text": part.get("text") or ""}
    if isinstance(part, dict) and part.get("type") == "input_image" and isinstance(part.get("image_url"), str):
        return {"type": "image_url", "image_url": {"url": part["image_url"]}}
    return part
