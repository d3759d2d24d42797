"""What goes over the wire: conversations, tools and options as OpenAI's chat completions have them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from shadownb.engine.inference import Sampling
from shadownb.engine.inference.options import EFFORTS
from shadownb.engine.messages import RowProblem, canonical_tools
from shadownb.engine.replies.parts import call_id
from shadownb.errors import ConfigError, DataError, did_you_mean, quoted

_OURS = ("model", "messages", "tools", "stream", "n")  # an answer that nobody reads would be paid for
_WIRE = ("temperature", "top_p", "stop", "seed", "presence_penalty", "frequency_penalty")
# vLLM, SGLang and others take them under these names.
_NEEDS_CONSENT = ("top_k", "repetition_penalty", "min_p", "ignore_eos")
_UNREAD = ("logprobs", "top_logprobs")
_FORMS = ("regex", "grammar")
_LIMITS = ("max_completion_tokens", "max_tokens")
_REASONINGS = ("reasoning_content", "reasoning", "reasoning_details", "thinking")
_OF_ROWS = ("weight", "train", "malformed_tool_calls")  # what rows and replies have beside the message itself


def checked_extra(extra_body: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return further fields of each request. Raises :class:`ConfigError` for those that are set by asking."""
    extra = dict(extra_body or {})
    for name in _OURS:
        if name in extra:
            raise ConfigError(
                f"extra_body={{{name!r}: ...}} is set by the endpoint itself.",
                fix="Give it as model=, or with the question. For several answers ask several times.",
            )
    try:
        _json(extra, "extra_body=")
    except DataError as error:
        raise ConfigError(error.what, fix=error.fix) from None
    return extra


def options_of(options: Mapping[str, Any], extra: Mapping[str, Any], limit_name: str) -> dict[str, Any]:
    """Return the fields of a request from options of sampling and ``extra_body``, where None takes a field out.

    Raises
    ------
    ConfigError
        An option is unknown, out of range, or none that the wire knows.
    """
    given = {name: value for name, value in options.items() if value is not None}
    effort = given.pop("reasoning_effort", None)
    if effort is not None and effort not in EFFORTS:
        raise ConfigError(f"reasoning_effort={effort!r} is not known.", fix=f"{quoted(EFFORTS)}.")
    for name, value in given.items():
        if name == "use":
            raise ConfigError(
                f"use={value!r} is not known to an endpoint: it has no base beside it.", fix="Leave it out."
            )
        if name == "enable_thinking":
            raise ConfigError(
                f"enable_thinking={value!r} is not an option of chat completions.",
                fix="If the server takes it: Endpoint(..., extra_body={'chat_template_kwargs': {'enable_thinking': "
                f"{value!r}}}}}), as vLLM does. Many know reasoning_effort= instead.",
            )
        if name in _NEEDS_CONSENT and name not in extra:
            raise ConfigError(
                f"{name}={value!r} is not an option of chat completions, and servers that do not know it ignore it.",
                fix=f"If the server takes it: Endpoint(..., extra_body={{{name!r}: {value!r}}}).",
            )
        if name in _UNREAD and value:
            raise ConfigError(
                f"{name}={value!r}: log-probabilities of a server's tokens are not read.", fix="Ask a loaded model."
            )
        if name in _FORMS:
            raise ConfigError(
                f"{name}= is not an option of chat completions.",
                fix="Give schema=, or what this server has instead in Endpoint(..., extra_body=).",
            )
        known = [
            name for name in (*Sampling.__dataclass_fields__, "schema", "reasoning_effort") if name != "constraint"
        ]
        if name not in known:
            raise ConfigError(
                f"Unknown option {name}={value!r}.{did_you_mean(name, known)}",
                fix=f"Known: {', '.join(known)}; what only this server knows goes into Endpoint(..., extra_body=).",
            )
    sampling = Sampling.from_options(**given)
    body: dict[str, Any] = {name: getattr(sampling, name) for name in _WIRE if name in given}
    if sampling.logit_bias:
        body["logit_bias"] = {str(token): number for token, number in sampling.logit_bias}
    if sampling.constraint is not None:
        schema = json.loads(sampling.constraint.text)
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": schema},
        }
    if effort is not None:
        body["reasoning_effort"] = effort
    if "max_new_tokens" in given and not any(name in extra for name in _LIMITS):
        body[limit_name] = sampling.max_new_tokens
    merged = {**body, **extra, **{name: given[name] for name in _NEEDS_CONSENT if name in given}}
    return {name: value for name, value in merged.items() if value is not None}


def wire_tools(tools: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """Return schemas as the wire has them. Raises :class:`DataError`."""
    try:
        return canonical_tools(list(tools) if tools else None)
    except RowProblem as problem:
        raise DataError(f"These tools cannot be offered: {problem}.", fix="Correct that schema.") from None


def wire_messages(messages: Any, reasoning_field: str | None) -> tuple[list[dict[str, Any]], int]:
    """Return a conversation as the wire has it, and how many messages lost their reasoning.

    Arguments become JSON text, and a call or result without an id gets one: rows to train on often have neither. Reasoning of
    earlier turns goes under ``reasoning_field``, or not at all: servers that do not want it refuse the whole request.

    Raises
    ------
    DataError
        It is not a conversation.
    """
    if isinstance(messages, str | bytes) or not isinstance(messages, Sequence) or not messages:
        raise DataError(
            f"{_short(messages)} is not a conversation.", fix="Give messages: [{'role': 'user', 'content': '...'}]."
        )
    sent: list[dict[str, Any]] = []
    lost = 0
    open_ids: list[str] = []  # of calls that have no result yet
    for place, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise DataError(
                f"messages[{place}] is {_short(message)}, not a message with role and content.",
                fix="Correct that message.",
            )
        thought = next((message[name] for name in _REASONINGS if message.get(name)), None)
        plain = {name: value for name, value in message.items() if name not in (*_REASONINGS, *_OF_ROWS)}
        if thought is not None and reasoning_field is not None:
            plain[reasoning_field] = thought
        lost += thought is not None and reasoning_field is None
        if plain["role"] != "assistant" and plain.get("content") is None:
            raise DataError(f"messages[{place}] has no content.", fix="Correct that message.")
        plain.setdefault("content", "")
        if plain.get("tool_calls"):
            plain["tool_calls"] = [_wire_call(call, place, number) for number, call in enumerate(plain["tool_calls"])]
            plain["content"] = plain["content"] or None
            open_ids = [call["id"] for call in plain["tool_calls"]]
        if plain["role"] == "tool":
            known = plain.get("tool_call_id")
            if not known and open_ids:
                plain["tool_call_id"] = known = open_ids[0]
            open_ids = [each for each in open_ids if each != known]
        _json(plain, f"messages[{place}]")
        sent.append(plain)
    return sent, lost


def _wire_call(call: Any, place: int, number: int) -> dict[str, Any]:
    function = (call.get("function") or call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise DataError(f"messages[{place}] has a tool call without a name.", fix="Correct that message.")
    arguments = function.get("arguments")
    text = (
        arguments if isinstance(arguments, str) else _json({} if arguments is None else arguments, f"messages[{place}]")
    )
    made = call_id(100 * place + number, function["name"], {"arguments": text})
    return {
        "id": call.get("id") or made,
        "type": "function",
        "function": {"name": function["name"], "arguments": text or "{}"},
    }


def _json(value: Any, where: str) -> str:
    """Return JSON text. Raises :class:`DataError` for what JSON cannot say: as text or null it would say something else."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(
            f"{where} holds what JSON cannot say: {error}.", fix="Give texts, numbers, lists and objects."
        ) from None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
