"""Asking a loaded model: the verbs that answer, of :class:`~.model.Model`; :mod:`.generation` is what does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Unpack, overload

from shadownb.engine.inference import Sampling
from shadownb.engine.inference.typed import all_typed, is_typed, value_of
from shadownb.engine.loaded.as_trained import AS_TRAINED, AsTrained, Tools
from shadownb.engine.loaded.model import LoadedModel
from shadownb.engine.messages import conversations_of
from shadownb.engine.models import best_of as best_of_many
from shadownb.engine.models.generation import Generation
from shadownb.engine.models.questions import Message, Opening

if TYPE_CHECKING:
    from shadownb.engine.inference import Reply, ReplyStream
    from shadownb.engine.inference.options import SamplingOptions
    from shadownb.engine.models.adapters import Asked
    from shadownb.engine.models.asked_with import ChatOptions, GenerateOptions


class Asking(LoadedModel):
    """What a :class:`shadownb.Model` answers."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.generation = Generation(self)

    @overload  # a text is a sequence of texts, too: the first that fits is meant
    def generate(  # type: ignore[overload-overlap]
        self, prompt: str, **options: Unpack[GenerateOptions]
    ) -> str: ...

    @overload
    def generate(self, prompt: Sequence[str], **options: Unpack[GenerateOptions]) -> list[str]: ...

    def generate(
        self,
        prompt: str | Sequence[str],
        *,
        system: str | AsTrained | None = AS_TRAINED,
        tools: Tools | AsTrained = AS_TRAINED,
        template: bool | None = None,
        use: Asked | Sequence[Asked] = "tuned",
        should_stop: Callable[[], bool] | None = None,
        enable_thinking: bool | None = None,
        reasoning_effort: str | None = None,
        best_of: int = 1,
        scorer: Any = None,
        **sampling: Unpack[SamplingOptions],
    ) -> str | list[str]:
        """Answer one prompt (returns a string) or a list of prompts (returns a list, computed in batches).

        The string is the answer without its reasoning; tool calls stay in it as the model wrote them. :meth:`chat` returns
        the reasoning, the calls and the raw text separately.

        Parameters
        ----------
        prompt
            User message, rendered with the chat template exactly as in training.
        system, tools
            System prompt and tool schemas before the prompt. If omitted, those that the training rows share
            (``model.trained_on``), so that the model is asked the way it was trained. None or "" means none.
        template
            True renders the prompt with the chat template, False continues it as plain text. None does what the training
            did: plain text after training on plain text (``cpt``).
        use
            Which weights answer: ``"tuned"``, or ``"base"`` for the model before training, which is asked in the same way. Or
            another adapter, which is asked the way it was trained: a run or one of its ``checkpoints()``, a run's id, the
            folder of an adapter, or tensors (:class:`~shadownb.engine.inference.AdapterSource`). A list gives one for each
            prompt. The adapter on the model is not touched, even while it trains.
        enable_thinking, reasoning_effort
            Whether to think before the answer, and how much; only if the chat template supports it. None uses what the model
            was loaded or trained with.
        best_of, scorer
            How many answers to sample for each prompt, and what scores them: the one that scores highest is returned. A
            :class:`~shadownb.RewardModel`, or whatever a scorer can be that needs no expected answer.
        **sampling
            ``max_new_tokens`` (256), ``temperature`` (0.7; 0 is greedy), ``top_p``, ``top_k``, ``min_p``, ``repetition_penalty``,
            ``presence_penalty``, ``frequency_penalty``, ``logit_bias``, ``stop``, ``seed``; the form of the answer by ``schema``
            (a JSON schema or a pydantic model, of which instances are returned), ``regex`` or ``grammar`` (Lark or GBNF); for
            :meth:`chat` and :meth:`stream` also ``logprobs`` and ``top_logprobs`` (see
            :class:`~shadownb.engine.inference.Sampling`).

        Raises
        ------
        ModelError, CheckpointError
            The adapter in ``use`` cannot answer here: it belongs to another base or does not fit, is a whole model, or is
            damaged; or all weights of this model were trained, so that it has no base. The message says which.

        Warns
        -----
        ShadowWarning
            The question differs from every training row (another system prompt, other tools); once for each kind of
            difference.

        Examples
        --------
        >>> model.generate("Where is my parcel?", temperature=0)
        'shipping'
        >>> model.generate(["I paid twice.", "I cannot log in."], temperature=0)
        ['billing', 'account']
        >>> model.generate("I paid twice.", use="base", temperature=0, max_new_tokens=4) == "billing"  # as it was before training
        False
        >>> earlier, last = run.checkpoints()
        >>> model.generate("I paid twice.", use=last, temperature=0)
        'billing'
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        opening = Opening(system, tools, template, enable_thinking, reasoning_effort)
        asked = Sampling.from_options(**sampling)
        best_of_many.check(best_of, scorer, asked)
        if best_of > 1:
            texts = best_of_many.texts(
                self.generation, prompts, opening, use, asked, should_stop, best_of=best_of, scorer=scorer
            )
        else:
            texts = self.generation.texts(prompts, opening, use, asked, should_stop)
        if is_typed(schema := sampling.get("schema")):
            return all_typed(schema, texts)[0] if isinstance(prompt, str) else all_typed(schema, texts)
        return texts[0] if isinstance(prompt, str) else texts

    @overload
    def chat(
        self, messages: str | Sequence[Message], tools: Tools | AsTrained = AS_TRAINED, **options: Unpack[ChatOptions]
    ) -> Reply: ...

    @overload
    def chat(
        self,
        messages: Sequence[Sequence[Message]],
        tools: Tools | AsTrained = AS_TRAINED,
        **options: Unpack[ChatOptions],
    ) -> list[Reply]: ...

    def chat(
        self,
        messages: str | Sequence[Message] | Sequence[Sequence[Message]],
        tools: Tools | AsTrained = AS_TRAINED,
        *,
        system: str | AsTrained | None = AS_TRAINED,
        use: Asked | Sequence[Asked] = "tuned",
        should_stop: Callable[[], bool] | None = None,
        enable_thinking: bool | None = None,
        reasoning_effort: str | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> Reply | list[Reply]:
        """Return the :class:`Reply` to a conversation, or a list of them for a list of conversations.

        Messages are dicts as in OpenAI's API (``role``, ``content``, ``tool_calls``, ...); a text is one message of a user.
        Options and errors are those of :meth:`generate`; if the first message is a system message, it is used instead of the
        trained one.

        Examples
        --------
        >>> reply = model.chat([{"role": "user", "content": "I paid twice."}], temperature=0)
        >>> reply.content, reply.finish_reason
        ('billing', 'stop')
        >>> reply.usage
        {'prompt_tokens': 32, 'completion_tokens': 8, 'total_tokens': 40}
        >>> further = [{"role": "user", "content": "I paid twice."}, reply.to_message(), {"role": "user", "content": "And now?"}]
        >>> [answer.role for answer in model.chat([further[:1], further], max_new_tokens=4)]
        ['assistant', 'assistant']
        """
        conversations, single = conversations_of(messages)
        opening = Opening(system, tools, None, enable_thinking, reasoning_effort)
        replies = self.generation.replies(conversations, opening, use, Sampling.from_options(**sampling), should_stop)
        if (schema := sampling.get("schema")) is not None:
            for reply in replies:
                reply.parsed = value_of(schema, reply.content)
        return replies[0] if single else replies

    def stream(
        self,
        prompt: str | Sequence[Message],
        tools: Tools | AsTrained = AS_TRAINED,
        *,
        system: str | AsTrained | None = AS_TRAINED,
        template: bool | None = None,
        use: Asked = "tuned",
        should_stop: Callable[[], bool] | None = None,
        enable_thinking: bool | None = None,
        reasoning_effort: str | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> ReplyStream:
        """Answer piece by piece: iterate over the stream for the text, call its ``close()`` to stop; at the end ``reply`` holds
        the whole :class:`Reply`.

        The pieces add up to the content that :meth:`chat` returns for the same seed; ``parts()`` yields reasoning and calls
        as well. A string is taken as by :meth:`generate`, a list of messages as by :meth:`chat`, with the same options and
        errors.

        Examples
        --------
        >>> stream = model.stream("Where is my parcel?", temperature=0)
        >>> "".join(stream)
        'shipping'
        >>> stream.reply.finish_reason
        'stop'
        """
        opening = Opening(system, tools, template, enable_thinking, reasoning_effort)
        return self.generation.stream(prompt, opening, use, Sampling.from_options(**sampling), should_stop)
