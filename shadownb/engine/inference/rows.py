"""The rows of one generation: how each follows its own tokens and ends, whatever others do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from shadownb.engine.inference.constraining import Matcher
from shadownb.engine.inference.text import AnswerText
from shadownb.engine.inference.types import Completion, FinishReason, Sampling, Use
from shadownb.errors import ConfigError, ModelError, OutOfMemoryError

if TYPE_CHECKING:
    import numpy as np

Emit = Callable[[str], None]
ShouldStop = Callable[[], bool]


class Row:
    """One prompt on its way to a completion, by the weights that ``use`` names.

    Attributes
    ----------
    number
        Of its prompt, in messages.
    draws
        Its luck; see :func:`shadownb.engine.inference.draws.row_draws`.
    limit
        Most tokens of its completion.
    matcher
        Follows the form that its answer has to have; None where it is free.
    tops
        At each place the likeliest tokens, where they were asked for.
    """

    def __init__(
        self,
        number: int,
        prompt: list[int],
        limit: int,
        text: AnswerText,
        use: Use,
        stop_ids: frozenset[int],
        draws: np.random.Generator,
        sampling: Sampling | None = None,
        *,
        matcher: Matcher | None = None,
    ) -> None:
        asked = sampling if sampling is not None else Sampling()
        self.use = use
        self.stop_ids = stop_ids
        self.number = number
        self.prompt = prompt
        self.limit = limit
        self.text = text
        self.draws = draws
        self.ids: list[int] = []
        self.sampling = asked
        self.matcher = matcher
        self.logprobs: list[float] | None = [] if asked.logprobs else None
        self.tops: list[list[tuple[int, float]]] | None = [] if asked.top_logprobs else None
        self.reason: FinishReason | None = None
        self._said: Emit | None = None
        self._gone: ShouldStop | None = None

    def listened_by(self, said: Emit, gone: ShouldStop) -> None:
        """Hand each piece of the text to a listener of its own, and end where that has gone."""
        self._said, self._gone = said, gone

    def push(self, token_id: int, log_prob: float | None = None) -> str:
        piece = self._push(token_id, log_prob)
        if self._gone is not None and self.reason is None and self._gone():
            piece += self.cancel()
        if self._said is not None and piece:
            self._said(piece)
        return piece

    def _push(self, token_id: int, log_prob: float | None) -> str:
        self.ids.append(token_id)
        if self.logprobs is not None and log_prob is not None:
            self.logprobs.append(log_prob)
        stop_token = token_id in self.stop_ids and not self.sampling.ignore_eos
        if self.matcher is not None and not stop_token:
            self.matcher.take(token_id)
        piece = "" if stop_token else self.text.push(token_id)
        if stop_token or self.text.stopped or len(self.ids) >= self.limit or self._complete():
            piece += self.text.finish()
            self.reason = "stop" if stop_token or self.text.stopped or self._complete() else "length"
        return piece

    def _complete(self) -> bool:
        return self.matcher is not None and self.matcher.complete

    def cancel(self) -> str:
        return self.end("cancelled")

    def end(self, reason: FinishReason) -> str:
        """Take no more tokens; returns what was held back of the text."""
        self.reason = reason
        return self.text.finish()

    def completion(self) -> Completion:
        assert self.reason is not None
        text = self.text
        counts = len(self.prompt), len(self.ids)
        return Completion(text.text, self.ids, self.reason, *counts, text.stop_string, self.logprobs, self.tops)


def push_all(
    rows: list[Row], tokens: list[int], known: list[float | None], emit: Emit | None, should_stop: ShouldStop
) -> bool:
    """Give each unfinished row its token; returns whether the caller was told to stop, which ends them all."""
    cancel = should_stop()
    for row, token_id, log_prob in zip(rows, tokens, known, strict=True):
        if row.reason is None:
            piece = row.push(token_id, log_prob)
            if cancel and row.reason is None:
                piece += row.cancel()
            if piece and emit is not None:
                emit(piece)
    return cancel


def begun(
    number: int,
    prompt: Sequence[int],
    sampling: Sampling,
    use: Use,
    draws: np.random.Generator,
    *,
    tokenizer: Any,
    stop_ids: Collection[int],
    dropped: Collection[int],
) -> Row:
    """Return the row of a prompt before its first token.

    Raises
    ------
    ModelError
        The prompt has no tokens.
    """
    ids = [int(i) for i in prompt]
    if not ids:
        raise ModelError(f"Prompt {number} has no tokens.", fix="Give some text or a message.")
    ends, form = frozenset(stop_ids), sampling.constraint
    text = AnswerText(tokenizer, sampling.stop, dropped=dropped)
    matcher = None if form is None else Matcher(tokenizer, form, ends)
    return Row(number, ids, sampling.max_new_tokens, text, use, ends, draws, sampling, matcher=matcher)


def keep_within(row: Row, positions: int | None, reserved: int = 0) -> None:
    """Let a row's answer end where the model's positions do, of which ``reserved`` are taken; None sets no limit.

    Raises
    ------
    ModelError
        The prompt leaves no position for an answer.
    """
    if positions is None:
        return
    room = positions - len(row.prompt) - reserved
    if room < 1:
        raise ModelError(
            f"Prompt {row.number} has {len(row.prompt)} tokens, more than the model can take.",
            why=f"The model attends to at most {positions} tokens, prompt and answer together.",
            fix="Shorten the prompt, or drop the oldest messages of the conversation.",
        )
    row.limit = min(row.limit, room)


def check_completions(n: int) -> None:
    """Raise ConfigError where no completion of a prompt is asked for."""
    if n < 1:
        raise ConfigError(f"n={n}: each prompt needs a completion.", fix="Give n from 1 on.")


def weights_changed() -> ModelError:
    """Return the error for weights that were changed between two completions."""
    return ModelError(
        "The weights were changed between two completions of a batch of rollouts.",
        why="The rest would be answers of other weights.",
        fix="Take all completions before the next training step, or ask again with skip= for what is missing.",
    )


def out_of_memory(error: BaseException, where: str = "") -> OutOfMemoryError:
    """Return the error for an answer that memory had no room for."""
    return OutOfMemoryError(
        f"Generating ran out of memory{where and f' on {where}'}.",
        why=str(error).splitlines()[0],
        fix="Give fewer or shorter prompts, or a smaller max_new_tokens.",
    )
