"""A model scored by the episodes that it plays, with intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from shadownb.engine.data import Dataset
from shadownb.engine.data.accepting import accepted
from shadownb.engine.environments import Episode
from shadownb.engine.environments.finding import maker
from shadownb.engine.environments.playing import Limits, Pool, Start
from shadownb.engine.environments.playing import play as played
from shadownb.engine.evals.intervals import Mean, mean_of
from shadownb.engine.inference.options import Sampling
from shadownb.engine.seeds import derived_seed
from shadownb.errors import ConfigError, DataError

if TYPE_CHECKING:
    from shadownb.engine.loaded.model import LoadedModel


@dataclass(frozen=True)
class Play:
    """The episodes of a model in an environment.

    Attributes
    ----------
    episodes
        Each an :class:`Episode`, row by row: its messages, tokens, reward, and how it ended.
    rows
        Of which row each is.

    Examples
    --------
    >>> class Short:
    ...     def reset(self):
    ...         return "Say a word."
    ...     def step(self, action):
    ...         return "", float(len(action) < 12), True
    >>> found = snb.environments.play(model, Short, rows[:2], max_tokens=64, temperature=0.0)
    >>> [episode.ended for episode in found.episodes], found.endings
    (['done', 'done'], {'done': 2})
    >>> found.mean, found.turns, found.unscored, found.reasons
    (1.0, 1.0, 0, {})
    >>> round(found.reward.low, 3) <= 1.0 <= found.reward.high  # the mean's 95 % interval
    True
    """

    episodes: tuple[Episode, ...]
    rows: tuple[int, ...]

    @property
    def reward(self) -> Mean:
        """The mean reward of the episodes that have one, with its 95 % interval; episodes of one row count as one cluster."""
        scored = [(e.reward, row) for e, row in zip(self.episodes, self.rows, strict=True) if e.reward is not None]
        return mean_of([value for value, _ in scored], [row for _, row in scored])

    @property
    def mean(self) -> float:
        """The mean reward."""
        return self.reward.value

    @property
    def unscored(self) -> int:
        """How many episodes have no reward; ``reasons`` says why."""
        return sum(episode.reward is None for episode in self.episodes)

    @property
    def reasons(self) -> dict[str, int]:
        """Why episodes have no reward, and how often."""
        return dict(Counter(episode.reason for episode in self.episodes if episode.reward is None))

    @property
    def endings(self) -> dict[str, int]:
        """How episodes ended, and how often: ``done``, ``max_turns``, ``length`` or ``failed``."""
        return dict(Counter(episode.ended for episode in self.episodes))

    @property
    def turns(self) -> float:
        """Mean replies of the model in an episode."""
        return sum(episode.turns for episode in self.episodes) / len(self.episodes)

    def __str__(self) -> str:
        found = self.reward
        ended = ", ".join(f"{count} {name}" for name, count in self.endings.items())
        more = "".join(f"; {count} without a reward: {reason}" for reason, count in self.reasons.items())
        calls = sum(episode.calls for episode in self.episodes)
        failed, late = (sum(getattr(e, name) for e in self.episodes) for name in ("failed_calls", "late_calls"))
        tools = f"; {calls} calls of tools, {failed} failed, {late} too slow" if calls or failed or late else ""
        return (
            f"reward {found.value:.3f} ({found.low:.3f} to {found.high:.3f}), {len(self.episodes)} episodes of "
            f"{self.turns:.1f} turns: {ended}{tools}{more}"
        )

    def _repr_html_(self) -> str:
        return f"<div>{escape(str(self))}</div>"


def play(
    model: LoadedModel,
    environment: Any,
    rows: Any,
    *,
    n: int = 1,
    max_turns: int = 8,
    max_tokens: int = 1024,
    temperature: float = 1.0,
    seed: int = 0,
    tool_timeout: float = 30.0,
) -> Play:
    """Have a loaded model play an episode to each row and return them, with what they were worth.

    Parameters
    ----------
    environment
        The class, a function that returns a new environment, or the name of a registered one. ``reset`` gets the columns of the
        row that it takes, and ``seed``.
    rows
        A data set or a list of rows with prompts; their other columns are for ``reset``.
    n
        Episodes to each row.
    max_turns
        Most replies of the model in an episode.
    max_tokens
        Most tokens of an episode behind its prompt, the environment's included.
    temperature
        How varied the replies are; 0 takes the likeliest token each time.
    tool_timeout
        Seconds that one call of an environment or a tool may take.

    Raises
    ------
    ConfigError
        ``model`` has no token ids (an endpoint), or ``environment`` cannot be played.
    DataError
        A row has no question.

    Examples
    --------
    >>> class Echo:
    ...     def reset(self):
    ...         self.left = 2
    ...     def step(self, action):
    ...         self.left -= 1
    ...         return f"You said {action}.", 0.5, self.left == 0
    >>> found = snb.environments.play(model, Echo, rows[:3], max_tokens=96, temperature=0.0)
    >>> found.mean, found.turns, [message["role"] for message in found.episodes[0].messages]
    (1.0, 2.0, ['assistant', 'user', 'assistant', 'user'])
    """
    if not hasattr(model, "generator"):
        raise ConfigError(
            f"model={type(model).__name__} cannot be played: it has no token ids.",
            fix="Give a loaded model: snb.load(...).",
        )
    made = maker(environment)
    starts = _starts(rows)
    model.catch_up()
    generator = model.generator
    positions = model.weights.positions or model.max_length
    pool = Pool(made, tool_timeout)
    try:
        found = {
            (rollout.prompt, rollout.sample): rollout.completion
            for rollout in played(
                starts,
                n,
                pool=pool,
                renderer=model.renderer,
                answers=lambda prompts, count, sampling, skip=(): generator.rollouts(
                    prompts, count, sampling, skip=skip
                ),
                sampling=lambda turn: Sampling(
                    max_new_tokens=max_tokens,
                    temperature=temperature,
                    top_p=1.0,
                    seed=derived_seed(seed, turn),
                    logprobs=True,
                ),
                seeds=lambda place: derived_seed(seed, "reset", place) % 2**31,
                limits=Limits(max_turns, max_tokens, positions, tool_timeout),
            )
        }
    finally:
        pool.close()
    keys = sorted(found)
    return Play(tuple(e for key in keys if isinstance(e := found[key], Episode)), tuple(place for place, _ in keys))


def _starts(rows: Any) -> Sequence[Start]:
    starts = []
    for row in accepted(rows, Dataset, "rows").keeping(("*",)).canonical_rows():
        messages = row.get("prompt") or row.get("messages") or []
        last = next((at for at in range(len(messages) - 1, -1, -1) if messages[at]["role"] == "assistant"), None)
        asked = messages if last is None else messages[:last]
        if not asked:
            raise DataError("A row has no question.", fix="Give rows with prompts.")
        starts.append(Start(asked, row.get("tools") or (), row.get("columns") or {}))
    return starts
