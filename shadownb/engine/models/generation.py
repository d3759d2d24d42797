"""Asking a model: generate, chat, stream, and the likelihood of rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from shadownb.engine.inference import Reply, ReplyStream, Sampling
from shadownb.engine.loaded import as_trained
from shadownb.engine.loaded.as_trained import AS_TRAINED, AsTrained, Tools
from shadownb.engine.loaded.model import LoadedModel
from shadownb.engine.replies import ParsedReply, TextReader
from shadownb.errors import ConfigError, DataError, ShadowWarning, did_you_mean

if TYPE_CHECKING:
    from shadownb.engine.inference import Completion
    from shadownb.engine.rendering.examples import Example

Use = Literal["tuned", "base"]
Message = dict[str, Any]


@dataclass(frozen=True)
class _Question:
    """The tokens of a question, the tools that it offers, and whether it is plain text that the model goes on from."""

    ids: list[int]
    tools: list[dict[str, Any]] | None
    plain: bool = False


class Asking(LoadedModel):
    """The part of a :class:`Model` that answers."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._told: set[Any] = set()  # kinds of difference that were warned of, for each kind of rows

    def generate(
        self,
        prompt: str | Sequence[str],
        *,
        system: str | AsTrained | None = AS_TRAINED,
        tools: Tools | AsTrained = AS_TRAINED,
        template: bool | None = None,
        use: Use = "tuned",
        should_stop: Callable[[], bool] | None = None,
        enable_thinking: bool | None = None,
        reasoning_effort: str | None = None,
        **sampling: Any,
    ) -> Any:
        """Answer one prompt (returns a string) or a list of prompts (returns a list, computed in batches).

        The string is what stands after the reasoning; calls stay in it as they were written. :meth:`chat` gives the
        reasoning, the calls and the raw text.

        Parameters
        ----------
        prompt
            User message, put through the chat template exactly as in training.
        system, tools
            What stands before it. Left out: the system prompt and tools that the rows of the training share
            (``model.trained_on``), so that the model is asked as it was trained. None or "" means none.
        template
            False goes on from the prompt as plain text, True puts it through the chat template. None does as the training
            did: plain text after training on plain text (``cpt``).
        use
            ``"tuned"``, or ``"base"`` for the model before training, which is asked in the same way.
        enable_thinking, reasoning_effort
            Whether to think before the answer and how much; only where the chat template knows it. None is what the model
            was loaded or trained with.
        **sampling
            ``max_new_tokens, temperature, top_p, top_k, repetition_penalty, stop, seed``; of :meth:`chat` and :meth:`stream`, whose
            replies have a place for them, ``logprobs`` as well (see :class:`~shadownb.engine.inference.Sampling`).

        Warns
        -----
        ShadowWarning
            Once for each kind of difference: the question differs from every row of the training.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        options = Sampling.from_options(**sampling)
        thinking = {"enable_thinking": enable_thinking, "reasoning_effort": reasoning_effort}
        if self._is_plain(template, system, tools, thinking):
            asked = self._plain_questions(prompts, use)
        else:
            asked = self._questions(
                [[{"role": "user", "content": text}] for text in prompts], system, tools, use, thinking
            )
        ids = [question.ids for question in asked]
        completions = self._generator_for(use).generate(ids, options, use=use, should_stop=should_stop)
        replies = [
            self._reply(completion, question, calls=False)
            for completion, question in zip(completions, asked, strict=True)
        ]
        if unfinished := sum(reply.reasoning_open for reply in replies):
            warnings.warn(
                f"{unfinished} of {len(replies)} answers ended before their reasoning did, so their text is empty; raise "
                f"max_new_tokens (it was {options.max_new_tokens}), or set enable_thinking=False where the template knows it.",
                ShadowWarning,
                stacklevel=2,
            )
        texts = [reply.content for reply in replies]
        return texts[0] if isinstance(prompt, str) else texts

    def chat(
        self,
        messages: Sequence[Message] | Sequence[Sequence[Message]],
        tools: Tools | AsTrained = AS_TRAINED,
        *,
        system: str | AsTrained | None = AS_TRAINED,
        use: Use = "tuned",
        should_stop: Callable[[], bool] | None = None,
        enable_thinking: bool | None = None,
        reasoning_effort: str | None = None,
        **sampling: Any,
    ) -> Any:
        """Return the :class:`Reply` to a conversation, or a list of them for a list of conversations.

        Options as for :meth:`generate`; messages that begin with a system message keep it.
        """
        options = Sampling.from_options(**sampling)
        thinking = {"enable_thinking": enable_thinking, "reasoning_effort": reasoning_effort}
        single = bool(messages) and isinstance(messages[0], dict)
        conversations: Iterable[Any] = [messages] if single else messages
        asked = self._questions(conversations, system, tools, use, thinking)
        prompts = [question.ids for question in asked]
        completions = self._generator_for(use).generate(prompts, options, use=use, should_stop=should_stop)
        replies = [self._reply(completion, question) for completion, question in zip(completions, asked, strict=True)]
        return replies[0] if single else replies

    def stream(
        self,
        prompt: str | Sequence[Message],
        tools: Tools | AsTrained = AS_TRAINED,
        *,
        system: str | AsTrained | None = AS_TRAINED,
        template: bool | None = None,
        use: Use = "tuned",
        should_stop: Callable[[], bool] | None = None,
        enable_thinking: bool | None = None,
        reasoning_effort: str | None = None,
        **sampling: Any,
    ) -> ReplyStream:
        """Answer piece by piece: iterate over the content, ``close()`` to stop; ``reply`` has the whole at the end.

        The pieces are the content of what :meth:`chat` returns for the same seed; ``parts()`` gives reasoning and calls as
        well. A prompt is taken as by :meth:`generate`, messages as by :meth:`chat`.
        """
        options = Sampling.from_options(**sampling)
        thinking = {"enable_thinking": enable_thinking, "reasoning_effort": reasoning_effort}
        if isinstance(prompt, str) and self._is_plain(template, system, tools, thinking):
            (asked,) = self._plain_questions([prompt], use)
        else:
            messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
            (asked,) = self._questions([messages], system, tools, use, thinking)
        reader = TextReader() if asked.plain else self.renderer.open_reader(asked.ids, asked.tools or [])
        stream = self._generator_for(use).stream(asked.ids, options, use=use, should_stop=should_stop)
        return ReplyStream(stream, reader, lambda completion: self._reply(completion, asked))

    def _reply(self, completion: Completion, asked: _Question, *, calls: bool = True) -> Reply:
        if asked.plain:
            return Reply.from_completion(completion, ParsedReply(completion.text))
        parsed = self.renderer.read_reply(
            completion.text, (asked.tools or []) if calls else [], prompt=asked.ids, calls=calls
        )
        return Reply.from_completion(completion, parsed)

    def _is_plain(
        self, template: bool | None, system: str | AsTrained | None, tools: Tools | AsTrained, thinking: dict[str, Any]
    ) -> bool:
        self.catch_up()
        thinks = any(value is not None for value in thinking.values())
        return as_trained.is_plain(self.trained_on, template, system, tools, thinks=thinks)

    def _questions(
        self,
        conversations: Iterable[Sequence[Message]],
        system: str | AsTrained | None,
        tools: Tools | AsTrained,
        use: str,
        thinking: dict[str, Any],
    ) -> list[_Question]:
        """Return conversations that are asked as trained, telling what differs from the rows."""
        self.catch_up()
        known, told = self.trained_on, self.renderer.told(**thinking)
        asked = []
        for conversation in conversations:
            turns, schemas = as_trained.conversation(known, conversation, system, tools)
            if known is not None and use == "tuned":
                as_trained.tell(self._told, known, known.differences(turns, schemas))
            asked.append(_Question(self.renderer.render_prompt(turns, schemas, variables=told), schemas))
        return asked

    def _plain_questions(self, texts: Iterable[str], use: str) -> list[_Question]:
        known = self.trained_on
        if known is not None and use == "tuned":
            as_trained.tell(self._told, known, known.differences([], None, plain=True))
        return [_Question(self.renderer.render_text(text), None, plain=True) for text in texts]

    def loss(
        self,
        dataset: Any,
        *,
        use: Use = "tuned",
        loss_on: Literal["assistant", "last", "all"] = "assistant",
        max_length: int | None = None,
    ) -> float:
        """Return the mean loss of a data set's trained tokens, in nats a token; nothing is trained.

        On held-out rows it says how well a task is known. On unrelated text the difference between ``use="tuned"`` and
        ``use="base"`` says how much was forgotten. Rows that the chat template refuses are left out, and those longer than
        ``max_length`` are cut, as in a run; a :class:`ShadowWarning` counts them.

        Raises
        ------
        DataError
            No row can be rendered (the error is that of the first), or none has a token to train.
        """
        from shadownb.engine.objectives import examples
        from shadownb.engine.runs.given import as_dataset

        self.require_loaded()
        self.catch_up()
        limit = self.lengths.longest_row(max_length)
        data = as_dataset(dataset, "dataset")
        rows = data.canonical_rows()
        found: list[Example] = []
        refused: list[DataError] = []
        for row in rows:
            try:
                found.extend(examples(self.renderer, row, loss_on=loss_on, max_length=limit))
            except DataError as error:
                refused.append(error)
        if len(refused) == len(rows):
            raise refused[0]
        if not any(sequence.predicted_tokens for example in found for sequence in example.rows):
            raise DataError(
                f"No row of {data.name!r} has a token to train, so there is no loss.",
                why=f"Each was empty or cut off at max_length={limit}, or has no turn for loss_on={loss_on!r}.",
                fix="Raise max_length, or look at the rows with dataset.inspect(model).",
            )
        if refused:
            warnings.warn(
                f"{len(refused):,} of {len(rows):,} rows of {data.name!r} cannot be rendered and are left out; "
                f"the first: {refused[0].what}",
                ShadowWarning,
                stacklevel=2,
            )
        cut = sum(any(sequence.truncated_tokens for sequence in example.rows) for example in found)
        if cut:
            warnings.warn(
                f"{cut:,} of {len(rows):,} rows of {data.name!r} are longer than max_length={limit} and are cut.",
                ShadowWarning,
                stacklevel=2,
            )
        return self.backend.loss(self, found, use)

    def _generator_for(self, use: str) -> Any:
        if use not in ("tuned", "base"):
            raise ConfigError(
                f"use={use!r} is not known.{did_you_mean(use, ('tuned', 'base'))}", fix="'tuned' or 'base'."
            )
        self.catch_up()
        if use == "base" and self._replaces_base():
            return self.backend.generator(self, separate_base=True)
        return self.generator

    def _replaces_base(self) -> bool:
        run = self.active_run
        training = run is not None and run.config.spec.changes_base_weights
        return training or self.weights.replaces_base
