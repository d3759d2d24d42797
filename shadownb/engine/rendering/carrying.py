"""A template that writes what the model's own leaves out, for whoever chooses ``on_template_drop='bundled'``.

The model's own template stays as it is; a bundled part before it puts reasoning and later system texts into the texts
that it does write. Text beside a tool call cannot be moved like that; there the bundled tool template takes over where
the tokenizer knows its tokens. The result is one jinja text, saved with the adapter, that any server can use.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shadownb.engine.rendering.styles import Style, styled
from shadownb.engine.rendering.templates import (
    CHATML_TOKENS,
    PROBE_CALL,
    PROBE_THOUGHT,
    PROBE_TOOLS,
    PROBE_USER,
    TemplateChoice,
    beginning,
    bundled,
    combine,
    render_text,
)
from shadownb.engine.rendering.tokenizer import Tokenizer

_SAID = "probe remark"
_FIRST = [{"role": "system", "content": "probe first rules"}, PROBE_USER]
_ANSWER = {"role": "assistant", "content": "probe answer"}
_LATER: tuple[list[dict[str, Any]], ...] = (
    [_FIRST[0], {"role": "system", "content": "probe later rules"}, PROBE_USER],
    [*_FIRST, _ANSWER, {"role": "system", "content": "probe later rules"}, PROBE_USER],
)


def carrying(tokenizer: Tokenizer, choice: TemplateChoice) -> TemplateChoice:
    """Return a template that writes reasoning, later system texts and, where it can, text beside a tool call."""

    def writes(
        template: str, messages: Iterable[dict[str, Any]], style: Style, probes: tuple[str, ...], **more: Any
    ) -> bool:
        try:
            text = render_text(tokenizer, template, styled(list(messages), style), **more)
        except Exception:  # what a template raises is not ours to know
            return False
        return all(probe in text for probe in probes)

    text, style, tool_style = choice.text, choice.style, choice.tool_style
    done = []
    beside = [PROBE_USER, {**PROBE_CALL, "content": _SAID}]
    has_chatml = all(token in tokenizer.get_vocab() for token in CHATML_TOKENS)
    if tool_style is not None and not writes(text, beside, tool_style, (_SAID,), tools=PROBE_TOOLS) and has_chatml:
        text = combine(text, beginning(tokenizer, text, style) + bundled("chatml_tools"))
        tool_style = Style()
        done.append("rows with tools use the bundled tool template, which writes text beside a call")
    first = writes(text, _FIRST, style, ("probe first rules",))
    later = all(writes(text, part, style, ("probe first rules", "probe later rules")) for part in _LATER)
    thinks = writes(text, PROBE_THOUGHT, style, ("probe thought", "probe answer"))
    if first and later and thinks:
        return _with(choice, text, style, tool_style, done)
    settings = {"carry_system": not (first and later), "carry_first_system": not first, "carry_reasoning": not thinks}
    if settings["carry_system"]:
        done.append("system texts that the template leaves out stand before the next message")
    if settings["carry_reasoning"]:
        done.append("reasoning stands in <think> tags before the answer")
    settings["carry_blocks"] = style.content == "blocks"
    head = "".join(f"{{%- set {name} = {str(value).lower()} %}}" for name, value in settings.items())
    return _with(choice, head + bundled("carry").strip() + text, style, tool_style, done)


def _with(choice: TemplateChoice, text: str, style: Style, tool_style: Style | None, done: list[str]) -> TemplateChoice:
    if not done:
        return choice
    reason = f"{choice.reason}; {'; '.join(done)}, as on_template_drop='bundled' asks"
    return TemplateChoice(text, f"{choice.source} + bundled parts", reason, style, tool_style)
