"""What a request asks of a local model: conversation, tools and sampling, the same for every dialect.

What a local model cannot do (log-probabilities, forced tools, a JSON grammar, ...) is refused by name: an answer that silently
ignores it would be recorded as if it had been done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shadownb.engine.capture.dialects import Dialect, WireError
from shadownb.engine.capture.dialects.base import listed
from shadownb.engine.capture.dialects.completions import prompts_of
from shadownb.engine.inference import Sampling
from shadownb.errors import ConfigError

_COMPLETION_TOKENS = 16  # OpenAI's default for text completions


@dataclass(frozen=True)
class Ask:
    """A request in the engine's words.

    Attributes
    ----------
    messages
        The conversation in chat form; empty for a text completion, which has ``prompts``.
    choices
        Answers wanted of each prompt.
    enable_thinking, reasoning_effort
        Whether to think before the answer and how much; None where the request does not say.
    """

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None
    prompts: list[str]
    sampling: Sampling
    choices: int
    stream: bool
    include_usage: bool
    enable_thinking: bool | None = None
    reasoning_effort: str | None = None

    @classmethod
    def of(cls, dialect: Dialect, request: dict[str, Any], history: list[dict[str, Any]], longest: int) -> Ask:
        """Read a request. Raises :class:`WireError` 400 where a value is wrong or cannot be honoured.

        Parameters
        ----------
        history
            Turns that the request refers to without repeating them.
        longest
            Tokens of an answer where the request sets no limit.
        """
        _refuse(dialect.name, request)
        messages = dialect.messages(request)
        if history:
            leading = dialect.leading(request)
            messages = [*messages[:leading], *history, *messages[leading:]]
        tools = dialect.tools(request)
        choice = request.get("tool_choice")
        if choice == "none" or (isinstance(choice, dict) and choice.get("type") == "none"):
            tools = []
        options = request.get("stream_options")
        number = request.get("n") if dialect.name in ("chat", "completions") else None
        number = 1 if number is None else number
        if not 1 <= number <= 128:
            raise WireError(400, f"n={number} is out of range: 1 to 128.", param="n", code="invalid_value")
        return cls(
            messages=[] if dialect.name == "completions" else messages,
            tools=tools or None,
            prompts=_prompts(request) if dialect.name == "completions" else [],
            sampling=_sampling(dialect.name, request, longest),
            choices=number,
            stream=bool(request.get("stream")),
            include_usage=isinstance(options, dict) and bool(options.get("include_usage")),
            enable_thinking=_thinking(dialect.name, request),
            reasoning_effort=_effort(dialect.name, request),
        )


def _thinking(name: str, request: dict[str, Any]) -> bool | None:
    """Return what a request says about thinking: ``thinking`` in Messages, ``chat_template_kwargs`` as open servers have it."""
    if name == "messages" and isinstance(thinking := request.get("thinking"), dict):
        return thinking.get("type") in ("enabled", "adaptive")
    given = request.get("chat_template_kwargs")
    if name not in ("chat", "completions") or given is None:
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
    reasoning = request.get("reasoning") if name == "responses" else None
    return _text_or_none(reasoning.get("effort"), "reasoning.effort") if isinstance(reasoning, dict) else None


def _text_or_none(value: Any, field: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise WireError(400, f"{field}={value!r} is no text.", param=field, code="invalid_type")
    return value


def _prompts(request: dict[str, Any]) -> list[str]:
    prompt = request.get("prompt")
    if not isinstance(prompt, str) and not (prompt and all(isinstance(item, str) for item in listed(prompt))):
        raise WireError(
            400, "A local model takes 'prompt' as text or a list of texts.", param="prompt", code="invalid_type"
        )
    return prompts_of(request)


def _sampling(name: str, request: dict[str, Any], longest: int) -> Sampling:
    limits = {
        "chat": ("max_completion_tokens", "max_tokens"),
        "responses": ("max_output_tokens",),
    }.get(name, ("max_tokens",))
    limit = next((request[field] for field in limits if request.get(field) is not None), None)
    if limit is None:
        limit = _COMPLETION_TOKENS if name == "completions" else longest
    options: dict[str, Any] = {"max_new_tokens": limit, "temperature": 1.0, "top_p": 1.0}
    for ours, theirs in (
        ("temperature", "temperature"),
        ("top_p", "top_p"),
        ("seed", "seed"),
        ("stop", "stop_sequences" if name == "messages" else "stop"),
        *((("top_k", "top_k"),) if name == "messages" else ()),
    ):
        if request.get(theirs) is not None:
            options[ours] = request[theirs]
    if isinstance(options.get("seed"), int):
        options["seed"] %= 2**63  # OpenAI takes negative ones
    try:
        return Sampling(**options)
    except ConfigError as error:
        raise WireError(
            400, f"{error.what} {error.fix}", param=error.what.partition("=")[0], code="invalid_value"
        ) from None


def _off(value: Any) -> bool:
    return value in (None, False, 0, [], {})


def _plain_format(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and value.get("type", "text") == "text")


def _free_choice(value: Any) -> bool:
    kind = value.get("type") if isinstance(value, dict) else value
    return kind in (None, "auto", "none")


_REFUSED: dict[str, dict[str, Callable[[Any], bool]]] = {
    "chat": {
        "logprobs": _off, "top_logprobs": _off, "logit_bias": _off, "frequency_penalty": _off, "presence_penalty": _off,
        "response_format": _plain_format, "tool_choice": _free_choice, "functions": _off, "function_call": _off,
        "audio": _off, "web_search_options": _off, "modalities": lambda value: value in (None, ["text"]),
    },
    "completions": {
        "logprobs": lambda value: value is None, "logit_bias": _off, "frequency_penalty": _off, "presence_penalty": _off,
        "echo": _off, "suffix": lambda value: not value, "best_of": lambda value: value in (None, 1),
    },
    "responses": {
        "conversation": _off, "background": _off, "tool_choice": _free_choice, "prompt": _off, "top_logprobs": _off,
        "text": lambda value: value is None or (isinstance(value, dict) and _plain_format(value.get("format"))),
    },
    "messages": {"tool_choice": _free_choice, "mcp_servers": _off, "container": _off},
}  # fmt: skip


def _refuse(name: str, request: dict[str, Any]) -> None:
    for field, is_harmless in _REFUSED[name].items():
        if not is_harmless(request.get(field)):
            raise WireError(
                400, f"A local model does not support the field {field!r}.", param=field, code="unsupported_parameter"
            )
    for number, tool in enumerate(listed(request.get("tools"))):
        custom = isinstance(tool, dict) and (tool.get("type", "function") == "function" or "input_schema" in tool)
        if not custom:
            raise WireError(
                400, f"A local model only has function tools; tools[{number}] is none.", param=f"tools[{number}]",
                code="unsupported_parameter",
            )  # fmt: skip
