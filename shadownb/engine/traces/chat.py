"""Messages and tool schemas of every provider and instrumentation, brought into OpenAI's chat form.

A message may hold its content as text, as OpenAI or Anthropic parts, as the parts of OpenTelemetry's GenAI convention, as
Bedrock blocks, or as Gemini parts; a conversation may also be a list of the items of OpenAI's Responses API. Reasoning goes
to ``reasoning_content``. Parts that are not text (pictures, sound) are kept as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from shadownb.engine.capture.dialects.items import items_to_messages
from shadownb.engine.messages.values import from_json_text
from shadownb.engine.trajectories.identity import ROLES, calls_of, text_of

Message = dict[str, Any]

_THINKING = ("thinking", "reasoning", "redacted_thinking", "reasoningContent")
_TEXT = ("text", "input_text", "output_text", "refusal")
_CALLS = ("tool_call", "tool_use", "function_call", "tool-call", "server_tool_call")
_RESULTS = ("tool_call_response", "tool_result", "function_call_output", "tool-result", "server_tool_call_response")
_PARTS = ("tool_call", "server_tool_call")  # of OpenTelemetry's messages
_WRAPPED = {"toolUse": "tool_use", "toolResult": "tool_result", "functionCall": "function_call"}
_WRAPPED |= {"functionResponse": "tool_result", "function_response": "tool_result", "text": "text"}
_MEDIA = (
    "image",
    "image_url",
    "input_image",
    "audio",
    "output_audio",
    "input_audio",
    "video",
    "file",
    "blob",
    "uri",
    None,
)
_KINDS = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool", "AIMessageChunk": "assistant"}


def chat_messages(value: Any, role: str = "user") -> list[Message]:
    """Return ``value`` as chat messages.

    Parameters
    ----------
    value
        Messages, one message, JSON text of them, or plain text.
    role
        The role of plain text and of messages that name none.
    """
    value = from_json_text(value)
    if value is None or value == "":
        return []
    if isinstance(value, Mapping) and isinstance(value.get("messages"), list):
        value = value["messages"]
    if isinstance(value, (str, Mapping)):
        value = [value]
    if not isinstance(value, (list, tuple)):
        return []
    return [message for item in _grouped(value) for message in _messages(item, role)]


def _grouped(items: Iterable[Any]) -> list[Any]:
    """Put the items of one Responses answer (reasoning, text, calls, what the provider ran) into one assistant message."""
    parsed = [from_json_text(item) for item in items]
    return items_to_messages(parsed) if any(map(is_item, parsed)) else parsed


def is_item(value: Any) -> bool:
    """Whether this is an item of the Responses API that is no message."""
    if not isinstance(value, Mapping) or "role" in value or not isinstance(kind := value.get("type"), str):
        return False
    ran = kind.endswith(("_call", "_call_output")) and kind not in _PARTS
    return ran or kind in ("reasoning", "mcp_list_tools", "mcp_approval_request", "compaction")


def _messages(item: Any, role: str) -> list[Message]:
    if isinstance(item, str):
        return [{"role": role, "content": item}] if item else []
    if not isinstance(item, Mapping):
        return []
    if isinstance(item.get("kwargs"), Mapping) and "lc" in item:  # LangChain's own serialisation
        return _messages(
            {"type": str((item.get("id") or [""])[-1]).removesuffix("Message").lower(), **item["kwargs"]}, role
        )
    if isinstance(item.get("message"), Mapping) and "role" not in item:
        return _messages(item["message"], role)
    kind = item.get("type")
    if "role" not in item and kind in (*_CALLS, *_RESULTS, "reasoning"):
        owner = "tool" if kind in _RESULTS else "assistant"
        blocks: list[Any] = [item]
    else:
        owner = str(item.get("role") or _KINDS.get(str(kind)) or role)
        owner = ROLES.get(owner, owner)
        content = item.get("parts") if isinstance(item.get("parts"), list) else item.get("content")
        content = _parts_in_text(content)
        blocks = list(content) if isinstance(content, list) else [content]
    return _assembled(item, owner, blocks)


def _assembled(item: Mapping[str, Any], role: str, blocks: list[Any]) -> list[Message]:
    texts: list[str] = []
    holders = [item, *(inner for inner in [item.get("additional_kwargs")] if isinstance(inner, Mapping))]
    names = ("reasoning_content", "reasoning")
    thoughts: list[str] = [holder[key] for holder in holders for key in names if isinstance(holder.get(key), str)]
    others: list[Any] = []
    calls = [_call(call) for call in _calls_beside(item)]
    known = {call.get("id") or _said(call) for call in calls}
    results: list[Message] = []
    for block in blocks:
        kind, inner = _kind(block)
        if kind == "text":
            texts.append(_text(inner))
        elif kind == "thinking":
            thoughts.append(_text(inner))
        elif kind == "call":
            call = _call(_call_fields(inner))
            # LangChain and OpenInference tell Anthropic's calls in both places.
            calls += [call] if (call.get("id") or _said(call)) not in known else []
        elif kind == "result":
            results.append(_result(inner))
        elif kind == "other":
            others.append(inner)
    text = "".join(texts)
    if role == "tool" and not results:
        return [_tool(item, text)]
    others, beside = _beside(item, others) if role == "assistant" else (others, {})
    content: Any = [*([{"type": "text", "text": text}] if text else []), *others] if others else text or None
    message: Message = {"role": role, "content": content, **beside}
    if isinstance(item.get("name"), str) and role in ("user", "system"):
        message["name"] = item["name"]
    if calls:
        message["tool_calls"] = calls
    if thoughts and any(thoughts):
        message["reasoning_content"] = "\n".join(filter(None, thoughts))
    if content is None and not calls and not beside and "reasoning_content" not in message:
        return results or ([{"role": role, "content": ""}] if role == "assistant" else [])
    return [*results, message]


def _beside(item: Mapping[str, Any], others: list[Any]) -> tuple[list[Any], dict[str, list[Any]]]:
    """Return the pictures and sounds of an answer, and what the provider ran, which is no part of it that could be trained."""
    beside = {
        name: list(held)
        for name in ("other_items", "other_blocks")
        if isinstance(held := item.get(name), list) and held
    }
    ran = [block for block in others if _kind_of(block) not in _MEDIA]
    if ran:
        beside["other_blocks"] = [*beside.get("other_blocks", []), *ran]
    return [block for block in others if _kind_of(block) in _MEDIA], beside


def _said(call: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return what tells a call without an id from others."""
    return call["function"]["name"], repr(from_json_text(call["function"]["arguments"]))


