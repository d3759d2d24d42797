"""An assistant's content that is a list of parts, as Mistral and some gateways answer, in the one form that is read on."""

from __future__ import annotations

from typing import Any

_TEXT = ("text", "output_text")
_THOUGHTS = ("thinking", "reasoning", "redacted_thinking")
# Parts that are an answer of another kind than text: the list stays as it is.
_MEDIA = ("image", "image_url", "output_image", "audio", "output_audio", "input_audio", "video", "file")


def spread_content(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message, or a delta, whose list of parts is text under ``content``, reasoning under ``reasoning_content``,
    and what is neither (references, citations) under ``other_parts``. One without such a list is returned as a copy.
    """
    parts = message.get("content")
    if not isinstance(parts, list) or any(isinstance(p, dict) and p.get("type") in _MEDIA for p in parts):
        return dict(message)
    texts, thoughts, others = [], [], []
    for part in parts:
        kind = part.get("type", "text") if isinstance(part, dict) else None
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and kind in _TEXT and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(part, dict) and kind in _THOUGHTS:
            thoughts.append(part_text(part))
        else:
            others.append(part)
    found = {key: value for key, value in message.items() if key != "content"}
    if texts:
        found["content"] = "".join(texts)
    for name, value in (("reasoning_content", "".join(thoughts)), ("other_parts", others)):
        if value and not message.get(name):
            found[name] = value
    return found


def part_text(part: Any) -> str:
    """Return the text of a part, also of one that holds a list of parts, as Mistral's ``thinking`` does."""
    if isinstance(part, str):
        return part
    if isinstance(part, list):
        return "".join(map(part_text, part))
    if not isinstance(part, dict):
        return ""
    keys = ("thinking", "text", "reasoning", "content", "summary")
    return next((text for key in keys if (text := part_text(part.get(key)))), "")
