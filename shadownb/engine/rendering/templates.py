"""Which chat template a tokenizer gets, and why.

The model's own template is kept wherever it can say what a row says. A probe conversation shows whether it carries
tools; where it drops or refuses them, a bundled template takes over for conversations that use tools, and every other
conversation is rendered by the model's own text, unchanged. Models without a template get a bundled one. The result is
one jinja text, so that it can be saved with an adapter and used by any server.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from shadownb.engine.rendering.tools import STYLES, ToolStyle, missing_calls, missing_results, missing_tools, styled

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CHATML_TOKENS = ("<|im_start|>", "<|im_end|>")

_USES_TOOLS = (
    "tools or (messages | selectattr('tool_calls') | list) or (messages | selectattr('role', 'equalto', 'tool') | list)"
)

_PROBE_TOOLS: list[dict[str, Any]] = [
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
_PROBE_CALL = {
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
_PROBE_RESULT = {"role": "tool", "content": "probe-rain", "tool_call_id": "call_0badcafe", "name": "probe_weather"}
_PROBE_USER = {"role": "user", "content": "probe question"}
_PLAIN_PROBES: tuple[list[dict[str, Any]], ...] = (
    [_PROBE_USER],
    [{"role": "system", "content": "probe rules"}, _PROBE_USER],
    [_PROBE_USER, {"role": "assistant", "content": "probe answer"}, _PROBE_USER],
    [_PROBE_USER, {"role": "assistant", "content": "probe answer"}],
)


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
    tool_style
        How it wants tool calls; None where it cannot carry them.
    """

    text: str
    source: str
    reason: str
    tool_style: ToolStyle | None


def choose_template(tokenizer: PreTrainedTokenizerBase, given: str | None = None) -> TemplateChoice:
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
    style, objection = probe_tools(tokenizer, own)
    if style is not None:
        return TemplateChoice(own, source, f"the {_owner(source)} template carries tools", style)
    why = f"the {_owner(source)} template {objection}"
    if tool_text is not None:
        style, _ = probe_tools(tokenizer, tool_text)
        combined = combine(own, tool_text)
        if style is not None and _same_without_tools(tokenizer, own, combined):
            return TemplateChoice(combined, source, f"{why}; its tool_use template serves rows with tools", style)
    if not has_chatml:
        return TemplateChoice(own, source, f"{why}, and the tokenizer lacks the ChatML tokens of the bundled one", None)
    combined = combine(own, bundled("chatml_tools"))
    style, _ = probe_tools(tokenizer, combined)
    if style is None or not _same_without_tools(tokenizer, own, combined):
        return TemplateChoice(own, source, f"{why}, and it cannot be combined with the bundled tool template", None)
    return TemplateChoice(
        combined,
        f"{source} + bundled tools",
        f"{why}, so rows with tools use the bundled tool template; other rows are rendered as before",
        style,
    )


def _bundled_choice(tokenizer: PreTrainedTokenizerBase, has_chatml: bool) -> TemplateChoice:
    if has_chatml:
        text = combine(bundled("chatml"), bundled("chatml_tools"))
        reason = "the tokenizer has no chat template but knows the ChatML tokens"
        return TemplateChoice(text, "bundled", reason, ToolStyle())
    text = bundled("plain")
    plain = tokenizer("x", add_special_tokens=True)["input_ids"]
    if tokenizer.bos_token_id is not None and plain[:1] == [tokenizer.bos_token_id]:
        text = "{{- bos_token }}" + text
    return TemplateChoice(
        text, "bundled", "the tokenizer has no chat template, so turns are marked by role names", None
    )


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
    tokenizer: PreTrainedTokenizerBase,
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


def probe_tools(tokenizer: PreTrainedTokenizerBase, template: str) -> tuple[ToolStyle | None, str]:
    """Return the style in which a template carries tools, or None and what it does instead."""
    objection = ""
    for style in STYLES:
        messages = styled([_PROBE_USER, _PROBE_CALL, _PROBE_RESULT], style)
        try:
            before = render_text(tokenizer, template, messages[:1], _PROBE_TOOLS)
            text = render_text(tokenizer, template, messages, _PROBE_TOOLS)
        except Exception as error:
            objection = objection or f"refuses tools ({type(error).__name__}: {error})"
            continue
        missing = missing_tools(before, _PROBE_TOOLS)
        missing += missing_calls(text.removeprefix(before), _PROBE_CALL)
        missing += missing_results(text, [_PROBE_RESULT])
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


def _same_without_tools(tokenizer: PreTrainedTokenizerBase, own: str, combined: str) -> bool:
    def outcome(template: str, messages: list[dict[str, Any]], prompt: bool) -> str:
        try:
            return render_text(tokenizer, template, messages, prompt=prompt)
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    return all(
        outcome(own, messages, prompt) == outcome(combined, messages, prompt)
        for messages in _PLAIN_PROBES
        for prompt in (False, True)
    )
