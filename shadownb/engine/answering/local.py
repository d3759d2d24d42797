"""A loaded model as an upstream: true usage, finish reasons, stop strings, seeds, tool calls, and streaming by the token."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shadownb.engine.answering.writers import AnswerWriter, Choice, writer_for
from shadownb.engine.answering.asks import Ask
from shadownb.engine.capture.delivery import Delivery
from shadownb.engine.capture.dialects import Dialect, WireError
from shadownb.engine.capture.exchange import Exchange
from shadownb.engine.inference import Reply
from shadownb.engine.jsontext import Unreadable, check_depth
from shadownb.engine.loaded import as_trained
from shadownb.engine.loaded.as_trained import AS_TRAINED
from shadownb.engine.replies import Part, Reader, TextReader
from shadownb.errors import BusyError, OutOfMemoryError, ShadowError

if TYPE_CHECKING:
    from shadownb.engine.inference import Completion, TextStream
    from shadownb.engine.loaded.model import LoadedModel

# Weights answer one call at a time in any case; a second one may render its prompt meanwhile.
_AT_ONCE = 2

Opened = tuple["TextStream", Reader]
Open = Callable[[Callable[[], bool]], Opened]


class LocalModel:
    """Answers calls with a :class:`~shadownb.engine.models.Model`."""

    def __init__(self, model: LoadedModel) -> None:
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
                Ask.of(exchange.dialect, exchange.request, history, self.model.max_length), exchange.request
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
            choice = Choice(index, "")
            async for part in self._parts(self._opener(ask, prompt, number)):
                if isinstance(part, Part):
                    self._take(choice, part)
                    if ask.stream and part.call is None:  # calls come whole at the end
                        await self._begin(delivery, writer)
                        say = writer.reasoning if part.kind == "reasoning" else writer.text
                        await delivery.push(say(index, part.text))
                    continue
                if part.finish_reason == "cancelled":
                    raise BusyError("The capture is being stopped.", fix="Start it again.")
                self._end(choice, part)
                prompt_tokens[place] = part.prompt_tokens
            choices.append(choice)
            if ask.stream:
                await self._begin(delivery, writer)
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

    @staticmethod
    def _take(choice: Choice, part: Part) -> None:
        """Add a part to an answer. What is no valid call stays in the text, because no dialect has another place for it."""
        if part.kind == "reasoning":
            choice.reasoning += part.text
        elif part.call is not None:
            choice.tool_calls.append(Reply("", [part.call]).to_message()["tool_calls"][0])
        else:
            choice.content += part.text
            if part.kind == "malformed":
                choice.malformed.append({"text": part.text, "reason": part.reason})

    @staticmethod
    def _end(choice: Choice, completion: Completion) -> None:
        choice.finish = (
            "length" if completion.finish_reason == "length" else "tool_calls" if choice.tool_calls else "stop"
        )
        choice.stop_string = completion.stop_string
        choice.tokens = completion.completion_tokens

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

        def open_stream(should_stop: Callable[[], bool]) -> Opened:
            self.model.catch_up()
            renderer = self.model.renderer
            if prompt is not None:
                ids = list(self.model.tokenizer(prompt)["input_ids"])
                return self.model.generator.stream(ids, sampling, should_stop=should_stop), TextReader()
            thinks, effort = ask.enable_thinking, ask.reasoning_effort
            if effort == "none" and "reasoning_effort" not in renderer.known_variables:
                thinks, effort = False, None
            if thinks is False and "enable_thinking" not in renderer.known_variables:
                thinks = None  # a template that knows nothing of thinking asks for none
            told = renderer.told(enable_thinking=thinks, reasoning_effort=effort)
            ids = renderer.render_prompt(ask.messages, ask.tools, variables=told)
            reader = renderer.open_reader(ids, ask.tools or [], calls=bool(ask.tools))
            return self.model.generator.stream(ids, sampling, should_stop=should_stop), reader

        return open_stream

    async def _parts(self, open_stream: Open) -> AsyncIterator[Part | Completion]:
        """Yield the answer part by part and then the completion; closing this stops the generation."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        gone = threading.Event()

        def put(kind: str, value: Any) -> None:
            if not gone.is_set():
                loop.call_soon_threadsafe(queue.put_nowait, (kind, value))

        def pump() -> None:
            try:
                stream, reader = open_stream(lambda: gone.is_set() or self._closing.is_set())
                for piece in stream:
                    for part in reader.feed(piece):
                        put("part", part)
                for part in reader.finish():
                    put("part", part)
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