def _kind_of(block: Any) -> Any:
    return block.get("type") if isinstance(block, Mapping) else None


def _calls_beside(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the calls that stand beside the content: as everywhere, or as LangChain keeps what it got from the provider."""
    calls = calls_of(item)
    broken = item.get("invalid_tool_calls")  # calls whose arguments LangChain could not read
    calls += calls_of({"tool_calls": broken}) if isinstance(broken, list) else []
    inner = item.get("additional_kwargs")
    return calls or (calls_of(inner) if isinstance(inner, Mapping) else [])


def _kind(block: Any) -> tuple[str, Any]:
    if block is None or block == "":
        return "none", None
    if isinstance(block, str):
        return "text", block
    if not isinstance(block, Mapping):
        return "text", json.dumps(block, ensure_ascii=False)
    kind = block.get("type")
    if kind in ("uri", "blob") and block.get("modality") == "image":  # OpenTelemetry's
        url = block.get("uri") or f"data:{block.get('mime_type')};base64,{block.get('content')}"
        return "other", {"type": "image_url", "image_url": {"url": url}}
    if kind is None:
        wrapped = next((key for key in _WRAPPED if key in block), None)
        thought = next((key for key in _THINKING if key in block), None)
        if block.get("thought") is True or thought:
            return "thinking", block[thought] if thought else block
        kind = _WRAPPED[wrapped] if wrapped else None
        block = block[wrapped] if wrapped else block
    for names, name in ((_TEXT, "text"), (_THINKING, "thinking"), (_CALLS, "call"), (_RESULTS, "result")):
        if kind in names:
            return name, block
    return "other", block


def _text(block: Any) -> str:
    if isinstance(block, str):
        return block
    if isinstance(block, Mapping):
        for key in ("text", "content", "thinking", "reasoning", "reasoningText", "refusal", "summary"):
            value = block.get(key)
            if isinstance(value, (str, list, Mapping)) and value:
                return "\n".join(map(_text, value)) if isinstance(value, list) else _text(value)
    return ""


def _call_fields(block: Mapping[str, Any]) -> dict[str, Any]:
    function = block.get("function")
    function = function if isinstance(function, Mapping) else block
    keys = ("arguments", "args", "input", "parameters")
    arguments: Any = next((function[key] for key in keys if function.get(key) is not None), {})
    ids = ("call_id", "id", "toolUseId", "toolCallId", "tool_call_id")
    identifier = next((block[key] for key in ids if block.get(key)), None)
    return {"id": identifier, "name": function.get("name") or block.get("toolName") or "", "arguments": arguments}


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    arguments = call["arguments"]
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    made: dict[str, Any] = {"type": "function", "function": {"name": call["name"], "arguments": text}}
    return {"id": str(call["id"]), **made} if call.get("id") else made


def _result(block: Mapping[str, Any]) -> Message:
    names = ("response", "result", "output", "content")
    return _tool(block, next((block[key] for key in names if block.get(key) is not None), ""))


def _tool(item: Mapping[str, Any], content: Any) -> Message:
    message: Message = {"role": "tool", "content": _result_text(content)}
    ids = ("tool_call_id", "tool_use_id", "toolUseId", "call_id", "toolCallId", "id")
    identifier = next((item[key] for key in ids if item.get(key)), None)
    if identifier is not None:
        message["tool_call_id"] = str(identifier)
    return message


def _result_text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list) and content and all(isinstance(p, Mapping) and "text" in p for p in content):
        return text_of([{"type": "text", "text": part["text"]} for part in content])
    return json.dumps(content, ensure_ascii=False)


def _parts_in_text(content: Any) -> Any:
    """Return the parts that a text holds as JSON, as instrumentations write them that may only record strings."""
    if isinstance(content, str) and content.lstrip()[:2] in ("[{", "[ "):
        parts = from_json_text(content)
        known = {*_TEXT, *_THINKING, *_CALLS, *_RESULTS, "image_url", "image", "input_image"}
        if isinstance(parts, list) and all(isinstance(p, Mapping) and (_is_block(p, known)) for p in parts):
            return parts
    return content


def _is_block(part: Mapping[str, Any], known: set[str]) -> bool:
    return part.get("type") in known or (len(part) == 1 and next(iter(part)) in _WRAPPED)


# -- tools -------------------------------------------------------------------------------------------------------------


def tool_schemas(value: Any) -> list[dict[str, Any]]:
    """Return tool schemas of any provider as ``{"type": "function", "function": {...}}``; what is none is left out."""
    value = from_json_text(value)
    if isinstance(value, Mapping):
        value = value.get("tools") or [value]
    found: list[dict[str, Any]] = []
    for entry in value if isinstance(value, (list, tuple)) else []:
        item = from_json_text(entry)
        if not isinstance(item, Mapping):
            continue
        several = item.get("functionDeclarations") or item.get("function_declarations")
        if isinstance(several, list):
            found += tool_schemas(several)
            continue
        schema = _schema(item)
        if schema is not None:
            found.append({"type": "function", "function": schema})
    return found


def _schema(item: Mapping[str, Any]) -> dict[str, Any] | None:
    inner = item.get("function") or item.get("toolSpec") or item
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str) or not inner["name"]:
        return None
    schema: dict[str, Any] = {"name": inner["name"]}
    if inner.get("description"):
        schema["description"] = str(inner["description"])
    keys = ("parameters", "input_schema", "inputSchema", "parametersJsonSchema")
    parameters = from_json_text(next((inner[key] for key in keys if inner.get(key)), None))
    if isinstance(parameters, Mapping) and set(parameters) == {"json"}:
        parameters = from_json_text(parameters["json"])
    if isinstance(parameters, Mapping):
        schema["parameters"] = dict(parameters)
    return schema
