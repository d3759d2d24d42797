"""The requests of one question or of many: sent, sent again where that helps, and counted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from shadownb._version import __version__
from shadownb.engine.capture.dialects.base import Facts, error_of
from shadownb.engine.capture.target import Target, WithoutKeys
from shadownb.engine.endpoint.reading import CHAT, NoAnswer, reply_of
from shadownb.engine.endpoint.totals import Totals
from shadownb.engine.endpoint.trouble import Trouble, status_of
from shadownb.engine.inference import Reply
from shadownb.engine.jsontext import Unreadable, dumps
from shadownb.errors import EndpointError

T = TypeVar("T")
Body = dict[str, Any]
Tools = list[dict[str, Any]] | None

_CONNECT_SECONDS = 15.0
_FIRST_WAIT = 0.5  # seconds before the second try, twice as many before each further one
_LONGEST_WAIT = 30.0
_LONGEST_ASKED = 120.0  # a server that wants to be left alone for longer means today or this month
_DOWN_AFTER = 3  # conversations in a row that were given up: then it is the server and not the question
_LOGS = tuple(logging.getLogger(name) for name in ("httpx", "httpcore.http11"))
_DICE = random.Random()  # never the user's generator


@dataclass(frozen=True)
class Settings:
    """What all requests of an endpoint share; ``count`` opens its counts under their lock."""

    target: Target
    model: str
    timeout: float
    max_retries: int
    concurrency: int
    verify: Any
    count: Callable[[], contextlib.AbstractContextManager[Totals]]
    cost: Callable[[str | None, dict[str, Any]], float | None]


class _Key(httpx.Auth):
    """Puts the key on a request inside of httpx, so that no frame of ours holds it where a traceback shows locals."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        request.headers.update(self._target.authorisation("/chat/completions"))
        yield request


