"""A batch of episodes, turn by turn: all that go on answer together, then their environments do, each in its own thread.

Which tokens are sampled depends on the weights, what was said before, the seed, and the episode's number and turn alone; so a batch
that was broken off is played again to the same end, where the environment does the same again for the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from shadownb.engine.environments.adapters import Played
from shadownb.engine.environments.calling import Hand, Late, Pending
from shadownb.engine.environments.episode import Ending, Episode
from shadownb.engine.environments.reading import Outcome, Step
from shadownb.engine.inference.options import Sampling
from shadownb.engine.inference.types import Completion, Reply, Rollout
from shadownb.engine.rendering import Renderer
from shadownb.engine.rendering.continuing import behind_reply
from shadownb.engine.rendering.masks import NOT_TRAINED

_SIDE_BY_SIDE = 16  # environments that act at the same time


class Answers(Protocol):
    """Has the model answer each prompt ``n`` times, those of ``skip`` left out."""

    def __call__(
        self, prompts: Sequence[Sequence[int]], n: int, sampling: Sampling, skip: Collection[tuple[int, int]] = ()
    ) -> Iterator[Rollout]: ...


@dataclass(frozen=True)
class Start:
    """What an episode begins with.

    Attributes
    ----------
    row
        The columns of the data's row, for ``reset``.
    """

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] = ()
    row: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Limits:
    """How long episodes may be.

    Attributes
    ----------
    turns
        Replies of the model.
    tokens
        Of everything behind the prompt, the environment's included.
    row
        Of a whole row, prompt included.
    seconds
        That one call of an environment may take.
    """

    turns: int
    tokens: int
    row: int
    seconds: float


class Pool:
    """Environments that wait for their next episode; one is made where none does."""

    def __init__(self, make: Callable[[], Any], seconds: float) -> None:
        self._make, self._seconds = make, seconds
        self._free: list[tuple[Hand, Played]] = []

    def take(self) -> tuple[Hand, Played]:
        """Return one. Raises what making it raises."""
        if self._free:
            return self._free.pop()
        hand = Hand()
        try:
            return hand, hand.begin(lambda: Played(self._make()), self._seconds).result()
        except BaseException:
            hand.close()
            raise

    def give_back(self, hand: Hand, played: Played) -> None:
        """Have it back, if it can be used again."""
        if not hand.lost:
            self._free.append((hand, played))

    def close(self) -> None:
        """Close all that are back."""
        for hand, played in self._free:
            hand.begin(played.close, self._seconds)
            hand.close()
        self._free = []


@dataclass
class _Going:
    """An episode that goes on."""

    start: Start
    hand: Hand | None = None
    played: Played | None = None
    pending: Pending[Any] | None = None
    acting: Future[Outcome] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    said: list[dict[str, Any]] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    prompt: int = 0
    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    text: str = ""
    turns: int = 0
    calls: int = 0
    failed: int = 0
    late: int = 0
    ended: Ending | None = None
    reason: str = ""
    reward: float | None = None

    @property
    def behind(self) -> int:
        """Tokens behind the prompt."""
        return len(self.ids) - self.prompt

    def episode(self) -> Episode:
        """Return it as it has ended."""
        assert self.ended is not None
        said = [label for label in self.labels if label != NOT_TRAINED]
        return Episode(
            self.text,
            said,
            "stop" if self.ended == "done" else "length",
            self.prompt,
            len(said),
            logprobs=list(self.logprobs),
            input_ids=self.ids,
            labels=self.labels,
            messages=self.said,
            reward=self.reward,
            reason=self.reason,
            ended=self.ended,
            turns=self.turns,
            calls=self.calls,
            failed_calls=self.failed,
            late_calls=self.late,
        )


def play(
    starts: Sequence[Start],
    n: int,
    *,
    pool: Pool,
    renderer: Renderer,
    answers: Answers,
    sampling: Callable[[int], Sampling],
    seeds: Callable[[int], int],
    limits: Limits,
    skip: Collection[tuple[int, int]] = (),
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Rollout]:
    """Play each start ``n`` times and yield every episode (an :class:`Episode` for its completion) once it is over.

    Parameters
    ----------
    sampling
        How replies of a turn, counted from 0, are sampled.
    seeds
        What ``reset`` gets as ``seed`` for a start: all its episodes get the same, so that they can be compared.
    skip
        (start, sample) of episodes that are there already.
    """
    going = {
        (place, k): _Going(start) for place, start in enumerate(starts) for k in range(n) if (place, k) not in skip
    }
    acting = ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="episode")
    try:
        _begin(going, pool, renderer, seeds, limits, stopped)
        yield from _over(going, pool, limits, stopped)
        for turn in range(limits.turns):
            if not going:
                return
            for key, completion in _asked(going, starts, n, turn, answers, sampling(turn)):
                _reply(going[key], completion, renderer, limits, acting, stopped)
            for each in going.values():
                _observe(each, renderer, limits, last=turn + 1 == limits.turns)
            yield from _over(going, pool, limits, stopped)
    finally:
        acting.shutdown()  # what they do has a limit each
        for each in going.values():
            if each.hand is not None and each.played is not None:
                pool.give_back(each.hand, each.played)


def _begin(
    going: dict[tuple[int, int], _Going],
    pool: Pool,
    renderer: Renderer,
    seeds: Callable[[int], int],
    limits: Limits,
    stopped: Callable[[], bool],
) -> None:
    """Reset all environments, side by side, and render what the model is asked."""
    for (place, _), each in going.items():
        each.hand, each.played = pool.take()
        each.pending = each.hand.begin(partial(each.played.reset, each.start.row, seeds(place)), limits.seconds)
    for each in going.values():
        assert each.pending is not None and each.played is not None
        each.history = [dict(message) for message in each.start.messages]
        try:
            step: Step = each.pending.result(stopped)
        except Exception as error:
            each.ended, each.reason = "failed", f"reset() {_words(error)}"
            continue
        _append(each.history, step)
        each.tools = [*map(dict, each.start.tools), *each.played.schemas]
        each.ids = renderer.render_prompt(each.history, each.tools or None)
        each.labels, each.prompt = [NOT_TRAINED] * len(each.ids), len(each.ids)
        if len(each.ids) >= limits.row:
            each.ended, each.reason = (
                "failed",
                f"its prompt has {len(each.ids):,} tokens, and a row at most {limits.row:,}",
            )


def _append(history: list[dict[str, Any]], step: Step) -> None:
    """Put what ``reset`` says behind the question, a text into the same message, as trl does."""
    if not isinstance(step.observation, str):
        history += step.observation
    elif step.observation and history and history[-1]["role"] == "user" and isinstance(history[-1]["content"], str):
        asked = history[-1]["content"]
        history[-1] = {**history[-1], "content": f"{asked}\n\n{step.observation}" if asked else step.observation}
    else:
        history += step.messages


def _asked(
    going: dict[tuple[int, int], _Going],
    starts: Sequence[Start],
    n: int,
    turn: int,
    answers: Answers,
    sampling: Sampling,
) -> Iterator[tuple[tuple[int, int], Completion]]:
    """Yield the model's replies of a turn, each with whose it is."""
    by_start: dict[int, set[tuple[int, ...]]] = {}
    for (place, _), each in going.items():
        by_start.setdefault(place, set()).add(tuple(each.ids))
    every = {(place, k) for place in range(len(starts)) for k in range(n)}
    if turn == 0 and all(
        len(prompts) == 1 for prompts in by_start.values()
    ):  # the prompt is then computed once for all
        prompts = [list(next(iter(by_start.get(place, {(0,)})))) for place in range(len(starts))]
        for rollout in answers(prompts, n, sampling, skip=every - going.keys()):
            yield (rollout.prompt, rollout.sample), rollout.completion
        return
    # Numbers count every episode, those that are over, too, so that the others are sampled as if nobody were missing.
    lined = [going[place, k].ids if (place, k) in going else [0] for place in range(len(starts)) for k in range(n)]
    idle = {(place * n + k, 0) for place, k in every - going.keys()}
    for rollout in answers(lined, 1, sampling, skip=idle):
        yield divmod(rollout.prompt, n), rollout.completion


