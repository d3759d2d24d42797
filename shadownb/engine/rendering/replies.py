"""The text of a reply where a template does not continue its own prompt with it.

Three kinds of template do so. One opens the reasoning in the prompt (``<think>`` stands there already) and leaves it out
of a finished turn: DeepSeek R1, Nemotron. One shuts it in the prompt, so that a reply has none: Qwen3.5 without thinking.
One drops the reasoning of earlier turns once an answer follows: gpt-oss. What is trained is always the prompt of inference
and behind it what the model has to say next.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from shadownb.engine.rendering.styles import REASONING_KEYS

_OPENED = {"<think>": "</think>", "[THINK]": "[/THINK]", "<|channel>thought": "<channel|>"}
_OPEN = re.compile(rf"({'|'.join(map(re.escape, _OPENED))})(\s*)\Z")
_PROBE = "86421"
Write = Callable[..., str]


def reply_after(before: str, messages: list[dict[str, Any]], index: int, write: Write) -> str:
    """Return what the model has to generate behind ``before`` for turn ``index``, "" where nothing can be said about it.

    Parameters
    ----------
    before
        The prompt of the turn, with the generation prompt.
    write
        Renders messages; ``prompt=True`` adds the generation prompt.
    """
    opened = _OPEN.search(before)
    if opened is not None:
        return _behind_open_reasoning(before, opened, messages, index, write)
    return _without_reasoning(before, messages, index, write) or _behind_other_history(messages, index, write)


def _without_reasoning(before: str, messages: list[dict[str, Any]], index: int, write: Write) -> str:
    """Leave the reasoning out of a reply whose prompt has no place for it; that it is left out is counted elsewhere."""
    message = {key: value for key, value in messages[index].items() if key not in REASONING_KEYS}
    if message == messages[index]:
        return ""
    after = write([*messages[:index], message])
    return after[len(before) :] if after.startswith(before) else ""


def _behind_open_reasoning(
    before: str, opened: re.Match[str], messages: list[dict[str, Any]], index: int, write: Write
) -> str:
    """Close the reasoning as the template does, or where it never writes any as its models do."""
    message, closing = messages[index], _OPENED[opened[1]]
    thought, said = _taken_apart(message, opened[1], closing)
    plain = {name: value for name, value in message.items() if name not in REASONING_KEYS}
    plain["content"] = [{"type": "text", "text": said}] if isinstance(message["content"], list) else said
    for key in REASONING_KEYS:
        written = write([*messages[:index], {**plain, key: thought or _PROBE}])
        if written.startswith(before + (thought or _PROBE)):
            return thought + written[len(before) + len(thought or _PROBE) :]
    shown, start = write([*messages[:index], plain]), before[: opened.start()]
    if not shown.startswith(start):
        return ""
    empty = re.compile(rf"\s*(?:{re.escape(opened[1])}\s*{re.escape(closing)})?\s*")
    return f"{thought}\n{closing}\n\n{empty.sub('', shown[len(start) :], count=1)}"


def _taken_apart(message: dict[str, Any], opening: str, closing: str) -> tuple[str, str]:
    """Return (reasoning, text) of a turn; the reasoning may stand in its text, between the tags."""
    content = message["content"]
    text = "".join(part["text"] for part in content) if isinstance(content, list) else str(content)
    thought = str(next((message[key] for key in REASONING_KEYS if message.get(key)), ""))
    if not thought and closing in text:
        thought, _, text = text.partition(closing)
        thought, text = thought.strip().removeprefix(opening), text.lstrip("\n")
    return thought.strip(), text


def _behind_other_history(messages: list[dict[str, Any]], index: int, write: Write) -> str:
    """Take the turn from behind a history without reasoning, which such a template does not rewrite."""
    history = [{key: value for key, value in m.items() if key not in REASONING_KEYS} for m in messages[:index]]
    if history == messages[:index]:
        return ""
    before, after = write(history, prompt=True), write([*history, messages[index]])
    return after[len(before) :] if after.startswith(before) else ""
