"""What a request asks of a model that we load: conversation, tools, form and sampling, the same for every dialect."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from shadownb.engine.answering.fields import check_fields, require
from shadownb.engine.answering.forms import forced_of, form_of, strict_tools
from shadownb.engine.capture.dialects import Dialect, WireError
from shadownb.engine.capture.dialects.base import listed, mapped
from shadownb.engine.inference import Constraint, Sampling
from shadownb.errors import ConfigError

_COMPLETION_TOKENS = 16  # OpenAI's default for text completions
_MOST_CHOICES = 128
_LOCAL = "A local model"


@dataclass(frozen=True)
class Ask:
    """A request in the engine's words.

    Attributes
    ----------
    messages
        The conversation in chat form; empty for a text completion, which has ``prompts``.
    prompts
        Texts to go on from, or token ids.
    choices
        Answers wanted of each prompt.
    form
        What the answer has to look like; None where it is free.
    forced
        ``required``, or the name of the tool that has to be called; empty where the model chooses.
    strict
        Names of tools whose arguments have to follow their schema.
    one_call
        Whether the answer ends with its first call.
    prefill
        How the answer begins; it is not repeated.
    echo
        Whether a text completion repeats its prompt, and tells its log-probabilities where those are asked for.
    tokens_as_ids
        Whether tokens are named by their ids, as ``token_id:42``.
    enable_thinking, reasoning_effort
        Whether to think before the answer and how much; None where the request does not say.
    """

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None
    prompts: list[str | list[int]]
    sampling: Sampling
    choices: int
    stream: bool
    include_usage: bool
    form: Constraint | None = None
    forced: str = ""
    strict: tuple[str, ...] = ()
    one_call: bool = False
    prefill: str = ""
    echo: bool = False
    tokens_as_ids: bool = False
    enable_thinking: bool | None = None
    reasoning_effort: str | None = None

    @classmethod
    def of(
        cls,
        dialect: Dialect,
        request: dict[str, Any],
        history: list[dict[str, Any]],
        longest: int,
        honoured: Collection[str],
        engine: str = _LOCAL,
    ) -> Ask:
        """Read a request. Raises :class:`WireError` 400 where a value is wrong or cannot be honoured.

        Parameters
        ----------
        history
            Turns that the request refers to without repeating them.
        longest
            Tokens of an answer where the request sets no limit.
        honoured
            The options that the engine has (:data:`~.fields.OPTIONS`).
        engine
            How a refusal calls it.
        """
        name = dialect.name
        check_fields(name, request, honoured, engine)
        _check_tools(request, engine)
        messages = dialect.messages(request)
        if history:
            leading = dialect.leading(request)
            messages = [*messages[:leading], *history, *messages[leading:]]
        tools = dialect.tools(request)
        forced = forced_of(name, request, tools)
        if forced == "none":
            tools, forced = [], ""
        form = form_of(name, request)
        for needed, field in ((form and form.kind, "response_format"), (forced and "tool_choice", "tool_choice")):
            if needed:
                require(str(needed), honoured, engine, field)
        strict = strict_tools(request) if tools and not forced else ()
        if strict:
            require("tool_choice", honoured, engine, "tools[].strict")
        if form is not None and forced:
            raise WireError(
                400, "An answer cannot be a call and have a form.", param="tool_choice", code="invalid_value"
            )
        prefill, messages = _prefill(name, request, messages)
        if prefill and (forced or strict):
            raise WireError(
                400, "A call cannot be forced in an answer that has begun.", param="tool_choice", code="invalid_value"
            )
        if prefill and form is not None:
            form = replace(form, begun=prefill)
        return cls(
            messages=[] if name == "completions" else messages,
            tools=tools or None,
            prompts=_prompts(request) if name == "completions" else [],
            sampling=_sampling(name, request, longest),
            choices=_choices(name, request),
            stream=bool(request.get("stream")),
            include_usage=bool(mapped(request.get("stream_options")).get("include_usage")),
            form=form,
            forced=forced,
            strict=strict,
            one_call=bool(forced) or _one_call(name, request),
            prefill=prefill,
            echo=request.get("echo") is True,
            tokens_as_ids=request.get("return_tokens_as_token_ids") is True,
            enable_thinking=_thinking(name, request),
            reasoning_effort=_effort(name, request),
        )


def _check_tools(request: dict[str, Any], engine: str) -> None:
    for number, tool in enumerate(listed(request.get("tools"))):
        custom = isinstance(tool, dict) and (tool.get("type", "function") == "function" or "input_schema" in tool)
        if not custom:
            raise WireError(
                400, f"{engine} only has function tools; tools[{number}] is none.", param=f"tools[{number}]",
                code="unsupported_parameter",
            )  # fmt: skip


def _choices(name: str, request: dict[str, Any]) -> int:
    number = request.get("n") if name in ("chat", "completions") else None
    number = 1 if number is None else number
    if not 1 <= number <= _MOST_CHOICES:
        raise WireError(400, f"n={number} is out of range: 1 to {_MOST_CHOICES}.", param="n", code="invalid_value")
    return int(number)


def _one_call(name: str, request: dict[str, Any]) -> bool:
    if name == "messages":
        return mapped(request.get("tool_choice")).get("disable_parallel_tool_use") is True
    return request.get("parallel_tool_calls") is False


def _prefill(name: str, request: dict[str, Any], messages: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """Return how the answer begins, and the conversation before it."""
    asked = name == "messages" or (name == "chat" and request.get("continue_final_message") is True)
    if not asked or not messages or messages[-1].get("role") != "assistant":
        if name == "chat" and asked:
            raise WireError(
                400, "continue_final_message goes on from an assistant message, and the last message is none.",
                param="continue_final_message", code="invalid_value",
            )  # fmt: skip
        return "", messages
    last = messages[-1]
    text = last.get("content")
    if last.get("tool_calls") or not isinstance(text, str) or not text:
        raise WireError(400, "Only a text can be gone on from.", param="messages", code="invalid_value")
    if name == "chat" and request.get("add_generation_prompt") is True:
        raise WireError(
            400, "add_generation_prompt and continue_final_message exclude each other.",
            param="add_generation_prompt", code="invalid_value",
        )  # fmt: skip
    return text, messages[:-1]


def _thinking(name: str, request: dict[str, Any]) -> bool | None:
    """Return what a request says about thinking: ``thinking`` in Messages, ``chat_template_kwargs`` as open servers have it."""
    if name == "messages" and isinstance(thinking := request.get("thinking"), dict):
        return thinking.get("type") in ("enabled", "adaptive")
    given = request.get("chat_template_kwargs")
    if name != "chat" or given is None:
        return None
    value = given.get("enable_thinking") if isinstance(given, dict) and set(given) <= {"enable_thinking"} else given
    if value is not None and not isinstance(value, bool):
        raise WireError(
            400, "A local model takes {'enable_thinking': true or false} as 'chat_template_kwargs'.",
            param="chat_template_kwargs", code="invalid_value",
        )  # fmt: skip
    return value


def _effort(name: str, request: dict[str, Any]) -> str | None:
    if name == "chat":
        return _text_or_none(request.get("reasoning_effort"), "reasoning_effort")
    if name == "messages":
        return _text_or_none(mapped(request.get("output_config")).get("effort"), "output_config.effort")
    reasoning = request.get("reasoning") if name == "responses" else None
    if not isinstance(reasoning, dict):
        if reasoning is not None:
            raise WireError(400, "The field 'reasoning' must be an object.", param="reasoning", code="invalid_type")
        return None
    known = {"effort", "summary", "generate_summary"}  # reasoning is given whole, so there is no summary to choose
    if odd := next((key for key in reasoning if key not in known and reasoning[key] is not None), None):
        raise WireError(
            400, f"{_LOCAL} does not support the field 'reasoning.{odd}'.", param=f"reasoning.{odd}",
            code="unsupported_parameter",
        )  # fmt: skip
    return _text_or_none(reasoning.get("effort"), "reasoning.effort")


def _text_or_none(value: Any, field: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise WireError(400, f"{field}={value!r} is no text.", param=field, code="invalid_type")
    return value


def _prompts(request: dict[str, Any]) -> list[str | list[int]]:
    prompt = request.get("prompt")
    if isinstance(prompt, str):
        return [prompt]
    items = listed(prompt)
    if items and all(isinstance(item, str) for item in items):
        return list(items)
    lists = [items] if items and not isinstance(items[0], list) else items
    whole = all(
        each and all(isinstance(i, int) and not isinstance(i, bool) and i >= 0 for i in listed(each)) for each in lists
    )
    if not lists or not whole or not all(isinstance(each, list) for each in lists):
        raise WireError(
            400,
            "A local model takes 'prompt' as text, a list of texts, or token ids.",
            param="prompt",
            code="invalid_type",
        )
    return [list(each) for each in lists]


def _sampling(name: str, request: dict[str, Any], longest: int) -> Sampling:
    limits = {
        "chat": ("max_completion_tokens", "max_tokens"),
        "responses": ("max_output_tokens",),
    }.get(name, ("max_tokens",))
    limit = next((request[field] for field in limits if request.get(field) is not None), None)
    if limit is None:
        limit = _COMPLETION_TOKENS if name == "completions" else longest
    stops = "stop_sequences" if name == "messages" else "stop"
    options: dict[str, Any] = {"max_new_tokens": limit, "temperature": 1.0, "top_p": 1.0}
    same = (
        "temperature", "top_p", "top_k", "seed", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty",
        "logit_bias", "ignore_eos",
    )  # fmt: skip
    for ours, theirs in (
        *((each, each) for each in same),
        ("stop", stops),
    ):
        if request.get(theirs) is not None:
            options[ours] = request[theirs]
    if options.get("top_k") == -1:
        options["top_k"] = 0  # as vLLM says that all are kept
    if isinstance(options.get("seed"), int):
        options["seed"] %= 2**63  # OpenAI takes negative ones
    options |= _logprobs(name, request)
    try:
        return Sampling(**options)
    except ConfigError as error:
        ours = error.what.partition("=")[0]
        theirs = {"max_new_tokens": next((f for f in limits if f in request), limits[0]), "stop": stops}.get(ours, ours)
        said = error.what.replace(f"{ours}=", f"{theirs}=", 1)
        raise WireError(400, f"{said} {error.fix}", param=theirs, code="invalid_value") from None


def _logprobs(name: str, request: dict[str, Any]) -> dict[str, Any]:
    """Return what a request says about log-probabilities; each dialect has its own way."""
    if name == "completions":
        count = request.get("logprobs")
        return (
            {} if count is None or count is False else {"logprobs": True, "top_logprobs": 0 if count is True else count}
        )
    top = request.get("top_logprobs")
    if name == "responses":
        wanted = _included(request)
        return {"logprobs": wanted or bool(top), "top_logprobs": top or 0}
    if name != "chat":
        return {}
    asked = request.get("logprobs")
    if top and asked is not True:
        raise WireError(400, "top_logprobs needs logprobs: true.", param="top_logprobs", code="invalid_value")
    return {} if asked is None else {"logprobs": asked, "top_logprobs": top or 0}


_INCLUDED = "message.output_text.logprobs"
_SAID_ANYWAY = ("reasoning.encrypted_content",)  # reasoning is in the answer in plain text


def _included(request: dict[str, Any]) -> bool:
    given = request.get("include")
    for each in listed(given):
        if each not in (_INCLUDED, *_SAID_ANYWAY):
            raise WireError(
                400, f"{_LOCAL} cannot include {str(each)[:80]!r}.", param="include", code="unsupported_parameter"
            )
    return _INCLUDED in listed(given)
