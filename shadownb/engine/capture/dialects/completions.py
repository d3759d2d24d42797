"""OpenAI's text completions: one prompt, one text, without roles."""

from __future__ import annotations

import json
from typing import Any

from shadownb.engine.capture.dialects.base import WireError, listed, need
from shadownb.engine.capture.dialects.chat import ChatDialect
from shadownb.engine.capture.dialects.deltas import merge
from shadownb.engine.capture.dialects.tool_deltas import ToolCalls


class CompletionsDialect(ChatDialect):
    """``/v1/completions``; in chat form the prompt is a user message and the text an assistant's."""

    name = "completions"
    path = "/completions"

    def check(self, request: dict[str, Any]) -> None:
        need(request, "n", int)
        if not isinstance(request.get("prompt"), str | list | None):
            raise WireError(400, "The field 'prompt' must be text or a list.", param="prompt", code="invalid_type")

    def messages(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"role": "user", "content": prompt} for prompt in prompts_of(request)[:1]]

    def no_conversation(self, request: dict[str, Any]) -> str | None:
        given = request.get("prompt")
        if isinstance(given, list) and not all(isinstance(item, str) for item in given):
            return "its prompt is given as tokens, or as nothing that could be read as text"
        if len(prompts_of(request)) > 1:
            return f"it asks {len(prompts_of(request))} prompts at once, each with answers of its own"
        if request.get("suffix"):
            return "its answer stands between a prompt and a suffix"
        return "its answer repeats the prompt (echo)" if request.get("echo") is True else None

    def _add(self, total: dict[str, Any], choice: dict[str, Any], calls: ToolCalls) -> None:
        merge(total, choice)

    def choices(self, response: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {
                "index": choice.get("index", number),
                "message": {"role": "assistant", "content": choice.get("text") or ""},
                "finish_reason": choice.get("finish_reason"),
            }
            for number, choice in enumerate(listed(response.get("choices")))
            if isinstance(choice, dict)
        ]


def prompts_of(request: dict[str, Any]) -> list[str]:
    """Return the prompts as text; one of token ids as its JSON, because the tokenizer is the upstream's."""
    prompt = request.get("prompt")
    if isinstance(prompt, str):
        return [prompt]
    items = listed(prompt)
    if all(isinstance(item, str) for item in items):
        return list(items)
    return [json.dumps(item) for item in items] if all(isinstance(i, list) for i in items) else [json.dumps(items)]
