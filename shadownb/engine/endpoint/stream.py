"""An answer while a server writes it."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from json import loads
from typing import Any, Self

from shadownb.engine.capture.dialects.base import listed, mapped, text_of
from shadownb.engine.capture.dialects.contents import spread_content
from shadownb.engine.capture.sse import Event, EventReader
from shadownb.engine.endpoint.background import Background
from shadownb.engine.endpoint.connection import Body, Connection, Settings, Tools
from shadownb.engine.endpoint.reading import CHAT, content_reader, reasoning_of, reply_of
from shadownb.engine.endpoint.trouble import Trouble
from shadownb.engine.inference import Reply
from shadownb.engine.jsontext import Unreadable, dumps
from shadownb.engine.replies import Part, Reader

_LOOK_SECONDS = 0.05  # between two looks at whether to stop, while nothing comes


class EndpointStream:
    """Iterates over the pieces of the content; joined they are the content of the whole reply.

    Only where a server sends reasoning as text without its beginning (``... </think> answer``) the pieces have it as content,
    because nothing tells before its end; in ``reply`` it is apart.

    Attributes
    ----------
    reasoning
        The reasoning so far.
    """

    def __init__(self, settings: Settings, body: Body, tools: Tools, should_stop: Callable[[], bool] | None) -> None:
        self.reasoning = ""
        self._should_stop = should_stop
        self._reading = _Reading(tools)
        self._ended = False
        reading = self._reading  # the thread shall not keep this object: dropping it stops the answer

        async def work() -> None:
            try:
                async with Connection(settings) as connection:
                    await reading.read(connection, body)
            finally:
                reading.parts.put(None)

        self._background = Background(work)

    @property
    def reply(self) -> Reply | None:
        """The whole :class:`Reply`, as ``chat`` returns it, once the stream has ended or was stopped; before that None."""
        return self._reading.reply if self._ended else None

    def parts(self) -> Iterator[Part]:
        """Iterate over all there is: pieces of ``content`` and ``reasoning``, whole calls and malformed ones.

        Raises
        ------
        EndpointError
            The server did not answer, or broke off; what came before has been given.
        """
        while not self._ended:
            part = self._next()
            if part is None:
                self._ended = True
                self._background.wait()
                return
            if part.kind == "reasoning":
                self.reasoning += part.text
            yield part

    def _next(self) -> Part | None:
        try:
            while True:
                # An interpreter that shuts down waits for that thread, which shall not wait for a server.
                stop = self._should_stop is not None and self._should_stop()
                if stop or not threading.main_thread().is_alive():
                    self._background.cancel()
                with contextlib.suppress(queue.Empty):
                    return self._reading.parts.get(timeout=_LOOK_SECONDS)
        except BaseException:  # Ctrl-C, or what should_stop raised
            self._background.cancel()
            raise

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        for part in self.parts():
            if part.kind == "content":
                return part.text
        raise StopIteration

    def close(self) -> None:
        """Stop the answer and return when nothing of it runs any more; later calls do nothing."""
        self._background.cancel()
        if not self._ended:
            self._ended = True
            with contextlib.suppress(Exception):  # nobody waits for it any more
                self._background.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        background = getattr(self, "_background", None)
        if background is not None:
            background.cancel()

    def __repr__(self) -> str:
        return f"EndpointStream({'ended' if self._ended else 'running'})"


class _Reading:
    """What has come of one answer; filled in the thread that reads it."""

    def __init__(self, tools: Tools) -> None:
        self.parts: queue.SimpleQueue[Part | None] = queue.SimpleQueue()
        self.reply: Reply | None = None
        self._tools = tools
        self._forget()

    def _forget(self) -> None:
        self._events: list[Event] = []
        self._reader: Reader | None = None
        self._thought = False
        self._given: list[Any] = []  # calls that stood in the content
        self._said = False

    async def read(self, connection: Connection, body: Body) -> None:
        """Read the answer to a request; stopped, what there is of it is the reply."""
        try:
            self.reply = await connection.until_answered(lambda: self._attempt(connection, body))
        except asyncio.CancelledError:
            content = self._content()
            connection.count_usage(content)
            with connection.settings.count() as totals:
                totals.stopped += 1
            self.reply = reply_of(content, self._tools, stopped=True)
            raise

    async def _attempt(self, connection: Connection, body: Body) -> Reply:
        self._forget()
        try:
            async with connection.open(body) as response:
                if not response.headers.get("content-type", "").startswith("text/event-stream"):
                    await response.aread()
                    return self._whole(connection.read(response, self._tools))
                if response.status_code != 200:
                    await response.aread()
                connection.check(response)
                await self._follow(response)
            connection.check_end(CHAT.stream_facts(iter(self._events)))
            reply = connection.reply(self._content(), self._tools)
        except Trouble as trouble:
            trouble.again = trouble.again and not self._said  # what was given cannot be taken back
            raise
        except Unreadable as error:
            raise Trouble(f"sent what is no answer: {error}", counted="no answer in it") from None
        self._finish(reply)
        return reply

    async def _follow(self, response: Any) -> None:
        reader = EventReader()
        async for chunk in response.aiter_bytes():
            for event in reader.feed(chunk):
                self._take(event)
        for event in reader.finish():
            self._take(event)

    def _content(self) -> dict[str, Any]:
        with contextlib.suppress(Unreadable):
            return CHAT.rebuild(self._events)
        return {}

    def _take(self, event: Event) -> None:
        self._events.append(event)
        for choice in listed(event.json().get("choices")):
            if isinstance(choice, dict) and choice.get("index", 0) in (0, None):
                delta = spread_content(mapped(choice.get("delta")))
                if thought := reasoning_of(delta):
                    self._thought = True
                    self._put([Part("reasoning", thought)])
                if text := text_of(delta.get("content")):
                    if self._reader is None:
                        self._reader = content_reader(self._tools, thought=self._thought)
                    self._put(self._reader.feed(text))

    def _finish(self, reply: Reply) -> None:
        if self._reader is not None:
            self._put(self._reader.finish())
        elif reply.content:  # a refusal
            self._put([Part("content", reply.content)])
        for call in reply.tool_calls:
            said = {"name": call["function"]["name"], "arguments": loads(call["function"]["arguments"])}
            if (said["name"], said["arguments"]) not in self._given:
                self._put([Part("call", dumps(said), {"id": call["id"], **said})])
        for broken in reply.malformed_calls:
            if broken["text"] not in self._given:
                self._put([Part("malformed", broken["text"], reason=broken["reason"])])

    def _whole(self, reply: Reply) -> Reply:
        """Give a whole answer, of a server that does not stream, in the parts that it has."""
        if reply.reasoning:
            self._put([Part("reasoning", reply.reasoning)])
        self._finish(reply)
        return reply

    def _put(self, parts: list[Part]) -> None:
        for part in parts:
            self._said = True
            if part.kind == "call" and part.call is not None:
                self._given.append((part.call["name"], part.call["arguments"]))
            elif part.kind == "malformed":
                self._given.append(part.text)
            self.parts.put(part)
