"""Which chat template a tokenizer gets, and why.

The model's own template is kept wherever it can say what a row says. A probe conversation shows whether it carries
tools; where it drops or refuses them, a bundled template takes over for conversations that use tools, and every other
conversation is rendered by the model's own text, unchanged. Models without a template get a bundled one. The result is
one jinja text, so that it can be saved with an adapter and used by any server.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from shadownb.engine.rendering.styles import REASONING_KEYS, TOOL_STYLES, Style, reasoning_of, styled
from shadownb.engine.rendering.tokenizer import Tokenizer
from shadownb.engine.rendering.tools import missing_calls, missing_results, missing_tools

TURN_OPENER = "<|im_start|>"  # of ChatML
CHATML_TOKENS = (TURN_OPENER, "<|im_end|>")
_BOS = "{{- bos_token }}"

_USES_TOOLS = (
    "tools or (messages | selectattr('tool_calls') | list) or (messages | selectattr('role', 'equalto', 'tool') | list)"
)

PROBE_TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "probe_weather",
            "description": "Probe.",
            "parameters": {
                "type": "object",
                "properties": {"probe_town": {"type": "string", "description": "A town."}},
                "required": ["probe_town"],
            },
        },
    }
]
PROBE_CALL: dict[str, Any] = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {
            "id": "call_0badcafe",
            "type": "function",
            "function": {"name": "probe_weather", "arguments": {"probe_town": "Probeville"}},
        }
    ],
}
PROBE_RESULT = {"role": "tool", "content": "probe-rain", "tool_call_id": "call_0badcafe", "name": "probe_weather"}
PROBE_USER = {"role": "user", "content": "probe question"}
PLAIN_PROBES: tuple[list[dict[str, Any]], ...] = (
    [PROBE_USER],
    [{"role": "system", "content": "probe rules"}, PROBE_USER],
    [PROBE_USER, {"role": "assistant", "content": "probe answer"}, PROBE_USER],
    [PROBE_USER, {"role": "assistant", "content": "probe answer"}],
)
PROBE_THOUGHT = [PROBE_USER, {"role": "assistant", "content": "probe answer", "reasoning_content": "probe thought"}]


@dataclass(frozen=True)
class TemplateChoice:
    """A chat template with the reason for it.

    Attributes
    ----------
    text
        The jinja source.
    source
        ``model``, ``given``, ``bundled``, or ``model + bundled tools``.
    reason
        Why this one.
    style
        How it wants messages.
    tool_style
        How it wants them where tools are used; None where it cannot carry tools.
    """

    text: str
    source: str
    reason: str
    style: Style
    tool_style: Style | None


def choose_template(tokenizer: Tokenizer, given: str | None = None) -> TemplateChoice:
    """Return the template for a tokenizer, or for a template that was given explicitly."""
    own: Any = given if given is not None else tokenizer.chat_template
    has_chatml = all(token in tokenizer.get_vocab() for token in CHATML_TOKENS)
    if not own:
        return _bundled_choice(tokenizer, has_chatml)
    tool_text: str | None = None
    if isinstance(own, dict):  # some tokenizers carry several templates by name
        tool_text = own.get("tool_use")
        own = own.get("default") or next(iter(own.values()))
    source = "given" if given is not None else "model"
    plain = probe_style(tokenizer, own)
    style, objection = probe_tools(tokenizer, own, plain)
    if style is not None:
        return TemplateChoice(own, source, f"the {_owner(source)} template carries tools", plain, style)
    why = f"the {_owner(source)} template {objection}"
    if tool_text is not None:
        style, _ = probe_tools(tokenizer, tool_text, probe_style(tokenizer, tool_text))
        combined = combine(own, tool_text)
        if style is not None and _same_without_tools(tokenizer, own, combined, plain):
            reason = f"{why}; its tool_use template serves rows with tools"
            return TemplateChoice(combined, source, reason, plain, style)
    if not has_chatml:
        reason = f"{why}, and the tokenizer lacks the ChatML tokens of the bundled one"
        return TemplateChoice(own, source, reason, plain, None)
    combined = combine(own, beginning(tokenizer, own, plain) + bundled("chatml_tools"))
    style, _ = probe_tools(tokenizer, combined, Style())
    if style is None or not _same_without_tools(tokenizer, own, combined, plain):
        reason = f"{why}, and it cannot be combined with the bundled tool template"
        return TemplateChoice(own, source, reason, plain, None)
    return TemplateChoice(
        combined,
        f"{source} + bundled tools",
        f"{why}, so rows with tools use the bundled tool template; other rows are rendered as before",
        plain,
        style,
    )


def _bundled_choice(tokenizer: Tokenizer, has_chatml: bool) -> TemplateChoice:
    begins = tokenizer("x", add_special_tokens=True)["input_ids"][:1]
    bos = _BOS if tokenizer.bos_token_id is not None and begins == [tokenizer.bos_token_id] else ""
    if has_chatml:
        before = "" if tokenizer.bos_token == TURN_OPENER else bos
        text = combine(before + bundled("chatml"), before + bundled("chatml_tools"))
        reason = "the tokenizer has no chat template but knows the ChatML tokens"
        return TemplateChoice(text, "bundled", reason, Style(), Style())
    reason = "the tokenizer has no chat template, so turns are marked by role names"
    return TemplateChoice(bos + bundled("plain"), "bundled", reason, Style(), None)


def beginning(tokenizer: Tokenizer, template: str, style: Style) -> str:
    """Return jinja for the token of beginning before the bundled ChatML, where the model's own template writes it.

    SmolLM2's token of beginning is the one that opens a turn, so ChatML begins with it already.
    """
    if not tokenizer.bos_token or tokenizer.bos_token == TURN_OPENER:
        return ""
    try:
        text = render_text(tokenizer, template, styled([PROBE_USER], style), prompt=True)
    except Exception:  # what a template raises is not ours to know
        return ""
    return _BOS if text.startswith(str(tokenizer.bos_token)) else ""


def _owner(source: str) -> str:
    return "model's own" if source == "model" else "given"


@cache
def bundled(name: str) -> str:
    """Return the source of one of the bundled templates: ``chatml``, ``chatml_tools``, ``plain``."""
    return (resources.files("shadownb.engine.rendering") / "jinja" / f"{name}.jinja").read_text(encoding="utf-8")


def combine(own: str, tool_template: str) -> str:
    """Return one template that renders conversations with tools by ``tool_template`` and all others by ``own``."""
    tail = own.removesuffix("\n")
    return "{%- if " + _USES_TOOLS + " %}" + tool_template.strip() + "{% else %}" + tail + "{% endif %}"


def render_text(
    tokenizer: Tokenizer,
    template: str,
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]] | None = None,
    *,
    prompt: bool = False,
    variables: dict[str, Any] | None = None,
) -> str:
    """Return a conversation as text. What the template raises comes through (jinja's and Python's errors)."""
    schemas: Any = tools or None
    text = tokenizer.apply_chat_template(
        messages,
        tools=schemas,
        chat_template=template,
        add_generation_prompt=prompt,
        tokenize=False,
        **(variables or {}),
    )
    assert isinstance(text, str)
    return text


def plain_turns(tokenizer: Tokenizer, template: str, style: Style) -> list[str]:
    """Return conversations without tools as a template writes them, prompts included; those that it refuses are left out."""
    found = []
    for messages in PLAIN_PROBES:
        for prompt in (False, True):
            with contextlib.suppress(Exception):  # what a template raises is not ours to know
                found.append(render_text(tokenizer, template, styled(messages, style), prompt=prompt))
    return found


def probe_style(tokenizer: Tokenizer, template: str) -> Style:
    """Return the style in which a template reads text and reasoning."""
    for content in ("string", "blocks"):
        style = Style(content=content)
        if all(_shows(tokenizer, template, messages, style) for messages in PLAIN_PROBES[::3]):
            break
    else:
        style = Style()
    keys = (style._replace(reasoning=key) for key in REASONING_KEYS)
    return next((known for known in keys if _shows(tokenizer, template, PROBE_THOUGHT, known)), style)


def _shows(tokenizer: Tokenizer, template: str, messages: list[dict[str, Any]], style: Style) -> bool:
    try:
        text = render_text(tokenizer, template, styled(messages, style))
    except Exception:  # what a template raises is not ours to know
        return False
    if style.content == "blocks" and ("'text'" in text or '"text"' in text):
        return False  # it writes the blocks themselves
    return all(message["content"] in text and reasoning_of(message) in text for message in messages)


def probe_tools(tokenizer: Tokenizer, template: str, plain: Style | None = None) -> tuple[Style | None, str]:
    """Return the style in which a template carries tools, or None and what it does instead.

    Parameters
    ----------
    plain
        How it reads text and reasoning.
    """
    objection = ""
    for tried in TOOL_STYLES:
        style = (plain or Style())._replace(arguments=tried.arguments, ids=tried.ids)
        messages = styled([PROBE_USER, PROBE_CALL, PROBE_RESULT], style)
        try:
            before = render_text(tokenizer, template, messages[:1], PROBE_TOOLS)
            text = render_text(tokenizer, template, messages, PROBE_TOOLS)
        except Exception as error:
            objection = objection or f"refuses tools ({type(error).__name__}: {error})"
            continue
        missing = missing_tools(before, PROBE_TOOLS)
        missing += missing_calls(text.removeprefix(before), PROBE_CALL)
        missing += missing_results(text, [PROBE_RESULT])
        if "'probe_town'" in text or '\\"probe_town' in text:
            objection = objection or "writes tool calls as something that is not JSON"
        elif missing:
            objection = "drops " + ", ".join(_plain(part) for part in missing)
        else:
            return style, ""
    return None, objection


def _plain(part: str) -> str:
    """Say what kind of thing the probe missed without the probe's made-up names."""
    kinds = {"tool result": "tool results", "tool": "tool schemas", "parameter": "parameters", "call": "tool calls"}
    return next((kind for start, kind in kinds.items() if part.startswith(start)), "tool call arguments")


def _same_without_tools(tokenizer: Tokenizer, own: str, combined: str, style: Style) -> bool:
    def outcome(template: str, messages: list[dict[str, Any]], prompt: bool) -> str:
        try:
            return render_text(tokenizer, template, styled(messages, style), prompt=prompt)
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    return all(
        outcome(own, messages, prompt) == outcome(combined, messages, prompt)
        for messages in PLAIN_PROBES
        for prompt in (False, True)
    )
