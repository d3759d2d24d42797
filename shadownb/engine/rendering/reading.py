"""Which markup a tokenizer's chat template writes, proven with a call that it is asked to write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shadownb.engine.rendering.templates import TemplateChoice, render_text
from shadownb.engine.rendering.tools import styled
from shadownb.engine.replies import Markup, choose_markup, parse_reply

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Has what templates of Python-style calls write differently: a quote, a backslash and a line break.
_ARGUMENTS = {"probe_text": "it's a\\b\nend"}
_TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "probe_call",
            "description": "Probe.",
            "parameters": {"type": "object", "properties": {"probe_text": {"type": "string", "description": "Probe."}}},
        },
    }
]
_CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {"id": "call_0badcafe", "type": "function", "function": {"name": "probe_call", "arguments": _ARGUMENTS}}
    ],
}


def markup_of(tokenizer: PreTrainedTokenizerBase, choice: TemplateChoice) -> Markup:
    """Return the markup of the replies that a template writes."""
    tokens = set(tokenizer.added_tokens_encoder)
    written = _written_call(tokenizer, choice)
    found = [choose_markup(choice.text, tokens, written=written, escapes=escapes) for escapes in (True, False)]
    for markup in found:
        calls = parse_reply(written, markup, tools=_TOOLS).tool_calls
        if [call["arguments"] for call in calls] == [_ARGUMENTS]:
            return markup
    return found[0]


def _written_call(tokenizer: PreTrainedTokenizerBase, choice: TemplateChoice) -> str:
    """Return the probe call as the template writes it; empty where it has none."""
    if choice.tool_style is None:
        return ""
    messages = styled([{"role": "user", "content": "probe question"}, _CALL], choice.tool_style)
    try:
        before = render_text(tokenizer, choice.text, messages[:1], _TOOLS, prompt=True)
        text = render_text(tokenizer, choice.text, messages, _TOOLS)
    except Exception:  # what a template raises is not ours to know
        return ""
    turn = text.removeprefix(before)
    ends = [at for token in tokenizer.all_special_tokens if (at := turn.rfind(token)) > 0 and not turn[at + len(token) :].strip()]
    return turn[: min(ends)] if ends else turn
