"""A model that we load, as the one who answers requests: true usage, finish reasons, forms, tool calls, streaming by the token."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from shadownb.engine.answering.asks import Ask
from shadownb.engine.answering.delivery import Delivery
from shadownb.engine.answering.fields import options_of
from shadownb.engine.answering.forms import constraint_of
from shadownb.engine.answering.speakers import honoured_by, speaker_for
from shadownb.engine.answering.tokens import TokenChance, chances_of, chances_of_prompt
from shadownb.engine.answering.writers import AnswerWriter, Choice, writer_for
from shadownb.engine.capture.dialects import Dialect, WireError
from shadownb.engine.inference import AdapterSource, Completion, Reply
from shadownb.engine.jsontext import Unreadable, check_depth
from shadownb.engine.loaded import as_trained, sidecar
from shadownb.engine.loaded.as_trained import AS_TRAINED
from shadownb.engine.ports.abilities import TellsDistributions
from shadownb.engine.rendering.masks import NOT_TRAINED, Rendered
from shadownb.engine.replies import Part, Reader, TextReader
from shadownb.errors import BusyError, ConfigError, OutOfMemoryError, ShadowError

if TYPE_CHECKING:
    from shadownb.engine.data.trained_on import TrainedOn
    from shadownb.engine.inference.types import Sampling, Use
    from shadownb.engine.loaded.model import LoadedModel
    from shadownb.engine.ports.speaker import Speaker
    from shadownb.engine.rendering import Renderer

Tools = list[dict[str, Any]] | None


@dataclass
class Spent:
    """What an answer took, for whoever counts.

    Attributes
    ----------
    id
        The id of the answer.
    first_piece
        Called once when the first piece of the answer is there.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    id: str = ""
    first_piece: Callable[[], None] | None = None


@dataclass(frozen=True)
class _Asked:
    """One prompt as the model gets it, and who takes its answer apart."""

    ids: list[int]
    reader: Reader
    sampling: Sampling


@dataclass
class _Job:
    index: int
    place: int
    number: int
    prompt: str | list[int] | None
    choice: Choice = field(init=False)

    def __post_init__(self) -> None:
        self.choice = Choice(self.index, "")


