"""Episode: one conversation of a model with an environment, with the very tokens that it sampled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from shadownb.engine.inference.types import Completion
from shadownb.engine.rendering.masks import Rendered

Ending = Literal["done", "max_turns", "length", "failed"]


@dataclass(frozen=True)
class Episode(Completion):
    """A completion of several turns.

    Its ``token_ids`` and ``logprobs`` are those of the model's own turns alone, ``text`` is its last turn, and ``finish_reason`` is
    ``length`` where it did not end by itself.

    Attributes
    ----------
    input_ids, labels
        Everything from the prompt on, and what of it is trained: the model's own turns, their stop tokens included.
    messages
        What was said behind the prompt.
    reward
        What the environment gave; None where it gave nothing, and ``reason`` says why.
    ended
        ``done``: by the environment, or by a reply without a call where tools are all there is; ``max_turns`` and ``length``: by a
        limit; ``failed``: the environment could not go on.
    turns
        Replies of the model.
    calls, failed_calls, late_calls
        Tools called, those that raised or could not be called, and those that took too long.

    Examples
    --------
    >>> class Word:
    ...     def reset(self):
    ...         return "Say a word."
    ...     def step(self, action):
    ...         return "Thank you.", 0.5, True
    >>> episode = snb.environments.play(model, Word, rows[:1], max_tokens=64, temperature=0.0).episodes[0]
    >>> episode.ended, episode.turns, episode.reward
    ('done', 1, 0.5)
    >>> row = episode.row  # as it is trained: only what the model said has labels
    >>> sum(label != -100 for label in row.labels) == len(episode.token_ids)
    True
    """

    input_ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    reward: float | None = None
    reason: str = ""
    ended: Ending = "done"
    turns: int = 0
    calls: int = 0
    failed_calls: int = 0
    late_calls: int = 0

    @property
    def row(self) -> Rendered:
        """The tokens as they are trained."""
        return Rendered(list(self.input_ids), list(self.labels))
