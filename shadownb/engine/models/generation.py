"""Generation: how a loaded model is asked, whole or piece by piece, and by which of its weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from shadownb.engine.inference import Reply, ReplyStream, Sampling
from shadownb.engine.models.questions import Message, Opening, Question, Side
from shadownb.errors import ConfigError, ShadowWarning, did_you_mean

if TYPE_CHECKING:
    from shadownb.engine.inference import Generator
    from shadownb.engine.inference.types import Use
    from shadownb.engine.loaded.model import LoadedModel

ShouldStop = Callable[[], bool]


class Generation:
    """Asks a loaded model; :class:`shadownb.Model` has the docstrings of what a user calls.

    Attributes
    ----------
    told
        Kinds of difference from the rows of the training that were warned of.
    """

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self.told: set[Any] = set()

    def texts(
        self, prompts: Sequence[str], opening: Opening, use: Use, sampling: Sampling, should_stop: ShouldStop | None
    ) -> list[str]:
        """Return what stands behind the reasoning of the answer to each prompt, with its calls as they were written."""
        side = self._side(use)
        asked = [side.text(prompt, opening, self.told) for prompt in prompts]
        replies = self._answers(asked, use, sampling, should_stop, calls=False)
        if unfinished := sum(reply.reasoning_open for reply in replies):
            warnings.warn(
                f"{unfinished} of {len(replies)} answers ended before their reasoning did, so their text is empty; raise "
                f"max_new_tokens (it was {sampling.max_new_tokens}), or set enable_thinking=False where the template knows it.",
                ShadowWarning,
                stacklevel=3,
            )
        return [reply.content for reply in replies]

    def replies(
        self,
        conversations: Sequence[Sequence[Message]],
        opening: Opening,
        use: Use,
        sampling: Sampling,
        should_stop: ShouldStop | None,
    ) -> list[Reply]:
        """Return the reply to each conversation."""
        side = self._side(use)
        asked = [side.conversation(conversation, opening, self.told) for conversation in conversations]
        return self._answers(asked, use, sampling, should_stop)

    def stream(
        self,
        prompt: str | Sequence[Message],
        opening: Opening,
        use: Use,
        sampling: Sampling,
        should_stop: ShouldStop | None,
    ) -> ReplyStream:
        """Return the reply piece by piece."""
        side = self._side(use)
        put = side.text if isinstance(prompt, str) else side.conversation
        asked = put(prompt, opening, self.told)  # type: ignore[arg-type]
        stream = self.generator_for(use).stream(asked.ids, sampling, use=use, should_stop=should_stop)
        return ReplyStream(stream, asked.open_reader(), asked.reply)

    def _answers(
        self,
        asked: Sequence[Question],
        use: Use,
        sampling: Sampling,
        should_stop: ShouldStop | None,
        *,
        calls: bool = True,
    ) -> list[Reply]:
        ids = [question.ids for question in asked]
        completions = self.generator_for(use).generate(ids, sampling, use=use, should_stop=should_stop)
        return [question.reply(each, calls=calls) for question, each in zip(asked, completions, strict=True)]

    def _side(self, use: Use) -> Side:
        """Return which weights are meant, with what a worker has trained since taken over."""
        if use not in ("tuned", "base"):
            raise ConfigError(
                f"use={use!r} is not known.{did_you_mean(use, ('tuned', 'base'))}", fix="'tuned' or 'base'."
            )
        self._model.require_loaded()
        self._model.catch_up()
        return Side(use, self._model.renderer, self._model.trained_on)

    def generator_for(self, use: Use) -> Generator:
        """Return what answers; of a base that is no longer there by itself, a second copy."""
        model = self._model
        run = model.active_run
        training = run is not None and run.config.spec.changes_base_weights
        if use == "base" and (training or model.weights.replaces_base):
            return model.backend.generator(model, separate_base=True)
        return model.generator
