"""Endpoint: a server that speaks OpenAI's chat completions, asked as a loaded model is."""

from __future__ import annotations

import contextlib
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, overload
from urllib.parse import urlsplit

from shadownb.engine.capture.options import between
from shadownb.engine.capture.prices import PriceTable
from shadownb.engine.capture.target import Target
from shadownb.engine.endpoint.background import Background
from shadownb.engine.endpoint.connection import Body, Connection, Settings
from shadownb.engine.endpoint.request import checked_extra, options_of, wire_messages, wire_tools
from shadownb.engine.endpoint.stream import EndpointStream
from shadownb.engine.endpoint.totals import Totals
from shadownb.engine.endpoint.trouble import error_of_many
from shadownb.engine.inference import Reply
from shadownb.engine.inference.typed import value_of
from shadownb.engine.messages import conversations_of
from shadownb.errors import ConfigError, EndpointError, ShadowWarning

Message = Mapping[str, Any]
Prices = PriceTable | Mapping[str, Any] | str | Path | None

_PATH = "/chat/completions"
_LOST = "the-key-is-in-no-pickle"


class Endpoint:
    """A model behind a server of OpenAI's chat completions, asked like a loaded model
    (a :class:`~shadownb.engine.ports.chat_model.ChatModel`): ``snb.Endpoint("https://api.openai.com/v1", model="gpt-4.1-mini")``.

    Parameters
    ----------
    base_url
        The server's address, including ``/v1`` (or what the server has instead).
    model
        The server's name for the model.
    api_key
        The key; if omitted, it is read from the environment. It is kept only in memory: not in pickles, errors, logs or reprs.
    api_key_env
        Environment variable with the key; by default ``OPENAI_API_KEY``, or ``ANTHROPIC_API_KEY`` for Anthropic's hosts.
    concurrency
        How many conversations are sent at the same time.
    timeout
        Seconds for one whole answer; for a stream, seconds for each piece.
    max_retries
        How often a request is repeated after status 408, 409, 425, 429 or 5xx, a lost connection, or an empty answer. It waits
        0.5, 1, 2, ... up to 30 seconds, or as ``Retry-After`` says (at most two minutes, else it gives up). ``totals``
        counts the repetitions. A request that timed out is not repeated, because it may have been answered and charged.
    extra_body
        Additional fields for each request: ``{"top_k": 20}``, ``{"response_format": ...}``. None removes a field that would be
        sent: ``{"temperature": None}`` for models that refuse it. The options ``top_k`` and ``repetition_penalty`` are accepted
        only if they are named here, because servers that do not know them ignore them silently.
    reasoning_field
        Field in which the reasoning of earlier turns is sent, such as ``"reasoning_content"``; None does not send it, which
        many servers require.
    prices
        US dollars per million tokens, as for :func:`shadownb.capture`: a table, dict or file that overrides the included prices.
    name
        The endpoint's name in comparisons; by default the model's name.

    Attributes
    ----------
    totals
        A :class:`Totals`: answers, failures, repeated requests, tokens and dollars so far.

    Raises
    ------
    ConfigError
        An option is wrong, or there is no key although the host is known to need one.

    Examples
    --------
    >>> with snb.capture(model) as recorder:  # any server of chat completions; here one with a loaded model behind it
    ...     rented = snb.Endpoint(recorder.base_url, model="tiny", api_key=recorder.token)
    ...     comparison = snb.compare(model, rows[:4], "exact", against=rented, max_new_tokens=16)
    >>> comparison.mean("tiny")
    1.0
    >>> rented.totals.answered, rented.totals.failed, rented.totals.tokens["completion_tokens"]
    (4, 0, 36)
    >>> rented.base_url == recorder.base_url
    True
    """

    has_base = False

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        api_key_env: str | None = None,
        concurrency: int = 8,
        timeout: float = 600.0,
        max_retries: int = 5,
        extra_body: Mapping[str, Any] | None = None,
        reasoning_field: str | None = None,
        prices: Prices = None,
        name: str | None = None,
    ) -> None:
        if not isinstance(model, str) or not model.strip():
            raise ConfigError(f"model={model!r} is not the name of a model.", fix="Give it as the server calls it.")
        if api_key is not None and api_key_env is not None:
            raise ConfigError("api_key= and api_key_env= are both given.", fix="Give one of them.")
        self.model = model
        self.name = name or model
        self.totals = Totals()
        self.concurrency = _whole("concurrency", concurrency, 1, 1024)
        self.timeout = between("timeout", timeout, 0.001, 1e6)
        self.max_retries = _whole("max_retries", max_retries, 0, 100)
        self.extra_body = checked_extra(extra_body)
        self.reasoning_field = reasoning_field
        plain_url = str(base_url).rstrip("/").removesuffix(_PATH)  # as people copy it from a page about curl
        self._target = Target.of(plain_url, api_key_env, api_key=_key(api_key), option="base_url")
        if any(not value.isascii() or not value.isprintable() for _, value in self._target.authorisation(_PATH)):
            raise ConfigError(
                "api_key= holds characters that no header of HTTP can carry." if api_key else
                f"{self._target.key_name} holds characters that no header of HTTP can carry.",
                fix="Copy the key again, without line ends and quotation marks.",
            )  # fmt: skip
        self._made_with = (plain_url, api_key is not None, api_key_env, prices)
        self._prices: PriceTable | None = None
        self._verify: Any = None
        self._mark = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._told_of_reasoning = False

    @property
    def base_url(self) -> str:
        """The address, without credentials."""
        return self._target.shown

    @property
    def kept_under(self) -> list[Any]:
        """What its answers are found again by: this object, and what it sends. Another one may have another model behind it."""
        return [self._mark, self.model, self.extra_body, self.reasoning_field]

    @overload
    def chat(
        self, messages: str | Sequence[Message], tools: list[dict[str, Any]] | None = None, **options: Any
    ) -> Reply: ...

    @overload
    def chat(
        self, messages: Sequence[Sequence[Message]], tools: list[dict[str, Any]] | None = None, **options: Any
    ) -> list[Reply]: ...

    def chat(
        self,
        messages: str | Sequence[Message] | Sequence[Sequence[Message]],
        tools: list[dict[str, Any]] | None = None,
        *,
        should_stop: Callable[[], bool] | None = None,
        on_reply: Callable[[int, Reply], None] | None = None,
        **options: Any,
    ) -> Reply | list[Reply]:
        """Return the :class:`Reply` to a conversation, or a list of them, in order, for a list of conversations.

        Parameters
        ----------
        messages
            Messages as in OpenAI's API, of one conversation or a list of them; a text is one message of a user. Arguments of
            tool calls may be objects; missing ids of calls and results are added.
        tools
            Schemas of the tools that are offered.
        should_stop
            Called repeatedly; once it returns True, unfinished answers are returned as they are, with ``finish_reason``
            ``"cancelled"``.
        on_reply
            Called with the place of a conversation and its reply as soon as that is there, from another thread, so that what was
            paid for can be kept before the others have answered.
        **options
            ``max_new_tokens, temperature, top_p, stop, seed, reasoning_effort, presence_penalty, frequency_penalty, logit_bias``,
            and ``schema``, a JSON schema or a pydantic model, which is sent as ``response_format``; ``reply.parsed`` is the answer
            as a value. Only options that are given are sent; for the others the server's defaults hold.

        Raises
        ------
        ConfigError, DataError
            An option cannot be sent, or there is not a conversation; nothing has been sent.
        EndpointError
            A conversation got no answer. ``error.replies`` holds the replies of the others, and the error of each that failed.

        Examples
        --------
        >>> with snb.capture(model) as recorder:
        ...     rented = snb.Endpoint(recorder.base_url, model="tiny", api_key=recorder.token)
        ...     reply = rented.chat([{"role": "user", "content": "I paid twice."}], temperature=0.0)
        ...     replies = rented.chat([row["messages"][:1] for row in rows[:2]], temperature=0.0)
        >>> reply.content, reply.finish_reason, [each.content for each in replies]
        ('billing', 'stop', ['shipping', 'shipping'])
        """
        conversations, single = conversations_of(messages)
        schemas, bodies = self._bodies(conversations, tools, options)
        results: list[Reply | EndpointError | None] = [None] * len(bodies)
        settings = self._settings()

        async def work() -> None:
            async with Connection(settings) as connection:
                await connection.answer_all(bodies, schemas, results, on_reply)

        if bodies:
            Background(work).wait(should_stop)
        replies = [self._stopped() if result is None else result for result in results]
        failed = [reply for reply in replies if isinstance(reply, EndpointError)]
        if failed:
            raise failed[0] if single else error_of_many(failed, replies)
        answered = [reply for reply in replies if not isinstance(reply, EndpointError)]
        if (schema := options.get("schema")) is not None:
            for reply in answered:
                reply.parsed = value_of(schema, reply.content)
        return answered[0] if single else answered

    def stream(
        self,
        prompt: str | Sequence[Message],
        tools: list[dict[str, Any]] | None = None,
        *,
        should_stop: Callable[[], bool] | None = None,
        **options: Any,
    ) -> EndpointStream:
        """Answer piece by piece: iterate over the stream for the text, call its ``close()`` to stop; at the end ``reply`` holds
        the whole :class:`Reply`.

        Options and errors are those of :meth:`chat`. If a stream breaks off, the error is raised where it is read; the request
        is repeated only if nothing had arrived yet.

        Examples
        --------
        >>> with snb.capture(model) as recorder:
        ...     rented = snb.Endpoint(recorder.base_url, model="tiny", api_key=recorder.token)
        ...     stream = rented.stream("I paid twice.", temperature=0.0)
        ...     text = "".join(stream)
        >>> text, stream.reply.finish_reason
        ('billing', 'stop')
        """
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        schemas, (body,) = self._bodies([messages], tools, options)
        # Without being asked many servers do not count a stream's tokens.
        body = {"stream_options": {"include_usage": True}, **body, "stream": True}
        if "stream_options" in self.extra_body and self.extra_body["stream_options"] is None:
            del body["stream_options"]
        return EndpointStream(self._settings(), body, schemas, should_stop)

    def _bodies(
        self, conversations: Sequence[Any], tools: Any, options: dict[str, Any]
    ) -> tuple[list[dict[str, Any]], list[Body]]:
        schemas = wire_tools(tools)
        host = urlsplit(self._target.base).hostname or ""
        # OpenAI's newer models refuse max_tokens; many other servers do not know the new name.
        limit = "max_completion_tokens" if host.endswith((".openai.com", ".openai.azure.com")) else "max_tokens"
        fields = options_of(options, self.extra_body, limit) | ({"tools": schemas} if schemas else {})
        bodies, lost = [], 0
        for conversation in conversations:
            sent, without = wire_messages(conversation, self.reasoning_field)
            bodies.append({"model": self.model, "messages": sent, **fields})
            lost += without
        if lost and not self._told_of_reasoning:
            self._told_of_reasoning = True
            warnings.warn(
                f"The reasoning of {lost:,} earlier turns is not sent to {self.name}: many servers refuse it. "
                "Endpoint(..., reasoning_field='reasoning_content') sends it.",
                ShadowWarning,
                stacklevel=3,
            )
        return schemas, bodies

    def _settings(self) -> Settings:
        if _LOST in self._target.secrets:
            raise ConfigError(
                f"The key of {self.name} was given as api_key=, which is in no pickle and no copy.",
                fix="Make the endpoint again, or name the key's variable: api_key_env=.",
            )
        if self._verify is None:
            self._verify = False
            if self._target.base.startswith("https:"):  # reading certificates takes 20 to 40 ms: once
                import httpx

                self._verify = httpx.create_ssl_context(trust_env=not self._target.is_loopback)
        if self._prices is None:
            self._prices = PriceTable.load(self._made_with[3])
        prices = self._prices
        return Settings(
            self._target, self.model, self.timeout, self.max_retries, self.concurrency, self._verify, self._count,
            lambda served, usage: prices.cost((served, self.model), usage),
        )  # fmt: skip

    @contextlib.contextmanager
    def _count(self) -> Iterator[Totals]:
        with self._lock:
            yield self.totals

    def _stopped(self) -> Reply:
        with self._count() as totals:
            totals.stopped += 1
        return Reply("", finish_reason="cancelled", remarks=["Stopped before its answer was there."])

    def __reduce__(self) -> Any:
        url, had_key, key_env, prices = self._made_with
        options = {
            "api_key_env": key_env, "concurrency": self.concurrency, "timeout": self.timeout, "prices": prices,
            "max_retries": self.max_retries, "extra_body": self.extra_body, "reasoning_field": self.reasoning_field,
            "name": self.name,
        }  # fmt: skip
        return _again, (url, self.model, had_key, options)

    def __repr__(self) -> str:
        named = f", name={self.name!r}" if self.name != self.model else ""
        return f"Endpoint({self.base_url!r}, model={self.model!r}{named}: {self.totals})"

    def _repr_html_(self) -> str:
        return f"<div><b>{escape(self.name)}</b> at <code>{escape(self.base_url)}</code><br>{escape(str(self.totals))}</div>"


def _again(url: str, model: str, had_key: bool, options: dict[str, Any]) -> Endpoint:
    """Make an endpoint from a pickle; a key that was given is not in it, and one of the environment may be another host's."""
    return Endpoint(url, model, api_key=_LOST if had_key else None, **options)


def _key(api_key: Any) -> str | None:
    if api_key is None:
        return None
    if not isinstance(api_key, str) or not api_key.strip():
        raise ConfigError(
            "api_key= is empty or not a string.", fix="Give the key, or leave it out: the environment has it."
        )
    return api_key.strip()


def _whole(option: str, value: Any, low: int, high: int) -> int:
    if not isinstance(value, int):
        raise ConfigError(f"{option}={value!r} is not a whole number.", fix=f"Give one from {low} to {high}.")
    return int(between(option, value, low, high))
