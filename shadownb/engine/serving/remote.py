"""A server behind the front: requests go on to it with what it calls its model, and its answers come back as they are."""

from __future__ import annotations

import contextlib
import json
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from shadownb.engine.answering.asks import Ask
from shadownb.engine.answering.delivery import Delivery
from shadownb.engine.answering.local import Spent
from shadownb.engine.capture import wire
from shadownb.engine.capture.dialects import Dialect, WireError

if TYPE_CHECKING:
    from collections.abc import Callable

    from shadownb.engine.answering.writers import Choice
    from shadownb.engine.inference import Constraint

_MOST_READ = 4 << 20  # bytes of an answer whose tokens are counted
_LONGEST = 1_000_000  # tokens: how long an answer may be is the server's own business


@dataclass(frozen=True)
class Speech:
    """What a kind of server understands, and how it is told.

    Attributes
    ----------
    name
        Of the kind: ``vllm``, ``sglang``, ``openai``.
    honours
        Options that it has (:data:`~shadownb.engine.answering.fields.OPTIONS`).
    dialects
        That it speaks.
    forms
        Returns the fields by which it is told the form of an answer.
    """

    name: str
    honours: frozenset[str]
    dialects: frozenset[str]
    forms: Callable[[Constraint], dict[str, Any]]


def _as_openai(form: Constraint) -> dict[str, Any]:
    return {
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": json.loads(form.text)}}
    }


def _as_vllm(form: Constraint) -> dict[str, Any]:
    if form.kind == "schema":
        return _as_openai(form)
    return {"structured_outputs": {form.kind: form.text}}


def _as_sglang(form: Constraint) -> dict[str, Any]:
    return _as_openai(form) if form.kind == "schema" else {"regex": form.text}


_PLAIN = frozenset(
    {"max_new_tokens", "temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias", "seed", "stop", "n",
     "stream", "logprobs", "top_logprobs", "schema", "tools", "tool_choice", "parallel_tool_calls", "thinking"}
)  # fmt: skip
_OPEN = _PLAIN | {"top_k", "min_p", "repetition_penalty", "ignore_eos", "regex", "prefill"}

SPEECHES = {
    # Of a server that nobody has described only the fields of OpenAI's own API go on: others it might ignore.
    "openai": Speech("openai", _PLAIN, frozenset({"chat", "completions"}), _as_openai),
    "vllm": Speech(
        "vllm",
        frozenset(_OPEN | {"grammar", "echo", "token_prompts", "tokens_as_ids"}),
        frozenset({"chat", "completions"}),
        _as_vllm,
    ),
    "sglang": Speech("sglang", frozenset(_OPEN), frozenset({"chat", "completions"}), _as_sglang),
}


class RemoteModel:
    """One model of another server.

    Parameters
    ----------
    base
        Address of its API, with ``/v1``.
    theirs
        What the server calls the model.
    broken
        Returns why it cannot be asked now; empty where it can.
    """

    def __init__(
        self,
        name: str,
        base: str,
        theirs: str,
        speech: Speech,
        *,
        api_key: str | None = None,
        timeout: float = 600.0,
        broken: Callable[[], str] = lambda: "",
    ) -> None:
        self.name, self.engine = name, speech.name
        self._base, self._theirs, self._speech, self._broken = base.rstrip("/"), theirs, speech, broken
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(timeout, connect=15.0, pool=None),
            limits=httpx.Limits(max_connections=None),
            headers={"authorization": f"Bearer {api_key}"} if api_key else {},
            trust_env=not base.startswith(("http://127.", "http://localhost", "http://[::1]")),
        )

    @property
    def honoured(self) -> frozenset[str]:
        """The options that it has."""
        return self._speech.honours

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    def count_tokens(self, dialect: Dialect, request: dict[str, Any]) -> int:
        """Refuse: its tokenizer is the server's own."""
        raise WireError(404, f"{self.engine} cannot count tokens for this front.", code="not_found")

    async def answer(
        self,
        dialect: Dialect,
        request: dict[str, Any],
        history: list[dict[str, Any]],
        delivery: Delivery,
        *,
        place: AbstractAsyncContextManager[Any],
        spent: Spent,
    ) -> list[Choice]:
        """Ask the server and deliver what it answers."""
        try:
            body = self._translated(dialect, request)
            async with place:
                await self._relay(dialect, body, delivery, spent)
        except WireError as error:
            await delivery.fail(error)
        return []

    def _translated(self, dialect: Dialect, request: dict[str, Any]) -> dict[str, Any]:
        """Return the request as the server takes it. Raises :class:`WireError` 400 for what it does not have."""
        if dialect.name not in self._speech.dialects:
            raise WireError(
                404,
                f"{self.engine} does not speak this dialect; ask {self.name!r} by chat completions.",
                code="not_found",
            )
        ask = Ask.of(dialect, request, [], _LONGEST, self.honoured, self.engine)
        form = {} if ask.form is None else self._speech.forms(ask.form)
        told = {key: value for key, value in request.items() if key not in _FORMS}
        return {**told, **form, "model": self._theirs}

    async def _relay(self, dialect: Dialect, body: dict[str, Any], delivery: Delivery, spent: Spent) -> None:
        if why := self._broken():
            raise WireError(503, why, code="engine_unavailable")
        asked = self._client.build_request("POST", self._base + dialect.path, json=body)
        try:
            answer = await self._client.send(asked, stream=True)
        except httpx.TransportError as error:
            raise WireError(
                502, f"The engine {self.engine} gave no answer: {type(error).__name__}.", code="engine_failed"
            ) from None
        kept = b""
        try:
            headers = [(n, v) for n, v in wire.returned(answer.headers.raw) if n in (b"content-type", b"retry-after")]
            pieces = answer.aiter_bytes()
            first = await anext(pieces, b"")
            await delivery.start(answer.status_code, headers)
            while first:
                if spent.first_piece is not None:
                    spent.first_piece()
                    spent.first_piece = None
                kept = kept + first if len(kept) < _MOST_READ else kept
                await delivery.push(first)
                first = await anext(pieces, b"")
            await delivery.end()
        except httpx.TransportError as error:
            text = f"The answer of the engine {self.engine} broke off: {type(error).__name__}."
            await delivery.fail(WireError(502, text, code="engine_failed"))
        finally:
            await answer.aclose()
        with contextlib.suppress(ValueError):
            usage = dialect.facts(kept, streamed=body.get("stream") is True).usage or {}
            spent.prompt_tokens = usage.get("prompt_tokens", 0)
            spent.completion_tokens = usage.get("completion_tokens", 0)


_FORMS = (
    "response_format", "json_schema", "grammar", "guided_json", "guided_regex", "guided_grammar", "guided_choice",
    "structured_outputs",
)  # fmt: skip
