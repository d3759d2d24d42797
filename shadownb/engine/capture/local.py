"""A loaded model as an upstream: true usage, finish reasons, stop strings, seeds, tool calls, and streaming by the token."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from shadownb.engine.capture.answers import AnswerWriter, Choice, writer_for
from shadownb.engine.capture.asks import Ask
from shadownb.engine.capture.delivery import Delivery
from shadownb.engine.capture.dialects import Dialect, WireError
from shadownb.engine.capture.exchange import Exchange
from shadownb.engine.inference import Sampling
from shadownb.engine.inference.text import held_back
from shadownb.engine.jsontext import Unreadable, check_depth
from shadownb.engine.models import as_trained
from shadownb.engine.models.as_trained import AS_TRAINED
from shadownb.engine.rendering.parsers import parsers
from shadownb.errors import BusyError, OutOfMemoryError, ShadowError

if TYPE_CHECKING:
    from shadownb.engine.inference import Completion, TextStream
    from shadownb.engine.models import Model

# Weights answer one call at a time in any case; a second one may render its prompt meanwhile.
_AT_ONCE = 2
_CALL_MARK = "<tool_call>"

Open = Callable[[Callable[[], bool]], "TextStream"]


class LocalModel:
    """Answers calls with a :class:`~shadownb.engine.models.Model`."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.names = tuple(dict.fromkeys((model.name, model.public_name)))
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="shadownb-capture-local")
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._closing = threading.Event()

    def close(self) -> None:
        """Stop what is being generated."""
        self._closing.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def answer(self, exchange: Exchange, history: list[dict[str, Any]], delivery: Delivery) -> None:
        """Generate and deliver the answer to a call; ``history`` is what it goes on from without repeating it."""
        try:
            try:
                check_depth(exchange.request)
            except Unreadable as error:
                raise WireError(400, f"The request cannot be read: {error}.", code="invalid_json") from None
            if exchange.request.get("previous_response_id") and exchange.parent is None:
                raise WireError(
                    404, "There is no recorded answer with this previous_response_id.", param="previous_response_id",
                    code="not_found",
                )  # fmt: skip
            ask = self._as_trained(
                Ask.of(exchange.dialect, exchange.request, history, self.model.max_seq_length), exchange.request
            )
            writer = writer_for(exchange.dialect.name)(self.model.name, ask)
            async with self._places:
                await self._generate(ask, writer, delivery)
        except WireError as error:
            await delivery.fail(error)
        except ShadowError as error:
            text = " ".join(error.as_text().split("\n"))
            status = 503 if isinstance(error, OutOfMemoryError | BusyError) else 400
            await delivery.fail(WireError(status, text, code=error.code))

    def count_tokens(self, dialect: Dialect, request: dict[str, Any]) -> int:
        """Return the tokens of a request's prompt."""
        messages, tools = self._start(dialect.messages(request), dialect.tools(request) or None, request)
        return len(self.model.renderer.render_prompt(messages, tools))

    # -- inside ---------------------------------------------------------------------------------------------------

    def _as_trained(self, ask: Ask, request: dict[str, Any]) -> Ask:
        if not ask.messages:
            return ask  # a text completion goes on from its prompt
        messages, tools = self._start(ask.messages, ask.tools, request)
        return replace(ask, messages=messages, tools=tools)

    def _start(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None, request: dict[str, Any]
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]] | None]:
        """Return what a request starts from: what its rows share, where it brings no system message of its own.

        With one it is taken as it is, tools included; and so are the tools of a request that speaks of tools at all.
        """
        self.model.catch_up()
        if not messages or messages[0]["role"] in ("system", "developer"):
            return messages, tools
        speaks_of_tools = any(request.get(name) is not None for name in ("tools", "tool_choice"))
        return as_trained.conversation(
            self.model.trained_on, messages, AS_TRAINED, tools if speaks_of_tools else AS_TRAINED
        )

    async def _generate(self, ask: Ask, writer: AnswerWriter, delivery: Delivery) -> None:
        choices: list[Choice] = []
        prompts: list[str | None] = [*ask.prompts] or [None]
        jobs = [(place, prompt, number) for place, prompt in enumerate(prompts) for number in range(ask.choices)]
        prompt_tokens: dict[int, int] = {}  # each prompt counts once, however many answers it gets
        for index, (place, prompt, number) in enumerate(jobs):
            open_stream = self._opener(ask, prompt, number)
            shown = _Shown(buffered=bool(ask.tools), marks=(_CALL_MARK,) if ask.tools else ())
            completion: Completion | None = None
            async for piece in self._pieces(open_stream):
                if not isinstance(piece, str):
                    completion = piece
                elif ask.stream and (text := shown.add(piece)):
                    await self._begin(delivery, writer)
                    await delivery.push(writer.text(index, text))
            assert completion is not None
            if completion.finish_reason == "cancelled":
                raise BusyError("The capture is being stopped.", fix="Start it again.")
            choice = self._choice(index, completion, ask)
            choices.append(choice)
            prompt_tokens[place] = completion.prompt_tokens
            if ask.stream:
                await self._begin(delivery, writer)
                if rest := shown.rest(choice):
                    await delivery.push(writer.text(index, rest))
                await delivery.push(writer.finish(choice))
        usage = sum(prompt_tokens.values()), sum(choice.tokens for choice in choices)
        if ask.stream:
            await delivery.push(writer.end(choices, *usage))
        else:
            body = writer.whole(choices, *usage)
            await delivery.start(
                200, [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            )
            await delivery.push(body)
        await delivery.end()

    async def _begin(self, delivery: Delivery, writer: AnswerWriter) -> None:
        """Send the head, once; with the first piece and not before, so that a refusal is possible until then."""
        if not delivery.started:
            await delivery.start(
                200, [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
            )
            await delivery.push(writer.begin())

    def _opener(self, ask: Ask, prompt: str | None, number: int) -> Open:
        sampling = ask.sampling
        if number and sampling.seed is not None:
            sampling = replace(sampling, seed=(sampling.seed + number) % 2**63)

        def open_stream(should_stop: Callable[[], bool]) -> TextStream:
            self.model.catch_up()
            if prompt is None:
                ids = self.model.renderer.render_prompt(ask.messages, ask.tools)
            else:
                ids = list(self.model.tokenizer(prompt)["input_ids"])
            stream: TextStream = self.model.generator.stream(ids, sampling, should_stop=should_stop)
            return stream

        return open_stream

    async def _pieces(self, open_stream: Open) -> AsyncIterator[str | Completion]:
        """Yield the text piece by piece and then the completion; closing this stops the generation."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        gone = threading.Event()

        def put(kind: str, value: Any) -> None:
            if not gone.is_set():
                loop.call_soon_threadsafe(queue.put_nowait, (kind, value))

        def pump() -> None:
            try:
                stream = open_stream(lambda: gone.is_set() or self._closing.is_set())
                for piece in stream:
                    put("piece", piece)
                put("done", stream.completion)
            except BaseException as error:
                put("error", error)

        self._threads.submit(pump)
        try:
            while True:
                kind, value = await queue.get()
                if kind == "error":
                    raise value
                yield value
                if kind == "done":
                    return
        finally:
            gone.set()

    def _choice(self, index: int, completion: Completion, ask: Ask) -> Choice:
        content, calls = completion.text, []
        if not ask.prompts:
            content, found = self.model.renderer.parse_reply(completion.text) if ask.tools else (completion.text, [])
            from shadownb.engine.inference import Reply

            calls = Reply.from_completion(completion, content, found).to_message().get("tool_calls", [])
        finish: Literal["stop", "length", "tool_calls"]
        finish = "length" if completion.finish_reason == "length" else "tool_calls" if calls else "stop"
        return Choice(
            index, content, calls, finish, self._stop_string(completion, ask.sampling), completion.completion_tokens
        )

    def _stop_string(self, completion: Completion, sampling: Sampling) -> str | None:
        """Return the stop string that ended an answer, or None: a stop token did, or the limit."""
        ids = completion.token_ids
        if not sampling.stop or completion.finish_reason != "stop" or ids[-1] in self.model.renderer.stop_token_ids:
            return None
        whole = self.model.tokenizer.decode(ids, skip_special_tokens=True)
        found = [(at, stop) for stop in sampling.stop if (at := whole.find(stop)) >= 0]
        return min(found)[1] if found else None


class _Shown:
    """Holds back what may be the markup of a tool call, so that it never shows as text."""

    def __init__(self, *, buffered: bool, marks: tuple[str, ...]) -> None:
        # Of a parser that somebody registered the markup is not known, so nothing is shown before the end.
        self._all = buffered and parsers() != ("hermes",)
        self._marks = marks
        self._text = ""
        self._sent = 0

    def add(self, piece: str) -> str:
        """Take a piece and return what may be shown."""
        self._text += piece
        if self._all:
            return ""
        found = [at for mark in self._marks if (at := self._text.find(mark)) >= 0]
        end = min(found) if found else len(self._text) - (held_back(self._text, self._marks) if self._marks else 0)
        return self._take(end)

    def rest(self, choice: Choice) -> str:
        """Return what is left to show when the choice is known."""
        if choice.tool_calls:
            return choice.content if self._all else ""
        return self._take(len(self._text))

    def _take(self, end: int) -> str:
        piece, self._sent = self._text[self._sent : end], max(self._sent, end)
        return piece
