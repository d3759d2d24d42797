"""Generation: how a loaded model is asked, whole or piece by piece, and by which of its weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shadownb.engine.inference import AdapterSource, Reply, ReplyStream, Sampling
from shadownb.engine.loaded import sidecar
from shadownb.engine.models.questions import Message, Opening, Question, Side
from shadownb.engine.ports.facts import METHODS
from shadownb.engine.rendering.last_turn import LastTurn
from shadownb.errors import ConfigError, ShadowWarning

if TYPE_CHECKING:
    from shadownb.engine.inference import Generator
    from shadownb.engine.inference.types import Use
    from shadownb.engine.loaded.model import LoadedModel
    from shadownb.engine.models.adapters import Asked
    from shadownb.engine.ports.facts import FactMemory

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
        self,
        prompts: Sequence[str],
        opening: Opening,
        use: Asked | Sequence[Asked],
        sampling: Sampling,
        should_stop: ShouldStop | None,
    ) -> list[str]:
        """Return what stands behind the reasoning of the answer to each prompt, with its calls as they were written."""
        sides = self._sides(use, len(prompts))
        asked = [side.text(prompt, opening, self.told) for side, prompt in zip(sides, prompts, strict=True)]
        replies = self._answers(asked, sampling, should_stop, calls=False)
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
        use: Asked | Sequence[Asked],
        sampling: Sampling,
        should_stop: ShouldStop | None,
    ) -> list[Reply]:
        """Return the reply to each conversation."""
        sides = self._sides(use, len(conversations))
        asked = [side.conversation(turns, opening, self.told) for side, turns in zip(sides, conversations, strict=True)]
        return self._answers(asked, sampling, should_stop)

    def stream(
        self,
        prompt: str | Sequence[Message],
        opening: Opening,
        use: Asked,
        sampling: Sampling,
        should_stop: ShouldStop | None,
    ) -> ReplyStream:
        """Return the reply piece by piece."""
        side = self._side(use)
        put: Any = side.text if isinstance(prompt, str) else side.conversation
        asked: Question = put(prompt, opening, self.told)
        sampling = _held([asked], sampling)
        stream = self.generator_for([side.use]).stream(asked.ids, sampling, use=side.use, should_stop=should_stop)
        return ReplyStream(stream, asked.open_reader(), asked.reply)

    def _answers(
        self, asked: Sequence[Question], sampling: Sampling, should_stop: ShouldStop | None, *, calls: bool = True
    ) -> list[Reply]:
        uses, sampling = [question.side.use for question in asked], _held(asked, sampling)
        completions = self.generator_for(uses).generate(
            [question.ids for question in asked], sampling, use=uses, should_stop=should_stop
        )
        replies = [question.reply(each, calls=calls) for question, each in zip(asked, completions, strict=True)]
        if self._model.weights.kind in METHODS:
            memory: FactMemory = self._model.adapter
            for question, reply in zip(asked, replies, strict=True):
                if question.side.use == "tuned":
                    reply.sources.extend(memory.sources(LastTurn.by(self._model.renderer).of(question.ids)))
        return replies

    # -- by whom ----------------------------------------------------------------------------------------------------

    def _sides(self, use: Asked | Sequence[Asked], count: int) -> list[Side]:
        """Return which weights answer each of ``count`` questions."""
        if not isinstance(use, list | tuple):
            return [self._side(use)] * count
        if len(use) != count:
            raise ConfigError(
                f"use= has {len(use)} entries for {count} questions.", fix="Give one for each question, or one for all."
            )
        known: dict[int, Side] = {id(asked): self._side(asked) for asked in use}
        return [known[id(asked)] for asked in use]

    def _side(self, asked: Any) -> Side:
        """Return which weights are meant and how they are asked, with what a worker has trained since taken over."""
        from shadownb.engine.models.adapters import weights_asked

        model = self._model
        model.require_loaded()
        model.catch_up()
        use = weights_asked(asked, model)
        if not isinstance(use, AdapterSource):
            return Side(use, model.renderer, model.trained_on)
        rows = model.trained_on if use.folder is None else sidecar.trained_on(use.folder)
        return Side(use, model.renderer_of(use), rows)

    def generator_for(self, uses: Sequence[Use]) -> Generator:
        """Return what answers; of a base alone that is no longer there by itself, a second copy, for which nobody waits."""
        model = self._model
        run = model.active_run
        training = run is not None and run.config.spec.changes_base_weights
        if (training or model.weights.replaces_base) and all(use == "base" for use in uses):
            return model.backend.generator(model, separate_base=True)
        if all(use == "base" for use in uses):  # of a reward model, too
            return model.backend.generator(model)
        return model.generator


def _held(asked: Sequence[Question], sampling: Sampling) -> Sampling:
    """Return the sampling with its form behind the reasoning that the prompts open; those of one call open it alike."""
    form = sampling.constraint
    if form is None or not asked or asked[0].plain:
        return sampling
    return replace(sampling, constraint=asked[0].side.renderer.held(form, asked[0].ids))