class LocalModel:
    """Answers requests with one side of a loaded model's weights.

    Parameters
    ----------
    use
        Which weights: ``tuned``, ``base``, or an adapter beside them.
    name
        What the answers call it; the model's own name if left out.
    speaker
        Who completes its prompts, shared by the sides of one model; made (and closed) here if left out.
    engine
        How a refusal calls it.
    """

    def __init__(
        self,
        model: LoadedModel,
        *,
        use: Use = "tuned",
        name: str | None = None,
        speaker: Speaker | None = None,
        engine: str = "A local model",
    ) -> None:
        self.model, self.use, self.engine = model, use, engine
        self.name = name or model.name
        self.names = tuple(dict.fromkeys((self.name, *((model.name, model.public_name) if name is None else ()))))
        self._own = speaker is None
        self._speaker = speaker_for(model) if speaker is None else speaker
        self._closing = threading.Event()

    @property
    def honoured(self) -> frozenset[str]:
        """The options that it has (:data:`~.fields.OPTIONS`)."""
        return options_of(honoured_by(self.model))

    async def close(self) -> None:
        """Stop what is being generated."""
        self._closing.set()
        if self._own:
            await asyncio.to_thread(self._speaker.close)

    async def answer(
        self,
        dialect: Dialect,
        request: dict[str, Any],
        history: list[dict[str, Any]],
        delivery: Delivery,
        *,
        place: AbstractAsyncContextManager[Any] | None = None,
        spent: Spent | None = None,
    ) -> list[Choice]:
        """Generate and deliver the answer to a request; returns its choices, none where it failed.

        Parameters
        ----------
        history
            What the request goes on from without repeating it.
        place
            Entered once the request is known to be well formed, and left when it is answered.
        """
        try:
            try:
                check_depth(request)
            except Unreadable as error:
                raise WireError(400, f"The request cannot be read: {error}.", code="invalid_json") from None
            ask = Ask.of(dialect, request, history, self.model.max_length, self.honoured, self.engine)
            ask = await asyncio.to_thread(self._as_trained, ask, request)
            writer, spent = writer_for(dialect.name)(self.name, ask), spent or Spent()
            spent.id = writer.id
            async with place if place is not None else nullcontext():
                return await self._generate(ask, writer, delivery, spent)
        except WireError as error:
            await delivery.fail(error)
        except ShadowError as error:
            await delivery.fail(wire_error(error))
        return []

    def count_tokens(self, dialect: Dialect, request: dict[str, Any]) -> int:
        """Return the tokens of a request's prompt."""
        messages, tools = self._start(dialect.messages(request), dialect.tools(request) or None, request)
        return len(self._renderer.render_prompt(messages, tools))

    # -- how it is asked ----------------------------------------------------------------------------------------------

    @property
    def _renderer(self) -> Renderer:
        if isinstance(self.use, AdapterSource):
            return self.model.renderer_of(self.use)
        return self.model.start_renderer(from_base=self.use == "base")

    @property
    def _trained_on(self) -> TrainedOn | None:
        if self.use == "base":
            return None
        if isinstance(self.use, AdapterSource) and self.use.folder is not None:
            return sidecar.trained_on(self.use.folder)
        return self.model.trained_on

    def _as_trained(self, ask: Ask, request: dict[str, Any]) -> Ask:
        if not ask.messages:
            return ask  # a text completion goes on from its prompt
        messages, tools = self._start(ask.messages, ask.tools, request)
        return replace(ask, messages=messages, tools=tools)

    def _start(
        self, messages: list[dict[str, Any]], tools: Tools, request: dict[str, Any]
    ) -> tuple[list[dict[str, Any]], Tools]:
        """Return what a request starts from: what its rows share, where it brings no system message of its own.

        With one it is taken as it is, tools included; and so are the tools of a request that speaks of tools at all.
        """
        self.model.catch_up()
        if not messages or messages[0]["role"] in ("system", "developer"):
            return messages, tools
        speaks_of_tools = any(request.get(name) is not None for name in ("tools", "tool_choice"))
        return as_trained.conversation(self._trained_on, messages, AS_TRAINED, tools if speaks_of_tools else AS_TRAINED)

    def _asked(self, ask: Ask, prompt: str | list[int] | None, number: int) -> _Asked:
        """Return a prompt as tokens, how it is sampled, and who reads its answer."""
        self.model.catch_up()
        sampling, renderer = ask.sampling, self._renderer
        if number and sampling.seed is not None:
            sampling = replace(sampling, seed=(sampling.seed + number) % 2**63)
        if prompt is not None:
            ids = list(self.model.tokenizer(prompt)["input_ids"]) if isinstance(prompt, str) else prompt
            if top := next((i for i in ids if i >= len(self.model.tokenizer)), None):
                raise ConfigError(f"prompt has the token id {top}, which the model does not know.")
            return _Asked(ids, TextReader(), replace(sampling, constraint=constraint_of(ask, renderer, ids)))
        thinks, effort = ask.enable_thinking, ask.reasoning_effort
        if effort == "none" and "reasoning_effort" not in renderer.known_variables:
            thinks, effort = False, None
        if thinks is False and "enable_thinking" not in renderer.known_variables:
            thinks = None  # a template that knows nothing of thinking asks for none
        told = renderer.told(enable_thinking=thinks, reasoning_effort=effort)
        ids = renderer.render_prompt(ask.messages, ask.tools, variables=told)
        reader = renderer.open_reader(ids, ask.tools or [], calls=bool(ask.tools))
        form = constraint_of(ask, renderer, ids)
        if ask.prefill:
            ids = [*ids, *self.model.tokenizer(ask.prefill, add_special_tokens=False)["input_ids"]]
            reader.feed(ask.prefill)  # what the client has said itself is not repeated
        return _Asked(ids, reader, replace(sampling, constraint=form))

    # -- the answer -----------------------------------------------------------------------------------------------------

    async def _generate(self, ask: Ask, writer: AnswerWriter, delivery: Delivery, spent: Spent) -> list[Choice]:
        prompts: list[str | list[int] | None] = [*ask.prompts] or [None]
        places = [(place, prompt, number) for place, prompt in enumerate(prompts) for number in range(ask.choices)]
        jobs = [_Job(index, place, number, prompt) for index, (place, prompt, number) in enumerate(places)]
        counted: dict[int, int] = {}  # each prompt counts once, however many answers it gets
        echoed = {job.index: self._text_of(job.prompt) for job in jobs} if ask.echo else {}
        before = await asyncio.to_thread(self._chances_before, ask, jobs)
        for job in jobs:
            job.choice.content = echoed.get(job.index, "")
        async for job, part in self._parts(ask, jobs):
            if spent.first_piece is not None:
                spent.first_piece()
                spent.first_piece = None
            if isinstance(part, Part):
                if ask.one_call and job.choice.tool_calls:
                    continue
                said = _take(job.choice, part)
                if ask.stream and said and part.call is None:  # calls come whole at the end
                    await self._begin(delivery, writer, echoed)
                    say = writer.reasoning if part.kind == "reasoning" else writer.text
                    await delivery.push(say(job.index, said))
                continue
            cut = part.finish_reason == "cancelled"
            if cut and not (ask.one_call and job.choice.tool_calls):
                raise BusyError("The server is being stopped.", fix="Start it again.")
            self._end(job.choice, part, ask, before.get(job.place, []))
            counted[job.place] = part.prompt_tokens
            if ask.stream:
                await self._begin(delivery, writer, echoed)
                await delivery.push(writer.finish(job.choice))
        choices = [job.choice for job in jobs]
        spent.prompt_tokens, spent.completion_tokens = sum(counted.values()), sum(each.tokens for each in choices)
        usage = spent.prompt_tokens, spent.completion_tokens
        if ask.stream:
            await delivery.push(writer.end(choices, *usage))
        else:
            body = writer.whole(choices, *usage)
            await delivery.start(
                200, [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            )
            await delivery.push(body)
        await delivery.end()
        return choices

    def _text_of(self, prompt: str | list[int] | None) -> str:
        return prompt if isinstance(prompt, str) else str(self.model.tokenizer.decode(prompt or []))

    def _chances_before(self, ask: Ask, jobs: list[_Job]) -> dict[int, list[TokenChance]]:
        """Return the log-probabilities of each prompt's tokens, where the prompt is repeated and they are asked for."""
        if not (ask.echo and ask.sampling.logprobs):
            return {}
        if not isinstance(self.model.backend, TellsDistributions):
            raise ConfigError(
                f"echo with logprobs: backend={self.model.backend_name!r} tells no log-probabilities of a prompt."
            )
        found: dict[int, list[TokenChance]] = {}
        for job in jobs:
            if job.place in found or job.prompt is None:
                continue
            ids = self._asked(ask, job.prompt, 0).ids
            if len(ids) > (self.model.weights.positions or len(ids)):
                raise ConfigError(
                    f"prompt has {len(ids):,} tokens, and the model {self.model.weights.positions:,} positions."
                )
            parts = self.model.backend.distributions(self.model, [Rendered(ids, [NOT_TRAINED, *ids[1:]])], self.use)
            logs = (at for _, _, part in parts for at in part)  # one after the other: all of them would be gigabytes
            found[job.place] = chances_of_prompt(
                ids, logs, ask.sampling.top_logprobs, self.model.tokenizer, as_ids=ask.tokens_as_ids
            )
        return found

    def _end(self, choice: Choice, completion: Completion, ask: Ask, before: list[TokenChance]) -> None:
        cut = completion.finish_reason == "length"
        choice.finish = "length" if cut else "tool_calls" if choice.tool_calls else "stop"
        choice.stop_string = completion.stop_string
        choice.tokens = completion.completion_tokens
        if ask.sampling.logprobs:
            hidden = {*self._renderer.stop_token_ids}
            own = chances_of(completion, self.model.tokenizer, hidden, as_ids=ask.tokens_as_ids)
            choice.logprobs = [*before, *own]

    @staticmethod
    async def _begin(delivery: Delivery, writer: AnswerWriter, echoed: dict[int, str]) -> None:
        """Send the head, once; with the first piece and not before, so that a refusal is possible until then."""
        if not delivery.started:
            await delivery.start(
                200, [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
            )
            await delivery.push(writer.begin())
            for index, text in echoed.items():
                await delivery.push(writer.text(index, text))

    async def _parts(self, ask: Ask, jobs: list[_Job]) -> AsyncIterator[tuple[_Job, Part | Completion]]:
        """Yield the answers part by part, each with its completion at the end; closing this stops them all."""
        loop = asyncio.get_running_loop()
        found: asyncio.Queue[tuple[_Job, Any]] = asyncio.Queue()
        gone = threading.Event()

        def put(job: _Job, value: Any) -> None:
            if not gone.is_set():
                loop.call_soon_threadsafe(found.put_nowait, (job, value))

        # Prompts are rendered one after the other, so that one that cannot be answered is refused before any is computed.
        asked: list[_Asked] = []
        for job in jobs:
            asked.append(await asyncio.to_thread(self._asked, ask, job.prompt, job.number))
        for job, each in zip(jobs, asked, strict=True):
            self._speak(job, each, ask, put, lambda: gone.is_set() or self._closing.is_set())
        left = len(jobs)
        try:
            while left:
                job, value = await found.get()
                if isinstance(value, BaseException):
                    raise value
                yield job, value
                left -= isinstance(value, Completion)
        finally:
            gone.set()

    def _speak(
        self, job: _Job, asked: _Asked, ask: Ask, put: Callable[[_Job, Any], None], gone: Callable[[], bool]
    ) -> None:
        called = threading.Event()
        reader = asked.reader

        def said(piece: str) -> None:
            for part in reader.feed(piece):
                if part.call is not None and ask.one_call:
                    called.set()  # ends the answer
                put(job, part)

        def done(answer: Future[Completion]) -> None:
            try:
                completion = answer.result()
                for part in reader.finish():
                    put(job, part)
                put(job, completion)
            except BaseException as error:
                put(job, error)

        answer = self._speaker.speak(
            asked.ids, asked.sampling, self.use, said=said, gone=lambda: gone() or called.is_set()
        )
        answer.add_done_callback(done)


def _take(choice: Choice, part: Part) -> str:
    """Add a part to an answer, and return its text; what is no valid call stays in it, since no dialect has another place."""
    if part.kind == "reasoning":
        choice.reasoning += part.text
    elif part.call is not None:
        choice.tool_calls.append(Reply("", [part.call]).to_message()["tool_calls"][0])
    else:
        choice.content += part.text
        if part.kind == "malformed":
            choice.malformed.append({"text": part.text, "reason": part.reason})
    return part.text


def wire_error(error: ShadowError) -> WireError:
    """Return an error of the engine as a refusal on the wire."""
    text = " ".join(error.as_text().split("\n"))
    return WireError(503 if isinstance(error, OutOfMemoryError | BusyError) else 400, text, code=error.code)
