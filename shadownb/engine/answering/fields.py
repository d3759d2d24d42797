"""Every field that a request may have, in each dialect: which option of an engine it asks for, or why it is refused.

A field that is not here is refused by name, and so is one whose option the engine does not have: an answer that silently ignores
what was asked for is worse than none. ``tests/serving/test_fields.py`` holds the table against the vendors' own clients.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from shadownb.engine.capture.dialects import WireError
from shadownb.engine.inference.options import NEWER
from shadownb.errors import did_you_mean

OPTIONS = (
    "max_new_tokens", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty",
    "frequency_penalty", "logit_bias", "seed", "stop", "ignore_eos", "n", "stream", "logprobs", "top_logprobs", "schema",
    "regex", "grammar", "tools", "tool_choice", "parallel_tool_calls", "prefill", "thinking", "echo", "token_prompts",
    "previous_response", "tokens_as_ids",
)  # fmt: skip
"""What an engine may have, by our names."""

FRONT = frozenset(
    {"n", "stream", "tools", "parallel_tool_calls", "prefill", "thinking", "echo", "token_prompts", "previous_response",
     "tokens_as_ids", "max_new_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "seed", "stop", "logprobs"}
)  # fmt: skip
"""What every model that we load has: its prompts are rendered and its answers read here."""


def options_of(honoured: Collection[str]) -> frozenset[str]:
    """Return the options of a generator that honours these of its newer ones (:data:`NEWER`)."""
    forms = {"schema", "regex", "grammar", "tool_choice"} if "constraint" in honoured else set()
    return FRONT | forms | (frozenset(honoured) & frozenset(NEWER) - {"constraint"})


@dataclass(frozen=True)
class Field:
    """One field of a request.

    Attributes
    ----------
    options
        Options of the engine that it asks for; empty where none is needed.
    plain
        Whether a value asks for nothing; None where any does.
    """

    options: tuple[str, ...] = ()
    plain: Callable[[Any], bool] | None = None


def _unset(value: Any) -> bool:
    return value is None


def _off(value: Any) -> bool:
    return value in (None, False, [])


def _zero(value: Any) -> bool:
    return value is None or (value == 0 and not isinstance(value, bool)) or value == {}


def _refused(plain: Callable[[Any], bool]) -> Field:
    return Field(("-",), plain)


def _asks(*options: str, plain: Callable[[Any], bool] = _unset) -> Field:
    return Field(options, plain)


_FREE = Field()  # says nothing about the answer, or is read by the dialect itself

_SAMPLING = {
    "temperature": _asks("temperature"),
    "top_p": _asks("top_p"),
    "top_k": _asks("top_k"),
    "seed": _asks("seed"),
    "min_p": _asks("min_p", plain=_zero),
    "repetition_penalty": _asks("repetition_penalty"),
    "presence_penalty": _asks("presence_penalty", plain=_zero),
    "frequency_penalty": _asks("frequency_penalty", plain=_zero),
    "logit_bias": _asks("logit_bias", plain=_zero),
    "ignore_eos": _asks("ignore_eos", plain=_off),
}
_FORMS = {
    # As llama.cpp and vLLM call them.
    "json_schema": _asks("schema"),
    "grammar": _asks("grammar"),
    "guided_json": _asks("schema"),
    "guided_regex": _asks("regex"),
    "guided_grammar": _asks("grammar"),
    "guided_choice": _asks("schema"),
    "structured_outputs": _asks("schema"),
}
_NOTES = dict.fromkeys(("user", "metadata", "service_tier", "safety_identifier", "store"), _FREE)
_CACHES = dict.fromkeys(("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "cache_prompt"), _FREE)
_COMMON = {"model": _FREE, "stream": _FREE, **_NOTES}


def _plain_format(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and value.get("type", "text") == "text")


def _free_choice(value: Any) -> bool:
    kind = value.get("type") if isinstance(value, dict) else value
    return kind in (None, "auto", "none")


def _medium(value: Any) -> bool:
    return value in (None, "medium")


FIELDS: Mapping[str, Mapping[str, Field]] = {
    "chat": {
        **_COMMON, **_SAMPLING, **_FORMS, **_CACHES,
        "messages": _FREE,
        "stream_options": _FREE,
        "prediction": _FREE,  # makes an answer faster and no other one
        "n": _asks("n"),
        "max_tokens": _asks("max_new_tokens"),
        "max_completion_tokens": _asks("max_new_tokens"),
        "stop": _asks("stop"),
        "logprobs": _asks("logprobs", plain=_off),
        "top_logprobs": _asks("top_logprobs", plain=_zero),
        "response_format": _asks("schema", plain=_plain_format),
        "tools": _asks("tools", plain=_off),
        "tool_choice": _asks("tool_choice", plain=_free_choice),
        "parallel_tool_calls": _asks("parallel_tool_calls", plain=lambda value: value in (None, True)),
        "functions": _refused(_off),
        "function_call": _refused(lambda value: value in (None, "none", "auto")),
        "reasoning_effort": _asks("thinking"),
        "chat_template_kwargs": _asks("thinking"),
        "continue_final_message": _asks("prefill", plain=_off),
        "add_generation_prompt": _FREE,
        "audio": _refused(_unset),
        "web_search_options": _refused(_unset),
        "modalities": _refused(lambda value: value in (None, ["text"])),
        "moderation": _refused(_unset),
        "verbosity": _refused(_medium),
    },
    "completions": {
        **_COMMON, **_SAMPLING, **_FORMS, **_CACHES,
        "prompt": _FREE,
        "stream_options": _FREE,
        "n": _asks("n"),
        "best_of": _refused(lambda value: value in (None, 1)),
        "max_tokens": _asks("max_new_tokens"),
        "stop": _asks("stop"),
        "logprobs": _asks("logprobs"),
        "response_format": _asks("schema", plain=_plain_format),
        "echo": _asks("echo", plain=_off),
        "return_tokens_as_token_ids": _asks("tokens_as_ids", plain=_off),  # vLLM's
        "suffix": _refused(lambda value: value in (None, "")),
    },
    "responses": {
        **_COMMON, **_SAMPLING, **_CACHES,
        "input": _FREE,
        "instructions": _FREE,
        "stream_options": _FREE,
        "include": _FREE,  # its entries are read one by one
        "max_output_tokens": _asks("max_new_tokens"),
        "top_logprobs": _asks("top_logprobs", plain=_zero),
        "text": _FREE,
        "reasoning": _FREE,
        "tools": _asks("tools", plain=_off),
        "tool_choice": _asks("tool_choice", plain=_free_choice),
        "parallel_tool_calls": _asks("parallel_tool_calls", plain=lambda value: value in (None, True)),
        "previous_response_id": _asks("previous_response"),
        "truncation": _refused(lambda value: value in (None, "disabled")),
        "max_tool_calls": _refused(_unset),
        "background": _refused(_off),
        "background_options": _refused(_unset),
        "conversation": _refused(_unset),
        "context_management": _refused(_off),
        "prompt": _refused(_unset),
        "image": _refused(_unset),
        "access_programs": _refused(_off),
        "moderation": _refused(_unset),
    },
    "messages": {
        **_COMMON, **_SAMPLING,
        "messages": _FREE,
        "system": _FREE,
        "max_tokens": _asks("max_new_tokens"),
        "stop_sequences": _asks("stop"),
        "tools": _asks("tools", plain=_off),
        "tool_choice": _FREE,  # read below: whether calls may be parallel stands inside
        "thinking": _asks("thinking"),
        "output_config": _FREE,
        "output_format": _asks("schema"),
        "cache_control": _FREE,
        "inference_geo": _FREE,
        "user_profile_id": _FREE,
        "workspace_id": _FREE,
        "betas": _FREE,
        "diagnostics": _FREE,
        "billing_policy": _FREE,
        "speed": _refused(lambda value: value in (None, "standard")),
        "container": _refused(_unset),
        "context_management": _refused(_unset),
        "mcp_servers": _refused(_off),
        "compaction": _refused(_unset),
        "fallback_credit_token": _refused(_unset),
        "fallbacks": _refused(_off),
        "thread": _refused(_unset),
    },
}  # fmt: skip


def check_fields(dialect: str, request: Mapping[str, Any], honoured: Collection[str], engine: str) -> None:
    """Raise :class:`WireError` 400 for the first field that is unknown, or asks for what the engine does not have."""
    known = FIELDS[dialect]
    for name, value in request.items():
        field = known.get(name)
        if field is None:
            if value is None:
                continue
            raise WireError(
                400, f"Unknown field {name[:80]!r}.{did_you_mean(name, list(known))}", param=name[:80],
                code="unknown_parameter",
            )  # fmt: skip
        if field.plain is None or field.plain(value):
            continue
        if lacking := [option for option in field.options if option not in honoured]:
            require(lacking[0], honoured, engine, name)


def require(option: str, honoured: Collection[str], engine: str, field: str) -> None:
    """Raise :class:`WireError` 400 where an engine does not have an option that a field asks for."""
    if option not in honoured:
        raise WireError(
            400, f"{engine} does not support the field {field!r} with this value.", param=field,
            code="unsupported_parameter",
        )  # fmt: skip


def table(engines: Mapping[str, Collection[str]]) -> str:
    """Return which engine honours which option, as a table in Markdown."""
    head = f"| option | {' | '.join(engines)} |\n|---|{'---|' * len(engines)}\n"
    rows = [
        f"| `{option}` | {' | '.join('yes' if option in honoured else 'refused' for honoured in engines.values())} |"
        for option in OPTIONS
    ]
    return head + "\n".join(rows) + "\n"
