"""What a chat template can be told beside the conversation: whether to think before the answer, and with how much effort.

Templates name these differently and most know neither, so each is tried: a template knows a variable if its text changes with
it. What a model was trained with becomes its default, and is written into the template that is saved with it.
"""

from __future__ import annotations

import re
from typing import Any

from shadownb.engine.inference.types import EFFORTS
from shadownb.engine.rendering.templates import render_text
from shadownb.engine.rendering.tokenizer import Tokenizer
from shadownb.errors import ConfigError, did_you_mean

_NAMES = {
    "enable_thinking": ("enable_thinking", "thinking"),
    "reasoning_effort": ("reasoning_effort", "reasoning_strength"),
}
_TRIED: dict[str, tuple[Any, ...]] = {
    "enable_thinking": (True, False),
    "reasoning_effort": ("low", "medium", "high", "xhigh"),
}
_DEFAULT = re.compile(r"\A((?:\{%- set (\w+) = \2 if \2 is defined else [^%]+ %\})+)")


def known_variables(tokenizer: Tokenizer, template: str) -> dict[str, str]:
    """Return the options that a template knows, with its own name for each."""
    return {
        option: name
        for option, names in _NAMES.items()
        for name in names
        if name in template and len(set(_renderings(tokenizer, template, name, _TRIED[option]))) > 1
    }


def _renderings(tokenizer: Tokenizer, template: str, name: str, values: tuple[Any, ...]) -> list[str]:
    found = []
    for value in values:
        try:
            messages = [{"role": "user", "content": "probe question"}]
            found.append(render_text(tokenizer, template, messages, prompt=True, variables={name: value}))
        except Exception:  # a template that refuses a value knows the variable
            found.append("")
    return found


def checked_variables(
    known: dict[str, str], *, enable_thinking: bool | None, reasoning_effort: str | None
) -> dict[str, Any]:
    """Return the variables for the template, by its own names; None leaves one as it is.

    Raises
    ------
    ConfigError
        A value is not allowed, or the template does not know the option.
    """
    if enable_thinking is not None and not isinstance(enable_thinking, bool):
        raise ConfigError(
            f"enable_thinking={enable_thinking!r} is neither True nor False.", fix="Use one of them, or None."
        )
    if reasoning_effort is not None and reasoning_effort not in EFFORTS:
        near = did_you_mean(str(reasoning_effort), EFFORTS)
        raise ConfigError(
            f"reasoning_effort={reasoning_effort!r} is not known.{near}", fix=f"Use one of {', '.join(EFFORTS)}."
        )
    found: dict[str, Any] = {}
    for option, value in (("enable_thinking", enable_thinking), ("reasoning_effort", reasoning_effort)):
        if value is None:
            continue
        if option not in known:
            others = f" It knows {', '.join(known)}." if known else ""
            raise ConfigError(
                f"{option}={value!r} has no effect: the model's chat template does not know it.",
                why=f"Its text is the same with every value.{others}",
                fix=f"Leave {option} out, or load a model whose template has it.",
            )
        found[known[option]] = value
    return found


def with_defaults(template: str, variables: dict[str, Any]) -> str:
    """Return a template that takes ``variables`` where it is told nothing, so that other servers ask as was trained."""
    lines = [f"{{%- set {name} = {name} if {name} is defined else {value!r} %}}" for name, value in variables.items()]
    return "".join(lines) + _DEFAULT.sub("", template)


def defaults_in(template: str) -> dict[str, Any]:
    """Return the variables that :func:`with_defaults` wrote into a template."""
    found = _DEFAULT.match(template)
    values = re.findall(r"else ('?)(\w+)\1 %\}", found.group(1)) if found else []
    names = re.findall(r"set (\w+) =", found.group(1)) if found else []
    literal = {"True": True, "False": False}
    return {name: literal.get(value, value) for name, (_, value) in zip(names, values, strict=True)}