def _reply(
    each: _Going,
    completion: Completion,
    renderer: Renderer,
    limits: Limits,
    acting: ThreadPoolExecutor,
    stopped: Callable[[], bool],
) -> None:
    """Take a reply, and have the environment act on it."""
    assert each.hand is not None and each.played is not None
    room = min(limits.tokens - each.behind, limits.row - len(each.ids))
    said = completion.token_ids[:room]
    asked = each.ids
    each.ids, each.labels = [*asked, *said], [*each.labels, *said]
    each.logprobs += (completion.logprobs or [])[:room]
    each.turns += 1
    each.text = completion.text
    tools = each.tools if each.played.tools else []
    parsed = renderer.read_reply(completion.text, tools, prompt=asked, calls=bool(each.played.tools))
    message = Reply.from_completion(completion, parsed).to_message()
    each.said.append(message)
    each.history.append({name: value for name, value in message.items() if name != "reasoning_content"})
    if completion.finish_reason == "length" or len(completion.token_ids) > room:
        each.ended = "length"
        return
    hand, seconds = each.hand, limits.seconds
    each.acting = acting.submit(
        each.played.answer, parsed, parsed.content, lambda function: hand.begin(function, seconds).result(stopped)
    )


def _observe(each: _Going, renderer: Renderer, limits: Limits, *, last: bool) -> None:
    """Take what the environment says to a reply."""
    if each.ended is not None or each.acting is None:
        return
    try:
        outcome = each.acting.result()
    except Exception as error:
        each.ended, each.reason = "failed", f"the environment {_words(error)}"
        each.late += isinstance(error, Late)
        return
    each.calls, each.failed, each.late = (
        each.calls + outcome.calls,
        each.failed + outcome.failed,
        each.late + outcome.late,
    )
    if outcome.done:
        each.ended = "done"
    elif last:
        each.ended, each.reason = "max_turns", f"it went on after {limits.turns} turns"
    if outcome.messages:
        each.said += outcome.messages
        each.history += outcome.messages
    if each.ended is None:
        more = behind_reply(renderer, each.history, each.tools or None)
        if len(each.ids) + len(more) >= limits.row or each.behind + len(more) >= limits.tokens:
            each.ended = "length"
            return
        each.ids, each.labels = [*each.ids, *more], [*each.labels, *[NOT_TRAINED] * len(more)]


def _over(
    going: dict[tuple[int, int], _Going], pool: Pool, limits: Limits, stopped: Callable[[], bool]
) -> Iterator[Rollout]:
    """Yield the episodes that have ended, with their rewards, and give their environments back."""
    for place, sample in [key for key, each in going.items() if each.ended is not None]:
        each = going.pop((place, sample))
        assert each.hand is not None and each.played is not None
        if each.ended != "failed":
            try:
                each.reward = each.hand.begin(each.played.reward, limits.seconds).result(stopped)
                if each.reward is None and not each.reason:
                    cut = f" before the limit of {limits.tokens:,} tokens" if each.ended == "length" else ""
                    each.reason = f"it gave no reward{cut}"
            except Exception as error:
                each.reason = f"get_reward() {_words(error)}"
        pool.give_back(each.hand, each.played)
        yield Rollout(place, sample, each.episode())


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, Late) else f"raised {type(error).__name__}: {error}"