class Connection:
    """Asks one server; used in one loop, as an async context manager."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._url = f"{settings.target.base}/chat/completions"
        self._given_up = 0  # conversations in a row
        self._dead: EndpointError | None = None

    async def __aenter__(self) -> Connection:
        target = self.settings.target
        self._guard = WithoutKeys(target)
        for log in _LOGS:
            log.addFilter(self._guard)
        self.client = httpx.AsyncClient(
            auth=_Key(target),
            headers={"content-type": "application/json", "user-agent": f"shadownb/{__version__}"},
            timeout=httpx.Timeout(self.settings.timeout, connect=_CONNECT_SECONDS, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=self.settings.concurrency),
            follow_redirects=False,
            verify=self.settings.verify,
            trust_env=not target.is_loopback,  # no proxy between two programs of this machine
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.client.aclose()
        finally:
            for log in _LOGS:
                log.removeFilter(self._guard)

    async def answer_all(
        self,
        bodies: Sequence[Body],
        tools: Tools,
        results: list[Reply | EndpointError | None],
        on_reply: Callable[[int, Reply], None] | None = None,
    ) -> None:
        """Put reply or error of each request at its place among the results, as soon as it is there, and tell of replies."""
        places = asyncio.Semaphore(self.settings.concurrency)

        async def one(at: int) -> None:
            async with places:
                try:
                    results[at] = reply = await self.answer(bodies[at], tools)
                    if on_reply is not None:
                        on_reply(at, reply)
                except EndpointError as error:
                    results[at] = error

        async with asyncio.TaskGroup() as group:
            for at in range(len(bodies)):
                group.create_task(one(at))

    async def answer(self, body: Body, tools: Tools) -> Reply:
        """Return the reply to one request. Raises :class:`EndpointError`."""

        async def attempt() -> Reply:
            with self._transport():
                async with asyncio.timeout(self.settings.timeout):
                    response = await self.client.post(self._url, content=dumps(body).encode())
            return self.read(response, tools)

        return await self.until_answered(attempt)

    async def post(self, path: str, content: bytes) -> httpx.Response:
        """Send a body to another path of the API and return the whole answer. Raises :class:`Trouble`."""
        with self._transport():
            async with asyncio.timeout(self.settings.timeout):
                response = await self.client.post(f"{self.settings.target.base}{path}", content=content)
        self.check(response)
        return response

    async def until_answered(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try until there is an answer, or trouble that does not pass. Raises :class:`EndpointError`."""
        tries = 0
        while True:
            try:
                if self._dead is not None:
                    raise self._dead
                answer = await attempt()
            except Trouble as trouble:
                tries += 1
                wait = self._wait(trouble, tries)
                if wait is None:
                    raise self._give_up(trouble, tries) from None
                with self.settings.count() as totals:
                    totals.retries[trouble.counted] += 1
                    totals.waited_s += wait
            except EndpointError:
                with self.settings.count() as totals:
                    totals.failed += 1
                raise
            else:
                self._given_up = 0
                with self.settings.count() as totals:
                    totals.answered += 1
                return answer
            await asyncio.sleep(wait)

    def read(self, response: httpx.Response, tools: Tools) -> Reply:
        """Return the reply in a whole answer. Raises :class:`Trouble`."""
        self.check(response)
        streamed = response.headers.get("content-type", "").startswith("text/event-stream")
        try:
            content = CHAT.response(response.content, streamed=streamed)
        except Unreadable as error:
            raise Trouble.of_status(
                response.status_code,
                response.content,
                {},
                f"answered {response.status_code} with what is no answer: {error}",
            ) from None
        if streamed:
            self.check_end(CHAT.facts(response.content, streamed=True))
        return self.reply(content, tools)

    def check(self, response: httpx.Response) -> None:
        """Raise :class:`Trouble` where the status is none of an answer; the body has been read."""
        if response.status_code != 200:
            if response.is_redirect:
                raise Trouble.of_status(response.status_code, b"", {}, "redirects elsewhere, which is not followed")
            raise Trouble.of_status(response.status_code, response.content, response.headers)

    @staticmethod
    def check_end(facts: Facts) -> None:
        """Raise :class:`Trouble` where a stream ended without an end, or an error that says why."""
        if not facts.whole and facts.error is None:
            raise Trouble("broke its answer off", counted="broke off", fix="down", again=True)

    def reply(self, content: dict[str, Any], tools: Tools) -> Reply:
        """Return the reply in a final answer, and count what it cost. Raises :class:`Trouble`."""
        if (error := error_of(content)) is not None:
            raise Trouble.of_status(status_of(error), dumps(content).encode(), {}, "answered 200 with an error in it")
        self.count_usage(content)
        try:
            return reply_of(content, tools)
        except NoAnswer as nothing:
            raise Trouble(
                f"answered, but {nothing}", counted="no answer in it", again=nothing.again, fix="answer", status=200
            ) from None

    def count_usage(self, content: dict[str, Any]) -> None:
        """Count the tokens and the price of an answer."""
        facts = CHAT.response_facts(content)
        with self.settings.count() as totals:
            totals.used(facts.usage or {}, self.settings.cost(facts.model, facts.usage or {}), facts.model)

    @contextlib.asynccontextmanager
    async def open(self, body: Body) -> AsyncIterator[httpx.Response]:
        """Send a request and give the answer before its body is read. Raises :class:`Trouble`, of the reading as well."""
        with self._transport():
            async with self.client.stream("POST", self._url, content=dumps(body).encode()) as response:
                yield response

    @contextlib.contextmanager
    def _transport(self) -> Iterator[None]:
        try:
            yield
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise Trouble.of_transport(error, self.settings.timeout) from None

    def _wait(self, trouble: Trouble, tries: int) -> float | None:
        """Return how long to wait before the next try; None where there is to be none."""
        if not trouble.again or tries > self.settings.max_retries or (trouble.after or 0) > _LONGEST_ASKED:
            return None
        if trouble.after is not None:
            return trouble.after
        return min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** (tries - 1)) * _DICE.uniform(0.75, 1.0)

    def _give_up(self, trouble: Trouble, tries: int) -> EndpointError:
        error = trouble.as_error(self.settings.target, self.settings.model, tries)
        # An answer of the server means that it is there; only what should have passed by itself says that it is not.
        self._given_up = self._given_up + 1 if trouble.again and trouble.status != 200 else 0
        if trouble.for_all or self._given_up >= _DOWN_AFTER:
            error.for_all = True
            self._dead = error
        with self.settings.count() as totals:
            totals.failed += 1
        return error
